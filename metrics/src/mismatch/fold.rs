//! Folds keys of maps away that are data and no names, so that a thousand users are one pattern.
//!
//! The engine folds keys whose whole form tells it (UUIDs, dates, numbers). Two more kinds are known only here: keys that
//! look like ids with a name before them (`user_48213`), and keys of which one place has had too many different ones.
//!
//! Deliberately not supported: unfolding. A place that was a map once is one until it is forgotten.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::FixedState;

use crate::compare::steps;

/// Different keys at one place, beyond which they are data.
pub(super) const KEYS_MAX: usize = 50;

/// Places whose keys are counted; keys of further ones are folded by their form alone.
const PLACES_MAX: usize = 4_096;

/// The longest pattern that is kept, in bytes.
pub(super) const PATTERN_BYTES_MAX: usize = 256;

/// The digits of a key from which on it is an id.
const DIGITS_MIN: usize = 4;

const ANY: &str = ".*";

/// The keys that places have had.
#[derive(Clone, Debug, Default)]
pub(super) struct Places(HashMap<u64, Keys>);

#[derive(Clone, Debug)]
enum Keys {
    Few(HashSet<u32>),
    Many,
}

impl Places {
    /// A pattern with its keys folded, and whether a place has just turned out to be a map, so that patterns that are known
    /// have to be folded again.
    pub(super) fn fold(&mut self, route: &str, pattern: &str) -> (String, bool) {
        let Some(steps) = steps(pattern) else { return (cut(pattern), false) };
        let (mut folded, mut is_news) = (String::with_capacity(pattern.len()), false);
        for step in steps {
            let is_key = step != "$" && step != "[*]" && step != ANY;
            if !is_key {
                folded.push_str(step);
            } else if is_id(step) {
                folded.push_str(ANY);
            } else {
                let (is_many, is_new) = self.is_many(hash(&[route, &folded]), step);
                is_news |= is_new;
                folded.push_str(if is_many { ANY } else { step });
            }
        }
        (cut(&folded), is_news)
    }

    fn is_many(&mut self, place: u64, key: &str) -> (bool, bool) {
        if !self.0.contains_key(&place) && self.0.len() >= PLACES_MAX {
            return (false, false);
        }
        let keys = self.0.entry(place).or_insert_with(|| Keys::Few(HashSet::new()));
        let Keys::Few(few) = keys else { return (true, false) };
        few.insert(hash(&[key]) as u32);
        if few.len() <= KEYS_MAX {
            return (false, false);
        }
        *keys = Keys::Many;
        (true, true)
    }
}

/// Whether a key is one of many by its form: a name with a number that names one of many.
fn is_id(step: &str) -> bool {
    step.bytes().filter(u8::is_ascii_digit).count() >= DIGITS_MIN
}

fn hash(parts: &[&str]) -> u64 {
    let mut hasher = FixedState::with_seed(7).build_hasher();
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part.as_bytes());
    }
    hasher.finish()
}

/// At most so many bytes of it.
pub(super) fn cut(text: &str) -> String {
    cut_to(text, PATTERN_BYTES_MAX)
}

pub(super) fn cut_to(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    let end = (0..=bytes_max - 3).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, expected: &str) {
        assert_eq!(Places::default().fold("/r", pattern), (expected.to_owned(), false));
    }

    #[test]
    fn keys_that_are_ids_by_their_form_are_folded() {
        check("$.users.user_48213.name", "$.users.*.name");
        check("$[\"order 48213\"][*]", "$.*[*]");
        check("$.address.line2", "$.address.line2");
        check("$.*.a[*].b", "$.*.a[*].b");
        check("status", "status");
        check("header:set-cookie[sid]", "header:set-cookie[sid]");
        check("lines[*]", "lines[*]");
        check("$", "$");
        check(&format!("$.{}", "é".repeat(300)), &format!("$.{}…", "é".repeat(125)));
    }

    #[test]
    fn a_place_with_more_keys_than_names_is_a_map_from_then_on() {
        let mut places = Places::default();
        let word = |n: usize| {
            format!("$.by_name.{}{}.age", char::from(b'a' + (n / 26) as u8), char::from(b'a' + (n % 26) as u8))
        };
        for n in 0..KEYS_MAX {
            assert_eq!(places.fold("/r", &word(n)), (word(n), false));
            assert_eq!(places.fold("/r", &word(n)), (word(n), false));
        }
        assert_eq!(places.fold("/r", &word(KEYS_MAX)), ("$.by_name.*.age".to_owned(), true));
        assert_eq!(places.fold("/r", &word(0)), ("$.by_name.*.age".to_owned(), false));
        assert_eq!(places.fold("/other", &word(0)), (word(0), false), "another route has places of its own");
        assert_eq!(places.fold("/r", "$.by_city.a.age").0, "$.by_city.a.age");
    }

    #[test]
    fn places_are_bounded() {
        let mut places = Places::default();
        for n in 0..2 * PLACES_MAX {
            places.fold(&format!("/{n}"), "$.a");
        }
        assert_eq!(places.0.len(), PLACES_MAX);
    }
}
