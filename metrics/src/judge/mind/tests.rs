use flags::guard::GuardAction;
use flags::state::Document;
use flags::tally::Tally;
use flags::{BasisPoints, Migration, MigrationId};
use jiff::SignedDuration;

use super::*;
use crate::status::ROLLBACKS_REMEMBERED;

const START: u64 = 3_600_000_000;

/// One migration and its judge, a slot after the other.
struct Rig {
    definition: Migration,
    document: Document,
    mind: Mind,
    slot: u64,
    legacy_probe: Option<bool>,
    /// Whether what the guard asks for is done.
    obeys: bool,
}

impl Rig {
    fn new(mode: Mode, percent: f64) -> Self {
        let mut definition = Migration::new(MigrationId::new("shop").unwrap(), "old", "fresh");
        definition.initial.mode = mode;
        definition.initial.share = BasisPoints::from_percent(percent).unwrap();
        let document = Document::initial(&definition);
        Self { definition, document, mind: Mind::default(), slot: START, legacy_probe: None, obeys: true }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(i64::try_from(self.slot * Slot::MILLIS).unwrap()).unwrap()
    }

    /// Somebody changes the migration.
    fn change(&mut self, mode: Mode, percent: f64, actor: &str) {
        self.document.mode = mode;
        self.document.share = BasisPoints::from_percent(percent).unwrap();
        self.document.revision = self.document.revision.next();
        self.document.actor = actor.into();
        self.document.time = self.now();
    }

    /// What the guard asked for is done.
    fn obey(&mut self, orders: &[Order]) {
        for order in orders {
            match order {
                Order::RollBack { .. } => self.change(Mode::EmergencyRollback, self.document.share.percent(), "guard"),
                Order::Lower { asks, .. } => {
                    for ask in asks {
                        match ask {
                            Ask::Rollout(share) => self.change(self.document.mode, share.percent(), "guard"),
                            Ask::Mode(mode) => self.change(*mode, self.document.share.percent(), "guard"),
                            other => panic!("{other:?}"),
                        }
                    }
                }
                Order::Stopped { .. } | Order::Tell(_) | Order::Recall(_) => {}
            }
        }
    }

    /// One slot with these counts of both sides.
    fn slot(&mut self, legacy: &str, new: &str) -> Vec<Order> {
        self.slot += 1;
        let counts = SlotCounts { slot: Slot(self.slot - 1), legacy: Tally::parse(legacy), new: Tally::parse(new) };
        let (definition, document, now) = (self.definition.clone(), self.document.clone(), self.now());
        let mode = document.mode;
        let at = Situation {
            definition: &definition,
            document: &document,
            mode,
            legacy_probe: self.legacy_probe,
            now,
            slot: Slot(self.slot),
        };
        let mut orders = self.mind.follow(&at);
        if !(counts.legacy.is_empty() && counts.new.is_empty()) {
            self.mind.fold(&counts, &at, Default::default());
        }
        orders.extend(self.mind.decide(&at));
        if self.obeys {
            self.obey(&orders);
        }
        orders
    }

    /// So many slots alike; every order that came of them.
    fn slots(&mut self, times: u32, legacy: &str, new: &str) -> Vec<Order> {
        (0..times).flat_map(|_| self.slot(legacy, new)).collect()
    }
}

/// The orders without what they were made on.
fn names(orders: &[Order]) -> Vec<String> {
    let name = |order: &Order| match order {
        Order::RollBack { .. } => "roll back".to_owned(),
        Order::Lower { asks, .. } => format!("{asks:?}"),
        Order::Stopped { .. } => "stop".to_owned(),
        Order::Tell(notice) => format!("tell {}", notice.kind),
        Order::Recall(_) => "recall".to_owned(),
    };
    orders.iter().map(name).collect()
}

const SOUND: (&str, &str) = ("ok=90", "ok=10 kmany=1");
/// Bad enough to be rolled back, and not so bad that a brake would come too late to be made.
const BROKEN: (&str, &str) = ("ok=90", "ok=6 failed=4 kmany=1 g1=2 g2=1 g3=1");

fn sound(rig: &mut Rig, times: u32) -> Vec<Order> {
    rig.slots(times, SOUND.0, SOUND.1)
}

#[test]
fn a_broken_system_is_braked_and_rolled_back_and_everything_is_said_once() {
    let mut rig = Rig::new(Mode::Gradual, 10.0);
    assert_eq!(names(&sound(&mut rig, 60)), [""; 0]);
    let orders = names(&rig.slots(8, BROKEN.0, BROKEN.1));
    let expected = ["stop", "tell hold", "[Rollout(BasisPoints(500))]", "stop", "tell brake", "roll back", "recall"];
    assert!(orders == expected || orders == expected[2..], "{orders:?}");
    assert_eq!(rig.mind.status.rollbacks.len(), 1);
    assert_eq!(
        (rig.mind.status.state, rig.mind.status.e_value()),
        (State::Running, 1.0),
        "evidence was of that stretch"
    );
    let record = rig.mind.status.record.as_ref().unwrap();
    assert_eq!((&record["action"]["do"], &record["decided_by"]), (&json!("roll_back"), &json!("fleet")));
    assert_eq!(names(&rig.slots(20, "ok=100", "")), [""; 0]);
    rig.change(Mode::LegacyOnly, 10.0, "ann");
    rig.slot("ok=100", "");
    assert!(rig.mind.status.acknowledged.is_some() && rig.mind.status.is_cooling_down(rig.now()));
}

/// A rig whose guard has decided to brake, which nobody carried out.
fn braked_in_vain() -> (Rig, Vec<String>) {
    let mut rig = Rig::new(Mode::Gradual, 50.0);
    rig.obeys = false;
    rig.slots(200, "ok=50", "ok=50 kmany=1");
    let mut orders = Vec::new();
    while rig.mind.status.state != State::Braked {
        orders = names(&rig.slot("ok=50", "ok=45 failed=5 kmany=1 g1=2 g2=2 g3=1"));
    }
    (rig, orders)
}

#[test]
fn a_brake_that_was_refused_is_asked_for_until_it_is_so_and_said_once() {
    let (mut rig, orders) = braked_in_vain();
    let brake = "[Rollout(BasisPoints(2500))]";
    assert_eq!(orders.first().map(String::as_str), Some(brake));
    assert_eq!(names(&rig.slot("ok=50", "ok=50 kmany=1")), [brake]);
    rig.obeys = true;
    assert_eq!(names(&rig.slot("ok=50", "ok=50 kmany=1")), [brake]);
    assert_eq!(names(&rig.slots(20, "ok=50", "ok=50 kmany=1")), [""; 0]);
}

#[test]
fn a_brake_that_somebody_has_overtaken_is_over() {
    let (mut rig, _) = braked_in_vain();
    rig.change(Mode::Gradual, 40.0, "ann");
    assert_eq!(names(&rig.slots(20, "ok=50", "ok=50 kmany=1")), [""; 0]);
}

#[test]
fn a_guard_that_is_switched_off_stops_nobody_and_begins_anew() {
    let (mut rig, _) = braked_in_vain();
    let (definition, document, now) = (rig.definition.clone(), rig.document.clone(), rig.now());
    let slot = Slot(rig.slot);
    let at =
        Situation { definition: &definition, document: &document, mode: document.mode, legacy_probe: None, now, slot };
    assert_eq!(names(&rig.mind.stand_down(&at)), ["tell release"]);
    assert_eq!((rig.mind.status.state, rig.mind.status.e_value()), (State::Running, 1.0));
    assert!(!rig.mind.engine.is_exposed());
    assert_eq!(names(&rig.slots(20, "ok=50", "ok=50 kmany=1")), [""; 0], "nothing is left to do");
}

#[test]
fn a_hold_is_said_once_and_released_when_evidence_is_gone() {
    let mut rig = Rig::new(Mode::Gradual, 50.0);
    rig.slots(200, "ok=50", "ok=50 kmany=1");
    let mut orders = Vec::new();
    while rig.mind.status.state == State::Running {
        orders.extend(rig.slot("ok=50", "ok=48 failed=2 kmany=1 g1=1 g2=1"));
    }
    assert_eq!(names(&orders), ["stop", "tell hold"]);
    let since = rig.mind.status.since;
    assert_eq!(names(&rig.slots(3, "ok=50", "ok=50 kmany=1")), [""; 0]);
    assert_eq!(rig.mind.status.since, since);
    let mut orders = Vec::new();
    for _ in 0..4_000 {
        orders.extend(rig.slot("ok=50", "ok=50 kmany=1"));
        if rig.mind.status.state == State::Running {
            break;
        }
    }
    assert_eq!(names(&orders), ["tell release"]);
    assert_eq!(rig.mind.status.why, "");
}

#[test]
fn what_both_suffer_from_is_told_and_moves_nobody() {
    let mut rig = Rig::new(Mode::Gradual, 50.0);
    rig.slots(100, "ok=50", "ok=50 kmany=1");
    let orders = names(&rig.slots(60, "failed=50 g1=9", "failed=50 kmany=1 g1=9 g2=9 g3=9"));
    assert_eq!(orders, ["stop", "tell shared_dependency"]);
    assert_eq!(rig.document.mode, Mode::Gradual);
}

#[test]
fn a_legacy_that_is_down_takes_nobody_until_it_is_up() {
    let mut rig = Rig::new(Mode::Gradual, 10.0);
    sound(&mut rig, 60);
    rig.legacy_probe = Some(false);
    let orders = names(&rig.slots(12, BROKEN.0, BROKEN.1));
    assert!(!orders.iter().any(|order| order.contains("roll back") || order.contains("Rollout")), "{orders:?}");
    rig.legacy_probe = Some(true);
    assert!(names(&rig.slots(1, BROKEN.0, BROKEN.1)).contains(&"roll back".to_owned()));
}

#[test]
fn where_a_guard_may_only_hold_nothing_moves() {
    for forbid in
        [|own: &mut Migration| own.reversible = false, |own: &mut Migration| own.guard.action = GuardAction::Hold]
    {
        let mut rig = Rig::new(Mode::Gradual, 10.0);
        forbid(&mut rig.definition);
        sound(&mut rig, 60);
        let orders = names(&rig.slots(12, BROKEN.0, BROKEN.1));
        assert!(orders.iter().all(|order| matches!(order.as_str(), "stop" | "tell hold")), "{orders:?}");
        assert_eq!(rig.mind.status.state, State::Held);
    }
}

#[test]
fn a_cold_legacy_gets_everybody_in_four_slices() {
    let mut rig = Rig::new(Mode::NewOnly, 100.0);
    rig.definition.guard.legacy = LegacyWarmth::Cold;
    rig.change(Mode::Gradual, 90.0, "ann");
    rig.slots(100, "ok=10", "ok=90 kmany=1");
    // Bad enough for a rollback, and not so bad that anything would be better.
    let mut shares = vec![rig.document.share.percent()];
    for _ in 0..120 {
        rig.slot("ok=10", "ok=54 failed=36 kmany=1 g1=12 g2=12 g3=12");
        if *shares.last().unwrap() != rig.document.share.percent() {
            shares.push(rig.document.share.percent());
        }
    }
    assert_eq!(rig.document.mode, Mode::EmergencyRollback);
    let from = shares[shares.len() - 4];
    assert_eq!(
        shares[shares.len() - 3..],
        [0.75, 0.5, 0.25].map(|part| (from * part * 100.0).floor() / 100.0),
        "{shares:?}"
    );
}

#[test]
fn ten_minutes_without_a_request_are_no_data_and_no_fault() {
    let mut rig = Rig::new(Mode::Gradual, 10.0);
    sound(&mut rig, 10);
    assert_eq!(names(&rig.slots(1_150, "ok=100", "")), [""; 0]);
    assert_eq!(names(&rig.slots(100, "ok=100", "")), ["stop", "tell no_data"]);
    assert_eq!((rig.mind.status.state, rig.document.mode), (State::NoData, Mode::Gradual));
    let orders = names(&sound(&mut rig, 5));
    assert_eq!(orders, ["tell recovered"]);
    assert_eq!(rig.mind.status.state, State::Running);
}

#[test]
fn a_clock_that_was_ahead_does_not_stop_judging_when_it_is_set_back() {
    let mut rig = Rig::new(Mode::Gradual, 10.0);
    sound(&mut rig, 60);
    let was = rig.slot;
    rig.slot += 3_600 * Slot::PER_SECOND;
    sound(&mut rig, 60);
    rig.slot = was;
    rig.mind.engine.keep_to(Slot(rig.slot), rig.now());
    assert_eq!(rig.mind.engine.slot, was - 1);
    assert!(names(&rig.slots(20, BROKEN.0, BROKEN.1)).contains(&"roll back".to_owned()));
    // What other routers have judged a moment ago stays judged.
    rig.mind.engine.keep_to(Slot(rig.slot - 3), rig.now());
    assert_eq!(rig.mind.engine.slot, rig.slot - 1);
}

#[test]
fn a_rollback_in_slices_goes_on_when_the_clock_is_set_back() {
    let mut rig = Rig::new(Mode::Gradual, 90.0);
    rig.definition.guard.legacy = LegacyWarmth::Cold;
    rig.slots(100, "ok=10", "ok=90 kmany=1");
    let bad = ("ok=10", "ok=54 failed=36 kmany=1 g1=12 g2=12 g3=12");
    while rig.mind.engine.slices.is_none() {
        rig.slot(bad.0, bad.1);
    }
    rig.slot -= 3_600 * Slot::PER_SECOND;
    rig.mind.engine.keep_to(Slot(rig.slot), rig.now());
    rig.slots(60, bad.0, bad.1);
    assert_eq!(rig.document.mode, Mode::EmergencyRollback);
}

#[test]
fn judged_state_of_impossible_times_stops_nothing() {
    let engine = serde_json::to_value(Rig::new(Mode::Gradual, 10.0).mind.engine).unwrap();
    let mut damaged = engine.clone();
    for name in ["slot", "new_last", "legacy_last", "exposed"] {
        damaged[name] = json!(u64::MAX);
    }
    damaged["matured"] = json!([u64::MAX, u64::MAX, u64::MAX]);
    let mut rig = Rig::new(Mode::Gradual, 10.0);
    rig.mind.engine = serde_json::from_value(damaged).unwrap();
    rig.mind.engine.keep_to(Slot(rig.slot), rig.now());
    sound(&mut rig, 60);
    assert!(names(&rig.slots(20, BROKEN.0, BROKEN.1)).contains(&"roll back".to_owned()));
}

#[test]
fn one_caller_whom_new_fails_is_saved_though_nobody_is_left_on_legacy() {
    for silent in ["", "ok=0"] {
        let mut rig = Rig::new(Mode::Gradual, 50.0);
        rig.slots(20, "ok=2", "ok=2 k5=2");
        assert_eq!(names(&rig.slots(700, silent, "ok=2 k5=2")), [""; 0]);
        let orders = names(&rig.slots(30, silent, "failed=2 k5=2 g5=2"));
        assert!(orders.contains(&"roll back".to_owned()), "{orders:?}");
    }
}

#[test]
fn a_caller_who_comes_to_new_alone_and_seldom_is_no_reason_for_anything() {
    let mut rig = Rig::new(Mode::Gradual, 50.0);
    for hour in 0..40 {
        // Now and then somebody is on legacy, too, and a hundredth of all fails.
        rig.slots(3, "ok=99 failed=1 kmany=1", "ok=99 failed=1 kmany=1 g5=1");
        let new = if hour % 4 == 0 { "failed=1 k5=1 g5=1" } else { "ok=1 k5=1" };
        rig.slots(1, "", new);
        let orders = names(&rig.slots(700, "", ""));
        assert_eq!(orders, [""; 0], "hour {hour}");
        let orders = names(&rig.slots(24, "", "ok=1 k5=1"));
        assert_eq!(orders, [""; 0], "hour {hour}");
    }
    assert_eq!(rig.document.mode, Mode::Gradual);
}

#[test]
fn copies_that_fail_hold_and_leave_the_mode_alone() {
    let mut rig = Rig::new(Mode::Parallel, 0.0);
    rig.slots(60, "ok=50", "ok=50 kmany=1 pair_same=50");
    let orders = names(&rig.slots(20, "ok=50", "failed=50 kmany=1 g1=20 g2=20 g3=10 pair_new=50"));
    assert_eq!((rig.document.mode, rig.mind.status.state), (Mode::Parallel, State::Held));
    assert!(orders.iter().all(|order| matches!(order.as_str(), "stop" | "tell hold")), "{orders:?}");
}

#[test]
fn what_is_kept_is_small_and_reads_back() {
    let mut rig = Rig::new(Mode::Gradual, 10.0);
    sound(&mut rig, 300);
    rig.slots(3, BROKEN.0, BROKEN.1);
    rig.mind.status.rollbacks = vec![rig.now(); ROLLBACKS_MAX];
    let engine = serde_json::to_string(&rig.mind.engine).unwrap();
    let status = serde_json::to_string(&rig.mind.status).unwrap();
    let (engine_max, status_max) = (flags::store::records::ENGINE_BYTES_MAX, flags::store::records::STATUS_BYTES_MAX);
    assert!(engine.len() < engine_max / 2 && status.len() < status_max, "{} {}", engine.len(), status.len());
    assert_eq!(serde_json::from_str::<Engine>(&engine).unwrap(), rig.mind.engine);
    assert_eq!(serde_json::from_str::<Status>(&status).unwrap(), rig.mind.status);
}

#[test]
fn a_week_later_a_rollback_is_forgotten() {
    let mut rig = Rig::new(Mode::Gradual, 10.0);
    sound(&mut rig, 2);
    rig.change(Mode::EmergencyRollback, 10.0, "ann");
    rig.slot("ok=1", "");
    assert_eq!(rig.mind.status.rollbacks.len(), 1);
    rig.slot +=
        u64::try_from((ROLLBACKS_REMEMBERED + SignedDuration::from_secs(1)).as_millis()).unwrap() / Slot::MILLIS;
    rig.change(Mode::LegacyOnly, 10.0, "ann");
    rig.slot("ok=1", "");
    assert_eq!(rig.mind.status.rollbacks, []);
}
