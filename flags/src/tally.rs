//! What the routers of a fleet count together: per migration, side and second.
//!
//! # Why the whole of a second, and not differences
//!
//! A write that times out may have happened. A router therefore stores, under a name of its own,
//! what it counted in a second as a whole, again and again while that second grows: written twice, it
//! is the same, and the fleet's count is the sum over its routers. Seconds are those of the store's
//! clock, so that routers whose clocks differ mean the same one.
//!
//! Names and numbers are what the writer makes of them; this module keeps them small: a name has at
//! most 24 bytes, and a router has at most 64 of them per side and second.
//!
//! Not here: what is counted (`metrics::fleet`), and what the counts mean.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::RangeInclusive;

use jiff::Timestamp;

use crate::migration::{MigrationId, Side};

/// How long the counts of a second are kept.
pub const KEPT_SECONDS: u64 = 15 * 60;

/// Names that one router may count on one side in one second.
const NAMES_MAX: usize = 64;

const NAME_BYTES_MAX: usize = 24;

/// Counts by name; what is 0 is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<String, u64>);

impl Tally {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }

    pub fn add(&mut self, name: &str, more: u64) {
        if more == 0 {
            return;
        }
        if let Some(count) = self.0.get_mut(name) {
            *count = count.saturating_add(more);
        } else if self.0.len() < NAMES_MAX {
            // Ours are half as many; whatever is beyond was not written by a router.
            self.0.insert(name.to_owned(), more);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(name, count)| self.add(name, count));
    }

    /// As it is stored: `2xx=41 timeout=2`.
    pub(crate) fn to_text(&self) -> String {
        self.0.iter().fold(String::new(), |mut text, (name, count)| {
            let separator = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{separator}{name}={count}");
            text
        })
    }

    /// Reads what [`Self::to_text`] wrote; what does not read is left out.
    pub(crate) fn parse(text: &str) -> Self {
        let mut tally = Self::default();
        for word in text.split(' ').take(NAMES_MAX) {
            if let Some((name, count)) = word.split_once('=')
                && name.len() <= NAME_BYTES_MAX
                && let Ok(count) = count.parse()
            {
                tally.add(name, count);
            }
        }
        tally
    }
}

/// What one router counted on one side in one second so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub migration: MigrationId,
    /// Since 1970, by the store's clock.
    pub second: u64,
    pub side: Side,
    pub tally: Tally,
}

/// What the fleet counted in one second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Second {
    pub second: u64,
    pub legacy: Tally,
    pub new: Tally,
}

impl Second {
    pub const fn side(&self, side: Side) -> &Tally {
        match side {
            Side::Legacy => &self.legacy,
            Side::New => &self.new,
        }
    }

    pub(crate) fn add(&mut self, side: Side, tally: &Tally) {
        match side {
            Side::Legacy => self.legacy.merge(tally),
            Side::New => self.new.merge(tally),
        }
    }
}

/// Where the counts of this router come from.
pub trait Tallies: Send + Sync {
    /// What is counted and not stored yet, oldest first.
    fn due(&self) -> Vec<Row>;

    /// These are stored.
    fn stored(&self, rows: &[Row]);
}

/// The second of an instant.
pub(crate) fn second_of(time: Timestamp) -> u64 {
    u64::try_from(time.as_second()).unwrap_or_default()
}

/// Counts that a store in memory keeps; beyond it the oldest seconds go first.
const KEPT_MAX: usize = 100_000;

/// What each router counted on each side.
type ByRouter = BTreeMap<(String, Side), Tally>;

/// The counts of a store that lives in this process, by second and migration.
#[derive(Debug, Default)]
pub(crate) struct Kept(BTreeMap<u64, BTreeMap<MigrationId, ByRouter>>);

impl Kept {
    /// Takes over what a router says, and forgets what is too old at `now`.
    pub(crate) fn put(&mut self, replica: &str, rows: &[Row], now: u64) {
        let oldest = now.saturating_sub(KEPT_SECONDS);
        for row in rows.iter().filter(|row| row.second > oldest) {
            let of_second = self.0.entry(row.second).or_default().entry(row.migration.clone()).or_default();
            of_second.insert((replica.to_owned(), row.side), row.tally.clone());
        }
        self.0 = self.0.split_off(&(oldest + 1));
        while self.0.len() > 1 && self.0.values().map(BTreeMap::len).sum::<usize>() > KEPT_MAX {
            self.0.pop_first();
        }
    }

    pub(crate) fn get(&self, migration: &MigrationId, seconds: RangeInclusive<u64>) -> Vec<Second> {
        let summed = |(second, of_second): (&u64, &BTreeMap<MigrationId, ByRouter>)| {
            let mut sum = Second { second: *second, ..Second::default() };
            of_second.get(migration)?.iter().for_each(|((_, side), tally)| sum.add(*side, tally));
            Some(sum)
        };
        if seconds.is_empty() { Vec::new() } else { self.0.range(seconds).filter_map(summed).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, u64)]) {
        let tally = Tally::parse(text);
        assert_eq!(tally.0, expected.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(), "{text:?}");
        assert_eq!(Tally::parse(&tally.to_text()), tally, "{text:?}");
    }

    #[test]
    fn what_reads_is_taken_and_what_does_not_is_left_out() {
        check("", &[]);
        check("2xx=41 timeout=2", &[("2xx", 41), ("timeout", 2)]);
        check("2xx=0 5xx=x =1 none 4xx=-1 3xx=7", &[("", 1), ("3xx", 7)]);
        check(&format!("{}=1 a=18446744073709551615 a=1", "n".repeat(25)), &[("a", u64::MAX)]);
    }

    #[test]
    fn a_tally_is_bounded() {
        let mut tally = Tally::default();
        (0..1_000).for_each(|name: u32| tally.add(&name.to_string(), 1));
        assert_eq!(tally.0.len(), NAMES_MAX);
    }
}
