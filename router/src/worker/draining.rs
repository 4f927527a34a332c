//! Whether the router is going down.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether and how far the router is going down; shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct Draining {
    begun: AtomicBool,
    closes_idle: AtomicBool,
}

impl Draining {
    /// Answers ask their callers to close; new connections are still taken.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// Connections that wait for a request close, tunnels soon.
    pub(crate) fn close_idle(&self) {
        self.closes_idle.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    pub(crate) fn closes_idle(&self) -> bool {
        self.closes_idle.load(Ordering::Relaxed)
    }
}
