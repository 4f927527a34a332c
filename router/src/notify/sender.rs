//! One try: a POST by http or https, answered or not within ten seconds.
//!
//! Each takes a connection of its own, because notices are rare and a connection kept for hours is dead when it is needed.
//! Redirects are not followed: what is signed for one address is not for another. Bodies of answers are not read. Not
//! supported: proxies, HTTP/2.

use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;

use super::message::Message;
use super::retry::Undelivered;
use crate::config::notify::Authorities;
use crate::outgoing::{causes, connector};

/// From the first attempt to connect to the head of the answer.
const TRY_MAX: Duration = Duration::from_secs(10);

/// What speaks to one target.
#[derive(Clone, Debug)]
pub(super) struct Sender(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Sender {
    /// Reads the system's authorities where the target names none and its address asks for them.
    pub(super) fn new(authorities: Option<&Authorities>, by_tls: bool) -> Result<Self, Undelivered> {
        let connector = connector(authorities, by_tls).map_err(Undelivered::Unsendable)?;
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build(connector);
        Ok(Self(client))
    }

    pub(super) async fn send(&self, message: &Message) -> Result<(), Undelivered> {
        let request = message.request(Timestamp::now()).map_err(|error| Undelivered::Unsendable(error.to_string()))?;
        match tokio::time::timeout(TRY_MAX, self.0.request(request)).await {
            Ok(Ok(answer)) => judged(&answer),
            Ok(Err(error)) => Err(Undelivered::Unreachable(causes(&error))),
            Err(_) => Err(Undelivered::TimedOut(TRY_MAX)),
        }
    }
}

fn judged(answer: &Response<Incoming>) -> Result<(), Undelivered> {
    if answer.status().is_success() {
        return Ok(());
    }
    let (status, retry_after) = (answer.status().as_u16(), retry_after(answer.headers()));
    Err(Undelivered::Answered { status, retry_after })
}

/// In seconds; the form with a date is not read, and the usual pause holds.
fn retry_after(fields: &HeaderMap) -> Option<Duration> {
    fields.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
