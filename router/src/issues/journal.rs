//! A file of this router for deliveries that the store has not got yet, or may lose again.
//!
//! # Why beside the store
//!
//! A 2xx is a promise. While the store is away, and while what it has is not on its disk yet, this file keeps it: an entry
//! is answered for only after `fdatasync`. One thread writes for all, so that one sync serves everybody who waited for it.
//! Entries go to the store in their order, as often as it takes: the store tells a delivery that it has apart.
//!
//! The journal is a folder of segments. A segment that is full or old is sealed, and removed when the store was found to
//! have all of it. After a crash an end that is not whole is cut off; a damage in the middle is kept aside and told, and
//! everything else of that segment is kept.
//!
//! Not supported: two routers with one journal; entries without a limit.

mod entry;
mod frame;
mod segments;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub(crate) use entry::Entry;
use segments::Found;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use writer::{Order, Writer};

/// Entries that wait for the thread at a time.
const WAITING_MAX: usize = 1_024;

/// Why an entry is not in the journal.
#[derive(Debug, Error)]
pub(crate) enum NotKept {
    #[error("the journal is as large as `journal_max` lets it be")]
    Full,
    #[error("the journal cannot be written: {0}")]
    Disk(#[source] io::Error),
}

/// Why a journal cannot be used.
#[derive(Debug, Error)]
pub(crate) enum Unusable {
    #[error("{} is used by another router: give each its own `journal`", .0.display())]
    Locked(PathBuf),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// A part of the journal that nothing is written to any more.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) bytes: u64,
    /// When the store had all of it, as far as it said so.
    pub(crate) sent: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    sealed: Vec<Segment>,
    /// What the open segment holds.
    open_bytes: u64,
    open_since: Option<Instant>,
    /// Entries that are on their way into it.
    coming: usize,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    bytes_max: u64,
    /// Of everything that is kept and that comes.
    bytes: AtomicU64,
    state: Mutex<State>,
}

/// The journal of one route.
#[derive(Debug)]
pub(crate) struct Journal {
    shared: Arc<Shared>,
    orders: mpsc::Sender<Order>,
    /// Held for as long as the journal is ours.
    _lock: std::fs::File,
}

/// What was found when a journal was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recovered {
    pub(crate) entries: u64,
    /// Files that hold a damage, as they are now called.
    pub(crate) damaged: Vec<PathBuf>,
    /// Bytes of an end that was not whole.
    pub(crate) torn: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// Opens or makes a journal, and mends what a crash has left. Blocks.
    pub(crate) fn open(folder: &Path, bytes_max: u64) -> Result<(Self, Recovered), Unusable> {
        let unusable = |source| Unusable::Io { path: folder.to_owned(), source };
        let lock = segments::lock(folder).map_err(unusable)?.ok_or_else(|| Unusable::Locked(folder.to_owned()))?;
        let Found { sealed, next, recovered } = segments::recover(folder).map_err(unusable)?;
        let bytes = AtomicU64::new(sealed.iter().map(|segment| segment.bytes).sum());
        let state = Mutex::new(State { sealed, ..State::default() });
        let shared = Arc::new(Shared { folder: folder.to_owned(), bytes_max, bytes, state });
        let (orders, waiting) = mpsc::channel(WAITING_MAX);
        let writer = Writer::new(Arc::clone(&shared), next);
        let name = std::thread::Builder::new().name("journal".into());
        name.spawn(move || writer.run(waiting)).map_err(unusable)?;
        Ok((Self { shared, orders, _lock: lock }, recovered))
    }

    /// Resolves once the entry is on the disk.
    pub(crate) async fn append(&self, entry: &Entry) -> Result<(), NotKept> {
        let bytes = frame::frame(&entry.encode());
        let length = bytes.len() as u64;
        let before = self.shared.bytes.fetch_add(length, Ordering::Relaxed);
        if before + length > self.shared.bytes_max {
            self.shared.bytes.fetch_sub(length, Ordering::Relaxed);
            return Err(NotKept::Full);
        }
        self.shared.state().coming += 1;
        let (done, doing) = oneshot::channel();
        let gone = || NotKept::Disk(io::Error::other("its thread has ended"));
        let sent = self.orders.send(Order::Append { bytes, done }).await;
        // The thread takes the count back, so that whoever asks is not told that nothing comes.
        if sent.is_err() {
            self.shared.state().coming -= 1;
            self.shared.bytes.fetch_sub(length, Ordering::Relaxed);
            return Err(gone());
        }
        doing.await.map_err(|_| gone())?.map_err(NotKept::Disk)
    }

    /// Lets nothing more be written to the open segment, where it holds anything.
    pub(crate) async fn seal(&self) {
        let (done, doing) = oneshot::channel();
        if self.orders.send(Order::Seal { done }).await.is_ok() {
            let _ = doing.await;
        }
    }

    /// The sealed segments, the oldest first.
    pub(crate) fn sealed(&self) -> Vec<Segment> {
        self.shared.state().sealed.clone()
    }

    /// Since when the open segment holds something.
    pub(crate) fn open_since(&self) -> Option<Instant> {
        self.shared.state().open_since
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_half_full(&self) -> bool {
        self.bytes() > self.shared.bytes_max / 2
    }

    /// Whether the store was said to have everything, and nothing comes.
    pub(crate) fn is_sent(&self) -> bool {
        let state = self.shared.state();
        state.coming == 0 && state.open_bytes == 0 && state.sealed.iter().all(|segment| segment.sent.is_some())
    }

    /// The store has all of it, at this moment; none: it may not.
    pub(crate) fn set_sent(&self, number: u64, at: Option<Instant>) {
        let mut state = self.shared.state();
        state.sealed.iter_mut().filter(|segment| segment.number == number).for_each(|segment| segment.sent = at);
    }

    /// The store may have lost any of it.
    pub(crate) fn distrust(&self) {
        self.shared.state().sealed.iter_mut().for_each(|segment| segment.sent = None);
    }

    /// The entries of a sealed segment, in order.
    pub(crate) async fn read(&self, number: u64) -> io::Result<Vec<Entry>> {
        let path = segments::path(&self.shared.folder, number);
        let read = move || {
            let bytes = std::fs::read(path)?;
            let ranges = frame::scan(&bytes).entries;
            Ok(ranges.into_iter().filter_map(|range| Entry::decode(&bytes[range])).collect())
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }

    /// Forgets a sealed segment.
    pub(crate) async fn remove(&self, number: u64) -> io::Result<()> {
        let path = segments::path(&self.shared.folder, number);
        tokio::task::spawn_blocking(move || std::fs::remove_file(path)).await.map_err(io::Error::other)??;
        let mut state = self.shared.state();
        if let Some(at) = state.sealed.iter().position(|segment| segment.number == number) {
            let gone = state.sealed.remove(at);
            self.shared.bytes.fetch_sub(gone.bytes, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
