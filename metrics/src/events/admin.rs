//! What the admin side refuses or ends because of its limits.

use tracing::{debug, warn};

use crate::observe::Observer;

/// Which limit a sign-in with OpenID Connect has met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInLimit {
    /// So many begin or end in a second.
    Pace,
    /// So many ask the provider at once.
    AtOnce,
    /// So many have begun and not ended.
    Begun,
}

impl SignInLimit {
    pub const ALL: [Self; 3] = [Self::Pace, Self::AtOnce, Self::Begun];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Pace => "pace",
            Self::AtOnce => "at_once",
            Self::Begun => "begun",
        }
    }
}

/// A sign-in was put off, or the oldest that had begun was forgotten for a new one. Whoever it was is told so by a page.
#[derive(Debug)]
pub struct SignInDropped {
    pub limit: SignInLimit,
}

impl SignInDropped {
    pub fn emit(self, observer: &Observer) {
        let Self { limit } = self;
        debug!(limit = limit.name(), "a sign-in with OpenID Connect met a limit: whoever it was can begin again");
        observer.process().sign_in_dropped(limit);
    }
}

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
