//! Who may change what: bearer tokens with roles, kept as SHA-256.
//!
//! # Why no passwords
//!
//! A token is 256 random bits, so a plain SHA-256 of it is as good as the slowest password hash and
//! costs nothing per request. It travels in `Authorization`, which no browser adds by itself, or once when a browser
//! signs in (`session`). Every attempt is compared with every
//! token in constant time, and an attempt that fails draws from a budget of this process.
//!
//! A token that is right always passes, even when the budget of failures is spent: whoever floods
//! the listener with guesses must not lock the operator out of a rollback.
//!
//! Not here: single sign-on, expiry of tokens, and rights per migration.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use governor::clock::Clock as _;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use thiserror::Error;

/// Failed attempts that may come at once, and how many more each second brings.
const FAILURES_BURST: NonZeroU32 = NonZeroU32::new(20).unwrap();
const FAILURES_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).unwrap();

/// A longer credential is nobody's token, and is not worth hashing.
const CREDENTIAL_BYTES_MAX: usize = 512;

/// What a token may do; each role may also do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything.
    Viewer,
    /// Reports outcomes.
    Reporter,
    /// Changes modes, shares and pins, rolls back.
    Operator,
    /// Acknowledges a rollback.
    Admin,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Reporter, Self::Operator, Self::Admin];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Reporter => "reporter",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A word that names no [`Role`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("\"{}\" is not a role: use viewer, reporter, operator or admin", .0.escape_debug())]
pub struct UnknownRole(String);

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| UnknownRole(text.chars().take(80).collect()))
    }
}

/// One credential of the file. The secret itself is nowhere in the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Who this is in the history; the file keeps names unique.
    pub name: String,
    pub role: Role,
    pub sha256: [u8; 32],
}

impl Token {
    /// The token whose holder shows `secret`.
    pub fn of_secret(name: impl Into<String>, role: Role, secret: &str) -> Self {
        Self { name: name.into(), role, sha256: digest(secret.as_bytes()) }
    }
}

/// The form in which the file keeps a secret.
pub fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// Why nobody was recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// No credential, or one of another scheme.
    Missing,
    Unknown,
    /// Unknown, and too many before it.
    TooMany {
        retry_after_seconds: u64,
    },
}

/// The tokens of this router and the budget of failed attempts.
#[derive(Debug)]
pub(crate) struct Access {
    tokens: Vec<Token>,
    failures: DefaultDirectRateLimiter,
}

impl Access {
    pub(crate) fn new(tokens: Vec<Token>) -> Self {
        let quota = Quota::per_second(FAILURES_PER_SECOND).allow_burst(FAILURES_BURST);
        Self { tokens, failures: RateLimiter::direct(quota) }
    }

    /// Recognises the holder of the token in an `Authorization` field.
    pub(crate) fn identify(&self, authorization: Option<&[u8]>) -> Result<&Token, Denied> {
        self.recognise(authorization.and_then(bearer).ok_or(Denied::Missing)?)
    }

    /// Recognises the holder of a secret, however it came.
    pub(crate) fn recognise(&self, secret: &[u8]) -> Result<&Token, Denied> {
        if secret.len() <= CREDENTIAL_BYTES_MAX
            && let Some(token) = self.holder(&digest(secret))
        {
            return Ok(token);
        }
        self.failures.check().map_err(|until| {
            let wait = until.wait_time_from(governor::clock::DefaultClock::default().now());
            Denied::TooMany { retry_after_seconds: wait.as_secs() + 1 }
        })?;
        Err(Denied::Unknown)
    }

    /// Looks at every token, whichever matches, so that the time tells nothing.
    fn holder(&self, shown: &[u8; 32]) -> Option<&Token> {
        let mut found = u32::MAX;
        for (at, token) in (0..u32::MAX).zip(&self.tokens) {
            let same: Choice = token.sha256.ct_eq(shown);
            found.conditional_assign(&at, same);
        }
        self.tokens.get(usize::try_from(found).ok()?)
    }
}

/// The credential of `Bearer TOKEN`; the scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let at = authorization.iter().position(|byte| *byte == b' ')?;
    let (scheme, secret) = authorization.split_at(at);
    let secret = secret.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer") && !secret.is_empty()).then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access::new(vec![
            Token::of_secret("ann", Role::Operator, "secret-a"),
            Token::of_secret("ci", Role::Viewer, "secret-b"),
        ])
    }

    #[track_caller]
    fn check(authorization: Option<&str>, expected: Result<&str, Denied>) {
        let access = access();
        let found = access.identify(authorization.map(str::as_bytes)).map(|token| token.name.as_str());
        assert_eq!(found, expected, "{authorization:?}");
    }

    #[test]
    fn a_holder_is_recognised_by_the_whole_secret() {
        check(Some("Bearer secret-a"), Ok("ann"));
        check(Some("bearer  secret-b "), Ok("ci"));
        check(Some("Bearer secret-"), Err(Denied::Unknown));
        check(Some("Bearer secret-aa"), Err(Denied::Unknown));
        check(Some(&format!("Bearer {}", "x".repeat(100_000))), Err(Denied::Unknown));
        for text in [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Basic secret-a"), Some("secret-a")] {
            check(text, Err(Denied::Missing));
        }
    }

    #[test]
    fn guesses_run_out_and_the_right_token_still_passes() {
        let access = access();
        let mut limited = false;
        for _ in 0..1_000 {
            limited |= matches!(access.identify(Some(b"Bearer guess")), Err(Denied::TooMany { .. }));
        }
        assert!(limited);
        assert_eq!(access.identify(Some(b"Bearer secret-a")).unwrap().name, "ann");
        assert_eq!(access.identify(None), Err(Denied::Missing));
    }

    #[test]
    fn a_router_without_tokens_recognises_nobody() {
        assert_eq!(Access::new(Vec::new()).identify(Some(b"Bearer x")), Err(Denied::Unknown));
    }

    #[test]
    fn roles_contain_those_before_them_and_print_as_they_parse() {
        assert!(Role::ALL.is_sorted());
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        assert!("Admin".parse::<Role>().is_err());
    }
}
