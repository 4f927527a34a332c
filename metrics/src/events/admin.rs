//! What the admin side refuses or ends because of its limits.

use tracing::{debug, warn};

use crate::observe::Observer;

/// A page asked for a stream of events, and as many are open as may. It is told so itself and asks every two seconds instead.
#[derive(Debug)]
pub struct StreamRefused {
    pub most: usize,
}

impl StreamRefused {
    pub fn emit(self, observer: &Observer) {
        let Self { most } = self;
        debug!(most, "a stream of events was refused: as many are open as may");
        observer.process().stream_refused();
    }
}

/// Somebody signed in for whom there was no place but that of another session.
#[derive(Debug)]
pub struct SessionEvicted<'a> {
    pub name: &'a str,
    /// Names it to people; it is no secret.
    pub session: &'a str,
}

impl SessionEvicted<'_> {
    pub fn emit(self, observer: &Observer) {
        let Self { name, session } = self;
        warn!(
            name,
            session,
            "there are too many sessions: the one that was used longest ago has ended, and its browser must sign in again"
        );
        observer.process().session_evicted();
    }
}
