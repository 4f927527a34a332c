//! OpenFeature remote evaluation (OFREP 0.3.0), so that applications ask the router where a key is.
//!
//! # Why here
//!
//! An application that must know "am I the new system for this user" asks through any OpenFeature
//! SDK and gets the answer of the same `decide` that routes traffic. A second implementation of the
//! split would drift from the first.
//!
//! Each migration is four flags: `<id>.system` (string), `<id>.use_new` (boolean), `<id>.mode`
//! (string) and `<id>` (object). The context's `targetingKey` is the sticky key; `method`, `host`,
//! `path`, `ip` and `headers` may stand for the rest of a request.
//!
//! What clients in use need beyond the protocol: `value` and `variant` always, `errorDetails` with
//! every error, whole seconds in `Retry-After`, `{}` and a trailing slash accepted. The ETag is of the evaluated
//! answer, because one of the configuration would hide a change of the context.
//!
//! Not here: `eventStreams` (until there are events to stream) and calls from pages of other origins.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::ETAG;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use flags::decide::Decision;
use flags::migration::OnMissingKey;
use flags::snapshot::{MigrationIndex, Snapshot};
use flags::{MigrationId, Reason, Side};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::Shared;
use crate::api::request::{PathPart, collect, denied, has_copy, identify};
use crate::api::{Hypothetical, decide};
use crate::problem::Problem;

/// Members of a context that are looked at; beyond, somebody sent something else.
const CONTEXT_MEMBERS_MAX: usize = 256;

pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/ofrep/v1/evaluate/flags", post(all))
        .route("/ofrep/v1/evaluate/flags/", post(all))
        .route("/ofrep/v1/evaluate/flags/{key}", post(one))
        .route("/ofrep/v1/evaluate/flags/{key}/", post(one))
}

/// One aspect of a migration as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aspect {
    System,
    UseNew,
    Mode,
    Whole,
}

impl Aspect {
    const ALL: [Self; 4] = [Self::System, Self::UseNew, Self::Mode, Self::Whole];

    const fn suffix(self) -> &'static str {
        match self {
            Self::System => ".system",
            Self::UseNew => ".use_new",
            Self::Mode => ".mode",
            Self::Whole => "",
        }
    }
}

/// Why an evaluation fails, in the protocol's words.
#[derive(Debug)]
struct Failure {
    status: StatusCode,
    code: &'static str,
    details: String,
}

impl Failure {
    fn bad(code: &'static str, details: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, details: details.into() }
    }

    fn answer(self, key: Option<&str>) -> Response {
        let mut body = json!({ "errorCode": self.code, "errorDetails": self.details });
        if let Some(key) = key {
            body["key"] = key.into();
        }
        (self.status, Json(body)).into_response()
    }
}

async fn one(
    State(shared): State<Shared>,
    PathPart(key): PathPart<String>,
    request: Request,
) -> Result<Response, Problem> {
    authorised(&shared, request.headers())?;
    let body = collect(request).await.map_err(also_in_their_words)?;
    let snapshot = shared.watch.current();
    let Some((at, aspect)) = flag(&snapshot, &key) else {
        let shown: String = key.chars().take(80).collect();
        let details = format!(
            "flag \"{}\" does not exist: a migration ID has the flags ID, ID.system, ID.use_new and ID.mode",
            shown.escape_debug()
        );
        return Ok(Failure { status: StatusCode::NOT_FOUND, code: "FLAG_NOT_FOUND", details }.answer(Some(&key)));
    };
    Ok(match context(&body) {
        Ok(request) => Json(Evaluated::new(&snapshot, at, request).flag(aspect)).into_response(),
        Err(failure) => failure.answer(Some(&key)),
    })
}

async fn all(State(shared): State<Shared>, request: Request) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    authorised(&shared, &headers)?;
    let body = collect(request).await.map_err(also_in_their_words)?;
    let request = match context(&body) {
        Ok(request) => request,
        Err(failure) => return Ok(failure.answer(None)),
    };
    let snapshot = shared.watch.current();
    let evaluated = snapshot.iter().map(|(at, ..)| Evaluated::new(&snapshot, at, request.clone()));
    let flags: Vec<Value> = evaluated.flat_map(|evaluated| Aspect::ALL.map(|aspect| evaluated.flag(aspect))).collect();
    let body = json!({ "flags": flags, "metadata": { "revision": snapshot.revision().0 } }).to_string();
    let digest = Sha256::digest(body.as_bytes());
    let tag = format!("\"{}\"", digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>());
    if has_copy(&headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    Ok(([(ETAG.as_str(), tag.as_str()), ("content-type", "application/json")], body).into_response())
}

/// A viewer's token, as a bearer or in the protocol's other field.
fn authorised(shared: &Shared, headers: &HeaderMap) -> Result<(), Problem> {
    let known = match identify(&Method::GET, headers, shared) {
        Ok(_) => Ok(()),
        Err(missing) => match headers.get("x-api-key") {
            Some(secret) => shared.access.recognise(secret.as_bytes().trim_ascii()).map(drop).map_err(denied),
            None => Err(missing),
        },
    };
    known.map_err(also_in_their_words)
}

/// A problem that a client of the protocol understands as well.
fn also_in_their_words(problem: Problem) -> Problem {
    let details = problem.detail().to_owned();
    problem.with("errorCode", "GENERAL").with("errorDetails", details)
}

/// The migration and the aspect that a flag's key names. A whole id wins over an aspect of a shorter one.
fn flag(snapshot: &Snapshot, key: &str) -> Option<(MigrationIndex, Aspect)> {
    let find = |id: &str| MigrationId::new(id).ok().and_then(|id| snapshot.find(&id));
    if let Some(at) = find(key) {
        return Some((at, Aspect::Whole));
    }
    let named = |aspect: &Aspect| *aspect != Aspect::Whole && key.ends_with(aspect.suffix());
    let aspect = Aspect::ALL.into_iter().find(named)?;
    find(key.strip_suffix(aspect.suffix())?).map(|at| (at, aspect))
}

/// The request that a context stands for.
fn context(body: &[u8]) -> Result<Hypothetical, Failure> {
    let body: Value = if body.trim_ascii().is_empty() {
        Value::Object(Map::new())
    } else {
        serde_json::from_slice(body)
            .map_err(|error| Failure::bad("PARSE_ERROR", format!("the body is not JSON: {error}")))?
    };
    let invalid = |details: &str| Failure::bad("INVALID_CONTEXT", details);
    let Value::Object(mut body) = body else { return Err(invalid("the body is an object with a context")) };
    let context = match body.remove("context") {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(context)) => context,
        Some(_) => return Err(invalid("the context is an object")),
    };
    if context.len() > CONTEXT_MEMBERS_MAX {
        return Err(invalid("the context has too many members"));
    }
    let mut request = Hypothetical::default();
    for (name, value) in context {
        match (name.as_str(), value) {
            ("targetingKey", value) => {
                let key = scalar(&value).ok_or_else(|| invalid("targetingKey is a string"))?;
                request.key = Some(key).filter(|key| !key.is_empty());
            }
            ("method", Value::String(method)) => request.method = method,
            ("host", Value::String(host)) => request.host = Some(host),
            ("path", Value::String(path)) if path.starts_with('/') => request.target = Some(path),
            ("ip", Value::String(ip)) => {
                request.ip = ip.parse::<IpAddr>().map_err(|_| invalid("ip is an address such as 192.0.2.7"))?;
            }
            ("headers", Value::Object(headers)) => {
                let fields = headers.into_iter().filter_map(|(name, value)| Some((name, scalar(&value)?)));
                request.headers.extend(fields.map(|(name, value)| (name.to_ascii_lowercase(), value)));
            }
            (name, value) => {
                // The flat spelling of SDKs whose contexts do not nest; the rest is for other tools.
                if let (Some(field), Some(value)) = (name.strip_prefix("headers."), scalar(&value)) {
                    request.headers.push((field.to_ascii_lowercase(), value));
                }
            }
        }
    }
    Ok(request)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string()),
        Value::Number(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// One migration decided for one context, from which all its flags are told.
struct Evaluated<'a> {
    snapshot: &'a Snapshot,
    at: MigrationIndex,
    decision: Decision,
}

impl<'a> Evaluated<'a> {
    fn new(snapshot: &'a Snapshot, at: MigrationIndex, mut request: Hypothetical) -> Self {
        // A path that leads elsewhere has no variables here; the key may come from another source.
        let _ = request.find_route(snapshot, at);
        let (decision, _) = decide(snapshot, at, &request);
        Self { snapshot, at, decision }
    }

    fn flag(&self, aspect: Aspect) -> Value {
        let id = &self.snapshot.migration(self.at).id;
        let side = self.decision.serve.name();
        let mode = self.snapshot.effective_mode(self.at).name();
        let (value, variant, reason) = match aspect {
            Aspect::System => (side.into(), side, self.reason()),
            Aspect::UseNew => ((self.decision.serve == Side::New).into(), side, self.reason()),
            Aspect::Mode => (mode.into(), mode, "STATIC"),
            Aspect::Whole => (self.whole(side, mode), side, self.reason()),
        };
        json!({
            "key": format!("{id}{}", aspect.suffix()),
            "value": value,
            "variant": variant,
            "reason": reason,
            "metadata": {
                "migration": id.as_str(),
                "mode": mode,
                "revision": self.decision.revision.0,
                "why": self.decision.reason.name(),
            },
        })
    }

    fn whole(&self, side: &str, mode: &str) -> Value {
        let share = self.snapshot.placed(self.at).document.share;
        let mut value = json!({
            "system": side,
            "mode": mode,
            "percent": share.percent(),
            "revision": self.decision.revision.0,
        });
        if let Some(mirror) = self.decision.mirror {
            value["mirror"] = mirror.name().into();
        }
        if let Some(bucket) = self.decision.bucket {
            value["bucket"] = bucket.get().into();
        }
        value
    }

    /// The protocol's word for why.
    fn reason(&self) -> &'static str {
        let by_chance = self.snapshot.migration(self.at).on_missing_key == OnMissingKey::Random;
        let share = self.snapshot.placed(self.at).document.share;
        match self.decision.reason {
            Reason::KillFile | Reason::EmergencyRollback | Reason::Mode => "STATIC",
            Reason::Prerequisite | Reason::Pin | Reason::Rule => "TARGETING_MATCH",
            Reason::Percent if share.is_an_end() => "STATIC",
            Reason::Percent => "SPLIT",
            Reason::MissingKey if by_chance => "SPLIT",
            Reason::MissingKey => "STATIC",
        }
    }
}
