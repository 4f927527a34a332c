//! Recycled read and write buffers of one worker.
//!
//! A connection owns a buffer only while a message is incomplete, so that ten thousand idle connections hold none. The free
//! list is bounded; what is beyond it goes back to the allocator.

use std::cell::RefCell;

/// The usual size of a buffer: a head and a first piece of body fit.
pub(crate) const BUFFER_BYTES: usize = 16 * 1024;

/// A buffer that grew beyond this (for a large head) is not kept.
const KEPT_BYTES_MAX: usize = 4 * BUFFER_BYTES;

/// Buffers kept for reuse: 2 MiB a worker.
const KEPT_MAX: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct Buffers {
    free: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    pub(crate) fn take(&self) -> Vec<u8> {
        self.free.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    pub(crate) fn give(&self, mut buffer: Vec<u8>) {
        let mut free = self.free.borrow_mut();
        if (BUFFER_BYTES..=KEPT_BYTES_MAX).contains(&buffer.capacity()) && free.len() < KEPT_MAX {
            buffer.clear();
            free.push(buffer);
        }
    }
}
