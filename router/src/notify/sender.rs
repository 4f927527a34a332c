//! One try: a POST by http or https, answered or not within ten seconds.
//!
//! Each takes a connection of its own, because notices are rare and a connection kept for hours is dead when it is needed.
//! Redirects are not followed: what is signed for one address is not for another. Bodies of answers are not read. Not
//! supported: proxies, HTTP/2.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderMap, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;

use super::message::Message;
use super::retry::Undelivered;
use crate::config::notify::Authorities;

/// From the first attempt to connect to the head of the answer.
const TRY_MAX: Duration = Duration::from_secs(10);

/// What speaks to one target.
#[derive(Clone, Debug)]
pub(super) struct Sender(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Sender {
    /// Reads the system's authorities where the target names none and its address asks for them.
    pub(super) fn new(authorities: Option<&Authorities>, by_tls: bool) -> Result<Self, Undelivered> {
        let unsendable = |error: &dyn Error| Undelivered::Unsendable(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unsendable(&error))?;
        let config = match authorities {
            Some(own) => builder.with_root_certificates(Arc::clone(&own.roots)).with_no_client_auth(),
            None if by_tls => builder
                .with_native_roots()
                .map_err(|error| {
                    Undelivered::Unsendable(format!("{error}: install ca-certificates, or name a `ca_file`"))
                })?
                .with_no_client_auth(),
            None => builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth(),
        };
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
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

/// What went wrong below, without the words of the library around it.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = error.source().or(Some(error));
    while let Some(cause) = next {
        let own = cause.to_string();
        if !text.contains(&own) {
            text = if text.is_empty() { own } else { format!("{text}: {own}") };
        }
        next = cause.source();
    }
    text
}
