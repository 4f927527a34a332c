use std::fs;
use std::sync::atomic::AtomicBool;

use super::*;
use crate::bucket::{BasisPoints, HashKind};
use crate::control::{Ask, Change, Control};
use crate::migration::{Initial, Migration};
use crate::state::Heartbeat;
use crate::store::fake::Fake;

const PATIENCE: Duration = Duration::from_secs(20);

/// One router with a store that does as it is told.
pub(crate) struct Rig {
    pub(crate) store: Arc<Fake>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) control: Control,
    pub(crate) background: Background,
    pub(crate) directory: tempfile::TempDir,
}

impl Rig {
    /// A router that starts with this store.
    pub(crate) async fn start(store: Arc<Fake>, migrations: Vec<Migration>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), store, migrations).await
    }

    pub(crate) async fn start_in(directory: tempfile::TempDir, store: Arc<Fake>, migrations: Vec<Migration>) -> Self {
        let saved = directory.path().join("saved.snapshot");
        let options = WatchOptions {
            store_patience: Duration::from_millis(50),
            resync: Duration::from_secs(1),
            ..WatchOptions::new("here", saved)
        };
        let shared: Arc<dyn Store> = Arc::clone(&store) as _;
        let (watch, background) = Watch::start(shared, definitions(migrations), options).await;
        let control = Control::new(Arc::clone(&watch));
        Self { store, watch, control, background, directory }
    }

    /// The process ends and another one starts in its place.
    pub(crate) async fn restart(self, migrations: Vec<Migration>) -> Self {
        let Self { store, background, directory, watch, control } = self;
        background.shutdown().await;
        drop((watch, control));
        Self::start_in(directory, store, migrations).await
    }

    pub(crate) fn effective(&self, migration: &str) -> (Mode, u16) {
        let snapshot = self.watch.current();
        let at = snapshot.find(&id(migration)).unwrap();
        (snapshot.effective_mode(at), snapshot.placed(at).document.share.get())
    }

    pub(crate) async fn apply(&self, ask: Ask) {
        self.control.apply(&id("m"), Change::new(ask, "ann", "test")).await.unwrap();
    }

    pub(crate) fn problem(&self, migration: &str) -> Option<String> {
        let snapshot = self.watch.current();
        snapshot.placed(snapshot.find(&id(migration)).unwrap()).problem.clone()
    }
}

pub(crate) fn id(text: &str) -> MigrationId {
    MigrationId::new(text).unwrap()
}

pub(crate) fn share(basis_points: u16) -> BasisPoints {
    BasisPoints::new(basis_points).unwrap()
}

pub(crate) fn migration(name: &str) -> Migration {
    Migration::new(id(name), "old", "new")
}

pub(crate) fn definitions(migrations: Vec<Migration>) -> Definitions {
    Definitions::build(migrations, Vec::new(), None, "c0ffee".into()).unwrap()
}

/// Waits until a condition holds; it must, in the end.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn down(store: &Fake) -> &AtomicBool {
    &store.down
}

fn mute(store: &Fake) -> &AtomicBool {
    &store.mute
}

/// `m`, which the file would start at half of the traffic.
fn half() -> Migration {
    Migration { initial: Initial { mode: Mode::Gradual, share: share(5_000) }, ..migration("m") }
}

#[tokio::test]
async fn an_unknown_migration_starts_as_the_file_says_once_the_store_has_answered() {
    let rig = Rig::start(Arc::default(), vec![half()]).await;
    assert_eq!(rig.effective("m"), (Mode::Gradual, 5_000));
    let health = rig.watch.store_health();
    assert!(health.reachable && !health.from_saved && health.last_error.is_none(), "{health:?}");
}

#[tokio::test]
async fn without_store_and_saved_state_legacy_serves_whatever_the_file_says() {
    let store = Arc::<Fake>::default();
    store.set(down, true);
    let rig = Rig::start(store, vec![half()]).await;
    assert_eq!(rig.effective("m"), (Mode::LegacyOnly, 0));
    let health = rig.watch.store_health();
    assert!(!health.reachable && health.from_saved && health.last_error.is_some(), "{health:?}");

    rig.store.set(down, false);
    until("the file's initial state holds", || rig.effective("m") == (Mode::Gradual, 5_000)).await;
    until("the health is good", || !rig.watch.store_health().from_saved).await;
    assert_eq!(rig.problem("m"), None);
}

#[tokio::test]
async fn without_the_store_the_saved_state_serves_and_an_unknown_migration_stays_on_legacy() {
    let rig = Rig::start(Arc::default(), vec![migration("m"), half_named("i")]).await;
    rig.apply(Ask::Rollout(share(2_500))).await;
    rig.apply(Ask::Mode(Mode::Gradual)).await;
    rig.apply(Ask::Pin { key: "k".into(), side: crate::Side::New, until: None }).await;
    rig.store.set(down, true);
    let rig = rig.restart(vec![migration("m"), half_named("i"), half_named("later")]).await;
    assert_eq!(rig.effective("m"), (Mode::Gradual, 2_500));
    assert_eq!(rig.effective("i"), (Mode::Gradual, 5_000), "where the file's initial state put it");
    assert_eq!(rig.effective("later"), (Mode::LegacyOnly, 0));
    let snapshot = rig.watch.current();
    assert_eq!(snapshot.revision(), Revision(3));
    assert!(snapshot.placed(snapshot.find(&id("m")).unwrap()).pins.contains_key(&b"k"[..]));
    assert!(rig.watch.store_health().from_saved);
    rig.store.set(down, false);
    until("the store is read", || !rig.watch.store_health().from_saved).await;
    assert_eq!(rig.effective("m"), (Mode::Gradual, 2_500));
}

fn half_named(name: &str) -> Migration {
    Migration { id: id(name), ..half() }
}

#[tokio::test]
async fn a_changed_initial_state_moves_nobody_before_the_next_start() {
    let rig = Rig::start(Arc::default(), vec![half()]).await;
    let new_only = Migration { initial: Initial { mode: Mode::NewOnly, share: share(0) }, ..migration("m") };
    rig.watch.reload(definitions(vec![new_only.clone()])).unwrap();
    assert_eq!(rig.effective("m"), (Mode::Gradual, 5_000));
    let rig = rig.restart(vec![new_only]).await;
    assert_eq!(rig.effective("m"), (Mode::NewOnly, 0));
}

#[tokio::test]
async fn a_damaged_saved_state_is_not_used_and_not_fatal() {
    let rig = Rig::start(Arc::default(), vec![migration("m")]).await;
    rig.apply(Ask::Mode(Mode::NewOnly)).await;
    rig.background.shutdown().await;
    let path = rig.directory.path().join("saved.snapshot");
    let good = fs::read_to_string(&path).unwrap();
    assert_eq!(Saved::read(&path).unwrap().unwrap().revision, Revision(1));
    for damaged in [
        String::new(),
        "{".into(),
        good[..good.len() / 2].into(),
        good.replace("new_only", "parallel"),
        good.replace("\"format\":1", "\"format\":2"),
        good.replace("\"state\":", "\"states\":"),
        "\u{0}".repeat(100),
        "[".repeat(100_000),
    ] {
        fs::write(&path, &damaged).unwrap();
        let refused = Saved::read(&path).unwrap_err().to_string();
        assert!(refused.contains("saved.snapshot") && refused.contains("damaged"), "{refused}");
    }
    let store = Arc::<Fake>::default();
    store.set(down, true);
    let rig = Rig::start_in(rig.directory, store, vec![migration("m")]).await;
    assert_eq!(rig.effective("m"), (Mode::LegacyOnly, 0));
}

#[tokio::test]
async fn a_state_that_cannot_be_saved_is_counted_and_serves() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("saved.snapshot")).unwrap();
    let rig = Rig::start_in(directory, Arc::default(), vec![migration("m")]).await;
    rig.apply(Ask::Mode(Mode::NewOnly)).await;
    assert_eq!(rig.effective("m"), (Mode::NewOnly, 0));
    until("the failure is counted", || rig.watch.counts().saves_failed > 0).await;
}

#[tokio::test]
async fn a_lost_store_changes_nothing_and_is_told() {
    let rig = Rig::start(Arc::default(), vec![migration("m")]).await;
    rig.apply(Ask::Mode(Mode::NewOnly)).await;
    let before = rig.watch.current();
    rig.store.set(down, true);
    until("the loss is noticed", || !rig.watch.store_health().reachable).await;
    assert!(Arc::ptr_eq(&before, &rig.watch.current()));
    assert!(rig.watch.store_health().last_error.is_some_and(|error| error.contains("the test took it away")));
    assert!(rig.watch.counts().store_errors > 0);
    rig.store.set(down, false);
    until("the store is back", || rig.watch.store_health().reachable).await;
    assert_eq!(rig.watch.store_health().last_error, None);
}

#[tokio::test]
async fn a_store_that_lost_its_state_is_not_believed_until_it_has_it_again() {
    let rig = Rig::start(Arc::default(), vec![half()]).await;
    rig.apply(Ask::Mode(Mode::NewOnly)).await;
    let kept = std::mem::take(&mut rig.store.state().loaded);
    until("the alarm is raised", || rig.watch.store_health().revision_went_back).await;
    assert_eq!(rig.effective("m"), (Mode::NewOnly, 5_000));
    assert!(rig.watch.store_health().reachable);
    let refused = rig.control.apply(&id("m"), Change::new(Ask::Mode(Mode::Parallel), "ann", "r")).await.unwrap_err();
    assert!(refused.to_string().contains("has lost its state"), "{refused}");

    // Nor after a restart, where the saved state is newer than the store's.
    let rig = rig.restart(vec![half()]).await;
    assert_eq!(rig.effective("m"), (Mode::NewOnly, 5_000));
    assert!(rig.watch.store_health().revision_went_back);

    rig.store.state().loaded = kept;
    until("the alarm is over", || !rig.watch.store_health().revision_went_back).await;
    rig.apply(Ask::Mode(Mode::Parallel)).await;
    assert_eq!(rig.effective("m"), (Mode::Parallel, 5_000));
}

#[tokio::test]
async fn a_document_that_vanishes_or_breaks_keeps_its_last_good_state() {
    let rig = Rig::start(Arc::default(), vec![half(), migration("n")]).await;
    rig.apply(Ask::Mode(Mode::NewOnly)).await;
    let kept = rig.store.state().loaded.migrations.remove(&id("m"));
    until("the loss is noticed", || rig.problem("m").is_some_and(|problem| problem.contains("gone"))).await;
    assert_eq!(rig.effective("m"), (Mode::NewOnly, 5_000));

    rig.store.state().loaded.migrations.insert(id("m"), Stored::Unreadable("it is no JSON".into()));
    until("the damage is noticed", || rig.problem("m").is_some_and(|problem| problem.contains("no JSON"))).await;
    assert_eq!(rig.effective("m"), (Mode::NewOnly, 5_000));
    assert_eq!(rig.problem("n"), None);
    assert_eq!(rig.watch.counts().documents_refused, 2);

    rig.store.state().loaded.migrations.extend(kept.map(|kept| (id("m"), kept)));
    until("it is usable again", || rig.problem("m").is_none()).await;
}

#[tokio::test]
async fn nothing_new_builds_nothing_new() {
    let rig = Rig::start(Arc::default(), vec![migration("m")]).await;
    rig.store.state().loaded.migrations.insert(id("m"), Stored::Unreadable("x".into()));
    until("the damage is noticed", || rig.problem("m").is_some()).await;
    let built = rig.watch.counts().snapshots_built;
    for _ in 0..3 {
        rig.watch.refresh().await;
    }
    assert_eq!(rig.watch.counts().snapshots_built, built);
}

#[tokio::test]
async fn a_lost_announcement_only_delays_a_change() {
    let store = Arc::<Fake>::default();
    store.set(mute, true);
    let rig = Rig::start(Arc::clone(&store), vec![migration("m")]).await;
    let other = Rig::start(store, vec![migration("m")]).await;
    other.apply(Ask::Mode(Mode::NewOnly)).await;
    until("the poll brings it", || rig.effective("m") == (Mode::NewOnly, 0)).await;
}

#[tokio::test]
async fn the_kill_file_overrules_and_gives_back() {
    let rig = Rig::start(Arc::default(), vec![migration("m")]).await;
    rig.apply(Ask::Mode(Mode::NewOnly)).await;
    let mut swapped = rig.watch.subscribe();
    rig.watch.set_killed(true);
    assert!(swapped.has_changed().unwrap(), "a swap at the same revision is told too");
    swapped.mark_unchanged();
    assert_eq!(rig.effective("m").0, Mode::EmergencyRollback);
    rig.watch.set_killed(true);
    assert!(!swapped.has_changed().unwrap());
    rig.watch.set_killed(false);
    assert_eq!(rig.effective("m").0, Mode::NewOnly);
}

#[tokio::test]
async fn a_reload_keeps_states_and_counts_generations() {
    let rig = Rig::start(Arc::default(), vec![migration("m"), migration("n")]).await;
    rig.apply(Ask::Mode(Mode::NewOnly)).await;
    rig.watch.reload(definitions(vec![migration("o"), migration("m")])).unwrap();
    assert_eq!(rig.effective("m").0, Mode::NewOnly);
    assert_eq!(rig.effective("o").0, Mode::LegacyOnly);
    let snapshot = rig.watch.current();
    assert_eq!((snapshot.generation(), snapshot.find(&id("n"))), (2, None));
}

#[tokio::test]
async fn a_reload_that_would_move_callers_is_refused() {
    let modulo = || Migration { hash: HashKind::Modulo, ..migration("m") };
    let program = || Migration { program: Some("p".into()), ..migration("m") };
    let rig = Rig::start(Arc::default(), vec![migration("m"), migration("n")]).await;
    rig.apply(Ask::Mode(Mode::Gradual)).await;
    rig.apply(Ask::Rollout(share(2_500))).await;
    for changed in [modulo(), program()] {
        let refused = rig.watch.reload(definitions(vec![changed])).unwrap_err();
        assert_eq!(refused, ReloadError::WouldMoveCallers(vec![id("m")]));
        assert!(refused.to_string().contains("migration \"m\" would change while its rollout"), "{refused}");
    }
    assert_eq!(rig.watch.current().generation(), 1);
    rig.apply(Ask::Rollout(share(10_000))).await;
    rig.watch.reload(definitions(vec![modulo()])).unwrap();
    // A restart that changed the hash under way is told and frozen; a later reload is not stopped by it.
    rig.apply(Ask::Rollout(share(2_500))).await;
    let rig = rig.restart(vec![migration("m")]).await;
    assert!(rig.problem("m").is_some_and(|problem| problem.contains("modulo")));
    rig.watch.reload(definitions(vec![migration("m"), migration("n")])).unwrap();
}

/// Whatever is wrong, the store is asked at the poll's pace and not in a loop.
async fn check_pace(rig: &Rig) {
    let reads = || rig.store.reads.load(std::sync::atomic::Ordering::SeqCst);
    let (before, begun) = (reads(), tokio::time::Instant::now());
    until("four more reads", || reads() >= before + 4).await;
    // Two tasks may read about once a second each, or four fifths of that.
    assert!(begun.elapsed() > Duration::from_millis(700), "four reads in {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_store_in_trouble_is_not_asked_in_a_loop() {
    let rig = Rig::start(Arc::default(), vec![migration("m")]).await;
    rig.apply(Ask::Mode(Mode::NewOnly)).await;
    let kept = std::mem::take(&mut rig.store.state().loaded);
    rig.store.revision.send_replace(Revision::ZERO);
    until("the alarm is raised", || rig.watch.store_health().revision_went_back).await;
    check_pace(&rig).await;
    rig.store.state().loaded = kept;
    rig.store.set(down, true);
    rig.control.apply(&id("m"), Change::new(Ask::RollBack, "ann", "r")).await.unwrap();
    check_pace(&rig).await;
}

#[tokio::test]
async fn heartbeats_tell_the_revision_that_is_served() {
    let rig = Rig::start(Arc::default(), vec![migration("m")]).await;
    let beat = || rig.store.state().replicas.get("here").cloned();
    until("a first heartbeat", || beat().is_some()).await;
    rig.apply(Ask::Mode(Mode::NewOnly)).await;
    until("a heartbeat after the swap", || beat().is_some_and(|beat| beat.revision == Revision(1))).await;
    rig.watch.set_draining();
    until("a heartbeat that says so", || beat().is_some_and(|beat| beat.draining)).await;
    let Heartbeat { time, config_hash, .. } = beat().unwrap();
    assert_eq!(config_hash, "c0ffee");
    until("another without a swap", || beat().is_some_and(|beat| beat.time > time)).await;
}

#[tokio::test]
async fn a_rollback_of_this_router_survives_a_restart_and_reaches_the_store() {
    let rig = Rig::start(Arc::default(), vec![migration("m")]).await;
    rig.apply(Ask::Mode(Mode::NewOnly)).await;
    rig.store.set(down, true);
    rig.watch.roll_back_here(LocalRollback {
        migration: id("m"),
        actor: "guard".into(),
        reason: "new is gone".into(),
        evidence: None,
        time: Timestamp::now(),
    });
    assert_eq!(rig.effective("m").0, Mode::EmergencyRollback);
    let rig = rig.restart(vec![migration("m")]).await;
    assert_eq!(rig.effective("m").0, Mode::EmergencyRollback);
    assert_eq!(rig.watch.store_health().rollbacks_waiting, [id("m")]);

    rig.store.set(down, false);
    until("it is stored", || rig.store.state().loaded.revision == Revision(2)).await;
    until("the store's word replaces the local one", || !rig.watch.is_rolled_back_here(&id("m"))).await;
    assert_eq!(rig.effective("m").0, Mode::EmergencyRollback);
    let state = rig.store.state();
    let entry = state.history[&id("m")].last().unwrap();
    assert_eq!((entry.actor.as_str(), entry.reason.as_str()), ("guard", "new is gone"));
}

#[tokio::test]
async fn after_a_shutdown_nothing_runs_on() {
    let rig = Rig::start(Arc::default(), vec![migration("m")]).await;
    until("a first heartbeat", || rig.store.state().replicas.contains_key("here")).await;
    rig.background.shutdown().await;
    drop(rig.control);
    assert_eq!(Arc::strong_count(&rig.watch), 1);
    assert!(rig.store.state().replicas.is_empty(), "nobody waits for a router that said goodbye");
}

#[tokio::test]
async fn a_store_that_refuses_is_a_reason_not_to_start_only_where_nothing_is_known() {
    let refusing = || {
        let store = Arc::new(Fake::default());
        store.set(|fake| &fake.refusing, true);
        store
    };
    let rig = Rig::start(refusing(), vec![half()]).await;
    assert!(rig.watch.unusable_store().is_some_and(|problem| problem.contains("refuses this router")));
    // And it has left nothing that the next start could take for a state.
    let rig = Rig { store: refusing(), ..rig }.restart(vec![half()]).await;
    assert!(rig.watch.unusable_store().is_some());

    let away = Arc::new(Fake::default());
    away.set(down, true);
    let rig = Rig::start(away, vec![half()]).await;
    assert_eq!(rig.watch.unusable_store(), None, "a store that is away comes back");

    let rig = Rig::start(Arc::default(), vec![half()]).await;
    rig.apply(Ask::Mode(Mode::NewOnly)).await;
    let rig = Rig { store: refusing(), ..rig }.restart(vec![half()]).await;
    assert_eq!(rig.watch.unusable_store(), None, "the saved state serves");
    assert_eq!(rig.effective("m").0, Mode::NewOnly);
}

#[tokio::test]
async fn a_heartbeat_brings_what_no_announcement_did_and_reads_nothing_at_rest() {
    let store = Arc::<Fake>::default();
    store.set(mute, true);
    let directory = tempfile::tempdir().unwrap();
    let saved = directory.path().join("saved.snapshot");
    let options = WatchOptions { resync: Duration::from_secs(3_600), ..WatchOptions::new("deaf", saved) };
    let shared: Arc<dyn Store> = Arc::clone(&store) as _;
    let (watch, _background) = Watch::start(shared, definitions(vec![migration("m")]), options).await;
    let other = Rig::start(Arc::clone(&store), vec![migration("m")]).await;
    other.apply(Ask::Mode(Mode::NewOnly)).await;
    until("the heartbeat tells of it", || watch.current().revision() == Revision(1)).await;

    other.background.shutdown().await;
    let spoke = || store.state().replicas["deaf"].time;
    let mut last = spoke();
    let reads = store.reads.load(Ordering::SeqCst);
    for _ in 0..3 {
        until("another heartbeat", || spoke() != last).await;
        last = spoke();
    }
    assert_eq!(store.reads.load(Ordering::SeqCst), reads);

    store.set(down, true);
    until("a store that goes is noticed", || !watch.store_health().reachable).await;
    store.set(down, false);
    until("and one that comes back", || watch.store_health().reachable).await;
}
