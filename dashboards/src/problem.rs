//! Everything that goes wrong on the admin side, as an RFC 9457 problem with a stable code.
//!
//! Scripts branch on `code`, people read `detail`: a sentence that says what to do. The codes are a
//! closed set, so that the status and the title of each are written once.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// What happened, as scripts know it. Codes are never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    BadQuery,
    BadIfMatch,
    InvalidJson,
    ReasonRequired,
    Unauthorized,
    Forbidden,
    CrossSite,
    HostNotAllowed,
    NotFound,
    UnknownMigration,
    UnknownPin,
    UnknownRule,
    UnknownMismatch,
    UnknownIssue,
    UnknownDelivery,
    MethodNotAllowed,
    RequestTimeout,
    Refused,
    Held,
    Frozen,
    NotConverged,
    Conflict,
    NothingToUndo,
    DuplicateOutcome,
    SideDiffers,
    Fenced,
    IssueBusy,
    NothingWaits,
    NothingToAsk,
    NotReplayable,
    OutcomesFull,
    StaleRevision,
    BodyTooLarge,
    UnsupportedMediaType,
    InvalidValue,
    TooManyAttempts,
    Internal,
    StateUnreadable,
    StoreUnavailable,
    OutcomeUnknown,
    SenderSilent,
    SenderFailed,
    TooBusy,
    TimedOut,
}

impl Code {
    pub(crate) const fn name(self) -> &'static str {
        self.row().0
    }

    pub(crate) const fn status(self) -> StatusCode {
        self.row().1
    }

    const fn title(self) -> &'static str {
        self.row().2
    }

    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::BadQuery => ("bad_query", S::BAD_REQUEST, "The query is not understood"),
            Self::BadIfMatch => ("bad_if_match", S::BAD_REQUEST, "If-Match is not understood"),
            Self::InvalidJson => ("invalid_json", S::BAD_REQUEST, "The body is not understood"),
            Self::ReasonRequired => ("reason_required", S::BAD_REQUEST, "A change needs a reason"),
            Self::Unauthorized => ("unauthorized", S::UNAUTHORIZED, "A token is needed"),
            Self::Forbidden => ("forbidden", S::FORBIDDEN, "The token's role does not allow this"),
            Self::CrossSite => ("cross_site", S::FORBIDDEN, "Requests from other sites are refused"),
            Self::HostNotAllowed => ("host_not_allowed", S::FORBIDDEN, "This host name is not served"),
            Self::NotFound => ("not_found", S::NOT_FOUND, "There is nothing here"),
            Self::UnknownMigration => ("unknown_migration", S::NOT_FOUND, "No such migration"),
            Self::UnknownPin => ("unknown_pin", S::NOT_FOUND, "No such pin"),
            Self::UnknownRule => ("unknown_rule", S::NOT_FOUND, "No such rule"),
            Self::UnknownMismatch => ("unknown_mismatch", S::NOT_FOUND, "No such mismatch"),
            Self::UnknownIssue => ("unknown_issue", S::NOT_FOUND, "No such issue"),
            Self::UnknownDelivery => ("unknown_delivery", S::NOT_FOUND, "No such delivery"),
            Self::MethodNotAllowed => ("method_not_allowed", S::METHOD_NOT_ALLOWED, "Not with this method"),
            Self::RequestTimeout => ("request_timeout", S::REQUEST_TIMEOUT, "The body did not arrive in time"),
            Self::Refused => ("refused", S::CONFLICT, "The change is refused"),
            Self::Held => ("held", S::CONFLICT, "The guard has stopped progress"),
            Self::Frozen => ("frozen", S::CONFLICT, "The environment is frozen"),
            Self::NotConverged => ("not_converged", S::CONFLICT, "Not every router has the last change"),
            Self::Conflict => ("conflict", S::CONFLICT, "Others are changing the same state"),
            Self::NothingToUndo => ("nothing_to_undo", S::CONFLICT, "There is no change to undo"),
            Self::DuplicateOutcome => ("duplicate_outcome", S::CONFLICT, "This was reported before"),
            Self::SideDiffers => ("side_differs", S::CONFLICT, "The job is of the other side"),
            Self::Fenced => ("fenced", S::CONFLICT, "The issue is not this system's at this epoch"),
            Self::IssueBusy => ("issue_busy", S::CONFLICT, "An event of the issue is being sent"),
            Self::NothingWaits => ("nothing_waits", S::CONFLICT, "No event waits for a person"),
            Self::NotReplayable => ("not_replayable", S::CONFLICT, "The delivery is not sent once more"),
            Self::NothingToAsk => ("nothing_to_ask", S::CONFLICT, "The file names no sender to ask"),
            Self::OutcomesFull => ("outcomes_full", S::TOO_MANY_REQUESTS, "Too many jobs were reported today"),
            Self::StaleRevision => ("stale_revision", S::PRECONDITION_FAILED, "The migration has changed since"),
            Self::BodyTooLarge => ("body_too_large", S::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::UnsupportedMediaType => {
                ("unsupported_media_type", S::UNSUPPORTED_MEDIA_TYPE, "The body must be JSON")
            }
            Self::InvalidValue => ("invalid_value", S::UNPROCESSABLE_ENTITY, "A value is impossible"),
            Self::TooManyAttempts => ("too_many_attempts", S::TOO_MANY_REQUESTS, "Too many failed attempts"),
            Self::Internal => ("internal", S::INTERNAL_SERVER_ERROR, "The router made a mistake"),
            Self::StateUnreadable => ("state_unreadable", S::INTERNAL_SERVER_ERROR, "The stored state is unreadable"),
            Self::StoreUnavailable => ("store_unavailable", S::SERVICE_UNAVAILABLE, "The store is unavailable"),
            Self::OutcomeUnknown => ("outcome_unknown", S::GATEWAY_TIMEOUT, "The change may have been made"),
            Self::SenderSilent => ("sender_silent", S::SERVICE_UNAVAILABLE, "The sender wants to hear nothing now"),
            Self::SenderFailed => ("sender_failed", S::BAD_GATEWAY, "The sender could not be asked"),
            Self::TooBusy => ("too_busy", S::SERVICE_UNAVAILABLE, "Too many requests at once"),
            Self::TimedOut => ("timed_out", S::SERVICE_UNAVAILABLE, "The request took too long"),
        }
    }
}

/// One failure, on its way out.
///
/// Boxed, because a handler's `Result` carries it through every step and most steps succeed.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: String,
    members: Map<String, Value>,
    headers: HeaderMap,
}

/// The members of every problem; a code may add its own.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Names the code as a URI.
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    /// What happened and what to do about it.
    detail: String,
    /// Stable; branch on this.
    code: &'static str,
    #[serde(flatten)]
    #[schema(ignore)]
    members: Map<String, Value>,
}

impl Problem {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        let inner = Inner { code, detail: detail.into(), members: Map::new(), headers: HeaderMap::new() };
        Self(Box::new(inner))
    }

    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.members.insert(name.into(), value.into());
        self
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u64) -> Self {
        self.0.headers.insert(RETRY_AFTER, seconds.into());
        self
    }

    pub(crate) fn unauthorized(detail: impl Into<String>) -> Self {
        let mut problem = Self::new(Code::Unauthorized, detail);
        problem.0.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"crossfade\""));
        problem
    }

    pub(crate) const fn code(&self) -> Code {
        self.0.code
    }

    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The problem as JSON, for answers that wrap it.
    pub(crate) fn to_value(&self) -> Value {
        serde_json::to_value(self.body()).unwrap_or_default()
    }

    /// The fields that go with the status, for answers that wrap the problem.
    pub(crate) fn headers(&self) -> HeaderMap {
        self.0.headers.clone()
    }

    fn body(&self) -> ProblemBody {
        let Inner { code, detail, members, headers: _ } = self.0.as_ref();
        ProblemBody {
            kind: format!("urn:crossfade:problem:{}", code.name()),
            title: code.title(),
            status: code.status().as_u16(),
            detail: detail.clone(),
            code: code.name(),
            members: members.clone(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.code().status(), self.headers(), Json(self.body())).into_response();
        response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
        response
    }
}
