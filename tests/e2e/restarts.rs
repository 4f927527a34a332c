//! Restarts by overlap and reloads under load: nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use harness::{Client, RedisServer, Setup, wait_until};
use tokio::task::JoinSet;

use crate::world::World;

/// Callers of each kind, at the same time.
const CALLERS: usize = 4;

/// What happens under load: each fourth time a restart.
const EVENTS: usize = 13;

/// Requests of each kind that are certainly made between two events.
const REQUESTS_PER_EVENT: usize = 200;

/// What callers met so far.
#[derive(Debug, Default)]
struct Met {
    fresh: AtomicUsize,
    kept_alive: AtomicUsize,
    failed: AtomicUsize,
    stop: AtomicBool,
}

impl Met {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    /// Counts an answer; none or another one than legacy's is a failure.
    fn count(&self, of: &AtomicUsize, answer: Option<&harness::Answer>) {
        let served = answer.is_some_and(|answer| answer.status() == 200 && answer.text() == "legacy");
        self.failed.fetch_add(usize::from(!served), Ordering::SeqCst);
        of.fetch_add(1, Ordering::SeqCst);
    }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Callers that take a new connection for each request, and callers that keep theirs until they are asked to close.
fn load(data: std::net::SocketAddr, met: &Arc<Met>) -> JoinSet<()> {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let own = Arc::clone(met);
        callers.spawn(async move {
            while own.goes_on() {
                let mut client = Client::connect(data).await;
                client.send(GET).await;
                own.count(&own.fresh, client.answer_or_end("GET").await.as_ref());
            }
        });
        let own = Arc::clone(met);
        callers.spawn(async move {
            let mut client = Client::connect(data).await;
            while own.goes_on() {
                client.send(GET).await;
                let answer = client.answer_or_end("GET").await;
                own.count(&own.kept_alive, answer.as_ref());
                if answer.is_none_or(|answer| answer.value("connection").as_deref() == Some("close")) {
                    client = Client::connect(data).await;
                }
            }
        });
    }
    callers
}

async fn more_is_met(met: &Met) {
    let enough = [&met.fresh, &met.kept_alive].map(|count| count.load(Ordering::SeqCst) + REQUESTS_PER_EVENT);
    wait_until("the load goes on", || {
        let now = [&met.fresh, &met.kept_alive].map(|count| count.load(Ordering::SeqCst));
        now.iter().zip(enough).all(|(now, enough)| *now >= enough)
    })
    .await;
}

#[tokio::test]
async fn no_request_fails_over_reloads_and_restarts_by_overlap() {
    let Some(redis) = RedisServer::start().await else { return };
    let World { legacy, new, mut router } = World::with(|setup| setup.with_redis(&redis.url())).await;
    // The successor binds the address that the first one was given. Who keeps a connection is told before it closes.
    let listen = format!("listen:\n  - address: {}", router.data);
    let setup = Setup::new(legacy.address, new.address).with_redis(&redis.url());
    let file = setup.file(router.directory()).replace("delay: 0s", "delay: 1s");
    let file = file.replacen("listen:\n  - address: 127.0.0.1:0", &listen, 1);
    router.reload(&file).await;
    router.wait_until_printed("generation=2").await;

    let met = Arc::new(Met::default());
    let callers = load(router.data, &met);
    let mut generation = 2;
    for event in 0..EVENTS {
        more_is_met(&met).await;
        if event % 4 == 3 {
            let successor = router.beside().await;
            let mut old = std::mem::replace(&mut router, successor);
            old.signal("TERM").await;
            assert_eq!(old.ended().await.code(), Some(0));
            generation = 1;
        } else {
            generation += 1;
            router.reload(&format!("{file}  - {{upstream: fresh, path: /new-{event}}}\n")).await;
            router.wait_until_printed(&format!("generation={generation}")).await;
        }
    }
    more_is_met(&met).await;
    met.stop.store(true, Ordering::SeqCst);
    callers.join_all().await;
    assert_eq!(met.failed.load(Ordering::SeqCst), 0, "of {met:?}");
}
