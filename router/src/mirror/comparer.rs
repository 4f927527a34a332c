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

use metrics::mismatch::{Mismatches, Pair};

use super::budget::Held;
use super::digesting::{Piece, Whole};

/// Pairs and pieces that wait; their bodies count to the budgets of their migrations.
const WAITING_MAX: usize = 256;

/// Pieces among them.
const PIECES_MAX: usize = 128;

const LOOK: Duration = Duration::from_millis(1);
const LOOKS_MAX: u32 = 100;

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

fn compare(mismatches: &Mismatches, work: Work) {
    let Work { mut pair, wholes, held } = work;
    let compared = catch_unwind(AssertUnwindSafe(|| {
        let [legacy, new, again] = wholes.map(|whole| whole.and_then(Whole::finish));
        (pair.legacy.digest, pair.new.digest) = (legacy, new);
        if let Some(own) = &mut pair.again {
            own.digest = again;
        }
        mismatches.compare(&pair);
    }));
    if compared.is_err() {
        let migration = &pair.migration;
        tracing::error!(%migration, "a pair of answers was not compared; this is a defect of the router");
    }
    // Given back only now, when what was held is gone.
    drop(pair);
    drop(held);
}
