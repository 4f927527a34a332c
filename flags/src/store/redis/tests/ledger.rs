//! The ledger of issues in a real Redis.

use std::sync::atomic::Ordering;

use super::servers::{Server, until};
use super::*;
use crate::store::conformance::ledger as suite;
use crate::store::ledger::{Durability, Preflight};
use crate::store::redis::ledger::copied::{LOOK, MISSED};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_ledger_does_what_every_ledger_does() {
    let Some(server) = Server::start(&[]).await else { return };
    let empty = async || {
        server.run(&["FLUSHALL"]).await;
        let store = Arc::new(open(&server.address()));
        let clock = Arc::clone(&store);
        let set_time = move |now| clock.own_ledger.now.store(now, Ordering::SeqCst);
        suite::Subject { store, set_time: Box::new(set_time), _keeps: Box::new(()) }
    };
    suite::run(empty).await;
}

#[tokio::test]
async fn what_loses_events_is_refused_or_told_before_any_comes() {
    let evicts = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    let Some(server) = Server::start(&evicts).await else { return };
    let preflight = open(&server.address()).ledger().preflight().await.unwrap();
    assert!(preflight.refusals[0].contains("set maxmemory-policy to noeviction"), "{preflight:?}");
    assert!(preflight.warnings[0].contains("set appendonly to yes"), "{preflight:?}");
    let Some(server) = Server::start(&["--appendonly", "yes", "--appendfsync", "always"]).await else { return };
    let store = open(&server.address());
    let preflight = store.ledger().preflight().await.unwrap();
    assert_eq!(preflight, Preflight { durability: Durability::Synced, ..Preflight::default() });
    assert_eq!(store.ledger().confirm().await.unwrap(), Durability::Synced);
}

#[tokio::test]
async fn many_who_wait_for_the_disk_share_one_wait() {
    let Some(server) = Server::start(&["--appendonly", "yes", "--appendfsync", "everysec"]).await else { return };
    let store = Arc::new(open(&server.address()));
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        waiting.spawn(async move { store.ledger().confirm().await.unwrap() });
    }
    // Redis before 7.2 cannot tell.
    let expected = match store.ledger().preflight().await.unwrap().durability {
        Durability::Soon => Durability::Synced,
        other => other,
    };
    while let Some(confirmed) = waiting.join_next().await {
        assert_eq!(confirmed.unwrap(), expected);
    }
}

#[tokio::test]
async fn what_was_written_is_copied_to_a_replica_before_anybody_relies_on_it() {
    let Some(primary) = Server::start(&[]).await else { return };
    let store = open(&primary.address());
    store.ledger().copied().await.expect("no replica can take over");
    let port = primary.port.to_string();
    let Some(replica) = Server::start(&["--replicaof", "127.0.0.1", &port]).await else { return };
    // The primary hears of it later than the replica itself.
    until("the replica follows", async || primary.text(&["INFO", "replication"]).await.contains("state=online")).await;
    // Another one, since this one has looked for replicas a moment ago.
    let store = Arc::new(open(&primary.address()));
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        waiting.spawn(async move { store.ledger().copied().await });
    }
    while let Some(copied) = waiting.join_next().await {
        copied.unwrap().unwrap();
    }
    replica.freeze().await;
    let behind = store.ledger().copied().await.unwrap_err();
    assert!(behind.is_transient() && behind.to_string().contains("no replica of Redis follows"), "{behind}");
    replica.thaw().await;
    until("the replica follows again", async || store.ledger().copied().await.is_ok()).await;
    drop(replica);
    let gone = async || {
        let error = store.ledger().copied().await.unwrap_err();
        error.to_string().contains("the replica of Redis has gone")
    };
    until("the replica has gone", gone).await;
    open(&primary.address()).ledger().copied().await.expect("one that never saw a replica awaits none");
}

/// Lets so much time pass at once, for all that waits by the clock of the runtime.
async fn after(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

/// A primary with a replica that follows it.
async fn pair() -> Option<(Server, Server)> {
    let primary = Server::start(&["--repl-diskless-sync-delay", "0"]).await?;
    let port = primary.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]).await?;
    // The primary hears of it later than the replica itself.
    until("the replica follows", async || primary.text(&["INFO", "replication"]).await.contains("state=online")).await;
    Some((primary, replica))
}

#[tokio::test]
async fn a_replica_that_has_gone_is_awaited_for_ten_seconds() {
    let Some((primary, replica)) = pair().await else { return };
    let store = open(&primary.address());
    store.load().await.unwrap();
    store.ledger().copied().await.unwrap();
    drop(replica);
    until("the primary has lost it", async || !primary.text(&["INFO", "replication"]).await.contains("slave0:")).await;
    // It was seen a moment ago, and is looked for again by who asks after that.
    after(LOOK).await;
    let gone = store.ledger().copied().await.unwrap_err();
    assert!(gone.is_transient() && gone.to_string().contains("the replica of Redis has gone"), "{gone}");
    after(MISSED).await;
    store.ledger().copied().await.expect("nobody waits any longer for one that stays away");
    let port = primary.port.to_string();
    let Some(_replica) = Server::start(&["--replicaof", "127.0.0.1", &port]).await else { return };
    until("it is back", async || primary.text(&["INFO", "replication"]).await.contains("state=online")).await;
    after(LOOK).await;
    store.ledger().copied().await.unwrap();
}

/// A router learns of another primary a moment after the sentinels. What it sent went to the first one, whose replica alone
/// can say that it has it.
#[tokio::test]
async fn a_replica_of_another_server_says_nothing_of_what_this_one_was_told() {
    let Some((first, _its_replica)) = pair().await else { return };
    let Some((second, _other_replica)) = pair().await else { return };
    let monitor = format!("sentinel monitor main 127.0.0.1 {} 1", first.port);
    let Some(sentinel) = Server::start(&["--sentinel", &monitor]).await else { return };
    let address = format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port);
    let store = open(&address);
    // The moment lasts until it asks the sentinels by itself.
    store.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    store.load().await.unwrap();
    sentinel.run(&["SENTINEL", "REMOVE", "main"]).await;
    sentinel.run(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &second.port.to_string(), "1"]).await;
    let other = store.ledger().copied().await.unwrap_err();
    assert!(other.is_transient() && other.to_string().contains("another server of `store.redis`"), "{other}");
    assert_eq!(second.run(&["DBSIZE"]).await, Value::Int(0), "it was asked nothing");
    open(&address).ledger().copied().await.expect("whoever talks to the second one may believe it");
}

#[tokio::test]
async fn a_user_who_may_not_ask_is_warned_and_a_wrong_type_is_told() {
    let Some(server) = Server::start(&[]).await else { return };
    let rights = ["~crossfade:*", "&crossfade:*", "+@all", "-@admin", "-@dangerous", "+role"];
    server.run(&[&["ACL", "SETUSER", "crossfade", "on", ">p"][..], &rights].concat()).await;
    let store = open(&format!("redis://crossfade:p@127.0.0.1:{}", server.port));
    let preflight = store.ledger().preflight().await.unwrap();
    assert!(preflight.refusals.is_empty() && preflight.warnings[0].contains("allow INFO"), "{preflight:?}");
    server.run(&["SET", "crossfade:{e}:issues:m:n", "text"]).await;
    let refused = store.ledger().totals(&id("m")).await.unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
    server.run(&["DEL", "crossfade:{e}:issues:m:n"]).await;
    assert_eq!(store.ledger().totals(&id("m")).await.unwrap().waiting, 0);
}
