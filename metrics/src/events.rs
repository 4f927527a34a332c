//! Every notable event: log line and counter together.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Lets one line a second through and counts the rest, so that a flood cannot fill a disk.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    /// The first second of the process in which the next line may be written.
    next: AtomicU64,
    suppressed: AtomicU64,
}

impl LogLimit {
    /// `Some(n)`: write the line, which stands for itself and `n` more.
    pub(crate) fn admit(&self, second: u64) -> Option<u64> {
        if second < self.next.load(Ordering::Relaxed) {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.next.store(second + 1, Ordering::Relaxed);
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }
}

/// Whole seconds since this process first asked.
fn second() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs()
}
