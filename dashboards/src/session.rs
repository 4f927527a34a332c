//! Who is signed in with a browser: short secrets in place of long ones.
//!
//! # Why a cookie, and what it may do
//!
//! A token in a page's own storage can be read by whatever runs in that page and outlives it. A browser keeps a cookie that
//! no script reads (`HttpOnly`), that leaves on encrypted connections and on loopback alone (`Secure`), that belongs to this very
//! host and no neighbour (`__Host-`), and that no other site can make it send (`SameSite=Strict`). It names a session of this process:
//! random, ended by signing out, by an admin, by an hour and a half without use, or by the end of a working day.
//!
//! Cookies do not tell ports apart, so a page on another port of the same host is of the same site. A change that shows a
//! session therefore must come from a page of this very origin, by the browser's own word ([`is_of_this_origin`]).
//!
//! # Limits
//!
//! A process keeps [`SESSIONS_MAX`] sessions, [`PER_NAME_MAX`] for one name; beyond, the one that was used longest ago ends. A router
//! that restarts forgets them all: whoever was signed in signs in again.
//!
//! Not here: tokens (`auth`), and the calls (`api::session`).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::COOKIE;
use cookie::Cookie;
use jiff::{SignedDuration, Timestamp};

use crate::auth::{Role, digest};

/// The `__Host-` prefix has browsers refuse it for any other host, path or scheme.
pub(crate) const COOKIE_NAME: &str = "__Host-crossfade";

const LIFE: SignedDuration = SignedDuration::from_hours(12);
const IDLE: SignedDuration = SignedDuration::from_mins(90);
const SESSIONS_MAX: usize = 1_000;
const PER_NAME_MAX: usize = 20;

/// How somebody signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Token,
    #[cfg(feature = "oidc")]
    Oidc,
}

impl By {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            #[cfg(feature = "oidc")]
            Self::Oidc => "oidc",
        }
    }
}

/// One browser that is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Names it to people; it is no secret.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) by: By,
    pub(crate) created: Timestamp,
    pub(crate) last_used: Timestamp,
}

impl Session {
    pub(crate) fn expires(&self) -> Timestamp {
        let after = |at: Timestamp, life| at.checked_add(life).unwrap_or(Timestamp::MAX);
        after(self.created, LIFE).min(after(self.last_used, IDLE))
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.expires() <= now
    }
}

/// All of this process, by the hash of their secret.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<[u8; 32], Session>>);

impl Sessions {
    /// Begins one; the answer is its secret, which is nowhere else, and whose place it took.
    pub(crate) fn begin(
        &self,
        name: &str,
        role: Role,
        by: By,
        now: Timestamp,
    ) -> Result<(String, Session, Vec<Session>), getrandom::Error> {
        let secret = random_secret()?;
        let hash = digest(secret.as_bytes());
        let id = hex(&hash[..8]);
        let session = Session { id, name: name.into(), role, by, created: now, last_used: now };
        let mut sessions = self.lock();
        sessions.retain(|_, own| !own.is_over(now));
        let ended = [
            end_oldest(&mut sessions, PER_NAME_MAX, |own| own.name == name),
            end_oldest(&mut sessions, SESSIONS_MAX, |_| true),
        ];
        sessions.insert(hash, session.clone());
        Ok((secret, session, ended.into_iter().flatten().collect()))
    }

    /// Whose session a request shows; using it keeps it.
    pub(crate) fn of(&self, headers: &HeaderMap, now: Timestamp) -> Option<Session> {
        let hash = digest(secret(headers)?.as_bytes());
        let mut sessions = self.lock();
        let session = sessions.get_mut(&hash)?;
        if session.is_over(now) {
            sessions.remove(&hash);
            return None;
        }
        session.last_used = session.last_used.max(now);
        Some(session.clone())
    }

    /// Whether it goes on, for what lasts longer than a request. That uses it, too.
    pub(crate) fn goes_on(&self, id: &str, now: Timestamp) -> bool {
        let mut sessions = self.lock();
        let Some(session) = sessions.values_mut().find(|own| own.id == id && !own.is_over(now)) else { return false };
        session.last_used = session.last_used.max(now);
        true
    }

    /// Ends one; false where there is none.
    pub(crate) fn end(&self, id: &str) -> bool {
        let mut sessions = self.lock();
        let before = sessions.len();
        sessions.retain(|_, own| own.id != id);
        sessions.len() < before
    }

    /// Those that go on, the newest first.
    pub(crate) fn all(&self, now: Timestamp) -> Vec<Session> {
        let mut all: Vec<_> = self.lock().values().filter(|own| !own.is_over(now)).cloned().collect();
        all.sort_by_key(|own| std::cmp::Reverse(own.created));
        all
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for one more of a kind, and answers whose place it took.
fn end_oldest(
    sessions: &mut BTreeMap<[u8; 32], Session>,
    most: usize,
    kind: impl Fn(&Session) -> bool,
) -> Option<Session> {
    let of_kind = || sessions.iter().filter(|(_, own)| kind(own));
    if of_kind().count() < most {
        return None;
    }
    let oldest = of_kind().min_by_key(|(_, own)| own.last_used).map(|(hash, _)| *hash);
    sessions.remove(&oldest?)
}

/// 256 random bits.
pub(crate) fn random_secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(hex(&bytes))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the session's cookie of a request holds.
fn secret(headers: &HeaderMap) -> Option<String> {
    cookie(headers, COOKIE_NAME)
}

/// What a cookie of a request holds.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = fields.flat_map(Cookie::split_parse).filter_map(Result::ok);
    cookies.find(|own| own.name() == name).map(|own| own.value().to_owned())
}

/// Whether a request shows a session at all, known or not.
pub(crate) fn has_cookie(headers: &HeaderMap) -> bool {
    secret(headers).is_some()
}

/// Whether the browser that sent a request says that a page of this very origin made it do so.
pub(crate) fn is_of_this_origin(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "same-origin")
}

/// The field that has a browser keep a secret, or forget it where there is none.
pub(crate) fn set_cookie(secret: Option<&str>) -> String {
    let ends = if secret.is_none() { "; Max-Age=0" } else { "" };
    let secret = secret.unwrap_or_default();
    // Without an age: it ends with the browser at the latest.
    format!("{COOKIE_NAME}={secret}; Path=/; Secure; HttpOnly; SameSite=Strict{ends}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn showing(secret: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, format!("other=1; {COOKIE_NAME}={secret}; last=2").parse().unwrap())])
    }

    fn begin(sessions: &Sessions, name: &str, minutes: i64) -> (String, Session) {
        let (secret, session, _) = sessions.begin(name, Role::Operator, By::Token, at(minutes)).unwrap();
        (secret, session)
    }

    #[test]
    fn a_session_is_known_by_its_secret_alone() {
        let sessions = Sessions::default();
        let (secret, session) = begin(&sessions, "ann", 0);
        let found = sessions.of(&showing(&secret), at(1)).unwrap();
        assert_eq!((found.name.as_str(), found.role, found.id), ("ann", Role::Operator, session.id.clone()));
        assert!(sessions.of(&showing(&session.id), at(1)).is_none(), "its name is no secret");
        assert!(sessions.of(&showing(""), at(1)).is_none());
        assert!(sessions.of(&HeaderMap::new(), at(1)).is_none());
        assert_ne!(begin(&sessions, "ann", 0).0, secret);
    }

    #[test]
    fn it_ends_when_it_is_not_used_and_at_the_end_of_the_day() {
        let sessions = Sessions::default();
        let (unused, _) = begin(&sessions, "ann", 0);
        let (used, _) = begin(&sessions, "ben", 0);
        let (watched, session) = begin(&sessions, "cat", 0);
        assert!(sessions.of(&showing(&unused), at(90)).is_none());
        for minute in (0..720).step_by(80) {
            assert!(sessions.of(&showing(&used), at(minute)).is_some(), "{minute}");
            assert!(sessions.goes_on(&session.id, at(minute)), "{minute}");
        }
        assert!(sessions.of(&showing(&watched), at(719)).is_some());
        assert!(sessions.of(&showing(&used), at(720)).is_none());
        assert!(!sessions.goes_on(&session.id, at(720)));
    }

    #[test]
    fn whoever_signs_out_is_out() {
        let sessions = Sessions::default();
        let (secret, session) = begin(&sessions, "ann", 0);
        assert!(sessions.end(&session.id));
        assert!(!sessions.end(&session.id));
        assert!(sessions.of(&showing(&secret), at(0)).is_none());
    }

    #[test]
    fn there_are_never_too_many() {
        let sessions = Sessions::default();
        let (first, _) = begin(&sessions, "ann", 0);
        let (second, _) = begin(&sessions, "ann", 1);
        sessions.of(&showing(&first), at(2)).unwrap();
        for _ in 3..=PER_NAME_MAX {
            begin(&sessions, "ann", 3);
        }
        let (_, _, evicted) = sessions.begin("ann", Role::Operator, By::Token, at(3)).unwrap();
        assert_eq!(evicted.len(), 1);
        assert!(sessions.of(&showing(&second), at(3)).is_none(), "the one that was used longest ago ends");
        assert!(sessions.of(&showing(&first), at(3)).is_some());
        for name in 0..SESSIONS_MAX {
            begin(&sessions, &name.to_string(), 4);
        }
        assert_eq!(sessions.all(at(4)).len(), SESSIONS_MAX);
    }

    #[test]
    fn a_change_by_cookie_comes_from_this_origin() {
        for (site, expected) in [
            (Some("same-origin"), true),
            (Some("same-site"), false),
            (Some("cross-site"), false),
            (Some("none"), false),
            (None, false),
        ] {
            let headers = site.map(|site| ("sec-fetch-site".parse().unwrap(), site.parse().unwrap()));
            assert_eq!(is_of_this_origin(&headers.into_iter().collect()), expected, "{site:?}");
        }
    }
}
