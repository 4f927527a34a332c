//! Hashes of values under rules: equal for what the rules hold to be equal, whatever the order of keys and the notation.
//!
//! They only propose which elements of arrays belong together; what was proposed is compared all the same, so a collision, by
//! chance or by design, hides nothing.

use std::hash::BuildHasher;
use std::num::NonZeroU64;

use foldhash::fast::FixedState;

use super::json::{Document, Node, Value};
use super::path::{At, Follower};
use super::rules::RuleKind;
use super::{Decimal, hosts};

/// The hashes of one document's arrays and objects that were needed so far. A value has one place, and so one hash; that of any
/// other value is made anew for the array around it, and for none further out.
#[derive(Debug)]
pub(super) struct Hashes {
    is_legacy: bool,
    known: Vec<Option<NonZeroU64>>,
}

pub(super) fn mix(a: u64, b: u64) -> u64 {
    FixedState::with_seed(a).hash_one(b)
}

pub(super) fn of_bytes(tag: u64, bytes: &[u8]) -> u64 {
    FixedState::with_seed(tag).hash_one(bytes)
}

pub(super) fn of_number(text: &[u8]) -> u64 {
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (1, digits),
        None => (0, text),
    };
    // The usual case: digits alone.
    if digits.iter().all(u8::is_ascii_digit) {
        let zeros = digits.iter().rev().take_while(|digit| **digit == b'0').count();
        if zeros < digits.len() {
            return mix(of_bytes(3 + sign, &digits[..digits.len() - zeros]), zeros as u64);
        }
    }
    match Decimal::parse(text) {
        Some(exact) => {
            let (is_negative, digits, exponent) = exact.parts();
            let digits: Vec<u8> = digits.iter().map(|digit| digit + b'0').collect();
            mix(of_bytes(3 + u64::from(is_negative), &digits), exponent as u64)
        }
        None => of_bytes(5, text),
    }
}

impl Hashes {
    pub(super) fn of_legacy() -> Self {
        Self { is_legacy: true, known: Vec::new() }
    }

    pub(super) fn of_new() -> Self {
        Self { is_legacy: false, known: Vec::new() }
    }

    /// Of an element by a member of it, if it is an object that has one.
    pub(super) fn by_key(&self, document: &Document, index: usize, key: &[u8]) -> Option<u64> {
        let named = |index: &usize| document.text(document.node(*index).key).as_ref() == key;
        let is_object = document.node(index).value == Value::Object;
        let member = document.children(index).find(named).filter(|_| is_object)?;
        let node = document.node(member);
        let is_scalar = !matches!(node.value, Value::Array | Value::Object | Value::Null);
        is_scalar.then(|| mix(7, Self::scalar(document, node)))
    }

    pub(super) fn value(&mut self, document: &Document, index: usize, at: At, rules: &mut Follower) -> u64 {
        if let Some(known) = self.known.get(index).copied().flatten() {
            return known.get();
        }
        let node = document.node(index);
        let hash = match rules.value(at) {
            Some(RuleKind::Ignore) if rules.is_ignored(at) || !matches!(node.value, Value::Array | Value::Object) => 0,
            Some(RuleKind::Shape) if !matches!(node.value, Value::Array | Value::Object) => match node.value {
                Value::True | Value::False => 1,
                other => 16 + other as u64,
            },
            Some(RuleKind::Tolerance { .. }) if node.value == Value::Number => 16 + Value::Number as u64,
            Some(RuleKind::Tolerance { .. })
                if node.value == Value::String && Decimal::parse(&document.text(node.text)).is_some() =>
            {
                16 + Value::String as u64
            }
            Some(RuleKind::MapHost { legacy, new }) if node.value == Value::String && self.is_legacy => {
                of_bytes(6, &hosts::mapped(&document.text(node.text), legacy, new))
            }
            _ => match node.value {
                Value::Object => self.object(document, index, at, rules),
                Value::Array => self.array(document, index, at, rules),
                Value::Null | Value::True | Value::False | Value::Number | Value::String => {
                    Self::scalar(document, node)
                }
            },
        };
        if !matches!(node.value, Value::Array | Value::Object) {
            return hash;
        }
        if self.known.is_empty() {
            self.known.resize(document.nodes.len(), None);
        }
        let hash = NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN);
        self.known[index] = Some(hash);
        hash.get()
    }

    fn scalar(document: &Document, node: Node) -> u64 {
        match node.value {
            Value::Number => of_number(document.raw(node.text)),
            Value::String => of_bytes(6, &document.text(node.text)),
            other => 32 + other as u64,
        }
    }

    fn object(&mut self, document: &Document, index: usize, at: At, rules: &mut Follower) -> u64 {
        let mut sum = 8u64;
        for child in document.children(index) {
            let key = document.text(document.node(child).key);
            let inner = if rules.is_idle() { at } else { rules.member(at, &key) };
            // What is ignored may also be absent.
            if !rules.is_ignored(inner) {
                sum = sum.wrapping_add(mix(of_bytes(9, &key), self.value(document, child, inner, rules)));
            }
            rules.leave(inner);
        }
        sum
    }

    fn array(&mut self, document: &Document, index: usize, at: At, rules: &mut Follower) -> u64 {
        let is_unordered = rules.order(at).is_some();
        let inner = rules.element(at);
        let mut all = 10u64;
        for child in document.children(index) {
            let hash = self.value(document, child, inner, rules);
            all = if is_unordered { all.wrapping_add(mix(11, hash)) } else { mix(all, hash) };
        }
        rules.leave(inner);
        all
    }
}
