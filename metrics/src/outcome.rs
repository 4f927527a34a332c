//! What one side did with one request, distilled to what a judgement needs.
//!
//! # Why not the response
//!
//! Guards and comparisons weigh a status, a latency and a kind of failure. Passing more along would
//! keep bodies and heads alive after the caller has been answered, and would tempt a guard to judge
//! what it cannot explain to an operator.

use std::fmt;
use std::time::Duration;

/// The class of a status, or that there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodeClass {
    /// `101`, which ends a request and begins a tunnel.
    Informational,
    Success,
    Redirection,
    ClientError,
    ServerError,
    /// No answer: it failed before a status, or the caller left.
    None,
}

impl CodeClass {
    pub const ALL: [Self; 6] =
        [Self::Informational, Self::Success, Self::Redirection, Self::ClientError, Self::ServerError, Self::None];

    /// Total: what is no HTTP status counts as no answer.
    pub const fn of(status: u16) -> Self {
        match status {
            100..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirection,
            400..500 => Self::ClientError,
            500..600 => Self::ServerError,
            _ => Self::None,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::None => "none",
        }
    }
}

/// Why one attempt at one side gave no whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// No connection, first byte or further byte in time.
    Timeout,
    /// The connection ended before an answer began.
    Reset,
    /// The connection ended within an answer, which the caller therefore got cut short.
    Truncated,
    /// What came is not an answer by the rules of HTTP.
    Protocol,
    /// Every endpoint is ejected or down.
    NoEndpoint,
    /// The admission limit of the upstream was reached.
    Shed,
    /// The caller left first; says nothing about the side.
    AbortedByClient,
}

impl Failure {
    pub const ALL: [Self; 8] = [
        Self::Connect,
        Self::Timeout,
        Self::Reset,
        Self::Truncated,
        Self::Protocol,
        Self::NoEndpoint,
        Self::Shed,
        Self::AbortedByClient,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Truncated => "truncated",
            Self::Protocol => "protocol",
            Self::NoEndpoint => "no_endpoint",
            Self::Shed => "shed",
            Self::AbortedByClient => "aborted_by_client",
        }
    }

    /// Whether a guard may hold it against the side.
    pub const fn blames_the_side(self) -> bool {
        match self {
            Self::Connect
            | Self::Timeout
            | Self::Reset
            | Self::Truncated
            | Self::Protocol
            | Self::NoEndpoint
            | Self::Shed => true,
            Self::AbortedByClient => false,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a guard counts an attempt that says something about its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attempted {
    /// A status below 400, or 101.
    Ok,
    /// 4xx: the caller's fault, or the side's that misunderstands it.
    Refused,
    /// 5xx, or no whole answer.
    Failed,
}

impl Attempted {
    pub const ALL: [Self; 3] = [Self::Ok, Self::Refused, Self::Failed];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// What one side did with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// From when the side was asked until the last byte of a short answer, the head of a long one, or until it failed,
    /// without the time for which the caller was waited for.
    pub latency: Duration,
    pub answer: Result<u16, Failure>,
}

impl Outcome {
    /// `None` where the outcome says nothing about the side.
    pub const fn attempted(&self) -> Option<Attempted> {
        match self.answer {
            Ok(..400) => Some(Attempted::Ok),
            Ok(400..500) => Some(Attempted::Refused),
            Ok(500..) => Some(Attempted::Failed),
            Err(failure) if failure.blames_the_side() => Some(Attempted::Failed),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: Result<u16, Failure>, attempted: Option<Attempted>) {
        assert_eq!(Outcome { latency: Duration::ZERO, answer }.attempted(), attempted, "{answer:?}");
    }

    #[test]
    fn a_side_answers_for_its_failures_and_not_for_its_callers() {
        check(Ok(101), Some(Attempted::Ok));
        check(Ok(200), Some(Attempted::Ok));
        check(Ok(399), Some(Attempted::Ok));
        check(Ok(400), Some(Attempted::Refused));
        check(Ok(499), Some(Attempted::Refused));
        check(Ok(500), Some(Attempted::Failed));
        check(Ok(999), Some(Attempted::Failed));
        check(Err(Failure::Connect), Some(Attempted::Failed));
        check(Err(Failure::Shed), Some(Attempted::Failed));
        check(Err(Failure::AbortedByClient), None);
    }

    #[test]
    fn every_number_has_a_class() {
        for (status, name) in [
            (0, "none"),
            (99, "none"),
            (101, "1xx"),
            (200, "2xx"),
            (304, "3xx"),
            (499, "4xx"),
            (599, "5xx"),
            (600, "none"),
        ] {
            assert_eq!(CodeClass::of(status).name(), name, "{status}");
        }
    }
}
