//! First attempts that are under way, and how old they are.
//!
//! # Why a table
//!
//! A side that hangs gives nothing to count until its time-out. So an attempt stands in a table of its worker from when its
//! side is asked until it is over, and ten times a second the worker moves each that has got older to the cell of its age:
//! what judges sides sees a hang before it ends. A place in the table is used again, so that a request allocates nothing, and
//! nobody looks while nothing is under way.
//!
//! # What is not the side's time
//!
//! The clock of an attempt stands still while the caller's body is waited for. It stops with the head of an answer whose
//! rest takes as long as its length or its reader makes it take. Nor does a connection count that had to be opened, up to
//! [`CONNECTING_MAX`]: the side with a small share opens one for nearly each request, because those that it had have
//! meanwhile been closed, and would look slower for no fault of its own. One that takes longer is not only far away.
//!
//! # A caller who does not wait
//!
//! says nothing of how its attempt would have ended. But an attempt that has become late stays late: otherwise a side that hangs
//! would look sound as soon as its callers give up as fast as new ones come.
//!
//! Not here: legacy's attempts to save what new had failed, and tunnels once they are open.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flags::Side;
use metrics::observe::{AGE_MIN, Age, Group, MigrationCells, Pair};
use metrics::outcome::{Attempted, Failure, Outcome};
use tokio::sync::Notify;

/// How often ages are looked at: what is younger than one look is not noticed at all.
const LOOK: Duration = AGE_MIN;

/// What opening a connection may take that is not the side's time: a round trip to another continent.
const CONNECTING_MAX: Duration = Duration::from_millis(100);

/// Places that are kept when nothing is under way.
const PLACES_KEPT: usize = 256;

/// At whom an attempt is made, and for whom.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) cells: Arc<MigrationCells>,
    pub(crate) side: Side,
    pub(crate) group: Group,
}

#[derive(Debug)]
struct Entry {
    subject: Subject,
    /// When the side was asked, moved by what it was not responsible for.
    since: Instant,
    /// Since when the caller is waited for.
    held: Option<Instant>,
    /// Since when a connection is being opened.
    connecting: Option<Instant>,
    /// The side's time, once more of it cannot come.
    stopped: Option<Duration>,
    noticed: Option<Age>,
}

impl Entry {
    fn elapsed(&self, now: Instant) -> Duration {
        self.stopped.unwrap_or_else(|| {
            let spent = self.held.unwrap_or(now).saturating_duration_since(self.since);
            spent.saturating_sub(self.connecting.map_or(Duration::ZERO, |from| left_out(from, now)))
        })
    }

    /// Nobody waits any more. That the side had not answered by this age stays true; how long the head of an answer took
    /// whose rest was not wanted counts as little as that of a quick one.
    fn give_up(&mut self) {
        if self.stopped.is_some() {
            self.notice(None);
        }
    }

    fn notice(&mut self, age: Option<Age>) {
        if self.noticed != age {
            self.subject.cells.aged(self.subject.side, self.noticed, age);
            self.noticed = age;
        }
    }
}

/// How much of the time since a connection was asked for is not the side's.
fn left_out(from: Instant, now: Instant) -> Duration {
    now.saturating_duration_since(from).min(CONNECTING_MAX)
}

/// The table of one worker; as long as most attempts were ever under way at once since it last was empty.
#[derive(Debug, Default)]
struct Table {
    places: Vec<Option<Entry>>,
    free: Vec<usize>,
}

impl Table {
    fn enter(&mut self, entry: Entry) -> usize {
        if let Some(place) = self.free.pop()
            && let Some(own) = self.places.get_mut(place)
        {
            *own = Some(entry);
            return place;
        }
        self.places.push(Some(entry));
        self.places.len() - 1
    }

    /// Where it stands, because an entry that is moved out costs more than all that is counted of it.
    fn leave(&mut self, place: usize, last: impl FnOnce(&mut Entry)) {
        if let Some(own) = self.places.get_mut(place)
            && let Some(entry) = own
        {
            last(entry);
            *own = None;
            self.free.push(place);
        }
    }

    fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }
}

/// The attempts of one worker.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    table: RefCell<Table>,
    /// Somebody is looking, or has been told to.
    watched: Cell<bool>,
    begun: Notify,
}

impl Attempts {
    /// The side is asked now.
    pub(crate) fn begin(self: &Rc<Self>, subject: Subject, now: Instant) -> Attempt {
        let entry = Entry { subject, since: now, held: None, connecting: None, stopped: None, noticed: None };
        let place = self.table.borrow_mut().enter(entry);
        if !self.watched.replace(true) {
            self.begun.notify_one();
        }
        Attempt { attempts: Rc::clone(self), place: Some(place), meeting: None }
    }

    /// Looks at ages as long as anything is under way.
    pub(crate) async fn watch(self: Rc<Self>) {
        loop {
            self.begun.notified().await;
            loop {
                tokio::time::sleep(LOOK).await;
                if self.look(Instant::now()) {
                    break;
                }
            }
        }
    }

    /// Moves what has got older; true when nothing is under way and nobody looks any more.
    fn look(&self, now: Instant) -> bool {
        let mut table = self.table.borrow_mut();
        if table.is_empty() {
            if table.places.len() > PLACES_KEPT {
                *table = Table::default();
            }
            self.watched.set(false);
            return true;
        }
        for entry in table.places.iter_mut().flatten() {
            let age = Age::of(entry.elapsed(now));
            if age > entry.noticed {
                entry.notice(age);
            }
        }
        false
    }

    fn with(&self, place: Option<usize>, change: impl FnOnce(&mut Entry)) {
        if let Some(place) = place
            && let Some(Some(entry)) = self.table.borrow_mut().places.get_mut(place)
        {
            change(entry);
        }
    }
}

/// Where an attempt for the caller and its copy meet, so that it is seen which of both failed.
#[derive(Debug, Default)]
pub(crate) struct Meeting(Cell<Option<bool>>);

impl Meeting {
    /// One of two is over; the second one learns what came of them.
    fn come(&self, side: Side, failed: bool) -> Option<Pair> {
        let other_failed = self.0.replace(Some(failed))?;
        Some(match (failed, other_failed, side) {
            (true, true, _) | (false, false, _) => Pair::Same,
            (true, false, Side::New) | (false, true, Side::Legacy) => Pair::OnlyNew,
            (true, false, Side::Legacy) | (false, true, Side::New) => Pair::OnlyLegacy,
        })
    }
}

/// One attempt under way. Dropped without an end it counts nowhere but as late where it already was.
#[derive(Debug)]
pub(crate) struct Attempt {
    attempts: Rc<Attempts>,
    /// None once it is over.
    place: Option<usize>,
    meeting: Option<Rc<Meeting>>,
}

impl Attempt {
    /// The other of two attempts at the same request will come here too.
    pub(crate) fn meet(&mut self, meeting: Option<Rc<Meeting>>) {
        self.meeting = meeting;
    }

    /// From here on the caller is waited for.
    pub(crate) fn hold(&self, now: Instant) {
        self.attempts.with(self.place, |entry| entry.held = entry.held.or(Some(now)));
    }

    /// The caller is not waited for any more.
    pub(crate) fn resume(&self, now: Instant) {
        self.attempts.with(self.place, |entry| {
            if let Some(held) = entry.held.take() {
                entry.since += now.saturating_duration_since(held);
            }
        });
    }

    /// A connection is asked for.
    pub(crate) fn connecting(&self, now: Instant) {
        self.attempts.with(self.place, |entry| entry.connecting = Some(now));
    }

    /// It is there, or will not be.
    pub(crate) fn connected(&self, now: Instant) {
        self.attempts.with(self.place, |entry| {
            if let Some(from) = entry.connecting.take() {
                entry.since += left_out(from, now);
            }
        });
    }

    /// What came after `head` is not the side's time; an age that was reached by it is given back.
    pub(crate) fn stop(&self, head: Instant) {
        self.attempts.with(self.place, |entry| {
            if entry.stopped.is_none() {
                let elapsed = entry.elapsed(head);
                entry.stopped = Some(elapsed);
                let age = Age::of(elapsed);
                if age < entry.noticed {
                    entry.notice(age);
                }
            }
        });
    }

    /// Counts what the side did.
    pub(crate) fn end(mut self, answer: Result<u16, Failure>, now: Instant) {
        let Some(place) = self.place.take() else { return };
        self.attempts.table.borrow_mut().leave(place, |entry| {
            let outcome = Outcome { latency: entry.elapsed(now), answer };
            if outcome.attempted().is_none() {
                entry.give_up();
                return;
            }
            entry.notice(None);
            let Subject { cells, side, group } = &entry.subject;
            cells.attempted(*side, *group, &outcome);
            if let Some(meeting) = &self.meeting
                && let Some(result) = outcome.attempted()
                && let Some(pair) = meeting.come(*side, result == Attempted::Failed)
            {
                cells.paired(pair);
            }
        });
    }
}

impl Drop for Attempt {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.attempts.table.borrow_mut().leave(place, Entry::give_up);
        }
    }
}

#[cfg(test)]
mod tests {
    use flags::MigrationId;
    use metrics::fleet::{FleetCounts, Ledger};
    use metrics::observe::{Observer, cell_start_us};

    use super::*;

    struct Rig {
        observer: Arc<Observer>,
        ledger: Ledger,
        cells: Arc<MigrationCells>,
        attempts: Rc<Attempts>,
        start: Instant,
    }

    fn id() -> MigrationId {
        MigrationId::new("m").unwrap()
    }

    impl Rig {
        fn new() -> Self {
            let observer = Observer::new(&[]).unwrap();
            let cells = observer.shard().migration(&id());
            Self { observer, ledger: Ledger::default(), cells, attempts: Rc::default(), start: Instant::now() }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        fn begin(&self, side: Side, millis: u64) -> Attempt {
            let group = Group::of(None, Some(b"ann"), 0);
            self.attempts.begin(Subject { cells: Arc::clone(&self.cells), side, group }, self.at(millis))
        }

        /// The starts of the cells in which new's attempts have ended and are under way, in milliseconds.
        #[track_caller]
        fn check(&self, done: &[u64], ages: &[u64]) {
            self.ledger.tick(&self.observer, jiff::Timestamp::from_millisecond(1_200).unwrap(), self.start);
            let rows = flags::tally::Tallies::due(&self.ledger);
            let (mut ended, mut moved) = (Vec::new(), Vec::new());
            for row in rows.iter().filter(|row| row.side == Side::New) {
                let counts = FleetCounts(&row.tally);
                let starts = |cell: usize, count: u64| (0..count).map(move |_| cell_start_us(cell) / 1000);
                ended.extend(counts.attempt_cells().iter().enumerate().flat_map(|(cell, count)| starts(cell, *count)));
                let in_flight = counts.moved_cells().into_iter().map(|moved| u64::try_from(moved).unwrap());
                moved.extend(in_flight.enumerate().flat_map(|(cell, count)| starts(cell, count)));
            }
            assert_eq!((ended.as_slice(), moved.as_slice()), (done, ages));
        }
    }

    #[test]
    fn what_hangs_is_seen_at_each_age_once_and_not_again_when_it_ends() {
        let rig = Rig::new();
        let attempt = rig.begin(Side::New, 0);
        assert!(!rig.attempts.look(rig.at(99)));
        rig.check(&[], &[]);
        rig.attempts.look(rig.at(100));
        rig.check(&[], &[98]);
        rig.attempts.look(rig.at(1_000));
        rig.attempts.look(rig.at(1_010));
        rig.check(&[], &[983]);
        attempt.end(Ok(200), rig.at(5_000));
        rig.check(&[4_718], &[]);
        assert!(rig.attempts.look(rig.at(5_100)), "nothing is under way");
        assert!(!rig.attempts.watched.get());
    }

    #[test]
    fn the_time_of_the_caller_is_not_the_sides() {
        let rig = Rig::new();
        let attempt = rig.begin(Side::New, 0);
        attempt.hold(rig.at(10));
        attempt.hold(rig.at(20));
        rig.attempts.look(rig.at(9_000));
        rig.check(&[], &[]);
        attempt.resume(rig.at(9_000));
        attempt.resume(rig.at(9_500));
        attempt.end(Ok(200), rig.at(9_005));
        rig.check(&[14], &[]);
    }

    #[test]
    fn a_connection_that_had_to_be_opened_is_not_the_sides_time_unless_it_takes_long() {
        let rig = Rig::new();
        let attempt = rig.begin(Side::New, 0);
        attempt.connecting(rig.at(0));
        rig.attempts.look(rig.at(190));
        rig.check(&[], &[]);
        attempt.connected(rig.at(60));
        attempt.end(Ok(200), rig.at(75));
        rig.check(&[14], &[]);
        let attempt = rig.begin(Side::New, 0);
        attempt.connecting(rig.at(0));
        rig.attempts.look(rig.at(300));
        rig.check(&[14], &[196]);
        attempt.connected(rig.at(400));
        attempt.connecting(rig.at(400));
        attempt.connected(rig.at(450));
        attempt.end(Ok(200), rig.at(550));
        rig.check(&[14, 393], &[]);
    }

    #[test]
    fn a_long_answer_took_as_long_as_its_head() {
        let rig = Rig::new();
        let attempt = rig.begin(Side::New, 0);
        rig.attempts.look(rig.at(9_000));
        attempt.stop(rig.at(200));
        attempt.stop(rig.at(300));
        rig.check(&[], &[196]);
        rig.attempts.look(rig.at(60_000));
        rig.check(&[], &[196]);
        attempt.end(Err(Failure::Truncated), rig.at(90_000));
        rig.check(&[196], &[]);
    }

    #[test]
    fn an_attempt_that_nobody_waits_for_is_late_as_far_as_it_was() {
        let rig = Rig::new();
        let (gone, dropped) = (rig.begin(Side::New, 0), rig.begin(Side::New, 0));
        rig.attempts.look(rig.at(500));
        rig.check(&[], &[491, 491]);
        gone.end(Err(Failure::AbortedByClient), rig.at(600));
        drop(dropped);
        drop(rig.begin(Side::New, 600));
        rig.check(&[], &[491, 491]);
        assert!(rig.attempts.look(rig.at(700)));
    }

    #[test]
    fn an_answer_whose_rest_nobody_wanted_leaves_nothing_behind() {
        let rig = Rig::new();
        let attempt = rig.begin(Side::New, 0);
        rig.attempts.look(rig.at(500));
        attempt.stop(rig.at(400));
        rig.check(&[], &[393]);
        attempt.end(Err(Failure::AbortedByClient), rig.at(600));
        rig.check(&[], &[]);
    }

    #[test]
    fn places_are_used_again() {
        let rig = Rig::new();
        let mut under_way: Vec<Attempt> = (0..1_000).map(|_| rig.begin(Side::New, 0)).collect();
        for _ in 0..10 {
            under_way.truncate(500);
            under_way.extend((0..500).map(|_| rig.begin(Side::New, 0)));
        }
        assert_eq!(rig.attempts.table.borrow().places.len(), 1_000);
        drop(under_way);
        assert!(rig.attempts.look(rig.at(100)));
        assert_eq!(rig.attempts.table.borrow().places.len(), 0, "a peak is not kept");
    }

    #[track_caller]
    fn check_pair(legacy: Result<u16, Failure>, new: Result<u16, Failure>, expected: [u64; 3]) {
        for first in Side::ALL {
            let rig = Rig::new();
            let meeting = Rc::<Meeting>::default();
            for side in [first, first.other()] {
                let mut attempt = rig.begin(side, 0);
                attempt.meet(Some(Rc::clone(&meeting)));
                attempt.end(if side == Side::New { new } else { legacy }, rig.at(1));
            }
            let totals = rig.observer.totals();
            assert_eq!(Pair::ALL.map(|pair| totals[&id()].pairs(pair)), expected, "{legacy:?} {new:?}");
        }
    }

    #[test]
    fn a_request_and_its_copy_meet_whoever_is_first() {
        check_pair(Ok(200), Ok(404), [1, 0, 0]);
        check_pair(Ok(500), Err(Failure::Connect), [1, 0, 0]);
        check_pair(Ok(200), Ok(500), [0, 1, 0]);
        check_pair(Err(Failure::Timeout), Ok(200), [0, 0, 1]);
        check_pair(Err(Failure::AbortedByClient), Ok(200), [0, 0, 0]);
    }
}
