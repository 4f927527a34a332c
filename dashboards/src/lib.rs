//! The operators' side: the admin API, probes, metrics and the status page behind one router.
//!
//! # Why a function from state to router
//!
//! [`app`] needs no socket, so every handler is tested as it is served. What the running router
//! knows comes in through [`State`]: the write path, the current snapshot, and two small traits
//! for what only the data plane can tell. Handlers translate and nothing else;
//! [`flags::control`] decides.
//!
//! Not here: listeners and their life (the composition root has them), TLS, and cookies.

pub mod auth;
pub mod health;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;

pub use health::Health;

/// Renders every metric of this process as Prometheus text.
pub type Gather = dyn Fn() -> Result<String, Box<dyn std::error::Error + Send + Sync>> + Send + Sync;

/// What the admin side needs of the rest of the process.
#[derive(Clone)]
pub struct State {
    pub health: Arc<dyn Health>,
    pub gather: Arc<Gather>,
    /// The name of this router among its replicas.
    pub replica: String,
    /// The fleet's name, as the file gives it.
    pub environment: String,
    /// Who may do what. Empty: nobody may do anything that needs a token.
    pub tokens: Vec<auth::Token>,
    /// Where the admin side listens. On loopback only loopback's names are answered.
    pub address: SocketAddr,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { health: _, gather: _, replica, environment, tokens, address } = self;
        f.debug_struct("State")
            .field("replica", replica)
            .field("environment", environment)
            .field("tokens", &tokens.len())
            .field("address", address)
            .finish_non_exhaustive()
    }
}

/// Everything the admin listener serves.
pub fn app(state: State) -> Router {
    let _ = state;
    Router::new()
}
