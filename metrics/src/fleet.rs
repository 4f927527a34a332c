//! What this router counts for the fleet, slot by slot, and what the fleet's counts say.
//!
//! # Why differences of sums
//!
//! The cells of the workers only grow, and a scrape that sums them costs no request anything. So
//! where a slot ends, the difference between two sums is what was counted in it, and goes to the store
//! with the heartbeat that follows. Nothing is written for a slot in which nothing happened.
//!
//! # Why a slot that is over stays as it is
//!
//! Who judges reads a slot once, soon after its end. So a sum that was taken late, or after the clock
//! was set back a little, belongs to the slot that runs, and never to one that others may have read.
//!
//! A clock that was set back by more is believed, because what waits for a time that may be a year away is never read. What
//! was counted for that time is lost.
//!
//! # What gets lost, and that it is counted
//!
//! While the store is away the last `PENDING_SLOTS_MAX` slots wait and are stored late, each as
//! its own. What is older, what is beyond `PENDING_ROWS_MAX`, and what was counted while this
//! process was stopped is counted as lost and never added to another slot.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flags::tally::{Row, Slot, Tallies, Tally};
use flags::{MigrationId, Side};
use jiff::{SignedDuration, Timestamp};

use crate::mismatch::{Compared, Twin};
use crate::observe::{
    CELLS, DURATION_BOUNDS_US, DURATION_BUCKETS, Fallback, GROUPS, MigrationTotals, Observer, Pair, lock,
};
use crate::outcome::{Attempted, CodeClass, Failure};
use crate::sequential::ByGroup;

/// Slots that wait for a store that is away: half a minute.
const PENDING_SLOTS_MAX: u64 = 30 * Slot::PER_SECOND;

/// Counts of one migration, side and slot that wait at most.
const PENDING_ROWS_MAX: usize = 8_192;

/// Counts that one heartbeat takes along; the oldest go first.
const ROWS_MAX: usize = 1_024;

/// A difference over more than this belongs to no slot any more.
const GAP_MAX: Duration = Duration::from_secs(2);

/// How long after the end of a slot what was counted still belongs to it: longer than a timer is late, and shorter than
/// anybody waits before reading it.
const LATE_MAX: SignedDuration = SignedDuration::from_millis(40);

/// A clock that was set back by more than this is not waited for: ten seconds.
pub(crate) const SET_BACK_SLOTS: u64 = 10 * Slot::PER_SECOND;

const FALLBACKS: &str = "fallbacks";
const DURATION_US: &str = "duration_us";
const CHI_MILLI: &str = "chi";
const CHI_FREEDOM: &str = "chidf";
const SEEN_MANY: &str = "kmany";
const PAIRS: [(&str, Pair); 3] =
    [("pair_same", Pair::Same), ("pair_new", Pair::OnlyNew), ("pair_legacy", Pair::OnlyLegacy)];

/// What became of requests that were to be compared, counted on new.
const COMPARED: [(&str, Compared); 3] =
    [("cmp_matched", Compared::Matched), ("cmp_ignored", Compared::Ignored), ("cmp_mismatched", Compared::Mismatched)];
const NOT_COMPARED: &str = "cmp_none";
const TWINS: [(&str, Twin); 2] = [("twin_new", Twin::OnlyNew), ("twin_legacy", Twin::OnlyLegacy)];

/// Names of numbered counts begin with these: of first attempts by time, of ages reached and left, and by group of callers.
const ATTEMPTS: char = 'h';
const AGED_TO: char = 'a';
const AGED_FROM: char = 'z';
const FAILED_GROUP: char = 'g';
const REFUSED_GROUP: char = 'r';
const SEEN_GROUP: char = 'k';

/// More groups than these are told by one name; who judges wants to know whether there were only few.
const SEEN_GROUPS_MAX: usize = 3;

/// Names of the buckets of a duration; their bounds are [`DURATION_BOUNDS_US`] and infinity.
const BUCKETS: [&str; DURATION_BUCKETS] =
    ["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "d10", "d11", "d12", "d13", "d14", "d15"];

/// What this router has counted and the store has not yet.
#[derive(Debug, Default)]
pub struct Ledger {
    state: Mutex<State>,
    /// Requests whose counts were given up.
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    before: BTreeMap<MigrationId, MigrationTotals>,
    ticked: Option<Instant>,
    /// The newest slot that ran at a tick; those before it are over.
    running: Slot,
    pending: BTreeMap<Key, Pending>,
}

/// Slot first, so that the oldest are first.
type Key = (Slot, MigrationId, Side);

#[derive(Debug)]
struct Pending {
    tally: Tally,
    is_stored: bool,
}

impl Ledger {
    /// Assigns what was counted since the last call; called just after the end of each slot by the store's clock, which
    /// says `store_time`.
    pub fn tick(&self, observer: &Observer, store_time: Timestamp, now: Instant) {
        let totals = observer.totals();
        let mut state = lock(&self.state);
        let meant = Slot::of(store_time.saturating_sub(LATE_MAX).unwrap_or(store_time));
        if Slot::of(store_time).plus(SET_BACK_SLOTS) < state.running {
            self.go_back_to(&mut state, meant);
        }
        let slot = meant.max(state.running);
        state.running = state.running.max(Slot::of(store_time));
        let since = state.ticked.replace(now).map(|before| now.saturating_duration_since(before));
        let is_late = since.is_some_and(|since| since > GAP_MAX);
        let before = std::mem::take(&mut state.before);
        let nothing = MigrationTotals::default();
        for (id, totals) in &totals {
            // A migration that was forgotten and came back counts from 0 again.
            let before = before.get(id).unwrap_or(&nothing);
            for side in Side::ALL {
                let difference = difference(totals, before, side);
                if difference.is_empty() {
                    continue;
                }
                let has_room = state.pending.len() < PENDING_ROWS_MAX;
                let key = (slot, id.clone(), side);
                if is_late || !(has_room || state.pending.contains_key(&key)) {
                    self.lose(&difference);
                    continue;
                }
                let pending =
                    state.pending.entry(key).or_insert_with(|| Pending { tally: Tally::default(), is_stored: false });
                pending.tally.merge(&difference);
                pending.is_stored = false;
            }
        }
        state.before = totals;
        self.forget(&mut state);
    }

    /// Requests whose counts the store never got.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The clock was set back: this slot runs, and of those after it nothing can be known.
    fn go_back_to(&self, state: &mut State, slot: Slot) {
        state.running = slot;
        state.pending.retain(|(of, ..), pending| {
            if *of > slot && !pending.is_stored {
                self.lose(&pending.tally);
            }
            *of <= slot
        });
    }

    fn forget(&self, state: &mut State) {
        let running = state.running;
        let oldest = running.minus(PENDING_SLOTS_MAX);
        state.pending.retain(|(of, ..), pending| {
            if pending.is_stored {
                // What runs may still grow, and is then written whole.
                return *of >= running;
            }
            if *of < oldest {
                self.lose(&pending.tally);
            }
            *of >= oldest
        });
    }

    fn lose(&self, tally: &Tally) {
        let requests: u64 = CodeClass::ALL.iter().map(|class| tally.get(class.name())).sum();
        self.lost.fetch_add(requests, Ordering::Relaxed);
    }
}

impl Tallies for Ledger {
    fn due(&self) -> Vec<Row> {
        let state = lock(&self.state);
        let due = state.pending.iter().filter(|(_, pending)| !pending.is_stored).take(ROWS_MAX);
        due.map(|((slot, migration, side), pending)| Row {
            migration: migration.clone(),
            slot: *slot,
            side: *side,
            tally: pending.tally.clone(),
        })
        .collect()
    }

    fn is_any_due(&self) -> bool {
        lock(&self.state).pending.values().any(|pending| !pending.is_stored)
    }

    fn stored(&self, rows: &[Row]) {
        let mut state = lock(&self.state);
        for row in rows {
            // What has grown meanwhile is still due.
            if let Some(pending) = state.pending.get_mut(&(row.slot, row.migration.clone(), row.side))
                && pending.tally == row.tally
            {
                pending.is_stored = true;
            }
        }
    }
}

/// Everything of one side that the fleet sums, as far as it has grown.
fn difference(now: &MigrationTotals, before: &MigrationTotals, side: Side) -> Tally {
    let mut tally = Tally::default();
    let (seen, known) = (now.side(side), before.side(side));
    let mut grown = |name: &str, now: u64, before: u64| tally.add(name, now.saturating_sub(before));
    for class in CodeClass::ALL {
        grown(class.name(), seen.requests(class), known.requests(class));
    }
    for failure in Failure::ALL {
        grown(failure.name(), seen.failures(failure), known.failures(failure));
    }
    let ((buckets, sum_us), (known_buckets, known_us)) = (seen.durations(), known.durations());
    for (at, (name, count)) in BUCKETS.iter().zip(buckets).enumerate() {
        grown(name, *count, known_buckets.get(at).copied().unwrap_or_default());
    }
    grown(DURATION_US, sum_us, known_us);
    let (attempts, known_attempts) = (seen.attempts(), known.attempts());
    for result in Attempted::ALL {
        grown(result.name(), attempts.result(result), known_attempts.result(result));
    }
    grown(CHI_MILLI, attempts.chi_milli, known_attempts.chi_milli);
    grown(CHI_FREEDOM, attempts.chi_freedom, known_attempts.chi_freedom);
    if side == Side::New {
        let given =
            |totals: &MigrationTotals| totals.fallbacks(Fallback::Answered) + totals.fallbacks(Fallback::Failed);
        grown(FALLBACKS, given(now), given(before));
        for (name, pair) in PAIRS {
            grown(name, now.pairs(pair), before.pairs(pair));
        }
        let (compared, known) = (&now.comparisons, &before.comparisons);
        for (name, result) in COMPARED {
            grown(name, compared.result(result), known.result(result));
        }
        grown(NOT_COMPARED, compared.not_compared(), known.not_compared());
        for (name, twin) in TWINS {
            grown(name, compared.twins(twin), known.twins(twin));
        }
    }
    let by_cell = [
        (ATTEMPTS, &attempts.durations, &known_attempts.durations),
        (AGED_TO, &attempts.aged_to, &known_attempts.aged_to),
        (AGED_FROM, &attempts.aged_from, &known_attempts.aged_from),
    ];
    for (letter, now, before) in by_cell {
        numbered(&mut tally, letter, now.cells(), before.cells());
    }
    numbered(&mut tally, FAILED_GROUP, &attempts.failed, &known_attempts.failed);
    if side == Side::New {
        numbered(&mut tally, REFUSED_GROUP, &attempts.refused, &known_attempts.refused);
        let groups = attempts.seen.iter().zip(&known_attempts.seen).filter(|(now, before)| now > before).count();
        if groups > SEEN_GROUPS_MAX {
            tally.add(SEEN_MANY, 1);
        } else {
            numbered(&mut tally, SEEN_GROUP, &attempts.seen, &known_attempts.seen);
        }
    }
    tally
}

/// Adds what has grown of an array under its letter and number, as `h57`.
fn numbered(tally: &mut Tally, letter: char, now: &[u64], before: &[u64]) {
    for (at, count) in now.iter().enumerate() {
        let more = count.saturating_sub(before.get(at).copied().unwrap_or_default());
        if more > 0 {
            tally.add(&format!("{letter}{at}"), more);
        }
    }
}

/// The number of a name like `h57` with this letter.
fn number(name: &str, letter: char) -> Option<usize> {
    name.strip_prefix(letter)?.parse().ok()
}

/// What the fleet counted on one side, in words of this crate.
#[derive(Clone, Copy, Debug)]
pub struct FleetCounts<'a>(pub &'a Tally);

impl FleetCounts<'_> {
    /// Requests over, by the class of what the caller met.
    pub fn requests(&self, class: CodeClass) -> u64 {
        self.0.get(class.name())
    }

    /// Attempts that failed, by kind.
    pub fn failures(&self, failure: Failure) -> u64 {
        self.0.get(failure.name())
    }

    /// Requests that new failed and that were given to legacy; counted on new.
    pub fn fallbacks(&self) -> u64 {
        self.0.get(FALLBACKS)
    }

    /// Requests by how long they took: up to each of `DURATION_BOUNDS_US`, and longer.
    pub fn durations(&self) -> [u64; DURATION_BUCKETS] {
        BUCKETS.map(|name| self.0.get(name))
    }

    /// How long they took together.
    pub fn duration_us(&self) -> u64 {
        self.0.get(DURATION_US)
    }

    /// First attempts, by what the side did.
    pub fn attempts(&self, result: Attempted) -> u64 {
        self.0.get(result.name())
    }

    /// First attempts by how long they took: one number for each cell from `cell_start_us` on.
    pub fn attempt_cells(&self) -> Vec<u64> {
        self.by_number(ATTEMPTS, CELLS)
    }

    /// Attempts in flight that have reached the age of a cell, less those that have left it.
    pub fn moved_cells(&self) -> Vec<i64> {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let (to, from) = (self.by_number(AGED_TO, CELLS), self.by_number(AGED_FROM, CELLS));
        to.into_iter().zip(from).map(|(to, from)| signed(to).saturating_sub(signed(from))).collect()
    }

    /// The groups of callers in which an attempt failed, a bit each.
    pub fn failed_groups(&self) -> u64 {
        self.groups(FAILED_GROUP)
    }

    /// How many attempts of each group of callers ended in one of these ways, in the order of groups; refusals are counted on new.
    pub fn by_group(&self, results: &[Attempted]) -> ByGroup {
        let mut sums = vec![0_u64; GROUPS];
        for result in results {
            let letter = match result {
                Attempted::Failed => FAILED_GROUP,
                Attempted::Refused => REFUSED_GROUP,
                Attempted::Ok => continue,
            };
            for (sum, more) in sums.iter_mut().zip(self.by_number(letter, GROUPS)) {
                *sum = sum.saturating_add(more);
            }
        }
        by_group(&sums)
    }

    /// The groups of callers in which an attempt was refused, a bit each; counted on new.
    pub fn refused_groups(&self) -> u64 {
        self.groups(REFUSED_GROUP)
    }

    /// The groups of callers that were seen, a bit each, counted on new; `None` where they were more than a few.
    pub fn seen_groups(&self) -> Option<u64> {
        (self.0.get(SEEN_MANY) == 0).then(|| self.groups(SEEN_GROUP))
    }

    /// How failures scatter over groups of callers: chi-square, and its degrees of freedom.
    pub fn scatter(&self) -> (f64, u64) {
        (self.0.get(CHI_MILLI) as f64 / 1000.0, self.0.get(CHI_FREEDOM))
    }

    /// Requests that both sides were given in mode `parallel`, by who failed; counted on new.
    pub fn pairs(&self, pair: Pair) -> u64 {
        PAIRS.iter().filter(|(_, own)| *own == pair).map(|(name, _)| self.0.get(name)).sum()
    }

    /// Requests that were to be compared by content, by what came of it; counted on new.
    pub fn compared(&self, result: Compared) -> u64 {
        COMPARED.iter().filter(|(_, own)| *own == result).map(|(name, _)| self.0.get(name)).sum()
    }

    pub fn not_compared(&self) -> u64 {
        self.0.get(NOT_COMPARED)
    }

    /// Requests that legacy was asked twice, by who differed from its first answer; counted on new.
    pub fn twins(&self, twin: Twin) -> u64 {
        TWINS.iter().filter(|(_, own)| *own == twin).map(|(name, _)| self.0.get(name)).sum()
    }

    /// The counts under a letter; what has a number beyond was not written by a router.
    fn by_number(&self, letter: char, numbers: usize) -> Vec<u64> {
        let mut counts = vec![0_u64; numbers];
        for (name, count) in self.0.iter() {
            if let Some(own) = number(name, letter).and_then(|at| counts.get_mut(at)) {
                *own = own.saturating_add(count);
            }
        }
        counts
    }

    fn groups(&self, letter: char) -> u64 {
        let named = self.0.iter().filter_map(|(name, _)| number(name, letter));
        named.filter(|at| *at < GROUPS).fold(0, |groups, at| groups | 1 << at)
    }
}

/// The groups of which something was counted, with how much.
pub(crate) fn by_group(counts: &[u64]) -> ByGroup {
    let some = counts.iter().enumerate().filter(|(_, count)| **count > 0);
    let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    some.filter_map(|(group, count)| Some((u8::try_from(group).ok()?, small(*count)))).collect()
}

/// Upper bounds of all buckets of a duration but the last, in microseconds.
pub const fn duration_bounds_us() -> &'static [u64] {
    &DURATION_BOUNDS_US
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::{Age, Group, cell_start_us};
    use crate::outcome::Outcome;

    struct Rig {
        observer: Arc<Observer>,
        ledger: Ledger,
        cells: Arc<crate::observe::MigrationCells>,
        now: Instant,
    }

    fn id() -> MigrationId {
        MigrationId::new("m").unwrap()
    }

    /// Some milliseconds after the end of a slot.
    fn end_of(slot: u64) -> Timestamp {
        Timestamp::from_millisecond(i64::try_from((slot + 1) * Slot::MILLIS).unwrap() + 7).unwrap()
    }

    impl Rig {
        fn new() -> Self {
            let observer = Observer::new(&[]).unwrap();
            observer.declare_migrations(&[id()]);
            let cells = observer.shard().migration(&id());
            let rig = Self { observer, ledger: Ledger::default(), cells, now: Instant::now() };
            rig.ledger.tick(&rig.observer, end_of(99), rig.now);
            rig
        }

        fn answer(&self, times: u64) {
            for _ in 0..times {
                self.cells.answered(Side::New, 200, Duration::from_millis(3), Duration::ZERO);
            }
        }

        /// Just after the end of a slot.
        fn tick(&mut self, slot: u64) {
            self.tick_after(Duration::from_millis(500), end_of(slot));
        }

        fn tick_after(&mut self, pause: Duration, store_time: Timestamp) {
            self.now += pause;
            self.ledger.tick(&self.observer, store_time, self.now);
        }

        fn due(&self) -> Vec<(u64, u64)> {
            let due = self.ledger.due();
            assert_eq!(self.ledger.is_any_due(), !due.is_empty());
            due.iter().map(|row| (row.slot.0, FleetCounts(&row.tally).requests(CodeClass::Success))).collect()
        }
    }

    #[test]
    fn a_slot_is_due_when_it_has_ended_and_then_stays_as_it_is() {
        let mut rig = Rig::new();
        assert_eq!(rig.due(), []);
        rig.answer(2);
        rig.tick(100);
        assert_eq!(rig.due(), [(100, 2)]);
        rig.ledger.stored(&rig.ledger.due());
        rig.answer(3);
        rig.tick(100);
        assert_eq!(rig.due(), [(101, 3)], "the clock was set back, and the slot is over");
        rig.ledger.stored(&rig.ledger.due());
        rig.answer(1);
        rig.tick(101);
        assert_eq!(rig.due(), [(101, 4)], "the slot that ran has grown and is written whole");
        rig.ledger.stored(&rig.ledger.due());
        rig.tick(102);
        assert_eq!(rig.due(), [], "nothing happened");
    }

    #[test]
    fn a_clock_that_was_ahead_for_a_moment_does_not_hide_what_is_counted_afterwards() {
        let mut rig = Rig::new();
        let hour = 3_600 * Slot::PER_SECOND;
        rig.answer(1);
        rig.tick(100 + hour);
        rig.ledger.stored(&rig.ledger.due());
        rig.answer(2);
        rig.tick(101 + hour);
        rig.answer(4);
        rig.tick(102);
        assert_eq!(rig.due(), [(102, 4)]);
        assert_eq!(rig.ledger.lost(), 2, "nobody can read what is of a time to come");
        rig.ledger.stored(&rig.ledger.due());
        rig.answer(1);
        rig.tick(100 + hour);
        assert_eq!(rig.due(), [(100 + hour, 1)], "what was stored there before is not counted twice");
    }

    #[test]
    fn what_is_counted_late_belongs_to_the_slot_that_runs() {
        let mut rig = Rig::new();
        rig.answer(1);
        rig.tick_after(Duration::from_millis(540), end_of(100) + SignedDuration::from_millis(36));
        assert_eq!(rig.due(), [(101, 1)]);
        let rows = rig.ledger.due();
        rig.answer(1);
        rig.tick(101);
        rig.ledger.stored(&rows);
        assert_eq!(rig.due(), [(101, 2)], "what was written is not all of it any more");
    }

    #[test]
    fn every_kind_is_counted_once() {
        let mut rig = Rig::new();
        rig.answer(1);
        rig.cells.failed(Side::New, Failure::Timeout);
        rig.cells.failed(Side::New, Failure::AbortedByClient);
        rig.cells.fallback(Fallback::Answered);
        rig.cells.fallback(Fallback::Refused);
        rig.cells.answered(Side::Legacy, 503, Duration::from_secs(90), Duration::ZERO);
        rig.tick(100);
        let rows = rig.ledger.due();
        assert_eq!(rows.len(), 2);
        let of = |side| FleetCounts(&rows.iter().find(|row| row.side == side).unwrap().tally);
        let (legacy, new) = (of(Side::Legacy), of(Side::New));
        assert_eq!(
            (new.failures(Failure::Timeout), new.failures(Failure::AbortedByClient), new.fallbacks()),
            (1, 1, 1)
        );
        assert_eq!((new.durations()[2], new.duration_us(), legacy.durations()[15]), (1, 3_000, 1));
        assert_eq!((legacy.requests(CodeClass::ServerError), legacy.fallbacks()), (1, 0));
    }

    #[test]
    fn while_the_store_is_away_half_a_minute_waits_and_the_rest_is_counted_as_lost() {
        let mut rig = Rig::new();
        for slot in 100..200 {
            rig.answer(1);
            rig.tick(slot);
        }
        // At the last tick slot 200 runs.
        assert_eq!(rig.due(), (140..200).map(|slot| (slot, 1)).collect::<Vec<_>>());
        assert_eq!(rig.ledger.lost(), 40);
        rig.ledger.stored(&rig.ledger.due());
        assert_eq!(rig.due(), []);
    }

    #[test]
    fn what_was_counted_while_the_process_was_stopped_belongs_to_no_slot() {
        let mut rig = Rig::new();
        rig.answer(7);
        rig.tick_after(Duration::from_secs(60), end_of(159));
        assert_eq!((rig.due(), rig.ledger.lost()), (vec![], 7));
        rig.answer(1);
        rig.tick(160);
        assert_eq!(rig.due(), [(160, 1)]);
    }

    fn attempt(rig: &Rig, side: Side, key: &str, answer: Result<u16, Failure>) {
        let outcome = Outcome { latency: Duration::from_millis(3), answer };
        rig.cells.attempted(side, Group::of(None, Some(key.as_bytes()), 0), &outcome);
    }

    fn bit(key: &str) -> u64 {
        1 << Group::of(None, Some(key.as_bytes()), 0).index()
    }

    #[test]
    fn attempts_come_back_as_they_were_counted() {
        let mut rig = Rig::new();
        attempt(&rig, Side::New, "ann", Ok(200));
        attempt(&rig, Side::New, "bob", Ok(404));
        attempt(&rig, Side::New, "ann", Err(Failure::Reset));
        attempt(&rig, Side::Legacy, "ann", Ok(500));
        attempt(&rig, Side::Legacy, "ann", Ok(403));
        let ages = [100, 400].map(|millis| Age::of(Duration::from_millis(millis)));
        rig.cells.aged(Side::New, None, ages[0]);
        rig.cells.paired(Pair::OnlyNew);
        rig.tick(100);
        let rows = rig.ledger.due();
        let of = |side| FleetCounts(&rows.iter().find(|row| row.side == side).unwrap().tally);
        let (legacy, new) = (of(Side::Legacy), of(Side::New));
        assert_eq!(Attempted::ALL.map(|result| new.attempts(result)), [1, 1, 1]);
        assert_eq!(Attempted::ALL.map(|result| legacy.attempts(result)), [0, 1, 1]);
        let cells = new.attempt_cells();
        assert_eq!((cells.len(), cells.iter().sum::<u64>()), (CELLS, 3));
        let cell = cells.iter().position(|count| *count == 3).unwrap();
        assert!(cell_start_us(cell) <= 3_000 && cell_start_us(cell + 1) > 3_000);
        assert_eq!((new.failed_groups(), new.refused_groups()), (bit("ann"), bit("bob")));
        assert_eq!((legacy.failed_groups(), legacy.refused_groups()), (bit("ann"), 0));
        assert_eq!(new.seen_groups(), Some(bit("ann") | bit("bob")));
        assert_eq!(Pair::ALL.map(|pair| new.pairs(pair)), [0, 1, 0]);
        let moved = new.moved_cells();
        assert_eq!(moved.iter().sum::<i64>(), 1);

        rig.cells.aged(Side::New, ages[0], ages[1]);
        for key in ["ann", "bob", "cyd", "dan", "eve", "fay"] {
            attempt(&rig, Side::New, key, Ok(200));
        }
        rig.tick(101);
        let rows = rig.ledger.due();
        let new = FleetCounts(&rows.iter().find(|row| row.slot == Slot(101)).unwrap().tally);
        assert_eq!((new.attempts(Attempted::Ok), new.failed_groups(), new.seen_groups()), (6, 0, None));
        let moved = new.moved_cells();
        assert_eq!((moved.iter().sum::<i64>(), moved.iter().map(|cell| cell.abs()).sum::<i64>()), (0, 2));
    }

    #[test]
    fn what_no_router_wrote_is_left_out() {
        let mut tally = Tally::default();
        for name in ["h999", "h-1", "hx", "g64", "g", "k07x"] {
            tally.add(name, 5);
        }
        let counts = FleetCounts(&tally);
        assert_eq!(counts.attempt_cells().iter().sum::<u64>(), 0);
        assert_eq!((counts.failed_groups(), counts.seen_groups()), (0, Some(0)));
    }
}
