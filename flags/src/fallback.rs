//! Which failures of new are answered by legacy, within the same request.
//!
//! # Why so careful
//!
//! A second attempt is only harmless where the first did nothing, or where doing a thing twice is the same as doing it once.
//! A connection that was never made is the first case, whatever the method and even with a body: nothing was sent. Anything
//! else asks for a method that may be repeated, a body of which nothing was taken from the caller (it cannot be taken twice),
//! and a caller that has seen nothing of the first answer.
//!
//! Not here: whether legacy has room. That is asked when the time comes.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::decide::is_safe;

/// What new did to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was not reached: no endpoint, no place, or no connection in time. Nothing was sent.
    Connect,
    /// It did not begin to answer in time.
    Timeout,
    /// It closed the connection without an answer, or answered what is none by the rules.
    Reset,
    /// It answered this.
    Status(u16),
}

/// One of the words under `when`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    Connect,
    Timeout,
    Reset,
    /// Any status from 500 on.
    ServerError,
    /// One of 500 to 599.
    Status(u16),
}

/// A word that is not one of [`When`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("use connect, timeout, reset, 5xx or a status from 500 to 599")]
pub struct UnknownWhen;

impl FromStr for When {
    type Err = UnknownWhen;

    fn from_str(text: &str) -> Result<Self, UnknownWhen> {
        match text {
            "connect" => Ok(Self::Connect),
            "timeout" => Ok(Self::Timeout),
            "reset" => Ok(Self::Reset),
            "5xx" => Ok(Self::ServerError),
            status => match status.parse() {
                Ok(status @ 500..600) if text.len() == 3 => Ok(Self::Status(status)),
                Ok(_) | Err(_) => Err(UnknownWhen),
            },
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("connect"),
            Self::Timeout => f.write_str("timeout"),
            Self::Reset => f.write_str("reset"),
            Self::ServerError => f.write_str("5xx"),
            Self::Status(status) => status.fmt(f),
        }
    }
}

impl When {
    const fn covers(self, cause: Cause) -> bool {
        match (self, cause) {
            (Self::Connect, Cause::Connect) | (Self::Timeout, Cause::Timeout) | (Self::Reset, Cause::Reset) => true,
            (Self::ServerError, Cause::Status(status)) => status >= 500,
            (Self::Status(own), Cause::Status(status)) => own == status,
            (_, _) => false,
        }
    }
}

/// What may be asked of legacy after new was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Repeatable {
    /// GET, HEAD and OPTIONS.
    #[default]
    Safe,
    /// PUT and DELETE too (RFC 9110 section 9.2.2).
    Idempotent,
    /// These, upper case as on the wire.
    These(Vec<String>),
}

impl Repeatable {
    fn allows(&self, method: &[u8]) -> bool {
        match self {
            Self::Safe => is_safe(method),
            Self::Idempotent => is_safe(method) || matches!(method, b"PUT" | b"DELETE"),
            Self::These(methods) => methods.iter().any(|own| own.as_bytes() == method),
        }
    }
}

/// A request that new has failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    pub cause: Cause,
    pub method: &'a [u8],
    /// It asked for another protocol.
    pub upgrade: bool,
    /// Some of its body was taken from the caller.
    pub body_taken: bool,
    /// The caller has seen something of new's answer.
    pub answer_shown: bool,
}

/// What the file says under `fallback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Nothing is off.
    pub when: Vec<When>,
    pub methods: Repeatable,
}

impl Default for Fallback {
    fn default() -> Self {
        let when = vec![When::Connect, When::Timeout, When::Reset, When::ServerError];
        Self { when, methods: Repeatable::Safe }
    }
}

impl Fallback {
    /// Whether legacy may be asked.
    pub fn takes(&self, failed: &Failed<'_>) -> bool {
        if failed.answer_shown || failed.body_taken || !self.when.iter().any(|when| when.covers(failed.cause)) {
            return false;
        }
        failed.cause == Cause::Connect || (!failed.upgrade && self.methods.allows(failed.method))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Failed<'_> =
        Failed { cause: Cause::Reset, method: b"GET", upgrade: false, body_taken: false, answer_shown: false };

    #[track_caller]
    fn check(when: &[&str], methods: &Repeatable, failed: Failed<'_>, expected: bool) {
        let when = when.iter().map(|word| word.parse().unwrap()).collect();
        let fallback = Fallback { when, methods: methods.clone() };
        assert_eq!(fallback.takes(&failed), expected, "{fallback:?} {failed:?}");
    }

    #[test]
    fn each_word_covers_its_cause_alone() {
        let causes = [Cause::Connect, Cause::Timeout, Cause::Reset, Cause::Status(500), Cause::Status(502)];
        for (word, covered) in [
            ("connect", [true, false, false, false, false]),
            ("timeout", [false, true, false, false, false]),
            ("reset", [false, false, true, false, false]),
            ("5xx", [false, false, false, true, true]),
            ("502", [false, false, false, false, true]),
        ] {
            for (cause, expected) in causes.into_iter().zip(covered) {
                check(&[word], &Repeatable::Safe, Failed { cause, ..GET }, expected);
                check(&[], &Repeatable::Safe, Failed { cause, ..GET }, false);
            }
        }
        assert!(causes.into_iter().all(|cause| Fallback::default().takes(&Failed { cause, ..GET })));
        assert!(!Fallback::default().takes(&Failed { cause: Cause::Status(404), ..GET }));
    }

    #[test]
    fn only_what_may_be_repeated_is_asked_again() {
        let list = Repeatable::These(vec!["POST".into()]);
        for (method, safe, idempotent, listed) in [
            (&b"GET"[..], true, true, false),
            (b"HEAD", true, true, false),
            (b"OPTIONS", true, true, false),
            (b"PUT", false, true, false),
            (b"DELETE", false, true, false),
            (b"POST", false, false, true),
            (b"PATCH", false, false, false),
            (b"get", false, false, false),
        ] {
            let failed = Failed { method, ..GET };
            check(&["reset"], &Repeatable::Safe, failed, safe);
            check(&["reset"], &Repeatable::Idempotent, failed, idempotent);
            check(&["reset"], &list, failed, listed);
            // Nothing was sent, so nothing can happen twice.
            check(&["connect"], &list, Failed { cause: Cause::Connect, ..failed }, true);
        }
    }

    #[test]
    fn what_was_used_up_or_shown_is_not_asked_again() {
        for cause in [Cause::Connect, Cause::Reset] {
            check(&["connect", "reset"], &Repeatable::Safe, Failed { cause, body_taken: true, ..GET }, false);
            check(&["connect", "reset"], &Repeatable::Safe, Failed { cause, answer_shown: true, ..GET }, false);
            let upgrade = Failed { cause, upgrade: true, ..GET };
            check(&["connect", "reset"], &Repeatable::Safe, upgrade, cause == Cause::Connect);
        }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for text in ["connect", "timeout", "reset", "5xx", "500", "599"] {
            assert_eq!(text.parse::<When>().map(|when| when.to_string()), Ok(text.into()));
        }
        for text in ["", "5XX", "499", "600", "0500", "+500", "all"] {
            assert_eq!(text.parse::<When>(), Err(UnknownWhen), "{text:?}");
        }
    }
}
