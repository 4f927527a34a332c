//! The thread that compares, fed by a bounded queue from all workers.
//!
//! # Why a thread of its own
//!
//! Comparing takes up to 20 ms, in which a worker answers a thousand requests. So a pair is handed over whole, with its share of
//! the budget, and given up where the queue is full. The thread asks for a lower priority than the workers have: what is
//! compared a little later is compared as well.
//!
//! Of what is too long to be kept a digest is made here as well, of pieces that come in the same queue ([`super::digesting`]). They
//! leave half of it to pairs.
//!
//! What it unpacks of a pair is of the migration's budget while it does. Where that has less room, less is unpacked at once, and the rest is told by a
//! digest, which takes little. There is one such thread, so that what it reads of documents beside that is bounded, too.
//!
//! # Why it looks again before it sleeps
//!
//! To wake a thread costs its worker a system call, which a request would pay for. While pairs come it therefore looks each
//! millisecond, and sleeps until it is woken only once none has come for [`LOOKS_MAX`] looks.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use metrics::mismatch::{Kept, Mismatches, Pair};

use super::budget::Held;
use super::digesting::{Piece, Whole};

/// Pairs and pieces that wait; their bodies count to the budgets of their migrations.
const WAITING_MAX: usize = 256;

/// Pieces among them.
const PIECES_MAX: usize = 128;

const LOOK: Duration = Duration::from_millis(1);
const LOOKS_MAX: u32 = 100;

/// What each of two bodies may become unpacked: as much as is compared whole, or this little, which is not asked for.
const UNPACKED_BYTES: usize = 4 << 20;
const UNPACKED_BYTES_MIN: usize = 64 << 10;

/// How much the thread steps back behind the workers, in the scale of `nice`.
const NICENESS: i32 = 10;

/// A pair with the memory that it holds until it is compared.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) pair: Pair,
    /// Legacy's, new's and legacy's second body, where a digest is made of it.
    pub(crate) wholes: [Option<Arc<Whole>>; 3],
    pub(crate) held: Vec<Held>,
}

/// What is done one after the other.
#[derive(Debug)]
pub(crate) enum Task {
    Digest(Piece),
    Compare(Box<Work>),
}

/// The way to the thread that compares. The thread ends with the last of these.
#[derive(Clone, Debug)]
pub(crate) struct Comparer {
    queue: SyncSender<Task>,
    pieces: Arc<AtomicUsize>,
    pub(crate) mismatches: Arc<Mismatches>,
}

impl Comparer {
    pub(crate) fn start(mismatches: Arc<Mismatches>) -> io::Result<Self> {
        let (comparer, waiting) = Self::new(mismatches);
        let (own, pieces) = (Arc::clone(&comparer.mismatches), Arc::clone(&comparer.pieces));
        let run = move || perform_all(&own, &pieces, &waiting);
        std::thread::Builder::new().name("crossfade-compare".into()).spawn(run)?;
        Ok(comparer)
    }

    /// One with what is to be done, which nobody does yet.
    pub(super) fn new(mismatches: Arc<Mismatches>) -> (Self, Receiver<Task>) {
        let (queue, waiting) = sync_channel(WAITING_MAX);
        (Self { queue, pieces: Arc::default(), mismatches }, waiting)
    }

    /// One that nothing is behind, so that every pair is refused.
    pub(crate) fn closed(mismatches: Arc<Mismatches>) -> Self {
        Self { queue: sync_channel(0).0, pieces: Arc::default(), mismatches }
    }

    /// Hands a pair over; `false` where too many wait.
    pub(crate) fn take(&self, work: Work) -> bool {
        self.queue.try_send(Task::Compare(Box::new(work))).is_ok()
    }

    /// Hands a piece of a body over; `false` where too many wait.
    pub(crate) fn digest(&self, piece: Piece) -> bool {
        let has_room = self.pieces.fetch_add(1, Ordering::Relaxed) < PIECES_MAX;
        let is_taken = has_room && self.queue.try_send(Task::Digest(piece)).is_ok();
        if !is_taken {
            self.pieces.fetch_sub(1, Ordering::Relaxed);
        }
        is_taken
    }

    #[cfg(test)]
    pub(super) fn perform(&self, task: Task) {
        perform(&self.mismatches, &self.pieces, task);
    }
}

fn perform_all(mismatches: &Mismatches, pieces: &AtomicUsize, waiting: &Receiver<Task>) {
    // Of this thread alone, on Linux. Where it is not allowed the thread runs as the others do.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    let mut looks = 0;
    loop {
        let next = match waiting.try_recv() {
            Ok(task) => Some(task),
            Err(TryRecvError::Empty) if looks < LOOKS_MAX => {
                looks += 1;
                std::thread::park_timeout(LOOK);
                continue;
            }
            Err(TryRecvError::Empty) => waiting.recv().ok(),
            Err(TryRecvError::Disconnected) => None,
        };
        let Some(task) = next else { return };
        looks = 0;
        perform(mismatches, pieces, task);
    }
}

fn perform(mismatches: &Mismatches, pieces: &AtomicUsize, task: Task) {
    match task {
        Task::Digest(piece) => {
            pieces.fetch_sub(1, Ordering::Relaxed);
            if catch_unwind(AssertUnwindSafe(|| piece.digest())).is_err() {
                piece.whole.fail();
                tracing::error!("a body has no digest; this is a defect of the router");
            }
        }
        Task::Compare(work) => compare(mismatches, *work),
    }
}

/// How much each of two packed bodies may become at once, and the memory that is held for both until then.
fn room(pair: &Pair, held: &[Held]) -> (usize, Option<Held>) {
    let again = pair.again.as_ref().is_some_and(Kept::is_packed);
    let mut room = held.first().filter(|_| again || pair.legacy.is_packed() || pair.new.is_packed()).map(Held::another);
    let Some(own) = &mut room else { return (UNPACKED_BYTES, None) };
    let mut each = UNPACKED_BYTES;
    while each > UNPACKED_BYTES_MIN && !own.hold(2 * each) {
        each /= 2;
    }
    (each, room)
}

fn compare(mismatches: &Mismatches, work: Work) {
    let Work { mut pair, wholes, held } = work;
    let compared = catch_unwind(AssertUnwindSafe(|| {
        let [legacy, new, again] = wholes.map(|whole| whole.and_then(Whole::finish));
        (pair.legacy.digest, pair.new.digest) = (legacy, new);
        if let Some(own) = &mut pair.again {
            own.digest = again;
        }
        let (unpacked, _room) = room(&pair, &held);
        mismatches.compare_within(&pair, unpacked);
    }));
    if compared.is_err() {
        let migration = &pair.migration;
        tracing::error!(%migration, "a pair of answers was not compared; this is a defect of the router");
    }
    // Given back only now, when what was held is gone.
    drop(pair);
    drop(held);
}

#[cfg(test)]
mod tests {
    use flags::MigrationId;
    use jiff::Timestamp;

    use super::*;
    use crate::mirror::budget::Budget;

    #[track_caller]
    fn check(memory: usize, encodings: [&str; 2], expected: (usize, usize)) {
        let kept = |encoding: &str| {
            let headers = (!encoding.is_empty()).then(|| ("Content-Encoding".to_owned(), encoding.to_owned()));
            Kept { headers: headers.into_iter().collect(), ..Kept::default() }
        };
        let [legacy, new] = encodings.map(kept);
        let pair = Pair {
            migration: MigrationId::new("m").unwrap(),
            route: "/".into(),
            method: "GET".to_owned(),
            caller: None,
            request_id: String::new(),
            tokens: Vec::new(),
            revision: 1,
            at: Timestamp::UNIX_EPOCH,
            legacy,
            new,
            again: None,
        };
        let budget = Budget::new(memory, 1);
        let held = [budget.nothing()];
        let (each, room) = room(&pair, &held);
        assert_eq!((each, budget.in_use().bytes as usize), expected);
        drop(room);
        assert_eq!(budget.in_use().bytes, 0);
    }

    #[test]
    fn what_is_unpacked_counts_to_the_budget_and_makes_do_with_what_is_left() {
        check(64 << 20, ["", ""], (4 << 20, 0));
        check(64 << 20, ["gzip", ""], (4 << 20, 8 << 20));
        check(64 << 20, ["", "br"], (4 << 20, 8 << 20));
        check((8 << 20) - 1, ["gzip", "br"], (2 << 20, 4 << 20));
        check(1 << 20, ["gzip", "br"], (512 << 10, 1 << 20));
        check(0, ["gzip", "br"], (64 << 10, 0));
    }
}
