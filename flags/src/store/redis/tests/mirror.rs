//! Plain keys: read once, then as the state is, on every topology.

use super::servers::{Cluster, Sentinels, Server, until};
use super::*;
use crate::bucket::HashKind;
use crate::control::{Ask, Change, Control, Reseed};
use crate::migration::{Initial, Labels, Migration};
use crate::mirror::MirrorKeys;
use crate::mode::Mode;
use crate::state::{ChangeKind, Position};
use crate::watch::tests::{definitions, share};
use crate::watch::{Background, Watch, WatchOptions};

/// The migration of the story.
fn agents() -> Migration {
    let mut migration = Migration::new(id("agents"), "a", "b");
    migration.labels = Labels { legacy: "TypeScript".into(), new: "Python".into() };
    migration.hash = HashKind::Modulo;
    migration.mirror_keys = Some(MirrorKeys { mode: "system_mode".into(), percent: "rollout_percentage".into() });
    migration
}

struct Router {
    watch: Arc<Watch>,
    control: Control,
    store: Arc<Redis>,
    _background: Background,
    _directory: tempfile::TempDir,
}

impl Router {
    async fn start(address: &str, migration: Migration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(open(address));
        let shared: Arc<dyn Store> = Arc::clone(&store) as _;
        let options = WatchOptions::new("here", directory.path().join("saved"));
        let (watch, background) = Watch::start(shared, definitions(vec![migration]), options).await;
        Self { control: Control::new(Arc::clone(&watch)), watch, store, _background: background, _directory: directory }
    }

    /// Mode, share and revision that are served.
    fn serves(&self) -> (Mode, u16, u64) {
        let snapshot = self.watch.current();
        let document = &snapshot.placed(snapshot.find(&id("agents")).unwrap()).document;
        (document.mode, document.share.get(), document.revision.0)
    }

    async fn apply(&self, ask: Ask) {
        let change = Change { force: true, ..Change::new(ask, "ann", "test") };
        self.control.apply(&id("agents"), change).await.unwrap();
    }

    async fn history(&self) -> Vec<HistoryEntry> {
        self.store.history(&id("agents"), Page { before: None, limit: 100 }).await.unwrap()
    }
}

/// Every mode, with a percentage that moves too, and what the keys then hold.
fn line() -> [(Ask, &'static str, &'static str); 8] {
    [
        (Ask::Rollout(share(2_500)), "typescript_only", "25"),
        (Ask::Mode(Mode::Parallel), "parallel", "25"),
        (Ask::Mode(Mode::Gradual), "gradual", "25"),
        (Ask::Rollout(share(9_900)), "gradual", "99"),
        (Ask::Mode(Mode::NewOnly), "python_only", "99"),
        (Ask::RollBack, "emergency_rollback", "99"),
        (Ask::Acknowledge(Mode::LegacyOnly), "typescript_only", "99"),
        (Ask::Rollout(share(0)), "typescript_only", "0"),
    ]
}

async fn get(server: &Server, key: &str) -> String {
    let held: Option<String> = redis::from_redis_value(server.run(&["GET", key]).await).unwrap();
    held.unwrap_or_default()
}

async fn held(server: &Server) -> (String, String) {
    (get(server, "system_mode").await, get(server, "rollout_percentage").await)
}

fn pair(mode: &str, percent: &str) -> (String, String) {
    (mode.into(), percent.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_and_its_plain_keys_are_one() {
    let Some(server) = Server::start(&[]).await else { return };
    let router = Router::start(&server.address(), agents()).await;
    for (ask, mode, percent) in line() {
        router.apply(ask).await;
        assert_eq!(held(&server).await, pair(mode, percent), "without waiting for anything");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_sentinels_too_and_after_a_fail_over() {
    let Some(all) = Sentinels::start().await else { return };
    let router = Router::start(&all.address(), agents()).await;
    let first = all.primary().await;
    for (ask, mode, percent) in line() {
        router.apply(ask).await;
        let server = all.servers.iter().find(|server| server.port == first).unwrap();
        assert_eq!(held(server).await, pair(mode, percent));
    }
    all.replace_primary().await;
    until("a change is taken", async || {
        let change = Change { force: true, ..Change::new(Ask::Mode(Mode::NewOnly), "ann", "test") };
        router.control.apply(&id("agents"), change).await.is_ok()
    })
    .await;
    let second = all.primary().await;
    let server = all.servers.iter().find(|server| server.port == second).unwrap();
    assert_eq!(held(server).await, pair("python_only", "0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_they_follow_and_an_older_state_does_not_undo_them() {
    let Some(cluster) = Cluster::start().await else { return };
    let get = async |key: &str| {
        let held: Option<String> = redis::from_redis_value(cluster.run(&["GET", key]).await).unwrap();
        held.unwrap_or_default()
    };
    let router = Router::start(&cluster.address(), agents()).await;
    for (ask, mode, percent) in line() {
        router.apply(ask).await;
        until("the keys follow", async || {
            (get("system_mode").await, get("rollout_percentage").await) == pair(mode, percent)
        })
        .await;
    }
    // Another router read the state before the last changes, and writes only now.
    let loaded = router.store.load().await.unwrap();
    let Stored::State { document, .. } = &loaded.migrations[&id("agents")] else { panic!("{loaded:?}") };
    let mut older = document.clone();
    (older.mode, older.revision) = (Mode::NewOnly, Revision(older.revision.0 - 1));
    assert!(!router.store.mirror.follow("system_mode", "python_only", &older).await.unwrap());
    assert_eq!(get("system_mode").await, "typescript_only");
    // What somebody else writes there is written over all the same.
    cluster.run(&["SET", "system_mode", "python_only"]).await;
    until("the key is as the state is", async || get("system_mode").await == "typescript_only").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_write_is_written_over_and_nothing_is_written_when_all_agree() {
    let Some(server) = Server::start(&[]).await else { return };
    let router = Router::start(&server.address(), agents()).await;
    router.apply(Ask::Mode(Mode::Gradual)).await;
    server.run(&["SET", "system_mode", "python_only"]).await;
    server.run(&["DEL", "rollout_percentage"]).await;
    until("both are as the state is", async || held(&server).await == pair("gradual", "0")).await;
    assert_eq!(router.serves().0, Mode::Gradual, "and the router has not followed them");

    let calls = async |command: &str| {
        let about = server.text(&["INFO", "commandstats"]).await;
        let line = about.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:calls="))).map(str::to_owned);
        line.map_or(0, |line| line.split(['=', ',']).nth(1).unwrap().parse::<u64>().unwrap())
    };
    let (looked, written) = (calls("hget").await, calls("set").await);
    until("the keys are looked at twice more", async || calls("hget").await >= looked + 2).await;
    assert_eq!(calls("set").await, written, "what agrees is not written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_lost_everything_gets_them_back_with_its_state() {
    let Some(server) = Server::start(&[]).await else { return };
    let router = Router::start(&server.address(), agents()).await;
    router.apply(Ask::Rollout(share(5_000))).await;
    router.apply(Ask::Mode(Mode::Gradual)).await;
    server.run(&["FLUSHALL"]).await;
    until("the loss is seen", async || router.watch.store_health().revision_went_back).await;
    assert_eq!(held(&server).await, pair("", ""), "a store that is not believed is not written to");
    let reseed = Reseed { actor: "ann".into(), reason: "flushed".into(), dry_run: false, force: false };
    until("the state is written back", async || router.control.reseed(&reseed).await.is_ok()).await;
    until("the keys are as the state is", async || held(&server).await == pair("gradual", "50")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_may_be_there_and_does_not_read_is_not_begun_anew() {
    let Some(server) = Server::start(&[]).await else { return };
    server.run(&["SET", "system_mode", "python_only"]).await;
    server.run(&["SET", "crossfade:{e}:migrations", "somebody's"]).await;
    let router = Router::start(&server.address(), agents()).await;
    assert_eq!(router.serves().0, Mode::LegacyOnly, "nobody knows where it stands");
    let position = Position { mode: Mode::NewOnly, share: share(0) };
    let refused = router.control.adopt(&agents(), position, "mirror_keys", "x").await.unwrap_err();
    assert!(refused.to_string().contains("do not read"), "{refused}");
    server.run(&["DEL", "crossfade:{e}:migrations"]).await;
    until("the first start is made up for", async || {
        router.watch.refresh().await;
        router.serves() == (Mode::NewOnly, 0, 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_somebody_elses_is_left_alone_and_keeps_no_change_back() {
    let Some(server) = Server::start(&[]).await else { return };
    server.run(&["RPUSH", "system_mode", "a", "b"]).await;
    let router = Router::start(&server.address(), agents()).await;
    assert_eq!(router.serves(), (Mode::LegacyOnly, 0, 0), "it tells no state");
    router.apply(Ask::RollBack).await;
    assert_eq!(router.serves().0, Mode::EmergencyRollback);
    assert_eq!(server.run(&["LLEN", "system_mode"]).await, Value::Int(2));
    assert_eq!(get(&server, "rollout_percentage").await, "0", "the other one is written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_goes_on_where_the_keys_stand_and_no_later_one_reads_them() {
    let Some(server) = Server::start(&[]).await else { return };
    for (key, value) in [("system_mode", "gradual"), ("rollout_percentage", "25")] {
        server.run(&["SET", key, value]).await;
    }
    // Two routers that start at once make one first state.
    let address = server.address();
    let (router, second) = tokio::join!(Router::start(&address, agents()), Router::start(&address, agents()));
    until("both serve it", async || router.serves() == (Mode::Gradual, 2_500, 1) && second.serves() == router.serves())
        .await;
    let history = router.history().await;
    assert_eq!(history.len(), 1, "{history:?}");
    let first = &history[0];
    assert_eq!((first.actor.as_str(), first.kind), ("mirror_keys", ChangeKind::Adopt));
    assert!(first.reason.contains("system_mode") && first.reason.contains("rollout_percentage"), "{first:?}");
    assert_eq!(crate::state::broken_link(&history), None);
    drop((router, second));

    server.run(&["SET", "system_mode", "python_only"]).await;
    let router = Router::start(&server.address(), agents()).await;
    assert_eq!(router.serves(), (Mode::Gradual, 2_500, 1), "the store knows the migration");
    until("the key is as the state is", async || held(&server).await == pair("gradual", "25")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_not_there_get_the_initial_state_of_the_file() {
    let Some(server) = Server::start(&[]).await else { return };
    let initial = Initial { mode: Mode::Gradual, share: share(1_000) };
    let router = Router::start(&server.address(), Migration { initial, ..agents() }).await;
    assert_eq!(router.serves(), (Mode::Gradual, 1_000, 1));
    assert_eq!(held(&server).await, pair("gradual", "10"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_values_are_refused_and_left_until_the_first_change() {
    let Some(server) = Server::start(&[]).await else { return };
    for (mode, percent) in [("python", "25"), ("gradual", "250"), ("gradual", "ten"), ("legacy_only", "")] {
        server.run(&["FLUSHALL"]).await;
        server.run(&["SET", "system_mode", mode]).await;
        server.run(&["SET", "rollout_percentage", percent]).await;
        let initial = Initial { mode: Mode::Parallel, share: share(0) };
        let router = Router::start(&server.address(), Migration { initial, ..agents() }).await;
        assert_eq!(router.serves(), (Mode::Parallel, 0, 0), "{mode} {percent}");
        assert_eq!(router.history().await, []);
        assert_eq!(held(&server).await, pair(mode, percent), "whose they are is not known");
        router.apply(Ask::Mode(Mode::Gradual)).await;
        assert_eq!(held(&server).await, pair("gradual", "0"));
    }
}
