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
//! was set back, belongs to the slot that runs, and never to one that others may have read.
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

use crate::observe::{DURATION_BOUNDS_US, DURATION_BUCKETS, MigrationTotals, Observer, lock};
use crate::outcome::{CodeClass, Failure};

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

const FALLBACKS: &str = "fallbacks";
const DURATION_US: &str = "duration_us";

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
    before: BTreeMap<MigrationId, [Tally; 2]>,
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
        let slot = meant.max(state.running);
        state.running = state.running.max(Slot::of(store_time));
        let since = state.ticked.replace(now).map(|before| now.saturating_duration_since(before));
        let is_late = since.is_some_and(|since| since > GAP_MAX);
        let before = std::mem::take(&mut state.before);
        for (id, totals) in &totals {
            let sums = Side::ALL.map(|side| tally(totals, side));
            for (at, side) in Side::ALL.into_iter().enumerate() {
                let difference = before.get(id).map_or_else(|| sums[at].clone(), |before| sums[at].since(&before[at]));
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
            state.before.insert(id.clone(), sums);
        }
        self.forget(&mut state);
    }

    /// Requests whose counts the store never got.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
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

/// Everything of one side that the fleet sums, since the start.
fn tally(totals: &MigrationTotals, side: Side) -> Tally {
    let seen = totals.side(side);
    let mut tally = Tally::default();
    for class in CodeClass::ALL {
        tally.add(class.name(), seen.requests(class));
    }
    for failure in Failure::ALL {
        tally.add(failure.name(), seen.failures(failure));
    }
    let (buckets, sum_us) = seen.durations();
    for (name, count) in BUCKETS.iter().zip(buckets) {
        tally.add(name, *count);
    }
    tally.add(DURATION_US, sum_us);
    if side == Side::New {
        tally.add(FALLBACKS, totals.fallbacks);
    }
    tally
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
}

/// Upper bounds of all buckets of a duration but the last, in microseconds.
pub const fn duration_bounds_us() -> &'static [u64] {
    &DURATION_BOUNDS_US
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

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
        rig.cells.fallback();
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

    #[test]
    fn names_are_few_enough_to_be_kept() {
        let names = CodeClass::ALL.map(CodeClass::name).into_iter().chain(Failure::ALL.map(Failure::name));
        let mut tally = Tally::default();
        names.chain(BUCKETS).chain([FALLBACKS, DURATION_US]).for_each(|name| tally.add(name, u64::MAX));
        assert_eq!(tally.len(), CodeClass::ALL.len() + Failure::ALL.len() + BUCKETS.len() + 2);
        assert_eq!(Tally::parse(&tally.to_text()), tally, "the largest row is stored whole");
    }
}
