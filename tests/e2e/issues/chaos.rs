//! Everything fails at once, and no event is lost, done by two, or out of order.
//!
//! Bounded for every run; for a long one: `CROSSFADE_ISSUES_EVENTS=100000 CROSSFADE_ISSUES_ISSUES=5000
//! CROSSFADE_ISSUES_ROUTERS=3`, and with `CROSSFADE_ISSUES_SENTINEL=1` a replica takes over from the primary once.
//!
//! A sender sends the next event of an issue when the last one was answered with success, and the same one again when it was not, as GitHub's redelivery does. The events of one issue come by one router: while the store is
//! away each router keeps the order of its own journal, and nobody knows that of two.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use harness::fleet::Sentinels;
use harness::{Client, RedisServer, Router, Setup};

use super::PATH;
use super::agents::{Agent, Log};
use super::hook::{Hook, SECRET};

fn size(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// How long until everything has arrived; the back-off after a claim that a dead router held is most of it.
fn patience(events: usize) -> Duration {
    Duration::from_secs(90) + Duration::from_millis(10 * events as u64)
}

/// Sends the events of one issue in order, each until a router has taken it.
async fn send(number: u64, events: usize, routers: Arc<Vec<AtomicPort>>, taken: Arc<AtomicUsize>) -> Vec<String> {
    let mut sent = Vec::new();
    let router = usize::try_from(number).unwrap_or(0) % routers.len();
    for event in 0..events {
        let action = if event == 0 { "opened" } else { "edited" };
        let delivery = format!("d-{number}-{event}");
        let request = Hook::new(&delivery, action, number).request();
        loop {
            let address = routers[router].get();
            let asked = tokio::time::timeout(Duration::from_secs(5), ask(address, &request)).await;
            if matches!(asked, Ok(Some(200 | 202))) {
                break;
            }
            tokio::task::yield_now().await;
        }
        taken.fetch_add(1, Ordering::SeqCst);
        sent.push(delivery);
    }
    sent
}

async fn ask(address: std::net::SocketAddr, request: &[u8]) -> Option<u16> {
    let mut client = Client::try_connect(address).await.ok()?;
    if !client.try_send(request).await {
        return None;
    }
    client.answer_or_end("POST").await.map(|answer| answer.status())
}

/// Where a router listens, which changes when it is started again.
#[derive(Debug)]
struct AtomicPort(AtomicU16);

impl AtomicPort {
    fn get(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.0.load(Ordering::SeqCst)).into()
    }
}

/// The store of all routers: one server, or with `CROSSFADE_ISSUES_SENTINEL=1` one with a replica that takes over.
struct Stores {
    redis: RedisServer,
    sentinels: Option<Sentinels>,
}

impl Stores {
    async fn start() -> Option<Self> {
        let redis = RedisServer::start().await?;
        let sentinels = match size("CROSSFADE_ISSUES_SENTINEL", 0) {
            0 => None,
            _ => Some(Sentinels::start(&redis).await?),
        };
        Some(Self { redis, sentinels })
    }

    fn url(&self) -> String {
        self.sentinels.as_ref().map_or_else(|| self.redis.url(), Sentinels::url)
    }

    /// A crash of the only server, or the only fail-over; after it the first server is dead.
    async fn fail(&mut self) {
        self.redis.kill().await;
        match &self.sentinels {
            None => self.redis.restart().await,
            Some(sentinels) => sentinels.replica_is_primary().await,
        }
    }
}

fn file(agents: &[Agent; 2], stores: &Stores) -> Setup {
    let route = format!(
        "- path: {PATH}\n  issues: {{migration: shop, secret: \"{SECRET}\", rollback_after: 0, legacy: {{timeout: 2s}}, new: {{timeout: 2s}}}}"
    );
    Setup::new(agents[0].address, agents[1].address)
        .with_migration("key: json:/issue/number\nhash: modulo")
        .with_routes(&route)
        .with_redis(&stores.url())
}

/// Kills in turn, until everything was taken: a router, a system, the store.
async fn havoc(
    routers: &mut Vec<Router>,
    ports: &[AtomicPort],
    agents: &mut [Agent; 2],
    stores: &mut Stores,
    taken: &AtomicUsize,
    events: usize,
) {
    let deadline = Instant::now() + patience(events);
    let mut round = 0;
    while taken.load(Ordering::SeqCst) < events && Instant::now() < deadline {
        // Each time another part of what is to be taken has been.
        let goal = (events * (round + 1) / 8).min(events);
        while taken.load(Ordering::SeqCst) < goal && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        match round % 4 {
            0 => {
                let at = (round / 4) % routers.len();
                let mut victim = routers.remove(at);
                victim.kill().await;
                let again = victim.start_again().await;
                ports[at].0.store(again.data.port(), Ordering::SeqCst);
                routers.insert(at, again);
            }
            1 => agents[1].kill_and_start().await,
            // There is only one replica to take over.
            2 if stores.sentinels.is_none() || stores.redis.runs() => stores.fail().await,
            2 => {}
            _ => agents[0].kill_and_start().await,
        }
        round += 1;
    }
}

#[tokio::test]
async fn nothing_is_lost_done_by_two_or_out_of_order_whatever_dies() {
    let Some(mut stores) = Stores::start().await else { return };
    let (events, issues) = (size("CROSSFADE_ISSUES_EVENTS", 2_000), size("CROSSFADE_ISSUES_ISSUES", 100));
    let log = Log::new();
    let mut agents = [Agent::start("legacy", &log).await, Agent::start("new", &log).await];
    let setup = file(&agents, &stores);
    let mut routers = Vec::new();
    for _ in 0..size("CROSSFADE_ISSUES_ROUTERS", 2) {
        routers.push(setup.clone().start().await);
    }
    routers[0].rollout(50.0).await;
    routers[0].mode("gradual").await;
    let ports: Arc<Vec<AtomicPort>> = Arc::new(routers.iter().map(|own| AtomicPort(own.data.port().into())).collect());
    let taken = Arc::new(AtomicUsize::new(0));
    let senders: Vec<_> = (1..=issues as u64)
        .map(|number| {
            let (ports, taken) = (Arc::clone(&ports), Arc::clone(&taken));
            (number, tokio::spawn(send(number, events / issues, ports, taken)))
        })
        .collect();
    let all = events / issues * issues;
    havoc(&mut routers, &ports, &mut agents, &mut stores, &taken, all).await;
    let mut sent = BTreeMap::new();
    for (number, sender) in senders {
        let ids = tokio::time::timeout(patience(events), sender).await.expect("everything is taken").unwrap();
        sent.insert(format!("octo-org/hello-world#{number}"), ids);
    }
    let begun = Instant::now();
    let deadline = begun + patience(events);
    while log.done() < all && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let broken = log.broken(&sent);
    let told: String = broken.iter().take(20).map(|line| format!("{line}\n")).collect();
    assert!(broken.is_empty(), "{} promises broken, of {} events:\n{told}", broken.len(), log.done());
    let sides: std::collections::BTreeSet<&str> = log.all().iter().map(|one| one.side).collect();
    assert_eq!(sides.len(), 2, "both systems had work");
    println!(
        "{all} events of {issues} issues, {} deliveries: nothing lost, done by two or out of order",
        log.all().len()
    );
}
