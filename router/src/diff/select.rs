//! Which recorded requests are sent, where to, and with which fields.
//!
//! # What is safe
//!
//! A method that is safe by RFC 9110 changes nothing, so it may be asked of both systems. Any other is not sent at all unless somebody says
//! so, and then to new alone: legacy has done it already, when it was recorded. It carries `Crossfade-Mirror: 1`, as every copy of
//! this router's does, and an `Idempotency-Key` that is the same whenever the same recording is sent, so that new can know what it has done.
//!
//! Not here: TRACE and CONNECT. What they mean is between a caller and one server.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sha2::{Digest as _, Sha256};

use super::fold::fold;
use super::recording::{Recorded, Recording};

/// What both systems may be asked.
pub(crate) const SAFE: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];

/// Marks a copy, as the router's own mirror does.
const MIRROR: HeaderName = HeaderName::from_static("crossfade-mirror");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Fields that are of a connection, of what was recorded before, or set anew.
const LEFT_OUT: [HeaderName; 13] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The same, by names that have no constant.
const LEFT_OUT_NAMES: [&str; 3] = ["keep-alive", "proxy-authorization", "proxy-connection"];

/// Parts of names that tell a credential, besides those of the standard.
const CREDENTIALS: [&str; 8] = ["token", "secret", "password", "api-key", "apikey", "auth", "session", "csrf"];

/// What an operator wants sent.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Safe ones.
    pub(crate) methods: Vec<Method>,
    /// Whether the others go to new.
    pub(crate) writes: bool,
    /// Hosts of the recording; empty is that of its first request, `*` is any.
    pub(crate) hosts: Vec<String>,
    /// Whether cookies, tokens and what else identifies a caller are sent as recorded.
    pub(crate) credentials: bool,
    pub(crate) limit: usize,
    /// Sent with each, in place of what was recorded under these names.
    pub(crate) headers: HeaderMap,
}

/// One request as it is sent.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) line: usize,
    /// Method and folded path.
    pub(crate) route: String,
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Changes something, and so goes to new alone.
    pub(crate) write: bool,
}

/// Why a request that could be read is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Skipped {
    NotSafe,
    NotChosen,
    NeverSent,
    OtherHost,
    Upgrade,
    NoBody,
    NotHttp,
    BeyondLimit,
    BeyondMaximum,
}

impl Skipped {
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::NotSafe => "of a method that is not safe (--unsafe sends them to new)",
            Self::NotChosen => "of a method that --methods leaves out",
            Self::NeverSent => "TRACE or CONNECT",
            Self::OtherHost => "of another host (--host)",
            Self::Upgrade => "an upgrade to another protocol",
            Self::NoBody => "the body was not recorded",
            Self::NotHttp => "not by http",
            Self::BeyondLimit => "beyond --limit",
            Self::BeyondMaximum => "beyond the first 100,000",
        }
    }
}

/// What is sent, and how much is not.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) requests: Vec<Selected>,
    pub(crate) skipped: BTreeMap<Skipped, u64>,
}

pub(crate) fn select(recording: Recording, choice: &Choice) -> Selection {
    let mut selection = Selection::default();
    let first = recording.requests.iter().find_map(|request| request.host.clone());
    for (skipped, count) in [(Skipped::NotHttp, recording.not_http), (Skipped::BeyondMaximum, recording.beyond)] {
        if count > 0 {
            selection.skipped.insert(skipped, count);
        }
    }
    for request in recording.requests {
        let skipped = skipped(&request, choice, first.as_deref()).or_else(|| {
            let full = selection.requests.len() >= choice.limit;
            full.then_some(Skipped::BeyondLimit)
        });
        match skipped {
            Some(skipped) => *selection.skipped.entry(skipped).or_insert(0) += 1,
            None => selection.requests.push(made(request, choice)),
        }
    }
    selection
}

fn skipped(request: &Recorded, choice: &Choice, first_host: Option<&str>) -> Option<Skipped> {
    let method = &request.method;
    let of_host = match (&request.host, choice.hosts.as_slice()) {
        (None, _) => true,
        (Some(host), []) => Some(host.as_str()) == first_host,
        (Some(host), chosen) => chosen.iter().any(|name| name == "*" || name.eq_ignore_ascii_case(host)),
    };
    let field = |name: &HeaderName| request.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value);
    let promised = field(&CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0");
    if !of_host {
        return Some(Skipped::OtherHost);
    }
    if *method == Method::TRACE || *method == Method::CONNECT {
        return Some(Skipped::NeverSent);
    }
    if field(&UPGRADE).is_some_and(|value| !value.as_bytes().starts_with(b"h2")) {
        return Some(Skipped::Upgrade);
    }
    if SAFE.contains(method) {
        return (!choice.methods.contains(method)).then_some(Skipped::NotChosen);
    }
    if !choice.writes {
        return Some(Skipped::NotSafe);
    }
    (promised && request.body.is_empty()).then_some(Skipped::NoBody)
}

fn made(request: Recorded, choice: &Choice) -> Selected {
    let write = !SAFE.contains(&request.method);
    let mut headers = fields(&request, choice);
    if write {
        headers.insert(MIRROR, HeaderValue::from_static("1"));
        if !headers.contains_key(IDEMPOTENCY_KEY) {
            headers.insert(IDEMPOTENCY_KEY, key(&request));
        }
    }
    let route = format!("{} {}", request.method, fold(request.target.path()));
    let Recorded { line, method, target, body, .. } = request;
    Selected { line, route, method, target, headers, body, write }
}

fn fields(request: &Recorded, choice: &Choice) -> HeaderMap {
    // What `Connection` names is of that connection.
    let named: Vec<String> = request
        .headers
        .iter()
        .filter(|(name, _)| name == CONNECTION)
        .filter_map(|(_, value)| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        let text = name.as_str();
        let of_connection =
            LEFT_OUT.contains(name) || LEFT_OUT_NAMES.contains(&text) || named.iter().any(|n| n == text);
        let ours = text.starts_with("crossfade-");
        if of_connection || ours || choice.headers.contains_key(name) || (!choice.credentials && is_credential(name)) {
            continue;
        }
        if name == ACCEPT_ENCODING {
            // Only what the comparison can undo.
            let gzip = value.to_str().is_ok_and(|value| value.contains("gzip"));
            if gzip {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
            }
            continue;
        }
        headers.append(name.clone(), value.clone());
    }
    headers.extend(choice.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    headers
}

fn is_credential(name: &HeaderName) -> bool {
    let text = name.as_str();
    name == AUTHORIZATION || name == COOKIE || CREDENTIALS.iter().any(|part| text.contains(part))
}

/// The same for the same request in the same place, and for no other.
fn key(request: &Recorded) -> HeaderValue {
    let mut hash = Sha256::new();
    hash.update((request.line as u64).to_be_bytes());
    for part in [request.method.as_str().as_bytes(), request.target.as_str().as_bytes(), &request.body] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hex: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    // Hexadecimal digits are a value that can be sent.
    HeaderValue::try_from(format!("crossfade-diff-{hex}")).unwrap_or(HeaderValue::from_static("crossfade-diff"))
}

#[cfg(test)]
mod tests;
