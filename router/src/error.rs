//! What went wrong with a request and whose fault it was, turned into an answer in one place.
//!
//! Every answer that the router makes itself is an RFC 9457 problem with a stable `code`, also in the `Crossfade-Error`
//! field. It names no address, upstream or file: callers are strangers; the log tells the operator more.

use flags::fallback::Cause;
use thiserror::Error;

use crate::h1::refusal::{BadAnswer, Refusal};
use crate::h1::write;
use crate::issues::answer::Unaccepted;

/// Why a request was not answered by an upstream.
#[derive(Debug, Error)]
pub(crate) enum ProxyError {
    /// The caller's fault.
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("No route matches this request.")]
    NoRoute,
    #[error("The request head did not arrive in time.")]
    SlowHead,
    #[error("The request body did not arrive in time.")]
    SlowBody,
    #[error("The caller closed the connection before the request was whole.")]
    CallerGone,
    /// The upstream's fault.
    #[error("The service behind this proxy cannot be reached.")]
    Connect(#[source] std::io::Error),
    #[error("The service behind this proxy did not accept the connection in time.")]
    ConnectTimeout,
    #[error("The service behind this proxy did not answer in time.")]
    AnswerTimeout,
    #[error("The service behind this proxy closed the connection without an answer.")]
    Reset,
    #[error("The service behind this proxy gave an invalid answer.")]
    BadAnswer(BadAnswer),
    /// Nobody is there, or nobody has room.
    #[error("No endpoint of the service behind this proxy is available.")]
    NoEndpoint,
    #[error("The service behind this proxy has as many requests as it can take.")]
    Busy,
    #[error("This proxy has as many open tunnels as it may.")]
    TunnelLimit,
    /// A webhook that was not taken, whoever's fault that was.
    #[error("{0}")]
    Webhook(#[from] Unaccepted),
}

/// Every code that `Crossfade-Error` can carry; a counter's label, so the set is closed.
pub(crate) const CODES: &[&str] = &[
    "bad_request_line",
    "bad_version",
    "bad_line_end",
    "bad_field_name",
    "disguised_field",
    "bad_field_value",
    "host_missing",
    "host_duplicate",
    "host_invalid",
    "host_mismatch",
    "bad_target",
    "bad_target_character",
    "path_ambiguous",
    "target_too_long",
    "head_too_large",
    "length_and_encoding",
    "length_invalid",
    "length_differs",
    "encoding_invalid",
    "encoding_unknown",
    "encoding_in_http10",
    "encoding_misplaced",
    "bad_connection_option",
    "unexpected_body",
    "method_not_allowed",
    "expectation_failed",
    "bad_chunk",
    "bad_trailer",
    "body_too_large",
    "no_route",
    "head_timeout",
    "body_timeout",
    "client_closed_request",
    "upstream_unreachable",
    "upstream_connect_timeout",
    "upstream_timeout",
    "upstream_reset",
    "upstream_bad_answer",
    "no_endpoint",
    "upstream_busy",
    "tunnel_limit",
    "webhook_unsigned",
    "webhook_only_post",
    "webhook_not_json",
    "webhook_without_id",
    "webhook_without_issue",
    "webhook_without_number",
    "webhook_conflict",
    "webhook_too_fast",
    "webhook_no_room",
    "webhook_not_kept",
];

/// Seconds after which a caller may try again what had no room.
const RETRY_AFTER_SECONDS: u64 = 1;

impl ProxyError {
    pub(crate) const fn status(&self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::NoRoute => 404,
            Self::SlowHead | Self::SlowBody => 408,
            // Nobody reads it; the number is nginx's, known from its logs.
            Self::CallerGone => 499,
            Self::Connect(_) | Self::Reset | Self::BadAnswer(_) => 502,
            Self::ConnectTimeout | Self::AnswerTimeout => 504,
            Self::NoEndpoint | Self::Busy | Self::TunnelLimit => 503,
            Self::Webhook(refusal) => refusal.status(),
        }
    }

    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::NoRoute => "no_route",
            Self::SlowHead => "head_timeout",
            Self::SlowBody => "body_timeout",
            Self::CallerGone => "client_closed_request",
            Self::Connect(_) => "upstream_unreachable",
            Self::ConnectTimeout => "upstream_connect_timeout",
            Self::AnswerTimeout => "upstream_timeout",
            Self::Reset => "upstream_reset",
            Self::BadAnswer(_) => "upstream_bad_answer",
            Self::NoEndpoint => "no_endpoint",
            Self::Busy => "upstream_busy",
            Self::TunnelLimit => "tunnel_limit",
            Self::Webhook(refusal) => refusal.code(),
        }
    }

    /// Seconds after which the same may be taken.
    const fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Webhook(refusal) => refusal.retry_after(),
            _ if self.status() == 503 => Some(RETRY_AFTER_SECONDS),
            _ => None,
        }
    }

    /// The place of [`Self::code`] in [`CODES`].
    pub(crate) fn index(&self) -> usize {
        index_of(self.code()).unwrap_or(0)
    }

    /// How metrics class the failure of a side; `None` where no side was to blame.
    pub(crate) const fn failure(&self) -> Option<metrics::outcome::Failure> {
        use metrics::outcome::Failure;
        match self {
            Self::Connect(_) => Some(Failure::Connect),
            Self::ConnectTimeout | Self::AnswerTimeout => Some(Failure::Timeout),
            Self::Reset => Some(Failure::Reset),
            Self::BadAnswer(_) => Some(Failure::Protocol),
            Self::NoEndpoint => Some(Failure::NoEndpoint),
            Self::Busy => Some(Failure::Shed),
            Self::CallerGone => Some(Failure::AbortedByClient),
            Self::Refused(_)
            | Self::NoRoute
            | Self::SlowHead
            | Self::SlowBody
            | Self::TunnelLimit
            | Self::Webhook(_) => None,
        }
    }

    /// What legacy may be asked to make good; `None` where no other answer of a side would help.
    pub(crate) const fn cause(&self) -> Option<Cause> {
        match self {
            Self::Connect(_) | Self::ConnectTimeout | Self::NoEndpoint | Self::Busy => Some(Cause::Connect),
            Self::AnswerTimeout => Some(Cause::Timeout),
            Self::Reset | Self::BadAnswer(_) => Some(Cause::Reset),
            Self::Refused(_)
            | Self::NoRoute
            | Self::SlowHead
            | Self::SlowBody
            | Self::CallerGone
            | Self::TunnelLimit
            | Self::Webhook(_) => None,
        }
    }

    /// Writes the whole answer; `head_only` for HEAD, whose answer has no body.
    pub(crate) fn write(&self, out: &mut Vec<u8>, close: bool, head_only: bool) {
        let (status, code) = (self.status(), self.code());
        let title = reason_phrase(status);
        // The words about a webhook may repeat some of it; every other part is our own and needs no escaping.
        let detail = serde_json::Value::from(self.to_string());
        let body = format!(
            "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\"detail\":{detail},\"code\":\"{code}\"}}\n"
        );
        write::status_line(out, status, title.as_bytes());
        write::field(out, "Content-Type", b"application/problem+json");
        write::field(out, "Cache-Control", b"no-store");
        write::field(out, "Crossfade-Error", code.as_bytes());
        match status {
            405 if matches!(self, Self::Webhook(_)) => write::field(out, "Allow", b"POST"),
            405 => write::field(out, "Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            _ => {}
        }
        if let Some(seconds) = self.retry_after() {
            write::field(out, "Retry-After", seconds.to_string().as_bytes());
        }
        out.extend_from_slice(b"Content-Length: ");
        write::number(out, body.len() as u64);
        out.extend_from_slice(b"\r\n");
        if close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if !head_only {
            out.extend_from_slice(body.as_bytes());
        }
    }
}

/// The place of a code in [`CODES`]; none for what only logs say, such as an answer that broke off.
pub(crate) fn index_of(code: &str) -> Option<usize> {
    CODES.iter().position(|own| *own == code)
}

/// The usual words for a status; empty for one that is not in the table.
pub(crate) fn reason_phrase(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

/// One of each, for tests that something holds for all.
#[cfg(test)]
pub(crate) fn every_error() -> Vec<ProxyError> {
    let mut all: Vec<ProxyError> = Refusal::ALL.into_iter().map(ProxyError::from).collect();
    all.extend([
        ProxyError::NoRoute,
        ProxyError::SlowHead,
        ProxyError::SlowBody,
        ProxyError::CallerGone,
        ProxyError::Connect(std::io::ErrorKind::ConnectionRefused.into()),
        ProxyError::ConnectTimeout,
        ProxyError::AnswerTimeout,
        ProxyError::Reset,
        ProxyError::BadAnswer(BadAnswer::Head),
        ProxyError::NoEndpoint,
        ProxyError::Busy,
        ProxyError::TunnelLimit,
    ]);
    all.extend(crate::issues::answer::every_refusal().into_iter().map(ProxyError::from));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_counted_once() {
        let codes: Vec<&str> = every_error().iter().map(ProxyError::code).collect();
        assert_eq!(codes, CODES);
    }

    #[test]
    fn every_answer_is_a_problem_that_parses() {
        for error in every_error() {
            let mut out = Vec::new();
            error.write(&mut out, true, false);
            let text = String::from_utf8(out).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let problem: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(problem["code"], error.code());
            assert_eq!(problem["status"], error.status());
            assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
            assert!(head.contains(&format!("Crossfade-Error: {}", error.code())), "{head}");
            assert!(head.contains("Connection: close"), "{head}");
        }
    }
}
