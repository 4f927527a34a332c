//! The thread that compares, fed by a bounded queue from all workers.
//!
//! # Why a thread of its own
//!
//! Comparing takes up to 20 ms, in which a worker answers a thousand requests. So a pair is handed over whole, with its share of
//! the budget, and given up where the queue is full. The thread asks for a lower priority than the workers have: what is
//! compared a little later is compared as well.
//!
//! # Why it looks again before it sleeps
//!
//! To wake a thread costs its worker a system call, which a request would pay for. While pairs come it therefore looks each
//! millisecond, and sleeps until it is woken only once none has come for [`LOOKS_MAX`] looks.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::time::Duration;

use metrics::mismatch::{Mismatches, Pair};

use super::budget::Held;

/// Pairs that wait; their bodies count to the budgets of their migrations.
const WAITING_MAX: usize = 256;

const LOOK: Duration = Duration::from_millis(1);
const LOOKS_MAX: u32 = 100;

/// How much the thread steps back behind the workers, in the scale of `nice`.
const NICENESS: i32 = 10;

/// A pair with the memory that it holds until it is compared.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) pair: Pair,
    pub(crate) held: Vec<Held>,
}

/// The way to the thread that compares. The thread ends with the last of these.
#[derive(Clone, Debug)]
pub(crate) struct Comparer {
    queue: SyncSender<Work>,
    pub(crate) mismatches: Arc<Mismatches>,
}

impl Comparer {
    pub(crate) fn start(mismatches: Arc<Mismatches>) -> io::Result<Self> {
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let own = Arc::clone(&mismatches);
        std::thread::Builder::new().name("crossfade-compare".into()).spawn(move || compare_all(&own, &waiting))?;
        Ok(Self { queue, mismatches })
    }

    /// One that nothing is behind, so that every pair is refused.
    pub(crate) fn closed(mismatches: Arc<Mismatches>) -> Self {
        Self { queue: sync_channel(0).0, mismatches }
    }

    /// Hands a pair over; `false` where too many wait.
    pub(crate) fn take(&self, work: Work) -> bool {
        self.queue.try_send(work).is_ok()
    }
}

fn compare_all(mismatches: &Mismatches, waiting: &Receiver<Work>) {
    // Of this thread alone, on Linux. Where it is not allowed the thread runs as the others do.
    let _ = rustix::process::setpriority_process(None, NICENESS);
    let mut looks = 0;
    loop {
        let next = match waiting.try_recv() {
            Ok(work) => Some(work),
            Err(TryRecvError::Empty) if looks < LOOKS_MAX => {
                looks += 1;
                std::thread::park_timeout(LOOK);
                continue;
            }
            Err(TryRecvError::Empty) => waiting.recv().ok(),
            Err(TryRecvError::Disconnected) => None,
        };
        let Some(work) = next else { return };
        looks = 0;
        if catch_unwind(AssertUnwindSafe(|| mismatches.compare(&work.pair))).is_err() {
            let migration = &work.pair.migration;
            tracing::error!(%migration, "a pair of answers was not compared; this is a defect of the router");
        }
        drop(work.held);
    }
}
