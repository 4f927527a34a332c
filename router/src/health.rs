//! Looking after endpoints from outside the workers: active checks and names that resolve anew.
//!
//! One task an endpoint and one for names; they write the few atomics of [`EndpointState`] that every worker reads. The
//! tasks belong to one generation of the file and end with it.
//!
//! Not here: passive ejection, which the workers do themselves.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::config;
use crate::upstream::EndpointState;
use crate::worker::Generation;

/// How often names are resolved again, and how often while one does not resolve.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(30);
const UNRESOLVED_INTERVAL: Duration = Duration::from_secs(2);

/// More addresses of one name are not used.
const ADDRESSES_MAX: usize = 64;

/// The body of a check's answer is read up to this size and thrown away.
const CHECK_BODY_BYTES_MAX: usize = 64 * 1024;

/// Resolves every name once, so that the first request does not meet an unknown one.
pub(crate) async fn resolve_all(generation: &Generation) {
    for endpoint in generation.upstreams.iter().flat_map(|upstream| &upstream.endpoints) {
        if is_name(endpoint) {
            resolve(endpoint).await;
        }
    }
}

/// Starts the tasks of a generation; they end when the set is dropped.
pub(crate) fn watch(generation: &Generation) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for upstream in &generation.upstreams {
        for endpoint in &upstream.endpoints {
            if is_name(endpoint) {
                tasks.spawn(keep_resolved(Arc::clone(endpoint)));
            }
            if let Some(check) = &upstream.settings.health {
                tasks.spawn(keep_checked(upstream.settings.name.clone(), Arc::clone(endpoint), check.clone()));
            }
        }
    }
    tasks
}

fn is_name(endpoint: &EndpointState) -> bool {
    endpoint.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_err()
}

async fn keep_resolved(endpoint: Arc<EndpointState>) {
    loop {
        let resolved = !endpoint.addresses.load().is_empty();
        tokio::time::sleep(if resolved { RESOLVE_INTERVAL } else { UNRESOLVED_INTERVAL }).await;
        resolve(&endpoint).await;
    }
}

/// Replaces the addresses. A name that stops resolving keeps those it had: a broken resolver must not stop traffic.
async fn resolve(endpoint: &EndpointState) {
    match tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await {
        Ok(found) => {
            let mut addresses: Vec<SocketAddr> = found.take(ADDRESSES_MAX).collect();
            addresses.sort_unstable();
            addresses.dedup();
            if !addresses.is_empty() && **endpoint.addresses.load() != addresses {
                endpoint.addresses.store(Arc::new(addresses));
            }
        }
        Err(error) if endpoint.addresses.load().is_empty() => {
            tracing::warn!(endpoint = %endpoint.url, %error, "the host name of an endpoint does not resolve; it gets no requests");
        }
        Err(error) => {
            tracing::debug!(endpoint = %endpoint.url, %error, "host name not resolved again; the known addresses stay")
        }
    }
}

async fn keep_checked(upstream: String, endpoint: Arc<EndpointState>, check: config::Health) {
    // Checks of a fleet must not arrive in step.
    let mut wait = check.interval.mul_f64(spread(&endpoint.url));
    let (mut failures, mut successes) = (0_u32, 0_u32);
    loop {
        tokio::time::sleep(wait).await;
        wait = check.interval;
        let result = tokio::time::timeout(check.timeout, ask(&endpoint, &check)).await;
        let problem = match result {
            Ok(Ok(())) => None,
            Ok(Err(problem)) => Some(problem),
            Err(_) => Some(format!("no answer within {:?}", check.timeout)),
        };
        match problem {
            None => (failures, successes) = (0, successes.saturating_add(1)),
            Some(_) => (failures, successes) = (failures.saturating_add(1), 0),
        }
        if endpoint.is_up() && failures >= check.fall {
            let problem = problem.unwrap_or_default();
            tracing::warn!(%upstream, endpoint = %endpoint.url, %problem, failures, "endpoint down: its health check fails");
            endpoint.set_up(false);
        } else if !endpoint.is_up() && successes >= check.rise {
            tracing::info!(%upstream, endpoint = %endpoint.url, "endpoint up: its health check passes");
            endpoint.set_up(true);
        }
    }
}

/// A number in 0..1 that differs between endpoints and stays for each.
fn spread(url: &str) -> f64 {
    let hash = url.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    f64::from(hash) / f64::from(u32::MAX)
}

async fn ask(endpoint: &EndpointState, check: &config::Health) -> Result<(), String> {
    let address = endpoint.addresses.load().first().copied().ok_or("the host name does not resolve")?;
    let io = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(|error| error.to_string())?;
    let request = http::Request::get(&check.path)
        .header("host", format!("{}:{}", endpoint.host, endpoint.port))
        .header("user-agent", "crossfade-health")
        .header("connection", "close")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|error| error.to_string())?;
    let exchange = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let _ = Limited::new(answer.into_body(), CHECK_BODY_BYTES_MAX).collect().await;
        if (200..400).contains(&status.as_u16()) { Ok(()) } else { Err(format!("it answers {status}")) }
    };
    // A connection that ended may have brought the answer with it, so only the exchange says how the check went: where
    // there is none it fails by itself.
    let driver = async {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        result = exchange => result,
        never = driver => match never {},
    }
}

#[cfg(test)]
mod tests {
    use flags::Side;

    use super::*;
    use crate::demo::fault::{Fault, Switch};
    use crate::demo::system::Sample;

    /// Often, because an answer and the end of its connection arrive together and race.
    #[tokio::test]
    async fn a_service_that_answers_and_closes_is_healthy_every_time() {
        let switch = Switch::default();
        let sample = Sample::start(Side::New, switch.clone()).await.unwrap();
        let (host, port) = (sample.address().ip().to_string(), sample.address().port());
        let endpoint = EndpointState::new(&config::Endpoint { url: "http://a".into(), host, port });
        let second = Duration::from_secs(1);
        let check = config::Health { path: "/health".into(), interval: second, timeout: second, fall: 1, rise: 1 };
        for _ in 0..200 {
            assert_eq!(ask(&endpoint, &check).await, Ok(()));
        }
        switch.set(Fault::Refuse);
        assert!(ask(&endpoint, &check).await.is_err());
        switch.set(Fault::None);
        let missing = config::Health { path: "/missing".into(), ..check };
        assert_eq!(ask(&endpoint, &missing).await, Err("it answers 404 Not Found".into()));
    }
}
