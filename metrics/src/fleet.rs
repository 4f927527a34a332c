//! What this router counts for the fleet, second by second, and what the fleet's counts say.
//!
//! # Why differences of sums
//!
//! The cells of the workers only grow, and a scrape that sums them costs no request anything. So
//! twice a second the difference between two sums is added to the second in which it was made, and
//! that second's whole goes to the store with the next heartbeat. Nothing is written for a second in
//! which nothing happened.
//!
//! # What gets lost, and that it is counted
//!
//! While the store is away the last `PENDING_SECONDS_MAX` seconds wait and are stored late, each as
//! its own second. What is older, what is beyond `PENDING_ROWS_MAX`, and what was counted while this
//! process was stopped is counted as lost and never added to another second.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flags::tally::{Row, Tallies, Tally};
use flags::{MigrationId, Side};

use crate::observe::{DURATION_BOUNDS_US, DURATION_BUCKETS, MigrationTotals, Observer, lock};
use crate::outcome::{CodeClass, Failure};

/// Seconds that wait for a store that is away.
const PENDING_SECONDS_MAX: u64 = 30;

/// Counts of one migration, side and second that wait at most.
const PENDING_ROWS_MAX: usize = 4_096;

/// Counts that one heartbeat takes along; the oldest go first.
const ROWS_MAX: usize = 512;

/// A difference over more than this belongs to no second any more.
const GAP_MAX: Duration = Duration::from_secs(2);

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
    /// The newest second that anything was added to.
    newest: u64,
    pending: BTreeMap<Key, Pending>,
}

/// Second first, so that the oldest are first.
type Key = (u64, MigrationId, Side);

#[derive(Debug)]
struct Pending {
    tally: Tally,
    is_stored: bool,
}

impl Ledger {
    /// Adds what was counted since the last call to `second`, which is the store's; called twice a second.
    pub fn tick(&self, observer: &Observer, second: u64, now: Instant) {
        let totals = observer.totals();
        let mut state = lock(&self.state);
        // A clock that is set back must not reopen a second that others have judged.
        let second = second.max(state.newest);
        state.newest = second;
        let since = state.ticked.replace(now).map(|before| now.saturating_duration_since(before));
        let is_late = since.is_some_and(|since| since > GAP_MAX);
        let before = std::mem::take(&mut state.before);
        for (id, totals) in &totals {
            let sums = Side::ALL.map(|side| tally(totals, side));
            for (at, side) in Side::ALL.into_iter().enumerate() {
                let difference = difference(&sums[at], before.get(id).map(|before| &before[at]));
                if difference.is_empty() {
                    continue;
                }
                let has_room = state.pending.len() < PENDING_ROWS_MAX;
                let key = (second, id.clone(), side);
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
        self.forget(&mut state, second);
    }

    /// Requests whose counts the store never got.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn forget(&self, state: &mut State, second: u64) {
        let oldest = second.saturating_sub(PENDING_SECONDS_MAX);
        state.pending.retain(|(of, ..), pending| {
            if pending.is_stored {
                // The newest still grows, and is then written whole.
                return *of >= second;
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
        due.map(|((second, migration, side), pending)| Row {
            migration: migration.clone(),
            second: *second,
            side: *side,
            tally: pending.tally.clone(),
        })
        .collect()
    }

    fn stored(&self, rows: &[Row]) {
        let mut state = lock(&self.state);
        for row in rows {
            // What has grown meanwhile is still due.
            if let Some(pending) = state.pending.get_mut(&(row.second, row.migration.clone(), row.side))
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

fn difference(now: &Tally, before: Option<&Tally>) -> Tally {
    let mut difference = Tally::default();
    for (name, count) in now.iter() {
        // A migration that was forgotten and came back counts from 0 again.
        difference.add(name, count.saturating_sub(before.map_or(0, |before| before.get(name))));
    }
    difference
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

    impl Rig {
        fn new() -> Self {
            let observer = Observer::new(&[]).unwrap();
            observer.declare_migrations(&[id()]);
            let cells = observer.shard().migration(&id());
            let rig = Self { observer, ledger: Ledger::default(), cells, now: Instant::now() };
            rig.ledger.tick(&rig.observer, 99, rig.now);
            rig
        }

        fn answer(&self, times: u64) {
            for _ in 0..times {
                self.cells.answered(Side::New, 200, Duration::from_millis(3), Duration::ZERO);
            }
        }

        fn tick(&mut self, second: u64) {
            self.tick_after(Duration::from_millis(500), second);
        }

        fn tick_after(&mut self, pause: Duration, second: u64) {
            self.now += pause;
            self.ledger.tick(&self.observer, second, self.now);
        }

        fn due(&self) -> Vec<(u64, u64)> {
            let due = self.ledger.due();
            due.iter().map(|row| (row.second, FleetCounts(&row.tally).requests(CodeClass::Success))).collect()
        }
    }

    #[test]
    fn a_second_is_written_whole_while_it_grows() {
        let mut rig = Rig::new();
        assert_eq!(rig.due(), []);
        rig.answer(2);
        rig.tick(100);
        assert_eq!(rig.due(), [(100, 2)]);
        let rows = rig.ledger.due();
        rig.answer(3);
        rig.tick(100);
        rig.ledger.stored(&rows);
        assert_eq!(rig.due(), [(100, 5)], "what was written is not all of it any more");
        rig.ledger.stored(&rig.ledger.due());
        rig.tick(101);
        assert_eq!(rig.due(), [], "nothing happened");
        rig.answer(1);
        rig.tick(100);
        assert_eq!(rig.due(), [(101, 1)], "a second that is over is not written again");
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
        for second in 100..200 {
            rig.answer(1);
            rig.tick(second);
        }
        assert_eq!(rig.due(), (169..200).map(|second| (second, 1)).collect::<Vec<_>>());
        assert_eq!(rig.ledger.lost(), 69);
        rig.ledger.stored(&rig.ledger.due());
        assert_eq!(rig.due(), []);
    }

    #[test]
    fn what_was_counted_while_the_process_was_stopped_belongs_to_no_second() {
        let mut rig = Rig::new();
        rig.answer(7);
        rig.tick_after(Duration::from_secs(60), 160);
        assert_eq!((rig.due(), rig.ledger.lost()), (vec![], 7));
        rig.answer(1);
        rig.tick(160);
        assert_eq!(rig.due(), [(160, 1)]);
    }

    #[test]
    fn names_are_few_enough_to_be_kept() {
        assert!(CodeClass::ALL.len() + Failure::ALL.len() + BUCKETS.len() + 2 <= 64);
    }
}
