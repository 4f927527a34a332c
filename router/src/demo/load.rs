//! The gentle load of the demo: about 20 requests a second of 200 users, through the router.
//!
//! # Why through one pooled client
//!
//! Kept-alive connections show that a changed mode acts on the next request of an open connection,
//! which is what surprises people about other proxies.
//!
//! A slow router slows nothing here: a request that finds `IN_FLIGHT_MAX` others unanswered is not sent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::demo::system::SERVED_BY;

pub const USERS: u64 = 200;
const INTERVAL: Duration = Duration::from_millis(50);
const IN_FLIGHT_MAX: usize = 32;
const PATIENCE: Duration = Duration::from_secs(10);

/// What the callers of the load have seen.
#[derive(Debug, Default)]
pub struct Tally {
    legacy: AtomicU64,
    new: AtomicU64,
    errors: AtomicU64,
}

/// The numbers of a [`Tally`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answers by the side that gave them.
    pub legacy: u64,
    pub new: u64,
    /// Requests answered with 5xx or not at all, whoever was at fault.
    pub errors: u64,
}

impl Tally {
    pub fn counts(&self) -> Counts {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Counts { legacy: read(&self.legacy), new: read(&self.new), errors: read(&self.errors) }
    }
}

/// Sends requests to the router until the task is aborted.
pub async fn run(router: SocketAddr, tally: Arc<Tally>) {
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(IN_FLIGHT_MAX).build_http();
    let mut open = JoinSet::new();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for turn in 0_u64.. {
        ticks.tick().await;
        while open.try_join_next().is_some() {}
        if open.len() >= IN_FLIGHT_MAX {
            continue;
        }
        let Ok(request) = request(router, turn) else { continue };
        let (client, tally) = (client.clone(), tally.clone());
        open.spawn(async move {
            let answered = tokio::time::timeout(PATIENCE, send(&client, request)).await;
            answered.unwrap_or(Seen { side: None, error: true }).count(&tally);
        });
    }
}

/// Mostly one session, at times the list, at times a new one. Every user comes by in ten seconds.
fn request(router: SocketAddr, turn: u64) -> http::Result<Request<Full<Bytes>>> {
    // 77 and 200 have no common divisor, so that the users come in a mixed order and none is left out.
    let user = turn.wrapping_mul(77) % USERS + 1;
    let request = Request::builder().header("x-user-id", format!("user-{user}"));
    match turn % 10 {
        3 => request.uri(format!("http://{router}/api/sessions")).body(Full::default()),
        7 => request
            .method("POST")
            .uri(format!("http://{router}/api/sessions"))
            .header("content-type", "application/json")
            .body(Full::from(format!("{{\"name\":\"Session of user {user}\"}}"))),
        _ => request.uri(format!("http://{router}/api/sessions/{user}")).body(Full::default()),
    }
}

/// What one answer said.
struct Seen {
    side: Option<&'static str>,
    error: bool,
}

impl Seen {
    fn count(&self, tally: &Tally) {
        match self.side {
            Some("legacy") => tally.legacy.fetch_add(1, Ordering::Relaxed),
            Some(_) => tally.new.fetch_add(1, Ordering::Relaxed),
            None => 0,
        };
        tally.errors.fetch_add(u64::from(self.error), Ordering::Relaxed);
    }
}

async fn send(client: &Client<HttpConnector, Full<Bytes>>, request: Request<Full<Bytes>>) -> Seen {
    let Ok(response) = client.request(request).await else { return Seen { side: None, error: true } };
    let served_by = response.headers().get(SERVED_BY).map(|value| value.as_bytes());
    let side = match served_by {
        Some(b"legacy") => Some("legacy"),
        Some(b"new") => Some("new"),
        Some(_) | None => None,
    };
    let failed = response.status().is_server_error();
    // Read to its end, or the connection cannot be used again.
    let broken = response.into_body().collect().await.is_err();
    Seen { side, error: failed || broken }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_user_comes_by_in_ten_seconds() {
        let router = SocketAddr::from(([127, 0, 0, 1], 80));
        let users: HashSet<_> =
            (0..USERS).map(|turn| request(router, turn).unwrap().headers()["x-user-id"].clone()).collect();
        assert_eq!(users.len(), 200);
    }

    #[test]
    fn an_error_of_a_side_counts_for_both() {
        let tally = Tally::default();
        Seen { side: Some("new"), error: true }.count(&tally);
        Seen { side: Some("legacy"), error: false }.count(&tally);
        Seen { side: None, error: true }.count(&tally);
        assert_eq!(tally.counts(), Counts { legacy: 1, new: 1, errors: 2 });
    }
}
