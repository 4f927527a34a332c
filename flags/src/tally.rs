//! What the routers of a fleet count together: per migration, side and slot of half a second.
//!
//! # Why the whole of a slot, and not differences
//!
//! A write that times out may have happened. A router therefore stores, under a name of its own,
//! what it counted in a slot as a whole, and again where it has grown: written twice, it is the same,
//! and the fleet's count is the sum over its routers. Slots are those of the store's clock, so that
//! routers whose clocks differ mean the same one.
//!
//! Names and numbers are what the writer makes of them; this module keeps them small: a name has at
//! most 24 bytes, and a router has at most 1,024 of them, in 8 KiB, per side and slot.
//!
//! Not here: what is counted (`metrics::fleet`), and what the counts mean.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::Timestamp;

use crate::migration::{MigrationId, Side};

/// How long the counts of a slot are kept.
pub const KEPT_SECONDS: u64 = 15 * 60;

/// Slots that are kept, and the most that one question is answered about.
pub const KEPT_SLOTS: u64 = KEPT_SECONDS * Slot::PER_SECOND;

/// Names that one router may count on one side in one slot.
pub const NAMES_MAX: usize = 1_024;

pub const NAME_BYTES_MAX: usize = 24;

/// The longest row as it is stored; what is longer was not written by a router and is not read.
pub const ROW_BYTES_MAX: usize = 8 * 1024;

/// Half a second of the store's clock: milliseconds since 1970, divided by 500.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u64);

impl Slot {
    pub const MILLIS: u64 = 500;
    pub const PER_SECOND: u64 = 1_000 / Self::MILLIS;

    pub fn of(time: Timestamp) -> Self {
        Self(u64::try_from(time.as_millisecond()).unwrap_or_default() / Self::MILLIS)
    }

    /// The first of a second since 1970.
    pub const fn of_second(second: u64) -> Self {
        Self(second.saturating_mul(Self::PER_SECOND))
    }

    /// The second since 1970 that it lies in.
    pub const fn second(self) -> u64 {
        self.0 / Self::PER_SECOND
    }

    /// How long the slot of `time` still runs.
    pub fn left_of(time: Timestamp) -> Duration {
        let since_1970 = u64::try_from(time.as_microsecond()).unwrap_or_default();
        let slot = Self::MILLIS * 1_000;
        Duration::from_micros(slot - since_1970 % slot)
    }

    #[must_use]
    pub const fn next(self) -> Self {
        self.plus(1)
    }

    #[must_use]
    pub const fn plus(self, slots: u64) -> Self {
        Self(self.0.saturating_add(slots))
    }

    #[must_use]
    pub const fn minus(self, slots: u64) -> Self {
        Self(self.0.saturating_sub(slots))
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A name of at most [`NAME_BYTES_MAX`] bytes without a NUL, which fills the rest.
///
/// In place, because a histogram has a hundred of them, twice a second for each migration and side.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Name([u8; NAME_BYTES_MAX]);

impl Name {
    fn new(text: &str) -> Option<Self> {
        // These separate names and counts where they are stored.
        let is_plain = |byte: &u8| !matches!(byte, 0 | b' ' | b'=');
        if text.len() > NAME_BYTES_MAX || !text.as_bytes().iter().all(is_plain) {
            return None;
        }
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self(bytes))
    }

    fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(NAME_BYTES_MAX);
        // It was made of text.
        std::str::from_utf8(&self.0[..length]).unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// Counts by name, in the order of names; what is 0 is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(Vec<(Name, u64)>);

impl Tally {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn get(&self, name: &str) -> u64 {
        let found = Name::new(name).and_then(|name| self.find(name).ok());
        found.map_or(0, |at| self.0[at].1)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(name, count)| (name.as_str(), *count))
    }

    /// Adds to a name. One that is no name, or one too many, is left out: ours are short and fewer.
    pub fn add(&mut self, name: &str, more: u64) {
        if let Some(name) = Name::new(name) {
            self.add_name(name, more);
        }
    }

    pub fn merge(&mut self, other: &Self) {
        if self.is_empty() {
            self.0.clone_from(&other.0);
        } else {
            other.0.iter().for_each(|(name, count)| self.add_name(*name, *count));
        }
    }

    /// What this has more than `before`; a count that went back is one that began anew.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let more = |(name, count): &(Name, u64)| {
            let before = before.find(*name).map_or(0, |at| before.0[at].1);
            let more = count.saturating_sub(before);
            (more > 0).then_some((*name, more))
        };
        Self(self.0.iter().filter_map(more).collect())
    }

    /// As it is stored: `2xx=41 timeout=2`. What is beyond [`ROW_BYTES_MAX`] is left out.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for (name, count) in self.iter() {
            let before = text.len();
            let separator = if text.is_empty() { "" } else { " " };
            let _ = write!(text, "{separator}{name}={count}");
            if text.len() > ROW_BYTES_MAX {
                text.truncate(before);
                break;
            }
        }
        text
    }

    /// Reads what [`Self::to_text`] wrote; what does not read is left out, and a text that is too long altogether.
    pub fn parse(text: &str) -> Self {
        let mut tally = Self::default();
        if text.len() > ROW_BYTES_MAX {
            return tally;
        }
        for word in text.split(' ') {
            if let Some((name, count)) = word.split_once('=')
                && let Ok(count) = count.parse()
            {
                tally.add(name, count);
            }
        }
        tally
    }

    fn find(&self, name: Name) -> Result<usize, usize> {
        // What is stored is in order, so that reading it only ever appends.
        if self.0.last().is_none_or(|(last, _)| *last < name) {
            return Err(self.0.len());
        }
        self.0.binary_search_by_key(&name, |(name, _)| *name)
    }

    fn add_name(&mut self, name: Name, more: u64) {
        if more == 0 {
            return;
        }
        match self.find(name) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(more),
            Err(at) if self.0.len() < NAMES_MAX => self.0.insert(at, (name, more)),
            Err(_) => {}
        }
    }
}

/// What one router counted on one side in one slot so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub migration: MigrationId,
    pub slot: Slot,
    pub side: Side,
    pub tally: Tally,
}

/// What the fleet counted in one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotCounts {
    pub slot: Slot,
    pub legacy: Tally,
    pub new: Tally,
}

impl SlotCounts {
    pub const fn side(&self, side: Side) -> &Tally {
        match side {
            Side::Legacy => &self.legacy,
            Side::New => &self.new,
        }
    }

    pub fn add(&mut self, side: Side, tally: &Tally) {
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

    fn is_any_due(&self) -> bool;

    /// These are stored.
    fn stored(&self, rows: &[Row]);
}

/// Bytes of rows that a store in memory keeps; beyond it the oldest slots go first.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What each router counted on each side, as it would be stored elsewhere: a fraction of what it takes when read.
type ByRouter = BTreeMap<(String, Side), String>;

/// The counts of a store that lives in this process, by slot and migration.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    slots: BTreeMap<Slot, BTreeMap<MigrationId, ByRouter>>,
    bytes: usize,
}

impl Kept {
    /// Takes over what a router says, and forgets what is too old at `now`.
    pub(crate) fn put(&mut self, replica: &str, rows: &[Row], now: Slot) {
        self.forget(now);
        for row in rows.iter().filter(|row| row.slot > now.minus(KEPT_SLOTS)) {
            self.set(replica, row.slot, &row.migration, row.side, row.tally.to_text());
        }
    }

    /// Adds to what a replica has counted in a slot.
    pub(crate) fn add(&mut self, replica: &str, slot: Slot, migration: &MigrationId, side: Side, more: &Tally) {
        self.forget(slot);
        if more.is_empty() {
            return;
        }
        let known = self.slots.get(&slot).and_then(|of_slot| of_slot.get(migration));
        let known = known.and_then(|of| of.get(&(replica.to_owned(), side)));
        let mut tally = known.map(|text| Tally::parse(text)).unwrap_or_default();
        tally.merge(more);
        self.set(replica, slot, migration, side, tally.to_text());
    }

    fn set(&mut self, replica: &str, slot: Slot, migration: &MigrationId, side: Side, text: String) {
        let of_slot = self.slots.entry(slot).or_default().entry(migration.clone()).or_default();
        self.bytes += row_bytes(replica, &text);
        if let Some(before) = of_slot.insert((replica.to_owned(), side), text) {
            self.bytes -= row_bytes(replica, &before);
        }
        while self.slots.len() > 1 && self.bytes > KEPT_BYTES_MAX {
            self.forget_first();
        }
    }

    fn forget(&mut self, now: Slot) {
        let oldest = now.minus(KEPT_SLOTS);
        while self.slots.first_key_value().is_some_and(|(slot, _)| *slot <= oldest) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let of_slot = self.slots.pop_first().map(|(_, of_slot)| of_slot).unwrap_or_default();
        let rows = of_slot.values().flatten();
        self.bytes -= rows.map(|((replica, _), text)| row_bytes(replica, text)).sum::<usize>();
    }

    pub(crate) fn get(&self, migration: &MigrationId, slots: RangeInclusive<Slot>) -> Vec<SlotCounts> {
        let summed = |(slot, of_slot): (&Slot, &BTreeMap<MigrationId, ByRouter>)| {
            let mut sum = SlotCounts { slot: *slot, ..SlotCounts::default() };
            of_slot.get(migration)?.iter().for_each(|((_, side), text)| sum.add(*side, &Tally::parse(text)));
            Some(sum)
        };
        if slots.is_empty() { Vec::new() } else { self.slots.range(slots).filter_map(summed).collect() }
    }
}

/// What a row takes in memory, about.
const fn row_bytes(replica: &str, text: &str) -> usize {
    128 + replica.len() + text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, u64)]) {
        let tally = Tally::parse(text);
        assert_eq!(tally.iter().collect::<Vec<_>>(), expected, "{text:?}");
        assert_eq!(Tally::parse(&tally.to_text()), tally, "{text:?}");
    }

    #[test]
    fn what_reads_is_taken_and_what_does_not_is_left_out() {
        check("", &[]);
        check("2xx=41 timeout=2", &[("2xx", 41), ("timeout", 2)]);
        check("b=2 a=1 b=3 c=1 a=4", &[("a", 5), ("b", 5), ("c", 1)]);
        check("2xx=0 5xx=x =1 none 4xx=-1 3xx=7", &[("", 1), ("3xx", 7)]);
        check(&format!("{}=1 a=18446744073709551615 a=1", "n".repeat(25)), &[("a", u64::MAX)]);
        check(&format!("{}=1 a=2", "n".repeat(24)), &[("a", 2), (&"n".repeat(24), 1)]);
        check("a\0b=1 ä=2", &[("ä", 2)]);
        check(&" a=1".repeat(ROW_BYTES_MAX / 4), &[("a", ROW_BYTES_MAX as u64 / 4)]);
        check(&" a=1".repeat(ROW_BYTES_MAX / 4 + 1), &[]);
    }

    #[test]
    fn a_tally_is_bounded() {
        let mut tally = Tally::default();
        (0..2 * NAMES_MAX).for_each(|name| tally.add(&name.to_string(), 1));
        assert_eq!(tally.len(), NAMES_MAX);
        let mut large = Tally::default();
        (0..NAMES_MAX).for_each(|name| large.add(&format!("{name:024}"), u64::MAX));
        let text = large.to_text();
        assert!(text.len() <= ROW_BYTES_MAX, "{}", text.len());
        let read = Tally::parse(&text);
        assert!(read.len() > 100 && read.iter().zip(large.iter()).all(|(read, written)| read == written));
    }

    #[test]
    fn a_slot_is_half_a_second() {
        for (milliseconds, slot, second) in [
            (0, 0, 0),
            (499, 0, 0),
            (500, 1, 0),
            (999, 1, 0),
            (1_000, 2, 1),
            (1_760_000_000_501, 3_520_000_001, 1_760_000_000),
        ] {
            let found = Slot::of(Timestamp::from_millisecond(milliseconds).unwrap());
            assert_eq!((found, found.second()), (Slot(slot), second), "{milliseconds} ms");
        }
        assert_eq!(Slot::of_second(7), Slot(14));
        for (microseconds, left) in [(0, 500_000), (1, 499_999), (499_999, 1), (500_000, 500_000)] {
            let time = Timestamp::from_microsecond(1_760_000_000_000_000 + microseconds).unwrap();
            assert_eq!(Slot::left_of(time), Duration::from_micros(left), "{microseconds} us");
        }
        assert_eq!(Slot::of(Timestamp::from_millisecond(-1).unwrap()), Slot(0));
    }

    #[test]
    fn what_is_kept_in_memory_is_bounded_by_time_and_by_bytes() {
        let id = MigrationId::new("m").unwrap();
        let row = |slot: u64, text: &str| Row {
            migration: id.clone(),
            slot: Slot(slot),
            side: Side::New,
            tally: Tally::parse(text),
        };
        let mut kept = Kept::default();
        kept.put("r", &[row(10, "a=1"), row(11, "a=2")], Slot(11));
        kept.add("outcomes", Slot(11), &id, Side::New, &Tally::parse("a=5"));
        kept.add("outcomes", Slot(11), &id, Side::New, &Tally::parse("a=1"));
        let sums = |kept: &Kept| {
            kept.get(&id, Slot(0)..=Slot(u64::MAX)).iter().map(|one| (one.slot.0, one.new.get("a"))).collect::<Vec<_>>()
        };
        assert_eq!(sums(&kept), [(10, 1), (11, 8)]);
        kept.put("r", &[row(10, "a=9")], Slot(10 + KEPT_SLOTS));
        assert_eq!(sums(&kept), [(11, 8)], "what is too old is not taken either");
        kept.put("r", &[], Slot(11 + KEPT_SLOTS));
        assert_eq!((sums(&kept), kept.bytes), (vec![], 0));

        let mut large = Tally::default();
        (0..NAMES_MAX).for_each(|name| large.add(&format!("{name:024}"), u64::MAX));
        let rows: Vec<_> = (0..100).map(|slot| Row { tally: large.clone(), ..row(slot, "") }).collect();
        for replica in 0..100 {
            kept.put(&format!("r{replica}"), &rows, Slot(100));
        }
        assert!(
            kept.bytes <= KEPT_BYTES_MAX && kept.slots.contains_key(&Slot(99)) && !kept.slots.contains_key(&Slot(0))
        );
    }

    proptest! {
        #[test]
        fn a_difference_added_again_is_the_whole(
            before in proptest::collection::vec(("[a-d]{1,2}", 0..9u64), 0..20),
            more in proptest::collection::vec(("[a-d]{1,2}", 0..9u64), 0..20),
        ) {
            let mut tally = Tally::default();
            before.iter().for_each(|(name, count)| tally.add(name, *count));
            let before = tally.clone();
            more.iter().for_each(|(name, count)| tally.add(name, *count));
            let mut again = before.clone();
            again.merge(&tally.since(&before));
            prop_assert_eq!(&again, &tally);
            prop_assert_eq!(&Tally::parse(&tally.to_text()), &tally);
        }
    }
}
