//! One try of one delivery at one system, and what came of it.
//!
//! The body and the fields go on byte for byte, so that the system can check the signature itself; beside them stands what
//! it needs to tell a repetition and an order that was taken back. Connections are kept. Redirects are not followed, and
//! of an answer only the head is read, with a little of its body so that the connection can be used again. Not supported:
//! TLS to upstreams, HTTP/2.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flags::Side;
use flags::ledger::Claimed;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::classes::{NOT_ACCEPTED, Tried};
use crate::config::issues::SideTarget;
use crate::outgoing::causes;
use crate::upstream::UpstreamState;

/// Idle connections that are kept for each endpoint.
const IDLE_MAX: usize = 128;

/// How long one is kept; shorter than services usually keep theirs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// What of an answer's body is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// What speaks to the systems of one migration.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    client: Client<HttpConnector, Full<Bytes>>,
    turn: Arc<AtomicUsize>,
}

/// What stands beside a delivery.
#[derive(Debug)]
pub(crate) struct Beside<'a> {
    pub(crate) migration: &'a str,
    pub(crate) revision: u64,
    /// The system merely watches: it must change nothing.
    pub(crate) shadow: bool,
}

impl Sender {
    pub(crate) fn new(connect_timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        Self { client, turn: Arc::default() }
    }

    pub(crate) async fn attempt(
        &self,
        upstream: &UpstreamState,
        target: &SideTarget,
        claimed: &Claimed,
        beside: &Beside<'_>,
    ) -> Tried {
        let up = upstream.endpoints.iter().filter(|own| own.is_up() && !own.is_ejected());
        let up: Vec<_> = up.collect();
        let Some(endpoint) = up.get(self.turn.fetch_add(1, Ordering::Relaxed) % up.len().max(1)) else {
            return Tried::NothingSent("no endpoint is available".into());
        };
        let request = match request(&endpoint.url, &target.path, claimed, beside) {
            Ok(request) => request,
            Err(error) => return Tried::NothingSent(error.to_string()),
        };
        match tokio::time::timeout(target.timeout, self.client.request(request)).await {
            Ok(Ok(answer)) => answered(answer).await,
            Ok(Err(error)) if error.is_connect() => Tried::NothingSent(causes(&error)),
            Ok(Err(error)) => Tried::Broken(causes(&error)),
            Err(_) => Tried::TimedOut,
        }
    }
}

async fn answered(answer: Response<Incoming>) -> Tried {
    let status = answer.status().as_u16();
    let declined = answer.headers().get(NOT_ACCEPTED).is_some_and(|value| value.as_bytes() == b"1");
    // Whether its body comes whole is of no matter: the head has said it.
    let reading = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
    let _ = tokio::time::timeout(Duration::from_secs(1), reading).await;
    Tried::Answered { status, declined }
}

fn request(
    endpoint: &str,
    path: &str,
    claimed: &Claimed,
    beside: &Beside<'_>,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let uri: Uri = format!("{}{path}", endpoint.trim_end_matches('/')).parse()?;
    let delivery = &claimed.delivery;
    let mut request = Request::builder().method(Method::POST).uri(uri);
    if let Some(fields) = request.headers_mut() {
        for (name, value) in &delivery.headers {
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else { continue };
            fields.append(name, value);
        }
        fields.remove(CONTENT_LENGTH);
    }
    let side = match claimed.owner {
        Side::Legacy => "legacy",
        Side::New => "new",
    };
    let mut request = request
        .header("Idempotency-Key", delivery.id.as_str())
        .header("Crossfade-Fence", claimed.fence.to_string())
        .header("Crossfade-Issue", header_text(delivery.issue.as_str()))
        .header("Crossfade-Attempt", claimed.attempt)
        .header("Crossfade-Migration", beside.migration)
        .header("Crossfade-Side", side)
        .header("Crossfade-Revision", beside.revision);
    if beside.shadow {
        request = request.header("Crossfade-Shadow", "1");
    }
    request.body(Full::new(Bytes::from(delivery.body.clone())))
}

/// Text that a field can hold: what is not printable ASCII, and `%`, percent-encoded.
fn header_text(text: &str) -> String {
    const ODD: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS.add(b'%').add(b' ');
    percent_encoding::utf8_percent_encode(text, ODD).to_string()
}
