use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::bucket::{BasisPoints, HashKind};
use crate::key::tests::Written;
use crate::migration::{Excuse, MigrationId, Write};
use crate::rule::{AnyOf, Condition, Rule};
use crate::snapshot::{Definitions, Local};
use crate::state::{Document, Pin, Pins};
use crate::store::{Loaded, Stored};

/// The instant of every decision here, in seconds.
const NOW: i64 = 1_800_000_000;

/// One migration, its state, one request; a test changes what it is about.
struct Case {
    definition: Migration,
    mode: Mode,
    bp: u16,
    pins: Vec<(&'static str, Side, Option<i64>)>,
    local: Local,
    /// What must be on new first, by name, mode and share.
    required: Vec<(&'static str, Mode, u16)>,
    request: Written,
    key: Option<&'static str>,
    chance: u32,
}

fn id(text: &str) -> MigrationId {
    MigrationId::new(text).unwrap()
}

/// Everything to new, for lack of a reason not to.
fn new_only() -> Case {
    Case {
        definition: Migration::new(id("m"), "old", "new"),
        mode: Mode::NewOnly,
        bp: 0,
        pins: Vec::new(),
        local: Local::default(),
        required: Vec::new(),
        request: Written::default(),
        key: Some("user-1"),
        chance: 0,
    }
}

fn in_mode(mode: Mode, bp: u16) -> Case {
    Case { mode, bp, ..new_only() }
}

fn stored(definition: &Migration, mode: Mode, bp: u16, pins: Pins) -> Stored {
    let share = BasisPoints::new(bp).unwrap();
    Stored::State { document: Document { mode, share, revision: Revision(7), ..Document::initial(definition) }, pins }
}

impl Case {
    fn snapshot(&self) -> Snapshot {
        let mut definitions = vec![self.definition.clone()];
        let pins = self.pins.iter().map(|(key, side, until)| {
            let until = until.map(|seconds| jiff::Timestamp::from_second(seconds).unwrap());
            ((*key).to_owned(), Pin { side: *side, reason: "r".into(), actor: "a".into(), until })
        });
        let mut migrations = BTreeMap::from([(id("m"), stored(&self.definition, self.mode, self.bp, pins.collect()))]);
        let mut before = "m";
        for (name, mode, bp) in &self.required {
            // Each requires the next, so that the last is required transitively.
            definitions.iter_mut().find(|d| d.id == id(before)).unwrap().requires.push(id(name));
            let definition =
                Migration { program: self.definition.program.clone(), ..Migration::new(id(name), "o", "n") };
            migrations.insert(id(name), stored(&definition, *mode, *bp, Pins::new()));
            definitions.push(definition);
            before = name;
        }
        let definitions = Definitions::build(definitions, Vec::new(), None, String::new()).unwrap();
        let loaded = Loaded { revision: Revision(9), migrations, ..Loaded::default() };
        Snapshot::build(Arc::new(definitions), &loaded, self.local.clone(), None)
    }

    fn decide(&self) -> Decision {
        let snapshot = self.snapshot();
        let migration = snapshot.find(&id("m")).unwrap();
        let key = self.key.map(str::as_bytes);
        decide(&snapshot, &Facts { migration, request: &self.request, key, now: NOW, chance: self.chance })
    }
}

/// The only line of these tests that knows how a decision is asked for.
#[track_caller]
fn check(case: &Case, serve: Side, reason: Reason) {
    let decision = case.decide();
    assert_eq!((decision.serve, decision.reason), (serve, reason), "{:?} at {}", case.mode, case.bp);
    assert_eq!(decision.revision, Revision(7), "the revision is that of the migration's document");
}

#[track_caller]
fn check_mirror(case: &Case, expected: Option<Side>) {
    let decision = case.decide();
    assert_eq!(decision.mirror, expected, "{decision:?}");
    assert_ne!(decision.mirror, Some(decision.serve));
}

fn rule(source: &str, value: &str, serve: Side) -> Rule {
    let any_of = AnyOf::Values(vec![value.into()]);
    Rule { conditions: vec![Condition { source: source.parse().unwrap(), any_of }], serve }
}

fn beta(serve: Side) -> (Vec<Rule>, Written) {
    let request = Written { headers: vec![("x-group", "beta")], ..Written::default() };
    (vec![rule("header:x-group", "beta", serve)], request)
}

#[test]
fn a_mode_alone_decides() {
    check(&in_mode(Mode::LegacyOnly, 10_000), Side::Legacy, Reason::Mode);
    check(&in_mode(Mode::NewOnly, 0), Side::New, Reason::Mode);
    check(&in_mode(Mode::Parallel, 10_000), Side::Legacy, Reason::Mode);
    check(&in_mode(Mode::EmergencyRollback, 10_000), Side::Legacy, Reason::EmergencyRollback);
    let mut new_serves = in_mode(Mode::Parallel, 0);
    new_serves.definition.parallel.serve = Side::New;
    check(&new_serves, Side::New, Reason::Mode);
}

#[test]
fn the_kill_file_comes_before_everything() {
    for mode in Mode::ALL {
        let mut case = in_mode(mode, 10_000);
        case.local.killed = true;
        case.pins = vec![("user-1", Side::New, None)];
        case.definition.override_pins = false;
        (case.definition.rules, case.request) = beta(Side::New);
        check(&case, Side::Legacy, Reason::KillFile);
        check_mirror(&case, None);
    }
}

#[test]
fn a_rollback_comes_before_pins_unless_the_file_says_otherwise() {
    let pinned = |side, override_pins| {
        let mut case = in_mode(Mode::EmergencyRollback, 10_000);
        case.pins = vec![("user-1", side, None)];
        case.definition.override_pins = override_pins;
        (case.definition.rules, case.request) = beta(Side::New);
        case
    };
    check(&pinned(Side::New, true), Side::Legacy, Reason::EmergencyRollback);
    check(&pinned(Side::New, false), Side::New, Reason::Pin);
    check(&pinned(Side::Legacy, false), Side::Legacy, Reason::EmergencyRollback);
}

#[test]
fn a_rollback_of_this_router_is_a_rollback_whatever_the_store_says() {
    for mode in Mode::ALL {
        let mut case = in_mode(mode, 10_000);
        case.local.rolled_back = vec![id("m")];
        check(&case, Side::Legacy, Reason::EmergencyRollback);
        check_mirror(&case, None);
        case.local.rolled_back = vec![id("other")];
        let reason = case.decide().reason;
        assert_eq!(reason == Reason::EmergencyRollback, mode == Mode::EmergencyRollback);
    }
}

#[test]
fn a_prerequisite_that_has_not_moved_this_key_holds_it_back() {
    let requiring = |required: Vec<(&'static str, Mode, u16)>| Case { required, ..new_only() };
    check(&requiring(vec![("r", Mode::NewOnly, 0)]), Side::New, Reason::Mode);
    check(&requiring(vec![("r", Mode::LegacyOnly, 0)]), Side::Legacy, Reason::Prerequisite);
    check(&requiring(vec![("r", Mode::Parallel, 0)]), Side::Legacy, Reason::Prerequisite);
    check(&requiring(vec![("r", Mode::EmergencyRollback, 0)]), Side::Legacy, Reason::Prerequisite);
    check(&requiring(vec![("r", Mode::Gradual, 10_000)]), Side::New, Reason::Mode);
    // Through another one that is itself on new.
    check(&requiring(vec![("r", Mode::NewOnly, 0), ("s", Mode::LegacyOnly, 0)]), Side::Legacy, Reason::Prerequisite);
    // Before a pin and before a rule.
    let mut pinned = requiring(vec![("r", Mode::LegacyOnly, 0)]);
    pinned.pins = vec![("user-1", Side::New, None)];
    (pinned.definition.rules, pinned.request) = beta(Side::New);
    check(&pinned, Side::Legacy, Reason::Prerequisite);
    // A migration in emergency_rollback says so itself.
    let rolled_back = Case { mode: Mode::EmergencyRollback, ..requiring(vec![("r", Mode::LegacyOnly, 0)]) };
    check(&rolled_back, Side::Legacy, Reason::EmergencyRollback);
}

#[test]
fn a_prerequisite_is_asked_for_the_same_key_with_its_own_salt() {
    let mut case = new_only();
    case.required = vec![("r", Mode::Gradual, 5_000)];
    let mut sides = [0; 2];
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        case.key = Some(key);
        let admitted = BasisPoints::new(5_000).unwrap().admits(HashKind::Bucket.place("r", key.as_bytes()).unwrap());
        let (serve, reason) = if admitted { (Side::New, Reason::Mode) } else { (Side::Legacy, Reason::Prerequisite) };
        check(&case, serve, reason);
        sides[usize::from(admitted)] += 1;
    }
    assert!(sides.iter().all(|count| *count > 0), "both are needed for a test: {sides:?}");
}

#[test]
fn a_pin_comes_before_rules_and_modes_until_it_expires() {
    let pinned = |side, until| {
        let mut case = in_mode(Mode::Gradual, 5_000);
        case.pins = vec![("user-1", side, until), ("other", side.other(), None)];
        (case.definition.rules, case.request) = beta(side.other());
        case
    };
    for side in Side::ALL {
        check(&pinned(side, None), side, Reason::Pin);
        check(&pinned(side, Some(NOW + 1)), side, Reason::Pin);
        check(&pinned(side, Some(NOW)), side.other(), Reason::Rule);
        check(&pinned(side, Some(NOW - 1)), side.other(), Reason::Rule);
        for mode in [Mode::LegacyOnly, Mode::Parallel, Mode::NewOnly] {
            check(&Case { mode, ..pinned(side, None) }, side, Reason::Pin);
        }
    }
    let mut prefix = pinned(Side::New, None);
    prefix.key = Some("user-11");
    check(&prefix, Side::Legacy, Reason::Rule);
    prefix.key = None;
    check(&prefix, Side::Legacy, Reason::Rule);
}

#[test]
fn the_first_rule_that_holds_comes_before_the_mode() {
    let mut case = in_mode(Mode::LegacyOnly, 0);
    case.definition.rules = vec![
        rule("header:x-group", "staff", Side::Legacy),
        rule("header:x-group", "beta", Side::New),
        rule("header:x-plan", "pro", Side::Legacy),
    ];
    check(&case, Side::Legacy, Reason::Mode);
    case.request.headers = vec![("x-plan", "pro"), ("x-group", "beta")];
    check(&case, Side::New, Reason::Rule);
    case.request.headers = vec![("x-plan", "pro")];
    check(&case, Side::Legacy, Reason::Rule);
}

#[test]
fn the_ends_of_gradual_need_no_key() {
    for on_missing_key in [OnMissingKey::Legacy, OnMissingKey::New, OnMissingKey::Random] {
        for key in [None, Some("user-1")] {
            for chance in [0, u32::MAX] {
                let mut case = Case { key, chance, ..in_mode(Mode::Gradual, 0) };
                case.definition.on_missing_key = on_missing_key;
                check(&case, Side::Legacy, Reason::Percent);
                case.bp = 10_000;
                check(&case, Side::New, Reason::Percent);
            }
        }
    }
}

#[test]
fn between_the_ends_a_missing_key_goes_where_the_file_says() {
    let missing = |on_missing_key, chance| {
        let mut case = Case { key: None, chance, ..in_mode(Mode::Gradual, 5_000) };
        case.definition.on_missing_key = on_missing_key;
        case
    };
    check(&missing(OnMissingKey::Legacy, 0), Side::Legacy, Reason::MissingKey);
    check(&missing(OnMissingKey::New, u32::MAX), Side::New, Reason::MissingKey);
    check(&missing(OnMissingKey::Random, u32::MAX / 2 - 1), Side::New, Reason::MissingKey);
    check(&missing(OnMissingKey::Random, u32::MAX / 2 + 1), Side::Legacy, Reason::MissingKey);
    // Under modulo, a key that is not all digits places nobody.
    let mut word = missing(OnMissingKey::New, 0);
    word.definition.hash = HashKind::Modulo;
    word.key = Some("word");
    check(&word, Side::New, Reason::MissingKey);
    word.key = Some("150");
    check(&word, Side::Legacy, Reason::Percent);
    word.key = Some("149");
    check(&word, Side::New, Reason::Percent);
}

#[test]
fn one_writer_keeps_unsafe_methods_on_legacy_until_new_only() {
    let case = |mode, method| {
        let mut case = in_mode(mode, 10_000);
        case.definition.unsafe_methods = UnsafeMethods::LegacyUntilNewOnly;
        case.request.method = Some(method);
        case
    };
    for method in ["POST", "PUT", "PATCH", "DELETE", "get", "FOO"] {
        check(&case(Mode::Gradual, method), Side::Legacy, Reason::Mode);
        check(&case(Mode::NewOnly, method), Side::New, Reason::Mode);
        let mut follow = case(Mode::Gradual, method);
        follow.definition.unsafe_methods = UnsafeMethods::Follow;
        check(&follow, Side::New, Reason::Percent);
    }
    for method in ["GET", "HEAD", "OPTIONS"] {
        check(&case(Mode::Gradual, method), Side::New, Reason::Percent);
    }
}

#[test]
fn parallel_copies_what_is_safe_to_repeat_to_the_other_side() {
    let case = |method| {
        let mut case = in_mode(Mode::Parallel, 0);
        case.request.method = Some(method);
        case
    };
    for method in ["GET", "HEAD", "OPTIONS"] {
        check_mirror(&case(method), Some(Side::New));
    }
    check_mirror(&case("POST"), None);
    let mut new_serves = case("GET");
    new_serves.definition.parallel.serve = Side::New;
    check_mirror(&new_serves, Some(Side::Legacy));
    let mut pinned = case("GET");
    pinned.pins = vec![("user-1", Side::New, None)];
    check_mirror(&pinned, Some(Side::Legacy));
    let mut no_share = case("GET");
    no_share.definition.parallel.share = BasisPoints::ZERO;
    check_mirror(&no_share, None);
    for mode in [Mode::LegacyOnly, Mode::Gradual, Mode::NewOnly, Mode::EmergencyRollback] {
        check_mirror(&in_mode(mode, 5_000), None);
    }
    // Not where new must be spared or is not ready.
    let mut unmet = Case { required: vec![("r", Mode::LegacyOnly, 0)], ..case("GET") };
    unmet.definition.parallel.serve = Side::New;
    check_mirror(&unmet, None);
}

#[test]
fn a_write_is_copied_by_opt_in_of_its_route_and_method() {
    let write = Write { path: "/orders/{id}".parse().unwrap(), methods: vec!["POST".into()], excuse: Excuse::DryRun };
    let case = |method, template: &str| {
        let mut case = in_mode(Mode::Parallel, 0);
        case.definition.parallel.writes = vec![write.clone()];
        (case.request.method, case.request.template) = (Some(method), template.parse().ok());
        case
    };
    check_mirror(&case("POST", "/orders/{id}"), Some(Side::New));
    check_mirror(&case("PUT", "/orders/{id}"), None);
    check_mirror(&case("POST", "/orders/**"), None);
    check_mirror(&case("POST", ""), None);
    check_mirror(&Case { mode: Mode::Gradual, ..case("POST", "/orders/{id}") }, None);
}

#[test]
fn the_same_program_puts_a_key_on_the_same_side_of_all_its_migrations() {
    let mut case = in_mode(Mode::Gradual, 5_000);
    case.definition.program = Some("platform".into());
    case.required = vec![("r", Mode::Gradual, 5_000)];
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        case.key = Some(key);
        let expected =
            BasisPoints::new(5_000).unwrap().admits(HashKind::Bucket.place("platform", key.as_bytes()).unwrap());
        assert_eq!(case.decide().serve == Side::New, expected, "{key}");
    }
}

#[test]
fn an_explanation_is_the_decision_with_the_bucket() {
    for mode in Mode::ALL {
        let case = in_mode(mode, 5_000);
        let snapshot = case.snapshot();
        let migration = snapshot.find(&id("m")).unwrap();
        let key = case.key.map(str::as_bytes);
        let facts = Facts { migration, request: &case.request, key, now: NOW, chance: 0 };
        let explained = explain(&snapshot, &facts);
        assert_eq!(explained.bucket, HashKind::Bucket.place("m", b"user-1"));
        let decided = decide(&snapshot, &facts);
        assert_eq!(Decision { bucket: None, ..explained }, Decision { bucket: None, ..decided });
    }
}

fn any_mode() -> impl Strategy<Value = Mode> {
    prop::sample::select(Mode::ALL.to_vec())
}

proptest! {
    /// Raising a rollout never takes a caller back from the new system.
    #[test]
    fn a_larger_share_keeps_every_caller(key in "[a-z0-9-]{1,40}", a in 0..=10_000u16, b in 0..=10_000u16) {
        let serve = |bp| {
            let case = in_mode(Mode::Gradual, bp);
            let snapshot = case.snapshot();
            let migration = snapshot.find(&id("m")).unwrap();
            let key = Some(key.as_bytes());
            decide(&snapshot, &Facts { migration, request: &case.request, key, now: NOW, chance: 0 }).serve
        };
        prop_assert!(serve(a.min(b)) == Side::Legacy || serve(a.max(b)) == Side::New);
    }

    /// A rollback, of the store or of this router, spares new whatever else is configured.
    #[test]
    fn nothing_reaches_new_during_a_rollback(
        mode in any_mode(),
        bp in 0..=10_000u16,
        pin_new: bool,
        rule_new: bool,
        new_serves_parallel: bool,
        has_key: bool,
        chance: u32,
        here: bool,
    ) {
        let mut case = in_mode(if here { mode } else { Mode::EmergencyRollback }, bp);
        if here {
            case.local.rolled_back = vec![id("m")];
        }
        if pin_new {
            case.pins = vec![("user-1", Side::New, None)];
        }
        if rule_new {
            (case.definition.rules, case.request) = beta(Side::New);
        }
        if new_serves_parallel {
            case.definition.parallel.serve = Side::New;
        }
        case.definition.on_missing_key = OnMissingKey::New;
        case.key = has_key.then_some("user-1");
        case.chance = chance;
        let decision = case.decide();
        prop_assert_eq!((decision.serve, decision.mirror), (Side::Legacy, None));
        // The one way to new that the file can leave open is a pin.
        case.definition.override_pins = false;
        let open = pin_new && has_key;
        prop_assert_eq!(case.decide().serve, if open { Side::New } else { Side::Legacy });
    }
}
