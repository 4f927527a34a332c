//! Sign-ins that have begun: what must be remembered while a person is at the provider.
//!
//! # Why here and not in a cookie
//!
//! The verifier of PKCE and the nonce protect against whoever reads what the browser carries, so the browser does not carry them. It
//! carries a secret of its own in a cookie of short life; with the `state` that the provider gives back it finds what belongs to
//! it, once. A callback that was begun in another browser finds nothing.
//!
//! At most [`PENDING_MAX`] are kept, each for [`LIFE`]; beyond, the oldest is forgotten. How fast they may begin is limited before
//! (`oidc`), so that a flood does not get there. Only hashes of secrets are keys.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openidconnect::{Nonce, PkceCodeVerifier};

use crate::auth::digest;

/// How long a person may take at the provider.
pub(super) const LIFE: Duration = Duration::from_secs(600);

const PENDING_MAX: usize = 4_096;

/// What one sign-in needs at its end.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) nonce: Nonce,
    pub(super) verifier: PkceCodeVerifier,
}

#[derive(Debug)]
struct Waiting {
    browser: [u8; 32],
    since: Instant,
    begun: Begun,
}

/// All of this process, by the hash of their `state`.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<BTreeMap<[u8; 32], Waiting>>);

impl Pending {
    /// Keeps one for the browser that holds this secret; whether another had to go for it.
    pub(super) fn keep(&self, state: &str, browser: &str, begun: Begun, now: Instant) -> bool {
        let mut all = self.lock();
        all.retain(|_, own| !own.is_over(now));
        let is_full = all.len() >= PENDING_MAX;
        if is_full {
            let oldest = all.iter().min_by_key(|(_, own)| own.since).map(|(state, _)| *state);
            oldest.and_then(|state| all.remove(&state));
        }
        all.insert(digest(state.as_bytes()), Waiting { browser: digest(browser.as_bytes()), since: now, begun });
        is_full
    }

    /// Gives one out, once, and only to the browser that began it.
    pub(super) fn take(&self, state: &str, browser: &str, now: Instant) -> Option<Begun> {
        let (state, browser) = (digest(state.as_bytes()), digest(browser.as_bytes()));
        let mut all = self.lock();
        all.get(&state).filter(|own| own.browser == browser)?;
        all.remove(&state).filter(|own| !own.is_over(now)).map(|own| own.begun)
    }

    /// Whether a browser has begun another one, in another tab; then it keeps its secret.
    pub(super) fn knows(&self, browser: &str, now: Instant) -> bool {
        let browser = digest(browser.as_bytes());
        self.lock().values().any(|own| own.browser == browser && !own.is_over(now))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Waiting>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= LIFE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(nonce: &str) -> Begun {
        Begun { nonce: Nonce::new(nonce.into()), verifier: PkceCodeVerifier::new("v".repeat(43)) }
    }

    fn nonce(begun: Option<Begun>) -> Option<String> {
        begun.map(|own| own.nonce.secret().clone())
    }

    #[test]
    fn one_is_given_out_once_and_to_its_browser_alone() {
        let (pending, now) = (Pending::default(), Instant::now());
        pending.keep("state", "browser", begun("n"), now);
        assert!(pending.take("state", "another", now).is_none());
        assert!(pending.take("stat", "browser", now).is_none());
        assert!(pending.knows("browser", now) && !pending.knows("another", now));
        assert_eq!(nonce(pending.take("state", "browser", now)).as_deref(), Some("n"), "a stranger does not use it up");
        assert!(pending.take("state", "browser", now).is_none());
        assert!(!pending.knows("browser", now));
    }

    #[test]
    fn two_tabs_of_a_browser_do_not_disturb_each_other() {
        let (pending, now) = (Pending::default(), Instant::now());
        pending.keep("a", "browser", begun("1"), now);
        pending.keep("b", "browser", begun("2"), now);
        assert_eq!(nonce(pending.take("a", "browser", now)).as_deref(), Some("1"));
        assert_eq!(nonce(pending.take("b", "browser", now)).as_deref(), Some("2"));
    }

    #[test]
    fn they_end_after_ten_minutes() {
        let (pending, now) = (Pending::default(), Instant::now());
        pending.keep("a", "browser", begun("1"), now);
        pending.keep("b", "browser", begun("2"), now);
        assert!(pending.take("a", "browser", now + LIFE - Duration::from_secs(1)).is_some());
        assert!(!pending.knows("browser", now + LIFE));
        assert!(pending.take("b", "browser", now + LIFE).is_none());
    }

    #[test]
    fn there_are_never_too_many() {
        let (pending, now) = (Pending::default(), Instant::now());
        let later = |step: usize| now + Duration::from_millis(step as u64);
        for step in 0..=PENDING_MAX {
            let has_dropped = pending.keep(&step.to_string(), "browser", begun("n"), later(step));
            assert_eq!(has_dropped, step == PENDING_MAX, "{step}");
        }
        assert_eq!(pending.lock().len(), PENDING_MAX);
        assert!(pending.take("0", "browser", later(PENDING_MAX)).is_none(), "the oldest is forgotten");
        assert!(pending.take("1", "browser", later(PENDING_MAX)).is_some());
        pending.keep("new", "browser", begun("n"), later(PENDING_MAX) + LIFE);
        assert_eq!(pending.lock().len(), 1, "what is over makes room");
    }
}
