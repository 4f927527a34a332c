//! What one worker saw of the first attempts at one side: how they ended, how long they took, whose they were.
//!
//! # Why apart from what callers met
//!
//! A fallback saves the caller of a request that new failed, and a caller that reads slowly makes its answer late. A guard
//! that judged what callers met would call the first a success and blame the second on the side. So an attempt is counted
//! by what the side itself did, once for each request, and legacy's attempts to save one are not among legacy's: they are
//! asked exactly when something is wrong.
//!
//! Not here: the meaning of the counts, and attempts whose caller left first. Those say nothing about a side.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flags::Bucket;

use super::cells::{Counter, Counters};
use super::histogram::{CELLS, Cells, Durations, cell_of, micros};
use super::totals::add;
use crate::outcome::{Attempted, Outcome};

/// Into how many groups callers fall by their key.
pub const GROUPS: usize = 64;

/// An attempt in flight is noticed from this age on; what ends sooner is seen soon enough by its end.
pub const AGE_MIN: Duration = Duration::from_millis(100);

pub(super) const RESULTS: usize = Attempted::ALL.len();

/// One group of callers. The same key is of the same group on every router.
///
/// From groups a guard learns whether failures are everybody's or one caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group(u8);

/// The multiplier of Fibonacci hashing (Knuth, volume 3, section 6.4): 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Group {
    /// Of the bucket where there is one, else of the key, else by chance.
    pub fn of(bucket: Option<Bucket>, key: Option<&[u8]>, chance: u32) -> Self {
        match (bucket, key) {
            (Some(bucket), _) => Self::spread(u64::from(bucket.get())),
            (None, Some(key)) => Self::spread(folded(key)),
            (None, None) => Self::spread(u64::from(chance)),
        }
    }

    pub const fn index(self) -> usize {
        self.0 as usize
    }

    #[allow(clippy::cast_possible_truncation, reason = "six bits are left")]
    const fn spread(value: u64) -> Self {
        Self((value.wrapping_mul(SPREAD) >> 58) as u8)
    }
}

/// A key in one number, eight bytes at a time.
fn folded(key: &[u8]) -> u64 {
    let mix = |sum: u64, word: u64| (sum.rotate_left(5) ^ word).wrapping_mul(SPREAD);
    let (words, rest) = key.as_chunks::<8>();
    let sum = words.iter().fold(key.len() as u64, |sum, word| mix(sum, u64::from_le_bytes(*word)));
    rest.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte)))
}

/// The age at which an attempt in flight was noticed, as the cell of a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(u8);

impl Age {
    /// `None` below [`AGE_MIN`].
    #[allow(clippy::cast_possible_truncation, reason = "there are less than 256 cells")]
    pub fn of(age: Duration) -> Option<Self> {
        const { assert!(CELLS <= 256, "a cell's number fits a byte") };
        (age >= AGE_MIN).then(|| Self(cell_of(micros(age)) as u8))
    }
}

/// Attempts that moved from age to age; few sides ever need them.
#[derive(Debug, Default)]
struct Ages {
    to: Cells,
    from: Cells,
}

/// See the module; one of each side of each migration and worker.
#[derive(Debug)]
#[repr(C)]
pub(super) struct AttemptCells {
    results: Counters<RESULTS>,
    durations: Cells,
    seen: Counters<GROUPS>,
    refused: Counters<GROUPS>,
    failed: Counters<GROUPS>,
    /// Groups that failed since they were last asked for, a bit each.
    failing: AtomicU64,
    ages: OnceLock<Box<Ages>>,
}

fn zeros<const N: usize>() -> Counters<N> {
    std::array::from_fn(|_| Counter::default())
}

impl Default for AttemptCells {
    fn default() -> Self {
        Self {
            results: Counters::default(),
            durations: Cells::default(),
            seen: zeros(),
            refused: zeros(),
            failed: zeros(),
            failing: AtomicU64::new(0),
            ages: OnceLock::new(),
        }
    }
}

impl AttemptCells {
    #[inline]
    pub(super) fn ended(&self, group: Group, outcome: &Outcome) {
        let Some(result) = outcome.attempted() else { return };
        self.durations.count(cell_of(micros(outcome.latency)));
        self.seen[group.index()].add(1);
        match result {
            Attempted::Ok => {}
            Attempted::Refused => self.refused[group.index()].add(1),
            Attempted::Failed => {
                self.failed[group.index()].add(1);
                // Two threads write here, this one and the one that asks; failures are rare enough to pay for it.
                self.failing.fetch_or(1 << group.index(), Ordering::Relaxed);
            }
        }
        self.results[result as usize].add(1);
    }

    #[cold]
    pub(super) fn aged(&self, from: Option<Age>, to: Option<Age>) {
        if from == to {
            return;
        }
        let ages = self.ages.get_or_init(Box::default);
        if let Some(to) = to {
            ages.to.count(usize::from(to.0));
        }
        if let Some(from) = from {
            ages.from.count(usize::from(from.0));
        }
    }

    /// Adds how attempts ended, and takes the groups that failed.
    pub(super) fn take(&self, sum: &mut SideAttempts) {
        let read = |result: Attempted| self.results[result as usize].get();
        sum.ok += read(Attempted::Ok);
        sum.refused += read(Attempted::Refused);
        let failed = read(Attempted::Failed);
        sum.failed += failed;
        if failed > 0 {
            add(sum.failed_by_group.get_or_insert_with(|| Box::new([0; GROUPS])).as_mut(), &self.failed);
        }
        if self.failing.load(Ordering::Relaxed) != 0 {
            sum.failing |= self.failing.swap(0, Ordering::Relaxed);
        }
    }

    pub(super) fn add_durations(&self, sum: &mut Durations) {
        self.durations.add_to(sum);
    }
}

/// How first attempts at one side ended since the start, for who asks many times a second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideAttempts {
    pub ok: u64,
    pub refused: u64,
    pub failed: u64,
    /// Groups in which an attempt has failed since the last time somebody asked, a bit each.
    pub failing: u64,
    /// How many of each group have failed; none where none has.
    pub failed_by_group: Option<Box<[u64; GROUPS]>>,
}

/// Everything of first attempts at one side since the start, summed over workers.
#[derive(Clone, Debug)]
pub struct AttemptTotals {
    results: [u64; RESULTS],
    pub(crate) durations: Durations,
    pub(crate) aged_to: Durations,
    pub(crate) aged_from: Durations,
    pub(crate) seen: [u64; GROUPS],
    pub(crate) refused: [u64; GROUPS],
    pub(crate) failed: [u64; GROUPS],
    /// How failures scatter over groups: see [`super::dispersion`].
    pub(crate) chi_milli: u64,
    pub(crate) chi_freedom: u64,
}

impl Default for AttemptTotals {
    fn default() -> Self {
        let none = [0; GROUPS];
        let [durations, aged_to, aged_from] = Default::default();
        Self {
            results: [0; RESULTS],
            durations,
            aged_to,
            aged_from,
            seen: none,
            refused: none,
            failed: none,
            chi_milli: 0,
            chi_freedom: 0,
        }
    }
}

impl AttemptTotals {
    pub const fn result(&self, result: Attempted) -> u64 {
        self.results[result as usize]
    }

    /// How long they took.
    pub const fn durations(&self) -> &Durations {
        &self.durations
    }

    pub(super) fn add(&mut self, cells: &AttemptCells) {
        if let Some(ages) = cells.ages.get() {
            // What has left an age is read first, so that nothing seems to leave one that it never had.
            ages.from.add_to(&mut self.aged_from);
            ages.to.add_to(&mut self.aged_to);
        }
        // Most workers have seen nothing of most migrations of a long file.
        if cells.results.iter().all(|result| result.get() == 0) {
            return;
        }
        add(&mut self.results, &cells.results);
        cells.durations.add_to(&mut self.durations);
        add(&mut self.failed, &cells.failed);
        add(&mut self.refused, &cells.refused);
        add(&mut self.seen, &cells.seen);
    }
}

#[cfg(test)]
mod tests {
    use flags::HashKind;

    use super::*;

    #[test]
    fn a_key_keeps_its_group_and_keys_spread_over_all() {
        let of = |key: &str| Group::of(None, Some(key.as_bytes()), 0).index();
        assert_eq!(
            (of("ann"), of("bob"), of("a-rather-long-key-of-somebody")),
            (29, 16, 27),
            "frozen: routers share groups"
        );
        let mut seen = [0; GROUPS];
        (0..6_400).for_each(|user: u32| seen[of(&format!("user-{user}"))] += 1);
        assert!(seen.iter().all(|count| (50..=160).contains(count)), "{seen:?}");
    }

    #[test]
    fn a_hundred_keys_are_of_many_groups_by_either_hash() {
        for kind in [HashKind::Bucket, HashKind::Modulo] {
            let mut groups = std::collections::BTreeSet::new();
            for key in 0..100 {
                let bucket = kind.place("salt", key.to_string().as_bytes());
                assert!(bucket.is_some());
                groups.insert(Group::of(bucket, None, 0).index());
            }
            assert!(groups.len() >= 40, "{kind:?}: {}", groups.len());
        }
    }

    #[test]
    fn an_age_is_noticed_from_a_tenth_of_a_second_on() {
        assert_eq!(Age::of(AGE_MIN - Duration::from_micros(1)), None);
        let (one, other) = (Age::of(AGE_MIN), Age::of(Duration::from_secs(100_000)));
        assert!(one.is_some() && one < other);
        assert_eq!(usize::from(other.unwrap().0), CELLS - 1);
    }
}
