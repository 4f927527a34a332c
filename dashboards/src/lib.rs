//! The operators' side: the admin API, probes, metrics and the dashboard behind one router.
//!
//! # Why a function from state to router
//!
//! [`app`] needs no socket, so every handler is tested as it is served. What the running router
//! knows comes in through [`State`]: the write path, the current snapshot, and two small traits
//! for what only the data plane can tell. Handlers translate and nothing else;
//! [`flags::control`] decides.
//!
//! Not here: listeners and their life (the composition root has them), and TLS.

pub mod auth;
pub mod health;
#[cfg(feature = "oidc")]
pub mod oidc;
pub mod reconcile;

mod api;
mod gate;
mod live;
mod ofrep;
mod probes;
mod problem;
mod session;
mod story;
mod ui;
mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use flags::control::Control;
use flags::watch::Watch;
use metrics::mismatch::Mismatches;
use metrics::observe::Observer;
use metrics::status::Board;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

pub use health::Health;

use crate::problem::{Code, Problem};

/// Renders every metric of this process as Prometheus text.
pub type Gather = dyn Fn() -> Result<String, Box<dyn std::error::Error + Send + Sync>> + Send + Sync;

/// What the admin side needs of the rest of the process.
#[derive(Clone)]
pub struct State {
    pub control: Arc<Control>,
    pub watch: Arc<Watch>,
    pub health: Arc<dyn Health>,
    /// Where outcomes are counted.
    pub observer: Arc<Observer>,
    /// What the guards have found.
    pub board: Arc<Board>,
    /// What answers that were compared have shown.
    pub mismatches: Arc<Mismatches>,
    /// Asks senders for webhooks that never arrived.
    pub reconcile: Arc<dyn reconcile::Reconcile>,
    pub gather: Arc<Gather>,
    /// The name of this router among its replicas.
    pub replica: String,
    /// The fleet's name, as the file gives it.
    pub environment: String,
    /// Who may do what. Empty: nobody may do anything that needs a token.
    pub tokens: Vec<auth::Token>,
    /// Sign-in with OpenID Connect, where the file has it.
    #[cfg(feature = "oidc")]
    pub oidc: Option<oidc::Settings>,
    /// Where the admin side listens. On loopback only loopback's names are answered, and [`State::public_host`].
    pub address: SocketAddr,
    /// The host name by which people reach it through a proxy, where the file says so.
    pub public_host: Option<String>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            control: _,
            watch: _,
            health: _,
            observer: _,
            board: _,
            mismatches: _,
            reconcile: _,
            gather: _,
            replica,
            environment,
            tokens,
            #[cfg(feature = "oidc")]
                oidc: _,
            address,
            public_host,
        } = self;
        f.debug_struct("State")
            .field("replica", replica)
            .field("environment", environment)
            .field("tokens", &tokens.len())
            .field("address", address)
            .field("public_host", public_host)
            .finish_non_exhaustive()
    }
}

/// [`State`] with what the handlers make of it, shared by all of them.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

pub(crate) struct Inner {
    state: State,
    pub(crate) access: auth::Access,
    pub(crate) sessions: session::Sessions,
    pub(crate) live: live::Live,
    #[cfg(feature = "oidc")]
    pub(crate) oidc: Option<oidc::Oidc>,
}

impl Deref for Shared {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Inner {
    /// The label and the address of a sign-in with OpenID Connect, where there is one.
    #[cfg(feature = "oidc")]
    pub(crate) fn oidc(&self) -> Option<(String, &'static str)> {
        self.oidc.as_ref().map(|own| (own.label().to_owned(), oidc::LOGIN))
    }

    /// Not in this build.
    #[cfg(not(feature = "oidc"))]
    #[allow(clippy::unused_self, reason = "the other build asks it")]
    pub(crate) fn oidc(&self) -> Option<(String, &'static str)> {
        None
    }
}

impl Deref for Inner {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

/// Everything the admin listener serves.
pub fn app(state: State) -> Router {
    let served = gate::Served::new(state.address, state.public_host.as_deref());
    let access = auth::Access::new(state.tokens.clone());
    let shared = Shared(Arc::new(Inner {
        access,
        sessions: session::Sessions::default(),
        live: live::Live::default(),
        #[cfg(feature = "oidc")]
        oidc: state.oidc.clone().map(oidc::Oidc::new),
        state,
    }));
    let limited = Router::new()
        .merge(api::router())
        .merge(ofrep::router())
        .merge(story::router())
        .merge(ui::router())
        .merge(oidc_router(&shared))
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(gate::places(), gate::bounded));
    limited
        .merge(probes::router())
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_with_this_method)
        .with_state(shared)
        .layer(from_fn_with_state(served, gate::same_place))
        .layer(CatchPanicLayer::custom(gate::panicked))
        .layer(from_fn(gate::hardened))
}

/// The paths of a sign-in with OpenID Connect, where there is one.
fn oidc_router(
    #[cfg_attr(not(feature = "oidc"), allow(unused, reason = "there is none"))] shared: &Shared,
) -> Router<Shared> {
    #[cfg(feature = "oidc")]
    if shared.oidc.is_some() {
        return oidc::router();
    }
    Router::new()
}

async fn nothing_here() -> Problem {
    Problem::new(Code::NotFound, "there is nothing at this path: GET /api/v1/openapi.json lists the calls of the API")
}

async fn not_with_this_method() -> Problem {
    Problem::new(Code::MethodNotAllowed, "this path takes other methods, which Allow lists")
}
