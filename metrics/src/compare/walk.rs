//! Walks two documents side by side and reports where they differ.

use std::borrow::Cow;

use super::align::{self, Alignment};
use super::difference::{Difference, Kind, Place, Shown, Type};
use super::hash::Hashes;
use super::json::{Children, Document, Node, Span, Value, has_lone_surrogate, same_text};
use super::path::{At, Follower};
use super::report::Report;
use super::rules::RuleKind;
use super::{Decimal, hosts, redact, shape::Shape};

/// Elements that an array has lost or got, up to which each is a difference of its own.
pub(super) const SINGLE_MAX: usize = 8;

/// Bytes of a key, as it is written, beyond which it is not shown.
pub(super) const KEY_MAX: usize = 256;

/// A step from the root to where the walk is.
#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Key(&'a Document<'a>, Span),
    Index(usize),
}

/// The element or member at the end of a path, on the sides that have it.
type Both = (Option<usize>, Option<usize>);

pub(super) struct Walk<'a, 'r, 'l> {
    legacy: &'a Document<'a>,
    new: &'a Document<'a>,
    rules: Follower<'r>,
    hashes: [Hashes; 2],
    path: Vec<Step<'a>>,
    report: &'a mut Report<'l>,
}

/// Compares two documents under rules that are ordered by how specific they are.
pub(super) fn documents<'a>(
    legacy: &'a Document<'a>,
    new: &'a Document<'a>,
    rules: Follower<'_>,
    report: &'a mut Report<'_>,
) {
    let hashes = [Hashes::of_legacy(), Hashes::of_new()];
    let mut walk = Walk { legacy, new, rules, hashes, path: Vec::new(), report };
    let root = walk.rules.root();
    walk.value(0, 0, root);
}

impl<'a> Walk<'a, '_, '_> {
    fn value(&mut self, i: usize, j: usize, at: At) {
        let (a, b) = (self.legacy.node(i), self.new.node(j));
        let (raw_a, raw_b) = (self.legacy.raw(a.text), self.new.raw(b.text));
        if raw_a == raw_b && a.value == b.value {
            return;
        }
        if self.rules.is_ignored(at) {
            return self.report.ruled_out();
        }
        let is_ignored = matches!(self.rules.value(at), Some(RuleKind::Ignore));
        match (a.value, b.value) {
            (Value::Object, Value::Object) => self.objects(i, j, at),
            (Value::Array, Value::Array) => self.arrays(i, j, at),
            _ if is_ignored => self.report.ruled_out(),
            (Value::Number, Value::Number) => self.numbers((i, raw_a), (j, raw_b), at),
            (Value::String, Value::String) => self.strings(i, j, at),
            (Value::True, Value::False) | (Value::False, Value::True) => match self.rules.value(at) {
                Some(RuleKind::Shape) => self.report.checked(),
                _ => self.tell(Kind::ValueChanged, (Some(i), Some(j))),
            },
            _ => self.tell(Kind::TypeChanged, (Some(i), Some(j))),
        }
    }

    fn numbers(&mut self, (i, a): (usize, &[u8]), (j, b): (usize, &[u8]), at: At) {
        let rule = self.rules.value(at);
        // Most numbers are digits alone, and of those only zeros are the same and written otherwise.
        let are_zero = matches!((a, b), (b"0", b"-0") | (b"-0", b"0"));
        if rule.is_none() && is_integer(a) && is_integer(b) && !are_zero {
            return self.tell(Kind::ValueChanged, (Some(i), Some(j)));
        }
        let (exact_a, exact_b) = (Decimal::parse(a), Decimal::parse(b));
        if let (Some(a), Some(b)) = (&exact_a, &exact_b)
            && a == b
        {
            return self.tell(Kind::Notation, (Some(i), Some(j)));
        }
        match rule {
            Some(RuleKind::Shape) => self.report.checked(),
            Some(RuleKind::Tolerance { absolute, relative }) if near(&exact_a, &exact_b, absolute, relative) => {
                self.report.checked();
            }
            _ => self.tell(Kind::ValueChanged, (Some(i), Some(j))),
        }
    }

    fn strings(&mut self, i: usize, j: usize, at: At) {
        let (a, b) = (self.legacy.text(self.legacy.node(i).text), self.new.text(self.new.node(j).text));
        if a == b {
            return;
        }
        let is_let_pass = match self.rules.value(at) {
            Some(RuleKind::Shape) => Shape::of(&a).is_like(Shape::of(&b)),
            Some(RuleKind::Tolerance { absolute, relative }) => {
                near(&Decimal::parse(&a), &Decimal::parse(&b), absolute, relative)
            }
            Some(RuleKind::MapHost { legacy, new }) => hosts::mapped(&a, legacy, new) == b,
            _ => false,
        };
        if is_let_pass {
            return self.report.checked();
        }
        let is_lone = has_lone_surrogate(&a) != has_lone_surrogate(&b);
        self.tell(if is_lone { Kind::LoneSurrogate } else { Kind::ValueChanged }, (Some(i), Some(j)));
    }

    fn objects(&mut self, i: usize, j: usize, at: At) {
        let (legacy, new) = (self.legacy, self.new);
        let (a, b) = (legacy.children(i), new.children(j));
        let count = legacy.node(i).count as usize;
        let is_paired = count == new.node(j).count as usize && self.has_same_keys(a.clone(), b.clone());
        if is_paired && !has_duplicates(legacy, a.clone(), count) {
            for (i, j) in a.zip(b) {
                self.member((Some(i), Some(j)), at);
            }
            return;
        }
        let (a, b) = (keyed(legacy, a), keyed(new, b));
        let (mut a, mut b) = (a.as_slice(), b.as_slice());
        loop {
            let key = match (a.first(), b.first()) {
                (Some(x), Some(y)) => x.0.as_ref().min(y.0.as_ref()),
                (Some((key, _)), None) | (None, Some((key, _))) => key.as_ref(),
                (None, None) => return,
            };
            let in_a = a.iter().take_while(|(other, _)| other.as_ref() == key).count();
            let in_b = b.iter().take_while(|(other, _)| other.as_ref() == key).count();
            let (these, those) = (&a[..in_a], &b[..in_b]);
            // Readers differ, and most take the last.
            let both = (these.last().map(|(_, i)| *i), those.last().map(|(_, j)| *j));
            if in_a > 0 && in_b > 0 && in_a != in_b {
                self.duplicates(both, at);
            }
            self.member(both, at);
            (a, b) = (&a[in_a..], &b[in_b..]);
        }
    }

    fn has_same_keys(&self, a: Children, b: Children) -> bool {
        let key = |document: &'a Document<'a>, index: usize| (document, document.node(index).key);
        a.zip(b).all(|(i, j)| same_text(key(self.legacy, i), key(self.new, j)))
    }

    fn enter_member(&mut self, (i, j): Both, at: At) -> Option<At> {
        let (document, index) = match (i, j) {
            (Some(i), _) => (self.legacy, i),
            (None, Some(j)) => (self.new, j),
            (None, None) => return None,
        };
        let key = document.node(index).key;
        self.path.push(Step::Key(document, key));
        if self.rules.is_idle() {
            return Some(at);
        }
        Some(self.rules.member(at, &document.text(key)))
    }

    fn member(&mut self, both: Both, at: At) {
        if let Some(at) = self.enter_member(both, at) {
            self.present(both, at);
        }
    }

    fn duplicates(&mut self, both: Both, at: At) {
        let Some(at) = self.enter_member(both, at) else { return };
        match self.rules.value(at) {
            Some(RuleKind::Ignore) => self.report.ruled_out(),
            _ => self.tell(Kind::DuplicateKey, both),
        }
        self.leave(at);
    }

    fn leave(&mut self, at: At) {
        self.rules.leave(at);
        self.path.pop();
    }

    /// At a place that has been entered; leaves it.
    fn present(&mut self, both: Both, at: At) {
        match both {
            (Some(i), Some(j)) => self.value(i, j, at),
            _ if matches!(self.rules.value(at), Some(RuleKind::Ignore)) => self.report.ruled_out(),
            (Some(_), None) => self.tell(Kind::Missing, both),
            (None, Some(_)) => self.tell(Kind::Added, both),
            (None, None) => {}
        }
        self.leave(at);
    }

    fn arrays(&mut self, i: usize, j: usize, at: At) {
        let (a, b): (Vec<usize>, Vec<usize>) = (self.legacy.children(i).collect(), self.new.children(j).collect());
        let element = self.rules.element(at);
        let order = self.rules.order(at);
        if self.rules.is_ignored(element) {
            self.rules.leave(element);
            return self.report.ruled_out();
        }
        let key = match order {
            Some(RuleKind::KeyedBy { key }) => Some(key.as_bytes()),
            _ => None,
        };
        let hash = |hashes: &mut Hashes, document: &Document, list: &[usize], rules: &mut Follower| -> Vec<u64> {
            list.iter()
                .map(|index| {
                    key.and_then(|key| hashes.by_key(document, *index, key))
                        .unwrap_or_else(|| hashes.value(document, *index, element, rules))
                })
                .collect()
        };
        let in_legacy = hash(&mut self.hashes[0], self.legacy, &a, &mut self.rules);
        let in_new = hash(&mut self.hashes[1], self.new, &b, &mut self.rules);
        self.rules.leave(element);
        let alignment = match order {
            Some(_) => align::unordered(&in_legacy, &in_new, key.is_some()),
            None => align::ordered(&in_legacy, &in_new),
        };
        self.aligned((i, j), (&a, &b), &alignment, at);
    }

    fn aligned(&mut self, (i, j): (usize, usize), (a, b): (&[usize], &[usize]), alignment: &Alignment, at: At) {
        if !alignment.moved.is_empty() {
            self.tell(Kind::OrderChanged, (Some(i), Some(j)));
        } else if self.rules.order(at).is_some() && alignment.pairs.iter().any(|(i, j)| i != j) {
            self.report.checked();
        }
        // What is lost or new goes before what has changed, so that it is kept where only the first are.
        if alignment.only_legacy.len() + alignment.only_new.len() > SINGLE_MAX {
            self.tell(Kind::LengthChanged, (Some(i), Some(j)));
        } else {
            for i in &alignment.only_legacy {
                self.element(*i, (Some(a[*i]), None), at);
            }
            for j in &alignment.only_new {
                self.element(*j, (None, Some(b[*j])), at);
            }
        }
        for (i, j) in alignment.pairs.iter().chain(&alignment.moved) {
            self.element(*i, (Some(a[*i]), Some(b[*j])), at);
        }
    }

    fn element(&mut self, index: usize, both: Both, at: At) {
        self.path.push(Step::Index(index));
        let at = self.rules.element(at);
        self.present(both, at);
    }

    fn tell(&mut self, kind: Kind, (i, j): Both) {
        let (path, redaction) = (&self.path, self.report.limits.redaction);
        let (legacy, new) = (self.legacy, self.new);
        self.report.difference(kind, || {
            let apart = i.zip(j).and_then(|(i, j)| apart((legacy, legacy.node(i)), (new, new.node(j))));
            let (place, pattern, is_secret) = written(path);
            let show = |document: &Document, index: usize| shown(document, document.node(index), is_secret, redaction);
            let legacy = i.map(|i| show(legacy, i));
            let new = j.map(|j| show(new, j));
            let apart = if is_secret { None } else { apart };
            Difference { place: Place::Body(place), pattern, kind, legacy, new, apart }
        });
    }
}

/// Whether a number of a document is written in digits alone.
fn is_integer(number: &[u8]) -> bool {
    number.strip_prefix(b"-").unwrap_or(number).iter().all(u8::is_ascii_digit)
}

fn near(a: &Option<Decimal>, b: &Option<Decimal>, absolute: &Option<Decimal>, relative: &Option<Decimal>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.is_near(b, absolute.as_ref(), relative.as_ref()),
        _ => false,
    }
}

/// How far two numbers are apart, in millionths of the larger one.
fn apart((legacy, a): (&Document, Node), (new, b): (&Document, Node)) -> Option<u64> {
    let number = |document: &Document, node: Node| -> Option<f64> {
        let text = std::str::from_utf8(document.raw(node.text)).ok().filter(|_| node.value == Value::Number)?;
        text.parse().ok().filter(|number: &f64| number.is_finite())
    };
    let (a, b) = (number(legacy, a)?, number(new, b)?);
    let share = (a - b).abs() / a.abs().max(b.abs());
    share.is_finite().then(|| (share * 1e6).ceil() as u64)
}

/// Members by their keys; those of one key in their order.
/// Members among which equal keys are looked for one by one, as nearly all objects have no more.
const FEW: usize = 16;

fn has_duplicates(document: &Document, members: Children, count: usize) -> bool {
    if count > FEW {
        return keyed(document, members).windows(2).any(|pair| pair[0].0 == pair[1].0);
    }
    let mut rest = members;
    while let Some(index) = rest.next() {
        let key = |index: usize| (document, document.node(index).key);
        if rest.clone().any(|other| same_text(key(index), key(other))) {
            return true;
        }
    }
    false
}

fn keyed<'a>(document: &Document<'a>, members: Children) -> Vec<(Cow<'a, [u8]>, usize)> {
    let mut keyed: Vec<_> = members.map(|index| (document.text(document.node(index).key), index)).collect();
    keyed.sort();
    keyed
}

/// A path as it is and folded, and whether the values there are nobody's business.
fn written(path: &[Step]) -> (String, String, bool) {
    let (mut place, mut pattern) = ("$".to_owned(), "$".to_owned());
    let mut is_secret = false;
    for step in path {
        match step {
            Step::Index(index) => {
                place.push_str(&format!("[{index}]"));
                pattern.push_str("[*]");
            }
            Step::Key(document, key) => {
                // A key this long is no name; it may be as long as a body, and is not read for each difference below it.
                if document.raw(*key).len() > KEY_MAX {
                    place.push_str(".*");
                    pattern.push_str(".*");
                    continue;
                }
                let key = document.text(*key);
                is_secret |= redact::is_secret_name(&key);
                key_written(&mut place, &key, redact::is_private_key(&key));
                key_written(&mut pattern, &key, redact::is_private_key(&key) || Shape::of(&key).is_made_up());
            }
        }
    }
    (place, pattern, is_secret)
}

pub(super) fn key_written(path: &mut String, key: &[u8], is_folded: bool) {
    let key = String::from_utf8_lossy(key);
    let is_plain = key.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-' || c == '@' || c == '$');
    if is_folded {
        path.push_str(".*");
    } else if is_plain && !key.is_empty() {
        path.push('.');
        path.push_str(&key);
    } else {
        let key: String = key.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        path.push_str(&format!("[\"{key}\"]"));
    }
}

fn shown(document: &Document, node: Node, is_secret: bool, redaction: super::Redaction) -> Shown {
    let raw = document.raw(node.text);
    let count = node.count as usize;
    let plain = |kind, length, form: &str| Shown { kind, length, form: form.to_owned() };
    match node.value {
        Value::Null => plain(Type::Null, 0, "null"),
        Value::True | Value::False => match redaction {
            super::Redaction::Raw if !is_secret => plain(Type::Boolean, raw.len(), &String::from_utf8_lossy(raw)),
            _ => plain(Type::Boolean, 0, "boolean"),
        },
        Value::Number => redact::text(Type::Number, raw, is_secret, redaction),
        Value::String => redact::text(Type::String, &document.text(node.text), is_secret, redaction),
        Value::Array => plain(Type::Array, count, &format!("array({count})")),
        Value::Object => plain(Type::Object, count, &format!("object({count})")),
    }
}
