//! Which buckets of keys were seen of late: what a change of share would move, before it is made.
//!
//! # Why buckets and not keys
//!
//! A change of share moves whole buckets, so whether a key changes side follows from its bucket. Ten thousand bits a migration
//! and worker say which of them have been seen; keys need not be kept, and two of one bucket move together.
//!
//! A worker sets a bit; every five minutes the bits are taken from it. What is asked for is the interval that runs and the one before:
//! five to ten minutes. Taking while the worker sets may leave a bit of before, or lose one: it is an estimate for people.
//!
//! Not here: keys without a bucket, which no share moves.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flags::Bucket;

const BUCKETS: usize = 10_000;
const WORDS: usize = BUCKETS.div_ceil(64);

/// How long bits stay with the workers.
const INTERVAL: Duration = Duration::from_mins(5);

/// What one worker has seen since the bits were taken last.
#[derive(Debug)]
pub(super) struct RecentCells([AtomicU64; WORDS]);

impl Default for RecentCells {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl RecentCells {
    #[inline]
    pub(super) fn saw(&self, bucket: Bucket) {
        let at = usize::from(bucket.get());
        let Some(word) = self.0.get(at / 64) else { return };
        let (bits, bit) = (word.load(Ordering::Relaxed), 1 << (at % 64));
        // Mostly it was seen before, and then no line of memory gets dirty.
        if bits & bit == 0 {
            word.store(bits | bit, Ordering::Relaxed);
        }
    }
}

/// Buckets, a bit each.
#[derive(Clone, Debug)]
pub(super) struct Seen(Box<[u64; WORDS]>);

impl Default for Seen {
    fn default() -> Self {
        Self(Box::new([0; WORDS]))
    }
}

impl Seen {
    pub(super) fn add(&mut self, cells: &RecentCells) {
        self.0.iter_mut().zip(&cells.0).for_each(|(sum, word)| *sum |= word.load(Ordering::Relaxed));
    }

    fn take(&mut self, cells: &RecentCells) {
        self.0.iter_mut().zip(&cells.0).for_each(|(sum, word)| *sum |= word.swap(0, Ordering::Relaxed));
    }

    fn count(&self, buckets: Range<u16>) -> u32 {
        let has = |bucket: &u16| self.0[usize::from(*bucket) / 64] & 1 << (bucket % 64) != 0;
        let end = buckets.end.min(BUCKETS as u16);
        u32::try_from((buckets.start..end).filter(has).count()).unwrap_or(u32::MAX)
    }
}

/// How many buckets were seen of late, and how many of them lie in a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentKeys {
    pub seen: u32,
    pub within: u32,
}

impl RecentKeys {
    pub(super) fn of(seen: &Seen, buckets: Range<u16>) -> Self {
        Self { seen: seen.count(0..BUCKETS as u16), within: seen.count(buckets) }
    }
}

/// The bits of one migration that were taken last.
#[derive(Debug)]
pub(super) struct Taken {
    at: Instant,
    seen: Seen,
}

impl Taken {
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now, seen: Seen::default() }
    }

    /// Takes the bits when it is time.
    pub(super) fn tick<'a>(&mut self, cells: impl Iterator<Item = &'a RecentCells>, now: Instant) {
        if now.saturating_duration_since(self.at) < INTERVAL {
            return;
        }
        let mut seen = Seen::default();
        cells.for_each(|cells| seen.take(cells));
        *self = Self { at: now, seen };
    }

    pub(super) fn seen(&self) -> Seen {
        self.seen.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saw(cells: &RecentCells, buckets: impl IntoIterator<Item = u16>) {
        for bucket in buckets {
            let hash = (u64::from(bucket) << 32).div_ceil(10_000);
            let made = Bucket::from_hash(u32::try_from(hash).unwrap());
            assert_eq!(made.get(), bucket);
            cells.saw(made);
        }
    }

    #[test]
    fn a_range_of_buckets_is_counted_to_the_bucket() {
        let cells = RecentCells::default();
        saw(&cells, [0, 63, 64, 99, 100, 9_999, 9_999]);
        let mut seen = Seen::default();
        seen.add(&cells);
        for (range, within) in
            [(0..0, 0), (0..1, 1), (0..100, 4), (100..101, 1), (101..9_999, 0), (0..10_000, 6), (5_000..65_535, 1)]
        {
            assert_eq!(RecentKeys::of(&seen, range.clone()), RecentKeys { seen: 6, within }, "{range:?}");
        }
    }

    #[test]
    fn what_was_seen_is_remembered_for_one_to_two_intervals() {
        let start = Instant::now();
        let (mut taken, cells) = (Taken::new(start), RecentCells::default());
        let seen = |taken: &Taken, cells: &RecentCells| {
            let mut seen = taken.seen();
            seen.add(cells);
            seen.count(0..10_000)
        };
        saw(&cells, [7]);
        taken.tick([&cells].into_iter(), start + INTERVAL / 2);
        assert_eq!(seen(&taken, &cells), 1);
        taken.tick([&cells].into_iter(), start + INTERVAL);
        saw(&cells, [8]);
        assert_eq!(seen(&taken, &cells), 2);
        taken.tick([&cells].into_iter(), start + INTERVAL * 2);
        assert_eq!(seen(&taken, &cells), 1);
        taken.tick([&cells].into_iter(), start + INTERVAL * 3);
        assert_eq!(seen(&taken, &cells), 0);
    }
}
