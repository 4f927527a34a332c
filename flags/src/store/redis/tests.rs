use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::super::Stored;
use super::super::conformance::{self, Subject, id, next_write};
use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server of its own on a free port; ends when dropped.
struct Server {
    port: u16,
    password: Option<&'static str>,
    _process: Child,
    _directory: tempfile::TempDir,
}

impl Server {
    /// None, visibly, where it is not installed.
    async fn start(password: Option<&'static str>) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_at(port, password).await
    }

    async fn start_at(port: u16, password: Option<&'static str>) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(directory.path());
        if let Some(password) = password {
            command.args(["--requirepass", password]);
        }
        let spawned = command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn();
        let process = match spawned {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                eprintln!("SKIP redis-server is not installed");
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let server = Self { port, password, _process: process, _directory: directory };
        until("redis-server answers", async || {
            let connection = server.client().get_multiplexed_async_connection().await;
            connection.is_ok()
        })
        .await;
        Some(server)
    }

    fn address(&self) -> String {
        let user = self.password.map(|password| format!(":{password}@")).unwrap_or_default();
        format!("redis://{user}127.0.0.1:{}", self.port)
    }

    fn client(&self) -> redis::Client {
        redis::Client::open(self.address()).unwrap()
    }

    async fn run(&self, command: &[&str]) -> Value {
        let mut connection = self.client().get_multiplexed_async_connection().await.unwrap();
        redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await.unwrap()
    }
}

/// Waits until a condition holds; it must, in the end.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn beat(replica: &str, time: Timestamp) -> Heartbeat {
    let (config_hash, version) = ("c".into(), "v".into());
    Heartbeat { replica: replica.into(), revision: Revision(1), config_hash, version, time, draining: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_does_what_every_store_does() {
    let Some(server) = Server::start(None).await else { return };
    let server = Arc::new(server);
    let environments = std::sync::atomic::AtomicU32::new(0);
    conformance::run(async || {
        let environment = format!("e{}", environments.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        let key = format!("crossfade:{{{environment}}}:migrations");
        let store = Arc::new(Redis::open(&server.address(), &environment).unwrap());
        let server = Arc::clone(&server);
        let damage = move |migration: MigrationId, text: &'static str| {
            let (server, key) = (Arc::clone(&server), key.clone());
            Box::pin(async move { drop(server.run(&["HSET", &key, migration.as_str(), text]).await) }) as _
        };
        Subject { store, damage: Box::new(damage), _keeps: Box::new(()) }
    })
    .await;
}

#[tokio::test]
async fn environments_do_not_see_each_other() {
    let Some(server) = Server::start(None).await else { return };
    let (one, other) =
        (Redis::open(&server.address(), "one").unwrap(), Redis::open(&server.address(), "other").unwrap());
    let loaded = one.load().await.unwrap();
    one.replace(loaded.revision, next_write(&loaded, &id("m"), 100)).await.unwrap();
    assert_eq!(other.load().await.unwrap(), Loaded::default());
}

#[tokio::test]
async fn a_lost_server_is_found_again_and_so_are_its_announcements() {
    let Some(server) = Server::start(None).await else { return };
    let store = Redis::open(&server.address(), "e").unwrap();
    store.load().await.unwrap();
    let port = server.port;
    drop(server);
    until("the loss is noticed", async || store.load().await.is_err()).await;
    let refused = store.load().await.unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    let text = refused.to_string();
    assert!(text.contains("store.redis") && text.contains(&port.to_string()), "{text}");

    let server = Server::start_at(port, None).await.unwrap();
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
    let Some(primary) = Server::start(None).await else { return };
    let store = Redis::open(&primary.address(), "e").unwrap();
    let loaded = store.load().await.unwrap();
    // A demotion of the primary: its connections stay open and answer READONLY.
    primary.run(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let refused = store.replace(loaded.revision, next_write(&loaded, &id("m"), 100)).await.unwrap_err();
    assert!(refused.is_transient() && refused.to_string().contains("is a replica"), "{refused}");
    primary.run(&["REPLICAOF", "NO", "ONE"]).await;
    until("a new connection writes", async || {
        let loaded = store.load().await.unwrap();
        store.replace(loaded.revision, next_write(&loaded, &id("m"), 100)).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    let Some(server) = Server::start(Some("s3cret-right")).await else { return };
    for address in [
        format!("redis://:s3cret-wrong@127.0.0.1:{}", server.port),
        format!("redis://nobody:s3cret-wrong@127.0.0.1:{}", server.port),
        format!("redis://127.0.0.1:{}", server.port),
    ] {
        let store = Redis::open(&address, "e").unwrap();
        let text = store.load().await.unwrap_err().to_string();
        assert!(text.contains("refuses the user or the password of `store.redis`"), "{text}");
        assert!(!text.contains("s3cret") && !format!("{store:?}").contains("s3cret"), "{text}");
    }
    Redis::open(&server.address(), "e").unwrap().load().await.unwrap();
}

#[tokio::test]
async fn what_is_not_redis_is_told_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = tokio::spawn(async move {
        loop {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = [0; 64];
            let _ = stream.read(&mut bytes).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let store = Redis::open(&format!("redis://127.0.0.1:{port}"), "e").unwrap();
    let text = store.load().await.unwrap_err().to_string();
    answering.abort();
    assert!(text.contains("store.redis") && text.contains(&port.to_string()), "{text}");
}

#[tokio::test]
async fn addresses_of_later_versions_and_of_nothing_are_refused() {
    for (address, words) in [
        ("rediss://h", "does not speak yet"),
        ("redis+sentinel://h/name", "does not speak yet"),
        ("redis+cluster://:s3cret@h", "does not speak yet"),
        ("http://h", "is not an address"),
        ("s3cret", "is not an address"),
        ("redis://:s3cret@h:99999", "is not an address"),
    ] {
        let text = Redis::open(address, "e").unwrap_err().to_string();
        assert!(text.contains(words) && text.contains("store.redis") && !text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn a_wrong_type_under_a_key_harms_no_more_than_it_must() {
    let Some(server) = Server::start(None).await else { return };
    let store = Redis::open(&server.address(), "e").unwrap();
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

    server.run(&["SET", "crossfade:{e}:revision", "many"]).await;
    let refused = store.load().await.unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)) && refused.to_string().contains("revision"), "{refused}");
    server.run(&["DEL", "crossfade:{e}:migrations"]).await;
    server.run(&["SET", "crossfade:{e}:migrations", "text"]).await;
    let refused = store.load().await.unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
}

#[tokio::test]
async fn a_damaged_pin_does_not_keep_a_rollback_from_taking_effect() {
    let Some(server) = Server::start(None).await else { return };
    let store = Redis::open(&server.address(), "e").unwrap();
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
    let Some(server) = Server::start(None).await else { return };
    let store = Redis::open(&server.address(), "e").unwrap();
    // A router whose clock is a day behind.
    store.beat(&beat("slow-clock", Timestamp::now() - SignedDuration::from_hours(24))).await.unwrap();
    let key = "crossfade:{e}:replicas";
    let word = serde_json::to_string(&beat("silent", Timestamp::now())).unwrap();
    server.run(&["HSET", key, "silent", &format!("1000 {word}")]).await;
    server.run(&["HSET", key, "garbage", "garbage"]).await;
    let known = store.replicas().await.unwrap();
    assert_eq!(known.iter().map(|beat| beat.replica.as_str()).collect::<Vec<_>>(), ["slow-clock"]);
    assert!(Timestamp::now().duration_since(known[0].time) < SignedDuration::from_secs(30), "{known:?}");
    store.beat(&beat("slow-clock", Timestamp::now())).await.unwrap();
    assert_eq!(server.run(&["HLEN", key]).await, Value::Int(1));
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let store = Redis::open(&format!("redis://{}", listener.local_addr().unwrap()), "e").unwrap();
    let answer = tokio::time::timeout(PATIENCE, store.load()).await;
    let refused = answer.expect("the call has a time-out of its own").unwrap_err();
    assert!(refused.is_transient() && refused.to_string().contains("in time"), "{refused}");
}
