//! A body too long to be kept, on its way in pieces to the thread that makes a digest of it.
//!
//! # Why not where it streams by
//!
//! To unpack, hash and read a megabyte takes as long as a worker needs for a hundred requests. So a worker only copies what went by into a
//! piece, and hands the piece to the thread that compares, in the queue in which the pair itself follows: what is taken from there
//! is in its order, so that the digest is whole when the pair comes. A piece that has no room is the end of it, and is counted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::compare::{Digest, Digester, Limits};

use super::budget::Held;
use super::comparer::Comparer;
use super::tee::Lost;

/// What is gathered before it is handed over; each costs the other thread a message.
const PIECE_BYTES: usize = 256 << 10;

/// A body whose digest is made: held by who watches it, and by each piece that is under way.
#[derive(Debug)]
pub(crate) struct Whole {
    /// Only the thread that compares takes it, so that nobody waits for it.
    digester: Mutex<Digester>,
    /// Nothing can come of it any more.
    has_failed: AtomicBool,
}

impl Whole {
    pub(crate) fn fail(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    fn update(&self, bytes: &[u8]) {
        let mut digester = self.digester.lock().unwrap_or_else(PoisonError::into_inner);
        digester.update(bytes);
        if !digester.is_sound() {
            self.fail();
        }
    }

    /// None where none could be made, or a piece of it is still under way.
    pub(crate) fn finish(self: Arc<Self>) -> Option<Digest> {
        let Self { digester, has_failed } = Arc::into_inner(self)?;
        let digester = digester.into_inner().unwrap_or_else(PoisonError::into_inner);
        if has_failed.into_inner() { None } else { digester.finish() }
    }
}

/// A part of a body, with the memory that it holds.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(crate) whole: Arc<Whole>,
    bytes: Vec<u8>,
    _held: Held,
}

impl Piece {
    /// On the thread that compares. Of a body that nobody waits for any more nothing is made.
    pub(crate) fn digest(&self) {
        if Arc::strong_count(&self.whole) > 1 {
            self.whole.update(&self.bytes);
        }
    }
}

/// Hands a body over while it streams by.
#[derive(Debug)]
pub(crate) struct Digesting {
    whole: Arc<Whole>,
    comparer: Comparer,
    piece: Vec<u8>,
    held: Held,
}

impl Digesting {
    /// `None` for encodings that cannot be unpacked. `held` is what its pieces are of.
    pub(crate) fn new(encoding: &str, comparer: &Comparer, held: &Held) -> Option<Self> {
        let digester = Digester::new(encoding, &Limits::default())?;
        let whole = Arc::new(Whole { digester: Mutex::new(digester), has_failed: AtomicBool::new(false) });
        Some(Self { whole, comparer: comparer.clone(), piece: Vec::new(), held: held.another() })
    }

    /// What was kept until now, with the memory that it holds.
    pub(crate) fn begin(&mut self, bytes: Vec<u8>, held: Held) -> Result<(), Lost> {
        self.hand(bytes, held)
    }

    pub(crate) fn saw(&mut self, mut data: &[u8]) -> Result<(), Lost> {
        while !data.is_empty() {
            if self.piece.capacity() == 0 {
                if !self.held.hold(PIECE_BYTES) {
                    return Err(Lost::Memory);
                }
                self.piece.reserve_exact(PIECE_BYTES);
            }
            let (now, later) = data.split_at(data.len().min(PIECE_BYTES - self.piece.len()));
            self.piece.extend_from_slice(now);
            data = later;
            if self.piece.len() == PIECE_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Whether a digest can still come of it.
    pub(crate) fn is_sound(&self) -> bool {
        !self.whole.has_failed.load(Ordering::Relaxed)
    }

    pub(crate) fn end(mut self) -> Result<Arc<Whole>, Lost> {
        self.flush()?;
        Ok(self.whole)
    }

    fn flush(&mut self) -> Result<(), Lost> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let next = self.held.another();
        let held = std::mem::replace(&mut self.held, next);
        let piece = std::mem::take(&mut self.piece);
        self.hand(piece, held)
    }

    fn hand(&self, bytes: Vec<u8>, held: Held) -> Result<(), Lost> {
        let piece = Piece { whole: Arc::clone(&self.whole), bytes, _held: held };
        if self.comparer.digest(piece) { Ok(()) } else { Err(Lost::Busy) }
    }
}
