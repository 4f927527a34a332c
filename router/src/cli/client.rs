//! Calls the admin API of a running router.
//!
//! # Why so plain
//!
//! One request, one answer, one deadline: a command that changes production must not retry by
//! itself, because it cannot know whether the first attempt was written.
//!
//! Not here: TLS. The admin side is on loopback or behind a tunnel in this version.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH};
use http::{HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::exit::{Exit, Failure};

const CONNECT_MAX: Duration = Duration::from_secs(5);

/// What the router itself may take, beyond what it was asked to wait for others.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// The largest answer that is read.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Where the router is and who asks.
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Router")]
pub(crate) struct Connection {
    /// The address of the admin side.
    #[arg(long, value_name = "URL", env = "CROSSFADE_ADMIN", default_value = "http://127.0.0.1:9900")]
    admin: String,
    /// A token of the admin side; better in the environment than in the list of processes.
    #[arg(long, value_name = "TOKEN", env = "CROSSFADE_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

/// Without the token: arguments are printed when something goes wrong.
impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("admin", &self.admin).field("token", &self.token.is_some()).finish()
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Below `/api/v1`, encoded.
    pub(crate) path: String,
    /// Names and values, not yet encoded.
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    pub(crate) if_revision: Option<u64>,
    /// What the router was asked to wait for others.
    pub(crate) wait: Duration,
}

impl Call {
    pub(crate) fn get(path: impl Into<String>) -> Self {
        let wait = Duration::ZERO;
        Self { method: Method::GET, path: path.into(), query: Vec::new(), body: None, if_revision: None, wait }
    }

    fn path_and_query(&self) -> String {
        let pairs: Vec<String> = self.query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let separator = if pairs.is_empty() { "" } else { "?" };
        format!("/api/v1{}{separator}{}", self.path, pairs.join("&"))
    }
}

/// A text as one segment of a path or one value of a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

impl Connection {
    /// Calls and waits for the answer; a problem of the router becomes a [`Failure`].
    pub(crate) fn call(&self, call: Call) -> Result<Value, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
        let deadline = ANSWER_MAX + call.wait;
        let (status, body) = runtime.block_on(async {
            match tokio::time::timeout(deadline, self.exchange(call)).await {
                Ok(result) => result,
                Err(_) => {
                    let message = format!("{} did not answer within {} s", self.admin, deadline.as_secs());
                    Err(Failure::new(Exit::Unreachable, message))
                }
            }
        })?;
        let value: Option<Value> = serde_json::from_slice(&body).ok();
        match (status, value) {
            (200..=299, Some(value)) => Ok(value),
            (200..=299, None) => {
                Err(Failure::new(Exit::Failure, format!("{} is not the admin side of a router", self.admin)))
            }
            (status, value) => Err(problem(status, value.as_ref())),
        }
    }

    async fn exchange(&self, call: Call) -> Result<(u16, Bytes), Failure> {
        let request = self.request(call)?;
        let mut connector = hyper_util::client::legacy::connect::HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_MAX));
        let client: Client<_, Full<Bytes>> =
            Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build(connector);
        let response = client.request(request).await.map_err(|error| {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), causes);
            let message = format!(
                "the router at {} cannot be reached: {cause} (is it running? --admin or CROSSFADE_ADMIN names another)",
                self.admin
            );
            Failure::new(Exit::Unreachable, message)
        })?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| Failure::new(Exit::Unreachable, format!("the answer broke off: {error}")))?;
        Ok((status, body.to_bytes()))
    }

    fn request(&self, call: Call) -> Result<Request<Full<Bytes>>, Failure> {
        let usage = |message: String| Failure::new(Exit::Usage, message);
        let Some(authority) = self.admin.strip_prefix("http://") else {
            return Err(usage(format!("{} is not the address of an admin side: write http://HOST:PORT", self.admin)));
        };
        let uri = format!("http://{}{}", authority.trim_end_matches('/'), call.path_and_query());
        let uri: Uri = uri.parse().map_err(|_| {
            usage(format!("{} is not the address of an admin side: write http://HOST:PORT", self.admin))
        })?;
        let mut request = Request::builder().method(call.method).uri(uri).header(ACCEPT, "application/json");
        if let Some(token) = self.token.as_deref().filter(|token| !token.trim().is_empty()) {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
                .map_err(|_| usage("the token holds characters that no token has".into()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(revision) = call.if_revision {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        let body = call.body.map_or_else(Bytes::new, |body| body.to_string().into());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        Ok(request.body(Full::new(body)).context("the request cannot be built")?)
    }
}

fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// The failure for a problem that the router answered.
fn problem(status: u16, body: Option<&Value>) -> Failure {
    let member = |name: &str| body.and_then(|body| body.get(name)).and_then(Value::as_str);
    let code = member("code").unwrap_or("unknown");
    let mut text = member("detail").or_else(|| member("title")).unwrap_or("the router gave no reason").to_owned();
    if let Some(failed) = body.and_then(|body| body.get("failed")).and_then(Value::as_array) {
        for entry in failed {
            let name = entry["migration"].as_str().unwrap_or("?");
            let detail = entry["problem"]["detail"].as_str().unwrap_or("?");
            text.push_str(&format!("\n  {name}: {detail}"));
        }
    }
    if status == 401 {
        text.push_str(" (--token or CROSSFADE_TOKEN; the router prints one at start when its file has none)");
    }
    Failure::new(Exit::of_problem(status, code), format!("{text} [{status} {code}]"))
}
