//! What a document has at each path pattern: how many values, of which shapes, and sums of their hashes.
//!
//! # Why sums
//!
//! A document that is too long to be kept is read once, while it streams by, and two of them are still to be held against each
//! other place by place. The order of keys means nothing, so the hashes of the values of a pattern are added up, which gives the
//! same for every order; numbers are hashed by what they are and not by how they are written. A second sum takes in where in the
//! arrays around it a value stood, so that an array in another order, or two values that have changed places, is told as well.
//!
//! # Bounded
//!
//! [`PATTERNS_MAX`] patterns, with keys that are data folded. What is beyond is in the sum of the whole document alone: that it
//! differs is known then, and not where.
//!
//! Deliberately not supported: values, which are never kept, and hashes that withstand somebody who makes values to collide; the
//! digest of the bytes beside this is one of SHA-256.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::FixedState;

use super::hash::{mix, of_bytes, of_number};
use super::json::has_lone_surrogate;
use super::redact;
use super::shape::Shape;
use super::stream::{Scalar, Text, Visit};
use super::walk::{KEY_MAX, key_written};

/// Patterns that are told apart; there are a few dozen in what an API answers.
pub(super) const PATTERNS_MAX: usize = 1_000;

/// What a census may need in memory: its patterns, with their longest names, and the tables over them.
pub(super) const CENSUS_BYTES_MAX: usize = 512 << 10;

/// The longest text of which the shape is looked at; a longer one is a text.
const SHAPE_BYTES_MAX: usize = 128;

/// Of each kind of value, so that `1` and `"1"` are not the same.
const OBJECT: u64 = 20;
const ARRAY: u64 = 21;
const STRING: u64 = 6;
const LITERAL: u64 = 32;

/// The root, which is the first of all patterns.
pub(super) const ROOT: u32 = 0;

/// What values of one pattern look like: a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Looks(pub(super) u16);

/// How bits of [`Looks`] are called, as a type of JSON and a form.
pub(super) const LOOKS: [(super::Type, &str); 15] = {
    use super::Type::{Array, Boolean, Null, Number, Object, String};
    [
        (Null, "null"),
        (Boolean, "boolean"),
        (Number, "decimal"),
        (Array, "array"),
        (Object, "object"),
        (String, "uuid"),
        (String, "rfc3339"),
        (String, "date"),
        (String, "hex"),
        (String, "integer"),
        (String, "decimal"),
        (String, "url"),
        (String, "email"),
        (String, "text"),
        (String, "lone surrogate"),
    ]
};

pub(super) const HEX: u16 = 1 << 8;
pub(super) const DIGITS: u16 = 1 << 9;
pub(super) const DECIMAL: u16 = 1 << 10;
pub(super) const TEXT: u16 = 1 << 13;
/// A text that holds half a surrogate pair.
pub(super) const LONE: u16 = 1 << 14;

/// The type of a bit of [`Looks`], in the order of the first bits; whatever is behind them is a text.
pub(super) const TYPES: usize = 6;
pub(super) const ARRAYS: usize = 3;
pub(super) const OBJECTS: usize = 4;

/// What was seen at one pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) count: u64,
    /// Of the values, whatever their order.
    pub(super) sum: u64,
    /// Of the values with their places in the arrays around them.
    pub(super) placed: u64,
    pub(super) looks: Looks,
    /// How many there are of each type.
    pub(super) types: [u32; TYPES],
}

impl Seen {
    pub(super) fn of_type(&self, at: usize) -> u64 {
        self.types.get(at).map_or(0, |count| u64::from(*count))
    }

    /// Numbers, texts, and whatever else can change without becoming another type or length.
    pub(super) fn scalars(&self) -> u64 {
        [1, 2, 5].into_iter().map(|at| self.of_type(at)).sum()
    }
}

/// One pattern.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// The key of that step; none of an element, and of keys that are folded.
    pub(super) key: Option<Box<[u8]>>,
    /// In the order of their steps.
    pub(super) below: BTreeMap<Box<str>, u32>,
    pub(super) own: Seen,
}

/// An array or object that has not ended yet.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// None beyond [`PATTERNS_MAX`].
    pattern: Option<u32>,
    is_object: bool,
    /// Of the path and of the positions that lead here.
    path: u64,
    place: u64,
    elements: u64,
}

/// What the whole document has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Total {
    pub(super) sum: u64,
    pub(super) placed: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Census {
    pub(super) patterns: Vec<Pattern>,
    pub(super) total: Total,
    /// There were more patterns than are told apart.
    pub(super) is_beyond: bool,
    /// Patterns of names, by the pattern above and the hash of the name.
    known: HashMap<(u32, u64), u32, FixedState>,
    open: Vec<Open>,
    /// Where the next value stands, if it stands in an object.
    at: Option<(Option<u32>, u64)>,
}

impl Census {
    pub(super) fn new() -> Self {
        let root = Pattern { key: None, below: BTreeMap::new(), own: Seen::default() };
        Self {
            patterns: vec![root],
            total: Total::default(),
            is_beyond: false,
            known: HashMap::with_hasher(FixedState::with_seed(13)),
            open: Vec::new(),
            at: None,
        }
    }

    pub(super) fn pattern(&self, at: u32) -> Option<&Pattern> {
        self.patterns.get(at as usize)
    }

    /// Whether a key is there more often than there are objects to have it.
    pub(super) fn has_duplicates(&self) -> bool {
        self.patterns.iter().any(|above| {
            let objects = above.own.of_type(OBJECTS);
            let mut below = above.below.values().filter_map(|at| self.pattern(*at));
            below.any(|pattern| pattern.key.is_some() && pattern.own.count > objects)
        })
    }

    /// The pattern, the path and the position of the value that comes now.
    fn place(&mut self) -> (Option<u32>, u64, u64) {
        let Some(open) = self.open.last_mut() else { return (Some(ROOT), 14, 15) };
        if open.is_object {
            let (pattern, path) = self.at.take().unwrap_or((None, 0));
            return (pattern, path, open.place);
        }
        let (above, path, place) = (open.pattern, mix(open.path, ARRAY), mix(open.place, open.elements));
        open.elements += 1;
        let pattern = above.and_then(|above| self.below(above, 0, || ("[*]".into(), None)));
        (pattern, path, place)
    }

    /// The pattern below another; none beyond the limit.
    fn below(&mut self, above: u32, name: u64, step: impl FnOnce() -> (Box<str>, Option<Box<[u8]>>)) -> Option<u32> {
        if let Some(known) = self.known.get(&(above, name)) {
            return Some(*known);
        }
        let (step, key) = step();
        let is_folded = key.is_none() && name != 0;
        let known = self.pattern(above)?.below.get(&step).copied();
        let at = match known {
            Some(known) => known,
            None if self.patterns.len() < PATTERNS_MAX => {
                let at = u32::try_from(self.patterns.len()).ok()?;
                self.patterns.get_mut(above as usize)?.below.insert(step, at);
                self.patterns.push(Pattern { key, below: BTreeMap::new(), own: Seen::default() });
                at
            }
            None => {
                self.is_beyond = true;
                return None;
            }
        };
        // There is no end of keys that are data.
        if !is_folded {
            self.known.insert((above, name), at);
        }
        Some(at)
    }

    fn add(&mut self, (pattern, path, place): (Option<u32>, u64, u64), hash: u64, look: u16) {
        let (sum, placed) = (mix(path, hash), mix(mix(path, hash), place));
        self.total.sum = self.total.sum.wrapping_add(sum);
        self.total.placed = self.total.placed.wrapping_add(placed);
        if let Some(own) = pattern.and_then(|at| self.patterns.get_mut(at as usize)).map(|pattern| &mut pattern.own) {
            own.count += 1;
            own.sum = own.sum.wrapping_add(hash);
            own.placed = own.placed.wrapping_add(mix(hash, place));
            own.looks.0 |= 1 << look;
            if let Some(of_type) = own.types.get_mut(usize::from(look).min(TYPES - 1)) {
                *of_type = of_type.saturating_add(1);
            }
        }
    }

    /// An array counts once it has ended, with its length.
    fn add_container(&mut self, open: Open) {
        let (hash, look) = if open.is_object { (OBJECT, 4) } else { (mix(ARRAY, open.elements), 3) };
        self.add((open.pattern, open.path, open.place), hash, look);
    }
}

impl Visit for Census {
    fn open(&mut self, is_object: bool) {
        let (pattern, path, place) = self.place();
        self.open.push(Open { pattern, is_object, path, place, elements: 0 });
    }

    fn close(&mut self) {
        if let Some(open) = self.open.pop() {
            self.add_container(open);
        }
    }

    fn key(&mut self, text: Text<'_>) {
        let Some(Open { pattern, path, .. }) = self.open.last().copied() else { return };
        let name = match text {
            Text::Whole(key) => of_bytes(9, key).max(1),
            Text::Hashed(hash) => hash.max(1),
        };
        let pattern = pattern.and_then(|above| {
            self.below(above, name, || match text {
                Text::Whole(key) if key.len() <= KEY_MAX && !is_folded(key) => {
                    let mut step = String::new();
                    key_written(&mut step, key, false);
                    (step.into(), Some(key.into()))
                }
                Text::Whole(_) | Text::Hashed(_) => (".*".into(), None),
            })
        });
        self.at = Some((pattern, mix(path, name)));
    }

    fn scalar(&mut self, scalar: Scalar<'_>) {
        let place = self.place();
        let (hash, look) = match scalar {
            Scalar::Null => (LITERAL, 0),
            Scalar::False => (LITERAL + 1, 1),
            Scalar::True => (LITERAL + 2, 1),
            Scalar::Number(Text::Whole(digits)) => (of_number(digits), 2),
            Scalar::Number(Text::Hashed(hash)) => (mix(5, hash), 2),
            Scalar::String(Text::Whole(text)) => (of_bytes(STRING, text), look(text)),
            Scalar::String(Text::Hashed(hash)) => (mix(STRING, hash), 13),
        };
        self.add(place, hash, look);
    }
}

fn is_folded(key: &[u8]) -> bool {
    redact::is_private_key(key) || Shape::of(key).is_made_up()
}

/// The bit of a text in [`Looks`].
fn look(text: &[u8]) -> u16 {
    // The first byte of each such half, which few texts have.
    if text.contains(&0xed) && has_lone_surrogate(text) {
        return 14;
    }
    if text.len() > SHAPE_BYTES_MAX {
        return 13;
    }
    match Shape::of(text) {
        Shape::Uuid => 5,
        Shape::Time => 6,
        Shape::Date => 7,
        Shape::Hex(_) => 8,
        Shape::Integer(_) => 9,
        Shape::Decimal => 10,
        Shape::Url => 11,
        Shape::Email => 12,
        Shape::Text(_) => 13,
    }
}
