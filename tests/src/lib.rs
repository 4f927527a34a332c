//! What the end-to-end tests stand on: a real router, backends that misbehave, a raw client, a real Redis.
//!
//! # Why real processes and raw bytes
//!
//! The promises of a proxy are about bytes on sockets, signals and files. So the router under test is
//! the binary that ships, started on free ports in a directory of its own, and both ends of it are
//! plain TCP: a library at either end would hide what it repairs.
//!
//! Everything here waits for a condition with a deadline ([`wait_until`]) and ends what it started when
//! it is dropped. A broken expectation panics: in a test that is the failure.
//!
//! Not here: assertions about a feature (they are in `e2e/`), HTTP/2 and TLS.

pub mod backend;
pub mod bomb;
pub mod checker;
pub mod client;
pub mod fleet;
pub mod golden;
pub mod history;
pub mod http;
pub mod load;
pub mod operator;
pub mod origins;
pub mod plan;
pub mod ports;
pub mod redis_server;
pub mod router;
pub mod setup;
pub mod tap;
pub mod tcp_proxy;

pub use backend::{Backend, Seen, Step};
pub use client::Client;
pub use fleet::Fleet;
pub use http::Answer;
pub use origins::Origin;
pub use redis_server::RedisServer;
pub use router::Router;
pub use setup::Setup;
pub use tap::Tap;
pub use tcp_proxy::{Fault, Flow, TcpProxy};

use std::future::Future;
use std::time::Duration;

/// How long anything may take before a test gives up. Generous, because it only costs time when
/// something is broken.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `condition` gives a value, and gives it back.
///
/// # Panics
///
/// After [`DEADLINE`], naming `what`.
pub async fn wait_for<T, F: Future<Output = Option<T>>>(what: &str, mut condition: impl FnMut() -> F) -> T {
    let waiting = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    match tokio::time::timeout(DEADLINE, waiting).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} for this: {what}"),
    }
}

/// Waits until `condition` holds.
///
/// # Panics
///
/// After [`DEADLINE`], naming `what`.
pub async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    wait_for(what, || std::future::ready(condition().then_some(()))).await;
}

/// Runs `step` to its end within [`DEADLINE`].
///
/// # Panics
///
/// After the deadline, naming `what`.
pub async fn within<T>(what: &str, step: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, step).await {
        Ok(value) => value,
        Err(_) => panic!("this took more than {DEADLINE:?}: {what}"),
    }
}
