mod bad_input;
mod ledger;
mod mirror;
mod records;
mod servers;
mod topologies;

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use self::servers::{Server, until};
use super::super::Stored;
use super::super::conformance::{id, next_write};
use super::*;
use crate::migration::Side;
use crate::tally::Tally;

const PATIENCE: Duration = Duration::from_secs(20);

/// A store at an address, of the environment `e` where nothing else is said.
fn open(address: &str) -> Redis {
    open_as(address, "e")
}

fn open_as(address: &str, environment: &str) -> Redis {
    let address = Address::parse(address).unwrap();
    Redis::open(RedisOptions { address, authorities: None }, environment)
}

fn beat(replica: &str, time: Timestamp) -> Heartbeat {
    let (config_hash, version) = ("c".into(), "v".into());
    Heartbeat { replica: replica.into(), revision: Revision(1), config_hash, version, time, draining: false }
}

#[tokio::test]
async fn environments_do_not_see_each_other() {
    let Some(server) = Server::start(&[]).await else { return };
    let (one, other) = (open_as(&server.address(), "one"), open_as(&server.address(), "other"));
    let loaded = one.load().await.unwrap();
    one.replace(loaded.revision, next_write(&loaded, &id("m"), 100)).await.unwrap();
    assert_eq!(other.load().await.unwrap(), Loaded::default());
}

#[tokio::test]
async fn a_lost_server_is_found_again_and_so_are_its_announcements() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    store.load().await.unwrap();
    let port = server.port;
    drop(server);
    until("the loss is noticed", async || store.load().await.is_err()).await;
    let refused = store.load().await.unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("store.redis") && text.contains(&port.to_string()), "{text}");

    let server = Server::start_at(port, &[]).await.unwrap();
    until("the server is found again", async || store.load().await.is_ok()).await;
    // The subscription too, with no command flowing on it: its subscriber is back at the server.
    until("the subscription is back", async || {
        let subscribers = server.run(&["PUBSUB", "NUMSUB", "crossfade:{e}:changes"]).await;
        matches!(&subscribers, Value::Array(parts) if parts.get(1) == Some(&Value::Int(1)))
    })
    .await;
    let loaded = store.load().await.unwrap();
    let heard = store.link.subscribe();
    store.replace(loaded.revision, next_write(&loaded, &id("m"), 100)).await.unwrap();
    until("the change is announced", async || heard.has_changed().unwrap()).await;
}

#[tokio::test]
async fn a_replica_is_named_and_left() {
    let Some(primary) = Server::start(&[]).await else { return };
    let store = open(&primary.address());
    let loaded = store.load().await.unwrap();
    // A demotion of the primary: its connections stay open and answer READONLY.
    primary.run(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let refused = store.replace(loaded.revision, next_write(&loaded, &id("m"), 100)).await.unwrap_err();
    assert!(refused.is_transient() && refused.to_string().contains("is a replica"), "{refused}");
    let refused = store.beat(&beat("r", Timestamp::now()), &[]).await.unwrap_err();
    assert!(refused.to_string().contains("is a replica"), "{refused}");
    primary.run(&["REPLICAOF", "NO", "ONE"]).await;
    until("a new connection writes", async || {
        let loaded = store.load().await.unwrap();
        store.replace(loaded.revision, next_write(&loaded, &id("m"), 100)).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_wrong_type_under_a_key_harms_no_more_than_it_must() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    for migration in ["m", "n"] {
        let loaded = store.load().await.unwrap();
        store.replace(loaded.revision, next_write(&loaded, &id(migration), 100)).await.unwrap();
    }
    server.run(&["SET", "crossfade:{e}:pins:m", "text"]).await;
    let loaded = store.load().await.unwrap();
    assert!(matches!(&loaded.migrations[&id("m")], Stored::Unreadable(why) if why.contains("WRONGTYPE")), "{loaded:?}");
    assert!(matches!(&loaded.migrations[&id("n")], Stored::State { .. }), "{loaded:?}");
    // And a write that could not be whole is not begun.
    let refused = store.replace(loaded.revision, next_write(&loaded, &id("m"), 300)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)) && refused.to_string().contains("pins:m"), "{refused}");
    assert_eq!(store.load().await.unwrap(), loaded);
    assert_eq!(store.history(&id("m"), Page { before: None, limit: 10 }).await.unwrap().len(), 1);

    // Without its ordinal the state is still read, at the revision of its newest document, and nothing is written.
    for damage in [["SET", "crossfade:{e}:revision", "many"], ["LPUSH", "crossfade:{e}:revision", "1"]] {
        server.run(&["DEL", "crossfade:{e}:revision"]).await;
        server.run(&damage).await;
        let damaged = store.load().await.unwrap();
        assert_eq!((damaged.revision, &damaged.migrations), (Revision(2), &loaded.migrations));
        assert!(damaged.problem.as_ref().is_some_and(|problem| problem.contains(":revision")), "{damaged:?}");
        let refused = store.replace(Revision(2), next_write(&damaged, &id("n"), 300)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Corrupt(_)) && refused.to_string().contains("revision"), "{refused}");
    }
    server.run(&["DEL", "crossfade:{e}:revision"]).await;
    server.run(&["SET", "crossfade:{e}:revision", "2"]).await;
    server.run(&["DEL", "crossfade:{e}:migrations"]).await;
    server.run(&["SET", "crossfade:{e}:migrations", "text"]).await;
    let damaged = store.load().await.unwrap();
    assert_eq!(damaged.revision, Revision(2));
    assert!(damaged.incomplete.is_some_and(|why| why.contains("WRONGTYPE")), "{:?}", damaged.problem);
    server.run(&["SET", "crossfade:{e}:replicas", "text"]).await;
    let refused = store.replicas().await.unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
}

/// Adds so many members to a hash, in steps that no time-out notices.
async fn fill(server: &Server, key: &str, count: usize) {
    let script = "for i = ARGV[1], ARGV[2] do redis.call('HSET', KEYS[1], 'x' .. i, '{') end";
    for first in (0..count).step_by(5_000) {
        let last = (first + 5_000).min(count) - 1;
        server.run(&["EVAL", script, "1", key, &first.to_string(), &last.to_string()]).await;
    }
}

/// What is too large or too much is left out and said; what is beside it is read.
#[tokio::test]
async fn what_is_beyond_a_bound_is_refused_alone() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    for migration in ["good", "large", "many-pins", "large-pin", "later"] {
        let loaded = store.load().await.unwrap();
        store.replace(loaded.revision, next_write(&loaded, &id(migration), 100)).await.unwrap();
    }
    let large = "x".repeat(DOCUMENT_BYTES_MAX + 1);
    server.run(&["HSET", "crossfade:{e}:migrations", "large", &large]).await;
    fill(&server, "crossfade:{e}:pins:many-pins", PINS_MAX + 1).await;
    server.run(&["HSET", "crossfade:{e}:pins:large-pin", "k", &large]).await;
    server.run(&["HSET", "crossfade:{e}:migrations", "later", r#"{"schema": 9, "mode": "warp"}"#]).await;
    let loaded = store.load().await.unwrap();
    assert!(matches!(&loaded.migrations[&id("good")], Stored::State { .. }), "{loaded:?}");
    for (migration, words) in [
        ("large", "its document has 65537 bytes, 65536 are read at most"),
        ("many-pins", "there are 100001 of them, 100000 are read at most"),
        ("large-pin", "one has 65538 bytes, 4096 are read at most"),
        ("later", "its schema is 9, this version reads 1"),
    ] {
        let stored = &loaded.migrations[&id(migration)];
        assert!(matches!(stored, Stored::Unreadable(why) if why.contains(words)), "{migration}: {stored:?}");
    }
    assert_eq!((loaded.incomplete, loaded.problem), (None, None));

    fill(&server, "crossfade:{e}:migrations", DOCUMENTS_MAX).await;
    let loaded = store.load().await.unwrap();
    assert!(loaded.migrations.len() < DOCUMENTS_MAX + 2_000, "{}", loaded.migrations.len());
    assert!(loaded.incomplete.is_some_and(|why| why.contains("20005 documents, 20000 are read at most")));
}

#[tokio::test]
async fn a_damaged_pin_does_not_keep_a_rollback_from_taking_effect() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    let loaded = store.load().await.unwrap();
    store.replace(loaded.revision, next_write(&loaded, &id("m"), 100)).await.unwrap();
    server.run(&["HSET", "crossfade:{e}:pins:m", "user-1", "{"]).await;
    let loaded = store.load().await.unwrap();
    assert!(matches!(&loaded.migrations[&id("m")], Stored::Unreadable(why) if why.contains("user-1")), "{loaded:?}");
    let mut write = next_write(&loaded, &id("m"), 100);
    write.document.mode = crate::Mode::EmergencyRollback;
    store.replace(loaded.revision, write).await.unwrap();
    let loaded = store.load().await.unwrap();
    let Stored::State { document, pins } = &loaded.migrations[&id("m")] else { panic!("{loaded:?}") };
    assert_eq!(document.mode, crate::Mode::EmergencyRollback);
    assert!(pins.is_empty());
}

#[tokio::test]
async fn heartbeats_are_told_in_the_time_of_who_asks_and_forgotten_after_a_minute() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    // A router whose clock is a day behind.
    store.beat(&beat("slow-clock", Timestamp::now() - SignedDuration::from_hours(24)), &[]).await.unwrap();
    let key = "crossfade:{e}:replicas";
    let word = serde_json::to_string(&beat("silent", Timestamp::now())).unwrap();
    server.run(&["HSET", key, "silent", &format!("1000 {word}")]).await;
    server.run(&["HSET", key, "garbage", "garbage"]).await;
    let known = store.replicas().await.unwrap();
    assert_eq!(known.iter().map(|beat| beat.replica.as_str()).collect::<Vec<_>>(), ["slow-clock"]);
    assert!(Timestamp::now().duration_since(known[0].time) < SignedDuration::from_secs(30), "{known:?}");
    for _ in 0..BEATS_BETWEEN_LOOKS {
        store.beat(&beat("slow-clock", Timestamp::now()), &[]).await.unwrap();
    }
    assert_eq!(server.run(&["HLEN", key]).await, Value::Int(1));
}

#[tokio::test]
async fn a_heartbeat_does_what_it_can_among_damaged_keys() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    let now = Slot::of(Timestamp::now());
    let last = now.minus(1);
    let row = |slot: Slot| Row { migration: id("m"), slot, side: Side::New, tally: Tally::parse("2xx=1") };
    server.run(&["SET", &format!("crossfade:{{e}}:counts:m:{last}"), "text"]).await;
    server.run(&["SET", "crossfade:{e}:replicas", "text"]).await;
    server.run(&["SET", "crossfade:{e}:revision", "7"]).await;
    let pulse = store.beat(&beat("r", Timestamp::now()), &[row(last), row(now)]).await.unwrap();
    assert_eq!(pulse.revision, Some(Revision(7)));
    assert!(pulse.problem.is_some_and(|problem| problem.contains("WRONGTYPE")));
    let counted = store.counts(&id("m"), now.minus(10)..=now).await.unwrap();
    assert_eq!(counted.iter().map(|counts| counts.slot).collect::<Vec<_>>(), [now], "the others are read");
    let Value::Int(kept) = server.run(&["TTL", &format!("crossfade:{{e}}:counts:m:{now}")]).await else { panic!() };
    assert!((1..=i64::try_from(KEPT_SECONDS).unwrap()).contains(&kept), "{kept}");
    server.run(&["SET", "crossfade:{e}:revision", "many"]).await;
    assert_eq!(store.beat(&beat("r", Timestamp::now()), &[]).await.unwrap().revision, None);
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = open(&format!("redis://{}", listener.local_addr().unwrap()));
    let answer = tokio::time::timeout(PATIENCE, store.load()).await;
    let refused = answer.expect("the call has a time-out of its own").unwrap_err();
    assert!(
        matches!(refused, StoreError::Unavailable(_) | StoreError::Unanswered(_))
            && refused.to_string().contains("in time"),
        "{refused}"
    );
}

/// As a firewall that begins to drop packets: the connection stays and nothing arrives any more.
#[tokio::test]
async fn a_connection_that_swallows_everything_is_replaced() {
    let Some(server) = Server::start(&[]).await else { return };
    let door = Door::before(server.port).await;
    let store = open(&format!("redis://127.0.0.1:{}", door.port));
    let loaded = store.load().await.unwrap();
    until("both connections are open", async || door.connections() >= 2).await;
    door.swallow_what_is_open();
    until("a new connection answers", async || store.load().await.is_ok()).await;
    // The subscription is replaced too, with nothing but its own pings to notice by.
    store.replace(loaded.revision, next_write(&loaded, &id("m"), 100)).await.unwrap();
    until("a change is announced", async || {
        let heard = store.link.subscribe();
        let loaded = store.load().await.unwrap();
        store.replace(loaded.revision, next_write(&loaded, &id("m"), 100)).await.unwrap();
        let deadline = Instant::now() + Duration::from_millis(200);
        while !heard.has_changed().unwrap() && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        heard.has_changed().unwrap()
    })
    .await;
}

#[tokio::test]
async fn a_subscription_that_is_cut_comes_back_and_counts_as_an_announcement() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    store.load().await.unwrap();
    let subscribers = async || {
        let answer = server.run(&["PUBSUB", "NUMSUB", "crossfade:{e}:changes"]).await;
        let (_, count): (String, u64) = redis::from_redis_value(answer).unwrap();
        count
    };
    until("the store listens", async || subscribers().await == 1).await;
    let heard = store.link.subscribe();
    assert_eq!(server.run(&["CLIENT", "KILL", "TYPE", "pubsub"]).await, Value::Int(1));
    until("it listens again", async || subscribers().await == 1).await;
    until("what was missed is looked for", async || heard.has_changed().unwrap()).await;
}

#[tokio::test]
async fn a_server_that_loads_or_is_busy_is_waited_for() {
    let Some(server) = Server::start(&["--busy-reply-threshold", "50", "--enable-debug-command", "yes"]).await else {
        return;
    };
    let store = open(&server.address());
    store.load().await.unwrap();
    let client = redis::Client::open(server.address()).unwrap();
    let mut other = client.get_multiplexed_async_connection().await.unwrap();
    let endless = tokio::spawn(async move {
        let _: Result<Value, _> = redis::cmd("EVAL").arg("while true do end").arg(0).query_async(&mut other).await;
    });
    until("the server says that it is busy", async || {
        let error = store.load().await.err().map(|error| error.to_string()).unwrap_or_default();
        error.contains("busy with somebody's script") && error.contains("store.redis")
    })
    .await;
    server.run(&["SCRIPT", "KILL"]).await;
    endless.abort();
    until("it is asked again", async || store.load().await.is_ok()).await;
}

/// A server that is reached through something which can begin to swallow what is open.
struct Door {
    port: u16,
    opened: Arc<std::sync::atomic::AtomicUsize>,
    /// Connections accepted before this many swallow.
    swallowed: tokio::sync::watch::Sender<usize>,
    task: JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Door {
    async fn before(to: u16) -> Self {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (swallowed, watched) = tokio::sync::watch::channel(0);
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let number = count.fetch_add(1, Ordering::SeqCst);
                let mut watched = watched.clone();
                open.spawn(async move {
                    let mut far = tokio::net::TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
                        _ = watched.wait_for(|before| number < *before) => {}
                    }
                    drop(far);
                    // It stays open, and nobody reads.
                    std::future::pending::<()>().await;
                });
            }
        });
        Self { port, opened, swallowed, task }
    }

    fn connections(&self) -> usize {
        self.opened.load(std::sync::atomic::Ordering::SeqCst)
    }

    fn swallow_what_is_open(&self) {
        self.swallowed.send_replace(self.connections());
    }
}
