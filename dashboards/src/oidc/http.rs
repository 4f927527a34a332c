//! What is asked of a provider: one HTTP exchange, bounded in time and size.
//!
//! Redirects are not followed: an answer that leads elsewhere would have this router ask whatever it names. For the same reason
//! every address, also one that a provider names in its metadata, must be https, or http on loopback where the issuer itself is
//! there. Not supported: proxies, HTTP/2, client certificates.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
pub(super) use metrics::causes;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

/// From the first attempt to connect to the last byte of the answer.
const EXCHANGE_MAX: Duration = Duration::from_secs(8);

/// Metadata, key sets and tokens of real providers have some dozen kilobytes.
const ANSWER_BYTES_MAX: usize = 512 << 10;

/// Why there is no answer.
#[derive(Clone, Debug, Error)]
pub(super) enum Unanswered {
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    #[error("{0} is not asked: only https is, or http on loopback where the issuer is there")]
    Unsafe(String),
    #[error("{host} cannot be reached: {cause}")]
    Unreachable { host: String, cause: String },
    #[error("{host} did not answer within {} s", EXCHANGE_MAX.as_secs())]
    TimedOut { host: String },
    #[error("the answer of {host} is larger than {} KiB", ANSWER_BYTES_MAX >> 10)]
    TooLarge { host: String },
}

/// Speaks to one provider.
#[derive(Debug)]
pub(super) struct Fetch {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Whether the issuer is on loopback without TLS.
    in_the_clear: bool,
}

impl Fetch {
    /// Reads the system's authorities where none are given and the issuer asks for TLS.
    pub(super) fn new(issuer: &str, roots: Option<&Arc<RootCertStore>>) -> Result<Self, Unanswered> {
        let tls = |error: &dyn Error| Unanswered::Tls(error.to_string());
        let in_the_clear = issuer.parse().is_ok_and(|uri: Uri| is_loopback(&uri) && uri.scheme_str() == Some("http"));
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| tls(&error))?;
        let config = match roots {
            Some(roots) => builder.with_root_certificates(Arc::clone(roots)),
            None if in_the_clear => builder.with_root_certificates(RootCertStore::empty()),
            None => builder
                .with_native_roots()
                .map_err(|error| Unanswered::Tls(format!("{error}: install ca-certificates, or name a `ca_file`")))?,
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config.with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .build();
        // Connections are not kept: people sign in rarely, and one that is kept is dead when it is needed.
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .retry_canceled_requests(false)
            .build(connector);
        Ok(Self { client, in_the_clear })
    }

    /// Whether an address may be asked, or a browser be sent there.
    pub(super) fn is_safe(&self, uri: &Uri) -> bool {
        match uri.scheme_str() {
            Some("https") => true,
            Some("http") => self.in_the_clear && is_loopback(uri),
            Some(_) | None => false,
        }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Unanswered> {
        let uri = request.uri();
        let host = uri.authority().map(ToString::to_string).unwrap_or_default();
        if !self.is_safe(uri) {
            return Err(Unanswered::Unsafe(host));
        }
        match tokio::time::timeout(EXCHANGE_MAX, self.whole(request, &host)).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(Unanswered::TimedOut { host }),
        }
    }

    async fn whole(&self, request: HttpRequest, host: &str) -> Result<HttpResponse, Unanswered> {
        let host = || host.to_owned();
        let unreachable =
            |error: &(dyn Error + 'static)| Unanswered::Unreachable { host: host(), cause: causes(error) };
        let (head, body) = request.into_parts();
        let request = hyper::Request::from_parts(head, Full::new(Bytes::from(body)));
        let (head, body) = self.client.request(request).await.map_err(|error| unreachable(&error))?.into_parts();
        match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
            Ok(body) => Ok(HttpResponse::from_parts(head, body.to_bytes().to_vec())),
            Err(error) if error.is::<LengthLimitError>() => Err(Unanswered::TooLarge { host: host() }),
            Err(error) => Err(unreachable(error.as_ref())),
        }
    }
}

impl<'c> AsyncHttpClient<'c> for Fetch {
    type Error = Unanswered;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Unanswered>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.exchange(request))
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(issuer: &str, address: &str, expected: bool) {
        let fetch = Fetch::new(issuer, Some(&Arc::new(RootCertStore::empty()))).unwrap();
        assert_eq!(fetch.is_safe(&address.parse().unwrap()), expected, "{address} of {issuer}");
    }

    #[test]
    fn nothing_goes_in_the_clear_beyond_loopback() {
        check("https://login.example.com", "https://keys.example.com/jwks", true);
        check("https://login.example.com", "http://127.0.0.1/jwks", false);
        check("https://login.example.com", "http://login.example.com/jwks", false);
        check("http://127.0.0.1:9000", "http://127.0.0.1:9001/jwks", true);
        check("http://[::1]:9000", "http://localhost:9001/jwks", true);
        check("http://localhost:9000", "http://10.0.0.7/jwks", false);
        check("http://10.0.0.7:9000", "http://10.0.0.7:9000/jwks", false);
        check("http://localhost:9000", "/jwks", false);
    }

    #[tokio::test]
    async fn an_address_in_the_clear_is_not_asked() {
        let fetch = Fetch::new("https://login.example.com", Some(&Arc::new(RootCertStore::empty()))).unwrap();
        let request = axum::http::Request::get("http://127.0.0.1:1/").body(Vec::new()).unwrap();
        assert!(matches!(fetch.call(request).await, Err(Unanswered::Unsafe(_))));
    }
}
