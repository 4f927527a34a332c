//! What handlers take from a request: who asks, the body, the conditions.
//!
//! Each extractor refuses with a [`Problem`] of its own, so that a handler starts with values that
//! are usable as they stand. Who asks is judged first, before a byte of the body is read.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use flags::Revision;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::Shared;
use crate::auth::{Denied, Role};
use crate::problem::{Code, Problem};
use crate::session::{Session, has_cookie, is_of_this_origin};

/// The largest body of a change.
pub(crate) const BODY_BYTES_MAX: usize = 64 * 1024;

/// From the head of a request to the last byte of its body.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// Entity tags that are looked at in one field.
const TAGS_MAX: usize = 16;

/// Somebody with at least the role; holds their name.
#[derive(Debug)]
pub(crate) struct Holder<const ROLE: u8>(pub(crate) String);

pub(crate) type Viewer = Holder<{ Role::Viewer as u8 }>;
pub(crate) type Reporter = Holder<{ Role::Reporter as u8 }>;
pub(crate) type Operator = Holder<{ Role::Operator as u8 }>;
pub(crate) type Admin = Holder<{ Role::Admin as u8 }>;

impl<const ROLE: u8> FromRequestParts<Shared> for Holder<ROLE> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let identity = identify(&parts.method, &parts.headers, shared)?;
        if identity.role as u8 >= ROLE {
            return Ok(Self(identity.name));
        }
        let needed = Role::ALL.into_iter().find(|role| *role as u8 == ROLE).unwrap_or(Role::Admin);
        let name = identity.name.escape_debug();
        let detail = format!("\"{name}\" is a {}, this needs the role {needed}", identity.role);
        Err(Problem::new(Code::Forbidden, detail).with("needed_role", needed.name()))
    }
}

/// Whom a request is from.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The token's name, or who signed in.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Absent where a token came with the request.
    pub(crate) session: Option<Session>,
}

impl Identity {
    pub(crate) fn of(session: Session) -> Self {
        Self { name: session.name.clone(), role: session.role, session: Some(session) }
    }
}

impl FromRequestParts<Shared> for Identity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        identify(&parts.method, &parts.headers, shared)
    }
}

/// By the token that a request shows, or else by its session.
pub(crate) fn identify(method: &Method, headers: &HeaderMap, shared: &Shared) -> Result<Identity, Problem> {
    let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    if shown.is_none()
        && let Some(session) = shared.sessions.of(headers, Timestamp::now())
    {
        if !matches!(*method, Method::GET | Method::HEAD) && !is_of_this_origin(headers) {
            let detail = "a session changes things only from the dashboard itself: send a token as Authorization: Bearer TOKEN from anywhere else";
            return Err(Problem::new(Code::CrossSite, detail));
        }
        return Ok(Identity::of(session));
    }
    let had_session = shown.is_none() && has_cookie(headers);
    let token = shared.access.identify(shown).map_err(|why| if had_session { over() } else { denied(why) })?;
    Ok(Identity { name: token.name.clone(), role: token.role, session: None })
}

fn over() -> Problem {
    Problem::unauthorized("the session is over or was revoked, or this router was restarted: sign in again")
}

pub(crate) fn denied(denied: Denied) -> Problem {
    match denied {
        Denied::Missing => Problem::unauthorized("send a token of the file as Authorization: Bearer TOKEN"),
        Denied::Unknown => Problem::unauthorized(
            "the token is not one of this router's: make one with `crossfade token create` and add it to the file",
        ),
        Denied::TooMany { retry_after_seconds } => {
            let detail = format!(
                "too many unknown tokens were tried: wait {retry_after_seconds} s. A right token always passes"
            );
            Problem::new(Code::TooManyAttempts, detail).retry_after(retry_after_seconds)
        }
    }
}

/// A JSON body of at most [`BODY_BYTES_MAX`], refused for what it should not hold.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Shared> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Shared) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            let detail = "send the body as JSON, with Content-Type: application/json";
            return Err(Problem::new(Code::UnsupportedMediaType, detail));
        }
        let bytes = collect(request).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let what = if bytes.is_empty() { "the body is empty".into() } else { error.to_string() };
            let detail = format!(
                "{}: send a JSON object with the members of this call, see /api/v1/openapi.json",
                what.escape_debug()
            );
            Problem::new(Code::InvalidJson, detail)
        })
    }
}

/// Whether there is a body at all, for calls that can do without.
pub(crate) fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_TYPE) || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

/// The whole body, when it is small enough and comes in time.
pub(crate) async fn collect(request: Request) -> Result<Vec<u8>, Problem> {
    let too_large = || {
        let detail = format!("a body of this API has at most {BODY_BYTES_MAX} bytes");
        Problem::new(Code::BodyTooLarge, detail)
    };
    let length = request.headers().get(CONTENT_LENGTH);
    let announced = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_TIME_MAX, body).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_broken)) => Err(Problem::new(Code::InvalidJson, "the body ended before its announced length")),
        Err(_elapsed) => {
            let detail = format!("send the whole body within {} s", BODY_TIME_MAX.as_secs());
            Err(Problem::new(Code::RequestTimeout, detail))
        }
    }
}

/// `application/json` and anything `+json`, with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Query parameters, refused for names that nothing reads.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Shared> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri).map(|Query(params)| Self(params)).map_err(|error| {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Problem::new(Code::BadQuery, format!("the query is not understood: {}", cause.escape_debug()))
        })
    }
}

/// A part of the path, percent-decoded.
#[derive(Debug)]
pub(crate) struct PathPart<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for PathPart<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let decoded = axum::extract::Path::<T>::from_request_parts(parts, shared).await;
        decoded
            .map(|axum::extract::Path(part)| Self(part))
            .map_err(|_undecodable| Problem::new(Code::NotFound, "the path is not UTF-8 after percent-decoding"))
    }
}

/// What `If-Match` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IfMatch {
    Anything,
    /// One of these; empty where only tags were sent that no document can have.
    Revisions(Vec<Revision>),
}

impl FromRequestParts<Shared> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Problem> {
        if_match(&parts.headers)
    }
}

fn if_match(headers: &HeaderMap) -> Result<IfMatch, Problem> {
    let mut tags = Vec::new();
    for value in headers.get_all(IF_MATCH) {
        let text = value.to_str().unwrap_or_default();
        for tag in text.split(',').map(str::trim) {
            if tag == "*" {
                return Ok(IfMatch::Anything);
            }
            tags.push(tag);
        }
    }
    if tags.is_empty() {
        return Ok(IfMatch::Anything);
    }
    let quoted = |tag: &&str| {
        tag.trim_start_matches("W/").len() >= 2 && tag.trim_start_matches("W/").starts_with('"') && tag.ends_with('"')
    };
    if tags.len() > TAGS_MAX || !tags.iter().all(quoted) {
        let detail = "send If-Match as the quoted ETag of a GET, for example If-Match: \"42\"";
        return Err(Problem::new(Code::BadIfMatch, detail));
    }
    Ok(IfMatch::Revisions(tags.into_iter().filter_map(revision_of_tag).collect()))
}

/// The revision of a strong tag; weak ones never match a change (RFC 9110 section 13.1.1).
fn revision_of_tag(tag: &str) -> Option<Revision> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    digits.parse().ok().map(Revision)
}

/// Whether the client's copy is of this revision (weak comparison, RFC 9110 section 13.1.2).
pub(crate) fn has_copy(headers: &HeaderMap, tag: &str) -> bool {
    let same = |own: &str| {
        let own = own.trim();
        own == "*" || own.strip_prefix("W/").unwrap_or(own) == tag
    };
    let fields = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|text| text.split(',').take(TAGS_MAX)).any(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<&IfMatch>) {
        let headers = HeaderMap::from_iter([(IF_MATCH, value.parse().unwrap())]);
        assert_eq!(if_match(&headers).ok().as_ref(), expected, "{value:?}");
    }

    #[test]
    fn a_condition_names_revisions_in_quotes() {
        let revisions = |numbers: &[u64]| IfMatch::Revisions(numbers.iter().copied().map(Revision).collect());
        check("\"42\"", Some(&revisions(&[42])));
        check("\"41\", \"42\"", Some(&revisions(&[41, 42])));
        check("*", Some(&IfMatch::Anything));
        check("W/\"42\"", Some(&revisions(&[])));
        check("\"x\"", Some(&revisions(&[])));
        for value in ["42", "\"42", "\"42\",", "W/42", "\"", &["\"1\""; 17].join(",")] {
            check(value, None);
        }
        assert_eq!(if_match(&HeaderMap::new()).ok(), Some(IfMatch::Anything));
    }

    #[test]
    fn a_copy_is_compared_weakly() {
        for (value, expected) in [
            ("\"42\"", true),
            ("W/\"42\"", true),
            ("\"1\", \"42\"", true),
            ("*", true),
            ("\"4\"", false),
            ("42", false),
        ] {
            let headers = HeaderMap::from_iter([(IF_NONE_MATCH, value.parse().unwrap())]);
            assert_eq!(has_copy(&headers, "\"42\""), expected, "{value:?}");
        }
    }

    #[test]
    fn json_has_many_names() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("text/json", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(is_json(&headers), expected, "{value:?}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
