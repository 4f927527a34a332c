use super::*;
use crate::bucket::BasisPoints;
use crate::migration::{Initial, Side};

fn id(text: &str) -> MigrationId {
    MigrationId::new(text).unwrap()
}

fn migration(name: &str, requires: &[&str]) -> Migration {
    Migration { requires: requires.iter().map(|name| id(name)).collect(), ..Migration::new(id(name), "old", "new") }
}

fn share(bp: u16) -> BasisPoints {
    BasisPoints::new(bp).unwrap()
}

fn built(migrations: Vec<Migration>) -> Result<Arc<Definitions>, Vec<DefinitionError>> {
    Definitions::build(migrations, Vec::new(), None, String::new()).map(Arc::new)
}

/// What is wrong with migrations that require each other like this.
#[track_caller]
fn check(edges: &[(&str, &[&str])], expected: &[DefinitionError]) {
    let migrations = edges.iter().map(|(name, requires)| migration(name, requires)).collect();
    let errors = built(migrations).err().unwrap_or_default();
    assert_eq!(errors, expected, "{edges:?}");
}

fn cycle(at: usize, path: &[&str]) -> DefinitionError {
    DefinitionError::Cycle { migration: at, path: path.iter().map(|name| id(name)).collect() }
}

#[test]
fn prerequisites_form_no_cycle_and_name_what_exists() {
    check(&[("a", &[]), ("b", &["a"]), ("c", &["a", "b"]), ("d", &["b", "c"])], &[]);
    check(&[("a", &["a"])], &[cycle(0, &["a", "a"])]);
    check(&[("a", &["b"]), ("b", &["a"])], &[cycle(0, &["a", "b", "a"])]);
    check(&[("x", &["b"]), ("b", &["c"]), ("c", &["b"])], &[cycle(0, &["b", "c", "b"])]);
    check(
        &[("a", &["b"]), ("b", &["a"]), ("c", &["d"]), ("d", &["c"])],
        &[cycle(0, &["a", "b", "a"]), cycle(2, &["c", "d", "c"])],
    );
    let unknown = DefinitionError::UnknownPrerequisite { migration: 1, required: id("z") };
    check(&[("a", &["b"]), ("b", &["z"])], &[unknown]);
    let twice = DefinitionError::DuplicateMigration { migration: 1, id: id("a") };
    check(&[("a", &[]), ("a", &[])], &[twice]);
}

#[test]
fn a_chain_of_prerequisites_has_a_greatest_depth() {
    let names: Vec<_> = (0..20).map(|n| format!("m{n}")).collect();
    let chain = |length: usize| {
        let link = |n: usize| migration(&names[n], if n > 0 { vec![names[n - 1].as_str()] } else { vec![] }.as_slice());
        built((0..length).map(link).collect())
    };
    chain(PREREQUISITES_DEPTH_MAX).unwrap();
    let errors = chain(PREREQUISITES_DEPTH_MAX + 1).unwrap_err();
    assert_eq!(errors, [DefinitionError::TooDeep { migration: PREREQUISITES_DEPTH_MAX }]);
}

#[test]
fn a_wide_graph_is_built_in_no_time() {
    // Each of a layer requires all of the next, so that there are 20^7 paths.
    let layer = |n: usize| (0..20).map(|at| format!("l{n}-{at}")).collect::<Vec<_>>();
    let migrations = (0..7).flat_map(|n| {
        let next = if n < 6 { layer(n + 1) } else { Vec::new() };
        layer(n).into_iter().map(move |name| migration(&name, &next.iter().map(String::as_str).collect::<Vec<_>>()))
    });
    let definitions = built(migrations.collect()).unwrap();
    assert_eq!(definitions.prerequisites[0].len(), 6 * 20);
}

#[test]
fn the_story_routes_act_on_the_marked_or_the_only_migration() {
    let default = |name: &str| Migration { default: true, ..migration(name, &[]) };
    let found = |migrations| built(migrations).map(|definitions| definitions.default_migration());
    assert_eq!(found(vec![migration("a", &[])]), Ok(Some(MigrationIndex(0))));
    assert_eq!(found(vec![migration("a", &[]), migration("b", &[])]), Ok(None));
    assert_eq!(found(vec![migration("a", &[]), default("b")]), Ok(Some(MigrationIndex(1))));
    assert_eq!(found(vec![default("a"), default("b")]), Err(vec![DefinitionError::SecondDefault { migration: 1 }]));
}

/// `m` of the file, at half of the traffic by its initial state.
fn half() -> Arc<Definitions> {
    let initial = Initial { mode: Mode::Gradual, share: share(5_000) };
    built(vec![Migration { initial, ..migration("m", &[]) }]).unwrap()
}

fn state(revision: u64, change: impl FnOnce(&mut Document)) -> Loaded {
    let mut document = Document::initial(&migration("m", &[]));
    document.revision = Revision(revision);
    change(&mut document);
    Loaded {
        revision: Revision(revision),
        migrations: [(id("m"), Stored::State { document, pins: Pins::new() })].into(),
        ..Loaded::default()
    }
}

fn unreadable(revision: u64) -> Loaded {
    let stored = Stored::Unreadable("it is no JSON".into());
    Loaded { revision: Revision(revision), migrations: [(id("m"), stored)].into(), ..Loaded::default() }
}

fn next(previous: &Snapshot, loaded: &Loaded) -> Snapshot {
    Snapshot::build(Arc::clone(previous.definitions()), loaded, previous.local().clone(), Some(previous))
}

fn first(loaded: &Loaded) -> Snapshot {
    Snapshot::build(half(), loaded, Local::default(), None)
}

/// Mode and share of `m`, and whether something is wrong with its stored state.
fn placed(snapshot: &Snapshot) -> (Mode, u16, bool) {
    let placed = snapshot.placed(MigrationIndex(0));
    (placed.document.mode, placed.document.share.get(), placed.problem.is_some())
}

#[test]
fn the_files_initial_state_holds_only_while_the_store_has_none() {
    assert_eq!(placed(&first(&Loaded::default())), (Mode::Gradual, 5_000, false));
    assert_eq!(placed(&first(&state(1, |_| {}))), (Mode::LegacyOnly, 0, false));
}

#[test]
fn an_unusable_document_leaves_the_last_good_one_or_legacy() {
    let damages = [
        unreadable(2),
        state(2, |document| document.schema = SCHEMA + 1),
        state(2, |document| (document.hash, document.share) = (HashKind::Modulo, share(1_250))),
        Loaded { revision: Revision(2), ..Loaded::default() },
    ];
    for (at, damaged) in damages.iter().enumerate() {
        let good = first(&state(1, |document| document.mode = Mode::NewOnly));
        let kept = next(&good, damaged);
        assert_eq!(placed(&kept), (Mode::NewOnly, 0, true), "{damaged:?}");
        assert_eq!(kept.revision(), Revision(2));
        assert_eq!(placed(&next(&kept, damaged)), (Mode::NewOnly, 0, true), "{damaged:?}, read again");
        let repaired = next(&kept, &state(3, |document| document.mode = Mode::Parallel));
        assert_eq!(placed(&repaired), (Mode::Parallel, 0, false), "{damaged:?}");
        // Without a last good one it is legacy, not what the file would begin with; what the store
        // never had is the exception.
        if at < 3 {
            assert_eq!(placed(&first(damaged)), (Mode::LegacyOnly, 0, true), "{damaged:?}");
        }
    }
}

#[test]
fn a_running_rollout_keeps_its_hash_and_says_so() {
    let modulo = |bp| {
        state(1, |document| {
            (document.mode, document.hash, document.share) = (Mode::Gradual, HashKind::Modulo, share(bp));
        })
    };
    let running = first(&modulo(2_500));
    let at = MigrationIndex(0);
    assert_eq!(running.placed(at).document.hash, HashKind::Modulo);
    assert!(running.placed(at).problem.as_ref().is_some_and(|problem| problem.contains("modulo")));
    for end in [0, 10_000] {
        assert_eq!(first(&modulo(end)).placed(at).problem, None);
    }
    let salted = first(&state(1, |document| (document.salt, document.share) = ("another".into(), share(1))));
    assert!(salted.placed(at).problem.as_ref().is_some_and(|problem| problem.contains("another")));
}

#[test]
fn what_did_not_change_is_shared_with_the_snapshot_before() {
    let names = ["a", "b"];
    let definitions = built(names.map(|name| migration(name, &[])).to_vec()).unwrap();
    let stored = |name: &str, mode, pins| {
        (id(name), Stored::State { document: Document { mode, ..Document::initial(&migration(name, &[])) }, pins })
    };
    let pin = Pin { side: Side::New, reason: "r".into(), actor: "a".into(), until: None };
    let pins = Pins::from([("k".to_owned(), pin)]);
    let loaded = |mode| Loaded {
        revision: Revision(1),
        migrations: [stored("a", Mode::LegacyOnly, pins.clone()), stored("b", mode, pins.clone())].into(),
        ..Loaded::default()
    };
    let before = Snapshot::build(Arc::clone(&definitions), &loaded(Mode::LegacyOnly), Local::default(), None);
    let after = next(&before, &loaded(Mode::NewOnly));
    assert!(Arc::ptr_eq(&before.placed[0], &after.placed[0]));
    assert!(!Arc::ptr_eq(&before.placed[1], &after.placed[1]));
    assert!(after.placed[1].pins.contains_key(&b"k"[..]));
}

#[test]
fn kill_file_and_local_rollback_are_ahead_of_the_store() {
    let at = MigrationIndex(0);
    let loaded = state(1, |document| document.mode = Mode::NewOnly);
    let snapshot = |local| Snapshot::build(half(), &loaded, local, None);
    assert_eq!(snapshot(Local::default()).effective_mode(at), Mode::NewOnly);
    let killed = snapshot(Local { killed: true, ..Local::default() });
    assert_eq!((killed.effective_mode(at), killed.placed(at).rolled_back()), (Mode::EmergencyRollback, false));
    let here = snapshot(Local { rolled_back: vec![id("m")], ..Local::default() });
    assert_eq!((here.effective_mode(at), here.placed(at).rolled_back()), (Mode::EmergencyRollback, true));
    assert_eq!(here.placed(at).document.mode, Mode::NewOnly, "what is stored stays visible");
}
