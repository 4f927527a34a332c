//! The one thread that writes a journal: takes what waits, writes it, syncs once, and tells everybody.

use std::fs::File;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};

use super::{Segment, Shared, segments};

/// A segment of at least so many bytes is sealed.
const SEGMENT_BYTES: u64 = 8 << 20;

/// Entries that one sync serves at most, so that the first of them does not wait for ever.
const BATCH_MAX: usize = 256;

pub(super) enum Order {
    Append { bytes: Vec<u8>, done: oneshot::Sender<io::Result<()>> },
    Seal { done: oneshot::Sender<()> },
}

/// An entry that waits for its sync.
type Waiting = (u64, oneshot::Sender<io::Result<()>>);

pub(super) struct Writer {
    shared: Arc<Shared>,
    open: Option<File>,
    /// Of the open segment, or of the next one.
    number: u64,
    /// Synced bytes of the open segment.
    bytes: u64,
}

impl Writer {
    pub(super) const fn new(shared: Arc<Shared>, number: u64) -> Self {
        Self { shared, open: None, number, bytes: 0 }
    }

    /// Until the journal is dropped and everything that waited is written.
    pub(super) fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(first) = orders.blocking_recv() {
            let mut batch = Vec::new();
            let mut next = Some(first);
            let mut seal = None;
            while let Some(order) = next {
                match order {
                    Order::Append { bytes, done } => batch.push((bytes, done)),
                    Order::Seal { done } => seal = Some(done),
                }
                let more = batch.len() < BATCH_MAX && seal.is_none();
                next = if more { orders.try_recv().ok() } else { None };
            }
            self.append(batch);
            if seal.is_some() || self.bytes >= SEGMENT_BYTES {
                self.seal();
            }
            if let Some(done) = seal {
                let _ = done.send(());
            }
        }
    }

    fn append(&mut self, batch: Vec<(Vec<u8>, oneshot::Sender<io::Result<()>>)>) {
        if batch.is_empty() {
            return;
        }
        let mut whole = Vec::with_capacity(batch.iter().map(|(bytes, _)| bytes.len()).sum());
        let mut waiting: Vec<Waiting> = Vec::with_capacity(batch.len());
        for (bytes, done) in batch {
            whole.extend_from_slice(&bytes);
            waiting.push((bytes.len() as u64, done));
        }
        let written = self.write(&whole);
        let total: u64 = waiting.iter().map(|(length, _)| length).sum();
        let mut state = self.shared.state();
        state.coming -= waiting.len();
        match &written {
            Ok(()) => {
                self.bytes += total;
                state.open_bytes = self.bytes;
                state.open_since.get_or_insert_with(Instant::now);
            }
            Err(_) => _ = self.shared.bytes.fetch_sub(total, Ordering::Relaxed),
        }
        drop(state);
        for (_, done) in waiting {
            let _ =
                done.send(written.as_ref().copied().map_err(|error| io::Error::new(error.kind(), error.to_string())));
        }
    }

    /// All of it on the disk, or none of it in the file.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = match self.open.take() {
            Some(file) => file,
            None => {
                let path = segments::path(&self.shared.folder, self.number);
                let file = File::options().create(true).append(true).open(path)?;
                segments::sync(&self.shared.folder)?;
                file
            }
        };
        match file.write_all(bytes).and_then(|()| file.sync_data()) {
            Ok(()) => {
                self.open = Some(file);
                Ok(())
            }
            Err(error) => {
                // Whether a sync that failed has written is not known; the file goes on as another one, cut to what was synced.
                let _ = file.set_len(self.bytes).and_then(|()| file.sync_data());
                drop(file);
                self.seal_written();
                Err(error)
            }
        }
    }

    fn seal(&mut self) {
        self.open = None;
        self.seal_written();
    }

    fn seal_written(&mut self) {
        let mut state = self.shared.state();
        (state.open_bytes, state.open_since) = (0, None);
        if self.bytes > 0 {
            state.sealed.push(Segment { number: self.number, bytes: self.bytes, sent: None });
        }
        drop(state);
        self.bytes = 0;
        self.number += 1;
    }
}
