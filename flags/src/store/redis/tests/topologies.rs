//! The same promises, whatever stands behind the address.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};

use super::servers::{Certificates, Cluster, Sentinels, Server, until};
use super::*;
use crate::migration::MigrationId;
use crate::store::conformance::records::Record;
use crate::store::conformance::{self, Subject};

/// Runs the suite on one environment after the other; `run` sends a command past the store.
async fn check<F: Future<Output = ()> + Send + 'static>(
    options: RedisOptions,
    run: impl Fn(Vec<String>) -> F + Clone + Send + Sync + 'static,
) {
    let environments = AtomicU32::new(0);
    conformance::run(async || {
        let environment = format!("e{}", environments.fetch_add(1, Ordering::Relaxed));
        let prefix = format!("crossfade:{{{environment}}}");
        let store = Arc::new(Redis::open(options.clone(), &environment));
        let run = run.clone();
        let (set_by, lset_by) = (run.clone(), run.clone());
        let set = move |key: String, text: &str| Box::pin(set_by(vec!["SET".into(), key, text.into()])) as _;
        let hset = move |key: String, field: &str, text: &str| {
            Box::pin(run(vec!["HSET".into(), key, field.into(), text.into()])) as _
        };
        let (also, key) = (hset.clone(), format!("{prefix}:migrations"));
        let damage = move |migration: MigrationId, text: &'static str| also(key.clone(), migration.as_str(), text);
        let damage_record = move |record: Record, text: String| match record {
            Record::Evidence(id) => hset(format!("{prefix}:evidence"), id, &text),
            Record::Judged(id) => hset(format!("{prefix}:judged"), id, &text),
            Record::Minute(id, minute) => {
                hset(format!("{prefix}:minutes:{id}:{}", minute / 1_440), &minute.to_string(), &text)
            }
            Record::Outcome(id, job) => set(format!("{prefix}:outcome:{id}:{job}"), &text),
            Record::Cohort(id, from, side) => {
                hset(format!("{prefix}:cohorts:{id}:{}", from / 86_400), &format!("{side}:{from}"), &text)
            }
            Record::Remembered(id, day) => set(format!("{prefix}:remembered:{id}:{day}"), &text),
            Record::Freeze => {
                Box::pin(lset_by(vec!["LSET".into(), format!("{prefix}:freezes"), "0".into(), text])) as _
            }
        };
        Subject { store, damage: Box::new(damage), damage_record: Box::new(damage_record), _keeps: Box::new(()) }
    })
    .await;
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn options(address: &str) -> RedisOptions {
    RedisOptions { address: Address::parse(address).unwrap(), authorities: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_does_what_every_store_does() {
    let Some(server) = Server::start(&[]).await else { return };
    let server = Arc::new(server);
    let address = format!("{}/9", server.address());
    check(options(&address), move |command| {
        let server = Arc::clone(&server);
        async move {
            let mut words = vec!["EVAL", "redis.call('SELECT', 9) return redis.call(unpack(ARGV))", "0"];
            words.extend(command.iter().map(String::as_str));
            server.run(&words).await;
        }
    })
    .await;
}

/// The user that README.md tells to make, so that it may do all that a router does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_a_user_of_its_own_do_what_every_store_does() {
    let Some(certificates) = Certificates::make().await else { return };
    let mut arguments = certificates.arguments();
    let users = "--user default off --user crossfade on >p@ss/w:rd% ~crossfade:* &crossfade:* +@all -@admin -@dangerous +role --user root on >root allcommands allkeys";
    arguments.extend(users.split(' ').map(String::from));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let Some(server) = Server::start(&arguments).await else { return };
    let pem = std::fs::read(certificates.path("ca.crt")).unwrap();
    let client = redis::Client::build_with_tls(
        format!("rediss://root:root@127.0.0.1:{}", server.port),
        redis::TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) },
    )
    .unwrap();
    let authorities = Some(Authorities::from_pem(pem).unwrap());
    let address = format!("rediss://crossfade:p%40ss%2Fw%3Ard%25@localhost:{}", server.port);
    check(RedisOptions { authorities, ..options(&address) }, move |words| {
        let client = client.clone();
        async move {
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            let mut command = redis::cmd(&words[0]);
            command.arg(&words[1..]);
            let _: Value = command.query_async(&mut connection).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_behind_sentinels_does_what_every_store_does() {
    let Some(all) = Sentinels::start().await else { return };
    let address = all.address();
    let all = Arc::new(all);
    check(options(&address), move |command| {
        let all = Arc::clone(&all);
        async move { drop(all.on_primary(&strs(&command)).await) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_does_what_every_store_does() {
    let Some(cluster) = Cluster::start().await else { return };
    let address = cluster.address();
    let cluster = Arc::new(cluster);
    check(options(&address), move |command| {
        let cluster = Arc::clone(&cluster);
        async move { drop(cluster.run(&strs(&command)).await) }
    })
    .await;
}

/// The one server of a Cluster that speaks TLS only, on its bus too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_by_tls_is_found_and_read() {
    let Some(certificates) = Certificates::make().await else { return };
    let mut arguments = certificates.arguments();
    let bus = super::servers::free_port().to_string();
    let own = ["--cluster-enabled", "yes", "--tls-cluster", "yes", "--cluster-port", &bus, "--requirepass", "s3cret"];
    arguments.extend(own.map(String::from));
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let Some(server) = Server::start(&arguments).await else { return };
    let pem = std::fs::read(certificates.path("ca.crt")).unwrap();
    let client = redis::Client::build_with_tls(
        format!("rediss://:s3cret@127.0.0.1:{}", server.port),
        redis::TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) },
    )
    .unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd("CLUSTER");
    let () = command.arg("ADDSLOTSRANGE").arg(0).arg(16383).query_async(&mut connection).await.unwrap();
    let address = format!("rediss+cluster://:s3cret@127.0.0.1:{}", server.port);
    let authorities = Some(Authorities::from_pem(pem).unwrap());
    let store = Redis::open(RedisOptions { authorities, ..options(&address) }, "e");
    assert_eq!(change(&store).await, Revision(1));
    assert_eq!(store.load().await.unwrap().revision, Revision(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_ask_for_a_password_get_it() {
    let Some(primary) = Server::start(&["--requirepass", "s3cret"]).await else { return };
    let monitor = format!("sentinel monitor main 127.0.0.1 {} 1", primary.port);
    let arguments = ["--sentinel", &monitor, "sentinel auth-pass main s3cret", "requirepass s3cret"];
    let Some(sentinel) = Server::start(&arguments).await else { return };
    let store = open(&format!("redis+sentinel://:s3cret@127.0.0.1:{}/main", sentinel.port));
    assert_eq!(change(&store).await, Revision(1));
    let text =
        open(&format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port)).load().await.unwrap_err().to_string();
    assert!(text.contains("refuses the user or the password of `store.redis`"), "{text}");
}

/// Makes one change as soon as the store takes it, and has it copied to a replica.
async fn change(store: &Redis) -> Revision {
    let mut revision = Revision::ZERO;
    until("a change is taken", async || {
        let Ok(loaded) = store.load().await else { return false };
        let written = store.replace(loaded.revision, next_write(&loaded, &id("m"), 100)).await;
        revision = written.unwrap_or(revision);
        revision > Revision::ZERO
    })
    .await;
    revision
}

#[track_caller]
fn check_history(entries: &[crate::state::HistoryEntry], acknowledged: &[Revision]) {
    let kept: Vec<_> = entries.iter().map(|entry| entry.revision).collect();
    for revision in acknowledged {
        assert!(kept.contains(revision), "revision {revision} was acknowledged and copied, and is lost: {kept:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fail_over_is_followed_and_loses_nothing_that_was_copied() {
    let Some(mut all) = Sentinels::start().await else { return };
    let (store, other) = (open(&all.address()), open(&all.address()));
    let first = all.primary().await;
    let mut acknowledged = vec![change(&store).await];
    until("the change is copied", async || all.on_primary(&["WAIT", "1", "1000"]).await == Value::Int(1)).await;

    all.replace_primary().await;
    let seen = other.load().await.map(|loaded| loaded.revision).unwrap_or_default();
    acknowledged.push(change(&store).await);
    until("the other router hears of it", async || other.changed(seen).await.is_ok()).await;

    until("the old primary follows the new one", async || {
        all.on_primary(&["WAIT", "1", "1000"]).await == Value::Int(1)
    })
    .await;
    let second = all.primary().await;
    all.servers.retain(|server| server.port != second);
    acknowledged.push(change(&store).await);
    assert_eq!(all.servers[0].port, first);
    let page = Page { before: None, limit: 100 };
    check_history(&store.history(&id("m"), page).await.unwrap(), &acknowledged);
    until("the other router reads the same", async || {
        other.load().await.is_ok_and(|loaded| Some(&loaded.revision) == acknowledged.last())
    })
    .await;
    until("and is told of changes by the new primary", async || {
        let loaded = other.load().await.unwrap();
        let heard = other.link.subscribe();
        change(&store).await;
        let changed = tokio::time::timeout(Duration::from_millis(500), other.changed(loaded.revision)).await;
        changed.is_ok() && heard.has_changed().unwrap()
    })
    .await;
}

/// No connection is closed by it, so that only time-outs tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_freezes_is_left_for_the_one_that_replaces_it() {
    let Some(all) = Sentinels::start().await else { return };
    let store = open(&all.address());
    let first = all.primary().await;
    let mut acknowledged = vec![change(&store).await];
    until("the change is copied", async || all.on_primary(&["WAIT", "1", "1000"]).await == Value::Int(1)).await;
    all.servers.iter().find(|server| server.port == first).unwrap().freeze().await;
    acknowledged.push(change(&store).await);
    assert_ne!(all.primary().await, first);
    let page = Page { before: None, limit: 100 };
    check_history(&store.history(&id("m"), page).await.unwrap(), &acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_of_a_cluster_that_dies_is_left_for_its_replica() {
    let Some(mut cluster) = Cluster::start_with(1).await else { return };
    let store = open(&cluster.address());
    let mut acknowledged = vec![change(&store).await];
    let slot = cluster.servers[0].run(&["CLUSTER", "KEYSLOT", "crossfade:{e}:revision"]).await;
    let owner = usize::from(redis::from_redis_value::<u16>(slot).unwrap() / 5461).min(2);
    let owner_id = cluster.servers[owner].text(&["CLUSTER", "MYID"]).await;
    let spare = &cluster.servers[3];
    until("the spare one knows the owner", async || spare.try_run(&["CLUSTER", "REPLICATE", &owner_id]).await.is_ok())
        .await;
    until("the spare one copies the owner", async || {
        spare.text(&["INFO", "replication"]).await.contains("master_link_status:up")
    })
    .await;
    until("the change is copied", async || cluster.servers[owner].run(&["WAIT", "1", "1000"]).await == Value::Int(1))
        .await;
    drop(cluster.servers.remove(owner));
    acknowledged.push(change(&store).await);
    let page = Page { before: None, limit: 100 };
    check_history(&store.history(&id("m"), page).await.unwrap(), &acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_to_another_server_is_followed() {
    let Some(cluster) = Cluster::start().await else { return };
    let store = open(&cluster.address());
    let written = change(&store).await;
    let slot = cluster.servers[0].run(&["CLUSTER", "KEYSLOT", "crossfade:{e}:revision"]).await;
    let slot: u16 = redis::from_redis_value(slot).unwrap();
    let from = usize::from(slot / 5461).min(2);
    let to = (from + 1) % 3;
    let (source, target) = (&cluster.servers[from], &cluster.servers[to]);
    let (source_id, target_id) = (source.text(&["CLUSTER", "MYID"]).await, target.text(&["CLUSTER", "MYID"]).await);
    let slot = slot.to_string();
    target.run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source_id]).await;
    source.run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target_id]).await;
    let keys = source.run(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]).await;
    let keys: Vec<String> = redis::from_redis_value(keys).unwrap();
    assert!(keys.len() >= 3, "{keys:?}");
    let port = target.port.to_string();
    let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
    migrate.extend(keys.iter().map(String::as_str));
    source.run(&migrate).await;
    for server in [target, source, &cluster.servers[(to + 1) % 3]] {
        server.run(&["CLUSTER", "SETSLOT", &slot, "NODE", &target_id]).await;
    }
    let next = change(&store).await;
    assert_eq!(next, written.next(), "the state went with its slot");
}
