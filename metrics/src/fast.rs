//! One router alone: when new is plainly gone, it goes back at once and asks the fleet to follow.
//!
//! # Why beside the fleet's test
//!
//! The fleet's test waits for counts of all routers and for three blocks of half a second. While nothing at all works on new, that
//! is hundreds of failures for no more certainty. So each router runs the same test on what it alone has counted, in blocks of
//! [`BLOCK`] and without a limit to what one block may say, but with only plain failure in mind.
//!
//! # Two kinds of evidence, both needed
//!
//! - Against legacy's past, at ten times the fleet's threshold: while rates stay what they were, a router trips without cause
//!   once in a year of blocks at most. A failure says much here (at 10 % on new and 1 % acceptable, 4.6 nats), so a handful is enough.
//! - Against legacy at the same time, at the fleet's threshold: an outage that both share is not blamed on new. A failure cannot
//!   say more than `1 + ln(1/share)` here (3.3 nats at 10 %), however sure the past is; asking ten times as much of this too took
//!   one more failure and never prevented anything. In an outage that both share, of the worst rate there is for it, a router
//!   trips without cause once in 6.4e7 blocks at most, 37 days of outage.
//!
//! A trip holds on this router in the same instant, by the rollback that every operator can make; with the store away it is all
//! that happens until the store is back. It only ever reduces what new gets.
//!
//! Not here: failures of fewer than three groups of callers, degradation that is not plain, and anything that holds or brakes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flags::control::Control;
use flags::guard::GuardAction;
use flags::snapshot::Snapshot;
use flags::watch::Watch;
use flags::{MigrationId, MigrationIndex, Mode, Revision, Side};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::events::GuardActed;
use crate::fleet::by_group;
use crate::guard::Interval;
use crate::judge::Probe;
use crate::notice::{Kind, Notice, Notify};
use crate::observe::{GROUPS, Observer, SideAttempts};
use crate::rollback::{ACTOR, Hand};
use crate::sequential::{
    Block, ByGroup, Count, FAST, Margin, OTHERS_MIN, OneSample, Others, TwoSample, fast_threshold,
};

/// How long a block is.
pub const BLOCK: Duration = Duration::from_millis(50);

/// Groups of callers that must fail before a router goes back alone.
const GROUPS_MIN: u32 = 3;

/// Evidence above which failing groups are remembered.
const RISEN: f64 = 1.0;

/// See the module.
pub struct Fast {
    control: Control,
    watch: Arc<Watch>,
    observer: Arc<Observer>,
    notify: Arc<dyn Notify>,
    probe: Box<Probe>,
    alone: BTreeMap<MigrationId, Alone>,
}

impl fmt::Debug for Fast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fast").field("migrations", &self.alone.len()).finish_non_exhaustive()
    }
}

/// What this router alone has seen of one migration.
#[derive(Clone, Debug, Default)]
struct Alone {
    before: [Count; 2],
    /// Failures of new by group of callers.
    before_by_group: Option<Box<[u64; GROUPS]>>,
    /// New against legacy at the same time.
    stream: TwoSample,
    /// New against what legacy was.
    past: OneSample,
    /// All callers but those that fail most.
    others: Others,
    /// Groups of callers that failed since evidence began to rise, a bit each.
    failing: u64,
    /// As of which revision it has tripped; once for each.
    tripped: Option<Revision>,
}

/// Why a router trips, in units of an e-value.
#[derive(Clone, Copy, Debug, PartialEq)]
struct TripEvidence {
    against_legacy: f64,
    against_past: f64,
}

/// How a migration stands, as far as a trip asks.
#[derive(Clone, Copy, Debug)]
struct Terms {
    revision: Revision,
    /// New answers callers here, and may be left.
    is_exposed: bool,
    /// There is nothing beside new.
    is_alone: bool,
    margin: f64,
    alpha: f64,
    floor: f64,
    legacy_probe: Option<bool>,
}

impl Alone {
    /// Takes in what was counted since the last block; `Some` is the evidence of a trip.
    fn fold(&mut self, [legacy, new]: &[SideAttempts; 2], terms: &Terms) -> Option<TripEvidence> {
        let sums = [legacy, new].map(count);
        let before = std::mem::replace(&mut self.before, sums);
        let more = |at: usize| {
            let (now, was) = (sums[at], before[at]);
            // Counts that went back began anew, and say nothing of this block.
            let more = Count::new(now.total - was.total, now.bad - was.bad);
            if more.is_valid() { more } else { Count::NONE }
        };
        let block = Block { legacy: more(0), new: more(1) };
        let failed = self.more_by_group(new);
        // Whoever changed something since may have gone back and come again between two blocks: evidence was of before.
        if self.tripped.is_some_and(|tripped| tripped != terms.revision) {
            self.begin_anew();
        }
        let margin = Margin::at_least(terms.margin);
        if !terms.is_exposed {
            if self.tripped.is_some() || self.stream.evidence().value() > RISEN {
                self.begin_anew();
            }
            self.failing = 0;
            self.past.restart();
            self.stream.fold(&block, &FAST, margin, 1.0);
            self.others.fold(&block, &failed, &FAST, margin, 1.0);
            return None;
        }
        self.past.fold(block.new, self.stream.acceptable_alone(), &FAST, 1.0, None);
        let had_risen = self.stream.evidence().value() > RISEN;
        self.failing = if had_risen { self.failing } else { 0 } | new.failing;
        if terms.is_alone {
            self.stream.fold_alone(block.new, &FAST, 1.0);
            self.others.fold_alone(block.new, &failed, &FAST, 1.0);
        } else {
            self.stream.fold(&block, &FAST, margin, 1.0);
            self.others.fold(&block, &failed, &FAST, margin, 1.0);
        }
        let evidence =
            TripEvidence { against_legacy: self.stream.evidence().value(), against_past: self.past.evidence().value() };
        let is_of_many = self.failing.count_ones() >= GROUPS_MIN && self.others.evidence().value() >= OTHERS_MIN;
        let is_plain = evidence.against_past >= fast_threshold(terms.alpha)
            && evidence.against_legacy >= terms.alpha.recip()
            && is_of_many;
        let legacy_is_well = terms.legacy_probe != Some(false) && 1.0 - self.stream.legacy_rate() >= terms.floor;
        let trips = is_plain && legacy_is_well && self.stream.is_still_bad() && self.tripped.is_none();
        if trips {
            self.tripped = Some(terms.revision);
        }
        trips.then_some(evidence)
    }
}

impl Alone {
    fn begin_anew(&mut self) {
        self.stream.restart();
        self.past.restart();
        self.others.restart();
        (self.failing, self.tripped) = (0, None);
    }

    /// Whose attempts at new have failed since the last block.
    fn more_by_group(&mut self, new: &SideAttempts) -> ByGroup {
        let Some(now) = &new.failed_by_group else { return ByGroup::new() };
        let before = self.before_by_group.get_or_insert_with(|| Box::new([0; GROUPS]));
        if *before == *now {
            return ByGroup::new();
        }
        let before = std::mem::replace(before, now.clone());
        let more: Vec<u64> = now.iter().zip(before.iter()).map(|(now, before)| now.saturating_sub(*before)).collect();
        by_group(&more)
    }
}

fn count(side: &SideAttempts) -> Count {
    Count::new((side.ok + side.refused + side.failed) as f64, side.failed as f64)
}

impl Fast {
    pub fn new(
        control: Control,
        watch: Arc<Watch>,
        observer: Arc<Observer>,
        notify: Arc<dyn Notify>,
        probe: Box<Probe>,
    ) -> Self {
        Self { control, watch, observer, notify, probe, alone: BTreeMap::new() }
    }

    /// Looks at one more block; called every [`BLOCK`]. What trips is to be carried out at once.
    pub fn turn(&mut self) -> Vec<Trip> {
        let snapshot = self.watch.current();
        let counted = self.observer.attempts();
        self.alone.retain(|id, _| counted.contains_key(id));
        let mut trips = Vec::new();
        for (id, sides) in &counted {
            let Some(at) = snapshot.find(id) else { continue };
            let terms = self.terms(&snapshot, at);
            let alone = self.alone.entry(id.clone()).or_default();
            if let Some(evidence) = alone.fold(sides, &terms) {
                let past = *alone.stream.past();
                let groups = alone.failing.count_ones();
                trips.push(self.trip(&snapshot, at, evidence, past, groups));
            }
        }
        trips
    }

    fn terms(&self, snapshot: &Snapshot, at: MigrationIndex) -> Terms {
        let definition = snapshot.migration(at);
        let guard = &definition.guard;
        let mode = snapshot.effective_mode(at);
        let serves_new = match mode {
            Mode::LegacyOnly | Mode::EmergencyRollback => false,
            Mode::Parallel => definition.parallel.serve == Side::New,
            Mode::Gradual | Mode::NewOnly => true,
        };
        let may_act = guard.fast_path && guard.action == GuardAction::Rollback && definition.reversible;
        let share = |bp: u16| f64::from(bp) / 10_000.0;
        Terms {
            revision: snapshot.placed(at).document.revision,
            is_exposed: serves_new && may_act,
            is_alone: mode == Mode::NewOnly,
            margin: share(guard.margin.get()),
            alpha: share(guard.alpha.get()),
            floor: share(guard.success_floor.get()),
            legacy_probe: (self.probe)(definition.upstream(Side::Legacy)),
        }
    }

    fn trip(&self, snapshot: &Snapshot, at: MigrationIndex, evidence: TripEvidence, past: Block, groups: u32) -> Trip {
        let (definition, document) = (snapshot.migration(at), &snapshot.placed(at).document);
        let whole = |count: Count| Count::new(count.total.round(), count.bad.round());
        let (legacy, new) = (whole(past.legacy), whole(past.new));
        let why = format!(
            "new is plainly gone for this router: lately {} of {} requests failed on new and {} of {} on legacy, of {groups} groups of callers",
            new.bad, new.total, legacy.bad, legacy.total
        );
        let alpha = f64::from(definition.guard.alpha.get()) / 10_000.0;
        let record = json!({
            "measure": "requests", "legacy": legacy, "new": new, "span": "last_minutes",
            "evidence": evidence.against_legacy, "evidence_against_past": evidence.against_past,
            "difference": Interval::of(&past),
            "thresholds": { "rollback": alpha.recip(), "against_past": fast_threshold(alpha) },
            "failing_keys": groups, "needed_keys": GROUPS_MIN, "why": why,
            "action": { "do": "roll_back", "pace": "at_once", "why": "evidence" },
            "revision": document.revision, "position": document.position(),
            "decided_by": self.watch.replica(), "time": Timestamp::now(),
        });
        Trip {
            hand: Hand::new(self.control.clone()),
            observer: Arc::clone(&self.observer),
            notify: Arc::clone(&self.notify),
            migration: definition.id.clone(),
            revision: document.revision,
            why,
            record,
        }
    }
}

/// A rollback to be made now.
pub struct Trip {
    hand: Hand,
    observer: Arc<Observer>,
    notify: Arc<dyn Notify>,
    migration: MigrationId,
    revision: Revision,
    why: String,
    record: Value,
}

impl fmt::Debug for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trip").field("migration", &self.migration).field("why", &self.why).finish_non_exhaustive()
    }
}

impl Trip {
    /// Goes back on this router, then for the fleet.
    pub async fn carry_out(self) {
        let Self { hand, observer, notify, migration, revision, why, record } = self;
        GuardActed::RolledBackFast { migration: &migration, why: &why }.emit(observer.process());
        match hand.roll_back(&migration, &why, &record).await {
            Ok(applied) if applied.here_only => {
                // With the store away nobody else sees the change, so nobody else tells of it.
                let kind = Kind::Rollback;
                notify.notify(Notice {
                    id: Notice::id_of(kind, &migration, revision),
                    title: format!("{migration} was rolled back to legacy on one router, the store is away"),
                    migration,
                    kind,
                    severity: kind.severity(),
                    text: why,
                    time: Timestamp::now(),
                    revision,
                    from: applied.before,
                    to: applied.after,
                    actor: ACTOR.into(),
                    record,
                    dashboard_url: None,
                });
            }
            Ok(_) => {}
            Err(error) => tracing::error!(
                %migration, %error,
                "the rollback that this router asked for was refused: look at new and run `crossfade rollback {migration} --reason TEXT`"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPOSED: Terms = Terms {
        revision: Revision(7),
        is_exposed: true,
        is_alone: false,
        margin: 0.002,
        alpha: 0.001,
        floor: 0.7,
        legacy_probe: None,
    };

    #[derive(Default)]
    struct Rig {
        alone: Alone,
        counted: [SideAttempts; 2],
    }

    impl Rig {
        /// Blocks with so many requests of legacy and of new, of which so many fail, for groups in turn.
        fn blocks(
            &mut self,
            blocks: u32,
            legacy: (u64, u64),
            new: (u64, u64),
            groups: u32,
            terms: &Terms,
        ) -> Option<u32> {
            for block in 0..blocks {
                for (side, (total, failed)) in self.counted.iter_mut().zip([legacy, new]) {
                    (side.ok, side.failed) = (side.ok + total - failed, side.failed + failed);
                    side.failing = if failed > 0 { 1 << (block % groups) } else { 0 };
                    let by_group = side.failed_by_group.get_or_insert_with(|| Box::new([0; GROUPS]));
                    by_group[(block % groups) as usize] += failed;
                }
                if self.alone.fold(&self.counted, terms).is_some() {
                    return Some(block + 1);
                }
            }
            None
        }

        /// A router with a past of half a minute in which all was well.
        fn after_a_good_while() -> Self {
            let mut rig = Self::default();
            assert_eq!(rig.blocks(600, (15, 0), (2, 0), 3, &EXPOSED), None);
            rig
        }
    }

    #[test]
    fn a_system_that_is_gone_is_left_after_a_handful_of_requests() {
        let blocks = Rig::after_a_good_while().blocks(100, (15, 0), (2, 2), 3, &EXPOSED).unwrap();
        assert!(blocks <= 4, "{blocks}");
        let blocks = Rig::default().blocks(100, (15, 0), (2, 2), 3, &EXPOSED).unwrap();
        assert!(blocks <= 4, "without a past: {blocks}");
    }

    /// The evidence that nothing works is in how many fail, whatever the time that takes.
    #[test]
    fn at_a_tenth_of_the_traffic_six_failures_in_a_row_are_enough_and_ten_times_the_evidence_takes_seven() {
        for (alpha, failures) in [(0.001, 6), (0.0001, 7)] {
            let terms = Terms { alpha, ..EXPOSED };
            let blocks = Rig::after_a_good_while().blocks(100, (9, 0), (1, 1), 5, &terms);
            assert_eq!(blocks, Some(failures), "alpha {alpha}");
        }
    }

    #[test]
    fn two_callers_that_fail_are_no_reason_to_move_everybody() {
        assert_eq!(Rig::after_a_good_while().blocks(200, (15, 0), (2, 2), 2, &EXPOSED), None);
    }

    #[test]
    fn two_callers_that_fail_beside_others_who_do_now_and_then_are_none_either() {
        let mut rig = Rig::after_a_good_while();
        // Two in five hundred fail on both sides, whoever it is, and two callers always do on new.
        for block in 0..2_000 {
            let now_and_then = block % 25 == 0;
            let counted = &mut rig.counted;
            counted[0].ok += 20;
            counted[0].failed += u64::from(now_and_then) * 2;
            counted[1].ok += 18;
            counted[1].failed += 4 + u64::from(now_and_then) * 2;
            let group = 3 + block / 25 % 60;
            let by_group = counted[1].failed_by_group.get_or_insert_with(|| Box::new([0; GROUPS]));
            (by_group[0], by_group[1]) = (by_group[0] + 2, by_group[1] + 2);
            by_group[group] += u64::from(now_and_then) * 2;
            counted[1].failing = 0b11 | u64::from(now_and_then) << group;
            assert_eq!(rig.alone.fold(&rig.counted, &EXPOSED), None, "block {block}");
        }
    }

    #[test]
    fn an_outage_that_legacy_shares_and_a_sick_legacy_keep_it_where_it_is() {
        assert_eq!(Rig::after_a_good_while().blocks(200, (15, 15), (2, 2), 3, &EXPOSED), None);
        let sick = Terms { legacy_probe: Some(false), ..EXPOSED };
        assert_eq!(Rig::after_a_good_while().blocks(200, (15, 0), (2, 2), 3, &sick), None);
    }

    #[test]
    fn an_outage_of_some_requests_that_both_share_is_not_blamed_on_new() {
        for failing in [30, 100, 300] {
            let mut rig = Rig::after_a_good_while();
            let mut noise = 1_u64;
            let mut failed = |of: u64| {
                let of_thousand = |_| {
                    noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (noise >> 33) % 1_000 < failing
                };
                (0..of).map(of_thousand).filter(|fails| *fails).count() as u64
            };
            for block in 0..60_000 {
                let (legacy, new) = (failed(15), failed(2));
                assert_eq!(rig.blocks(1, (15, legacy), (2, new), 3, &EXPOSED), None, "{failing}, block {block}");
            }
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_fleet() {
        let mut rig = Rig::after_a_good_while();
        for _ in 0..300 {
            assert_eq!(rig.blocks(1, (30, 0), (10, 0), 3, &EXPOSED), None);
            assert_eq!(rig.blocks(1, (30, 0), (10, 1), 3, &EXPOSED), None);
        }
    }

    #[test]
    fn it_trips_once_and_again_only_after_it_was_exposed_anew() {
        let mut rig = Rig::after_a_good_while();
        assert!(rig.blocks(100, (15, 0), (2, 2), 3, &EXPOSED).is_some());
        assert_eq!(rig.blocks(100, (15, 0), (2, 2), 3, &EXPOSED), None);
        let back = Terms { is_exposed: false, ..EXPOSED };
        assert_eq!(rig.blocks(10, (15, 0), (0, 0), 3, &back), None);
        assert!(rig.blocks(100, (15, 0), (2, 2), 3, &EXPOSED).is_some());
    }

    #[test]
    fn a_rollback_that_was_acknowledged_between_two_blocks_leaves_nothing_of_before() {
        let mut rig = Rig::after_a_good_while();
        assert!(rig.blocks(100, (15, 0), (2, 2), 3, &EXPOSED).is_some());
        let again = Terms { revision: Revision(10), ..EXPOSED };
        assert_eq!(rig.blocks(200, (15, 0), (2, 0), 3, &again), None, "what failed then is no reason now");
        assert!(rig.blocks(100, (15, 0), (2, 2), 3, &again).is_some_and(|blocks| blocks <= 4));
    }

    #[test]
    fn without_legacy_beside_it_new_is_held_against_what_legacy_was() {
        let alone = Terms { is_alone: true, ..EXPOSED };
        let mut rig = Rig::after_a_good_while();
        assert_eq!(rig.blocks(600, (0, 0), (15, 0), 3, &alone), None);
        assert!(rig.blocks(10, (0, 0), (15, 15), 3, &alone).is_some());
    }

    #[test]
    fn counts_that_go_back_are_no_evidence() {
        let mut rig = Rig::after_a_good_while();
        rig.counted = Default::default();
        assert_eq!(rig.blocks(1, (1, 0), (1, 1), 3, &EXPOSED), None);
        assert!(rig.alone.stream.evidence().value() < 100.0);
    }
}
