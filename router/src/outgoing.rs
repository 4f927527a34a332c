//! What calls that leave the router for somebody else's service have in common: TLS, and words for what failed.
//!
//! The dashboards' sign-in has a connector of its own (`oidc/http`), because the two know nothing of each other and the crates that both know make
//! no calls by HTTP. Not here: pools, time-outs and retries, which each caller knows best. Not supported: proxies, HTTP/2.

use std::sync::Arc;

use hyper_rustls::{ConfigBuilderExt as _, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;

use crate::config::notify::Authorities;

pub(crate) use metrics::causes;

/// Connects by http or https. Reads the system's authorities where none are given and some are needed.
pub(crate) fn connector(
    authorities: Option<&Authorities>,
    by_tls: bool,
) -> Result<HttpsConnector<HttpConnector>, String> {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match authorities {
        Some(own) => builder.with_root_certificates(Arc::clone(&own.roots)).with_no_client_auth(),
        None if by_tls => builder
            .with_native_roots()
            .map_err(|error| format!("{error}: install ca-certificates, or name a `ca_file`"))?
            .with_no_client_auth(),
        None => builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth(),
    };
    Ok(HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build())
}
