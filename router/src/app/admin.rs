//! The admin listener: its socket, its tokens, and what the running data plane tells the admin side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dashboards::auth::{Role, Token};
use dashboards::health::{EndpointHealth, Health, Observed, Readiness, UpstreamHealth};
use flags::MigrationId;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use metrics::observe::Observer;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::app::{Shared, StartError};
use crate::config;

/// Connections to the admin side at once; a dashboard needs a few, a flood needs none.
const CONNECTIONS_MAX: usize = 256;

/// How long a caller of the admin side may take for a request head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener = TcpListener::bind(address).await.map_err(|source| StartError::Bind { address, source })?;
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

/// 256 random bits with a prefix that secret scanners can know.
pub(crate) fn new_token() -> Result<String, StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
    let mut text = String::from("cf_");
    bytes.iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
    Ok(text)
}

/// The tokens of the file; where it names none, one that is made now and answered beside them.
pub(crate) fn tokens(admin: &config::Admin) -> Result<(Option<String>, Vec<Token>), StartError> {
    if admin.tokens.is_empty() {
        let secret = new_token()?;
        let made = Token::of_secret("start", Role::Admin, &secret);
        return Ok((Some(secret), vec![made]));
    }
    let token = |own: &config::Token| Token { name: own.name.clone(), role: role(own.role), sha256: own.sha256 };
    Ok((None, admin.tokens.iter().map(token).collect()))
}

const fn role(own: config::Role) -> Role {
    match own {
        config::Role::Viewer => Role::Viewer,
        config::Role::Reporter => Role::Reporter,
        config::Role::Operator => Role::Operator,
        config::Role::Admin => Role::Admin,
    }
}

/// Sign-in with OpenID Connect as the admin side takes it.
/// The host name of the address under which people reach the admin side.
pub(crate) fn public_host(admin: &config::Admin) -> Option<String> {
    let url: http::Uri = admin.url.as_deref()?.parse().ok()?;
    url.host().map(str::to_owned)
}

#[cfg(feature = "oidc")]
pub(crate) fn oidc(admin: &config::Admin) -> Option<dashboards::oidc::Settings> {
    let (own, url) = (admin.oidc.as_ref()?, admin.url.as_deref()?);
    let secret = own.client_secret.as_ref().map(|held| String::from_utf8_lossy(held.value.bytes()).into_owned());
    Some(dashboards::oidc::Settings {
        issuer: own.issuer.clone(),
        client_id: own.client_id.clone(),
        client_secret: secret,
        label: own.label.clone(),
        url: url.trim_end_matches('/').to_owned(),
        scopes: own.scopes.clone(),
        name_claim: own.name_claim.clone(),
        groups_claim: own.groups_claim.clone(),
        roles: own.roles.iter().map(|(group, of)| (group.clone(), role(*of))).collect(),
        roots: own.authorities.as_ref().map(|own| Arc::clone(&own.roots)),
    })
}

pub(crate) fn gather(observer: Arc<Observer>) -> Arc<dashboards::Gather> {
    Arc::new(move || observer.gather().map_err(Into::into))
}

/// Serves until the task is dropped.
pub(crate) async fn serve(listener: TcpListener, app: axum::Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let io = match listener.accept().await {
            Ok((io, _)) => io,
            Err(error) => {
                tracing::debug!(%error, "cannot accept an admin connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            // A connection that ends badly is its caller's affair.
            let _ = server.serve_connection(TokioIo::new(io), service).await;
            drop(place);
        });
    }
}

/// The data plane as the admin side sees it.
pub(crate) struct Seen(pub(crate) Arc<Shared>);

impl Health for Seen {
    fn readiness(&self) -> Readiness {
        Readiness { listening: true, draining: self.0.draining.is_on() }
    }

    fn upstreams(&self) -> Vec<UpstreamHealth> {
        let newest = self.0.catalog.newest();
        let upstreams = newest.iter().flat_map(|generation| &generation.upstreams);
        let endpoint = |own: &Arc<crate::upstream::EndpointState>| {
            let problem = match (own.is_up(), own.is_ejected(), own.addresses.load().is_empty()) {
                (false, _, _) => Some("its health check fails"),
                (true, true, _) => Some("ejected for a while: it failed too often in a row"),
                (true, false, true) => Some("its host name does not resolve"),
                (true, false, false) => None,
            };
            EndpointHealth { url: own.url.clone(), healthy: problem.is_none(), problem: problem.map(Into::into) }
        };
        upstreams
            .map(|own| UpstreamHealth {
                name: own.settings.name.clone(),
                endpoints: own.endpoints.iter().map(endpoint).collect(),
            })
            .collect()
    }

    fn observed(&self, migration: &MigrationId) -> Option<Observed> {
        let (window, legacy, new) = self.0.observer.observed(migration)?;
        Some(Observed { window_seconds: u32::try_from(window.as_secs()).unwrap_or(u32::MAX), legacy, new })
    }
}
