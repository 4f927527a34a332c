//! What a judge keeps of one migration, and what follows from what was counted.
//!
//! # Why it remembers what it has said
//!
//! A verdict says what should be so, again with every block. A brake is made once, and people are told once, so what was
//! decided before is part of what is kept, and survives the router that decided it.
//!
//! Not here: the store, other migrations, and making anything happen.

mod changes;

use flags::control::Ask;
use flags::guard::LegacyWarmth;
use flags::state::Position;
use flags::tally::{Slot, SlotCounts, Tally};
use flags::{Mode, Revision};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::situation::Situation;
use crate::block::{Context, Thresholds, seen};
use crate::fleet::{FleetCounts, SET_BACK_SLOTS};
use crate::guard::{Action, Measure, Pace, Record, Standing, Streams, Verdict, Why, judge};
use crate::notice::{Kind, Notice};
use crate::rollback::{self, SLICES};
use crate::sequential::{Block, Matured};
use crate::status::{Attempts, State, Status};

/// Slots between two slices of a rollback to a cold legacy.
const SLICE_SLOTS: u64 = rollback::SLICE.as_secs() * Slot::PER_SECOND;

/// Rollbacks that are remembered for the length of a cooldown.
const ROLLBACKS_MAX: usize = 32;

/// Without a request for so long legacy is no company: five minutes, after which nothing waits for it either.
const ALONE_AFTER_SLOTS: u64 = 300 * Slot::PER_SECOND;

/// What a slot leaves of the requests of ten minutes.
const SERVED_MEMORY: f64 = 1.0 - 1.0 / 1_200.0;

/// What a report of scatter leaves of the earlier ones. Each router makes one a minute, so a lone router's memory is about a
/// day, and that of a hundred a quarter of an hour with as many reports.
const SCATTER_MEMORY: f64 = 1.0 - 1.0 / 1_440.0;

/// Degrees of freedom without which scatter is chance.
const SCATTER_MIN: f64 = 120.0;

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Order {
    /// Everybody to legacy, latched.
    RollBack {
        why: String,
        record: Value,
    },
    /// Less for new.
    Lower {
        /// As of which it was decided.
        revision: Revision,
        asks: Vec<Ask>,
        why: String,
        record: Value,
    },
    /// Progress stops, which is nothing but said.
    Stopped {
        why: String,
    },
    Tell(Notice),
    /// Remember what the change of this revision was decided on.
    Recall(Revision),
}

/// All that a further block needs, kept in the store between two of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Engine {
    /// The newest slot that was folded.
    pub(super) slot: u64,
    /// Of the newest change that was followed.
    revision: Revision,
    position: Option<Position>,
    /// What the document was called that was followed last; the next names it.
    chain: String,
    /// The rules that had been accepted then, by their ids.
    #[serde(skip_serializing_if = "String::is_empty")]
    rules: String,
    /// The slot since which new should have traffic.
    exposed: Option<u64>,
    /// The first slot that is evidence of this stretch.
    begins: u64,
    /// The newest slot with a request of new, and of legacy.
    new_last: u64,
    legacy_last: u64,
    streams: Streams,
    pub(super) thresholds: Thresholds,
    served: Served,
    scatter: Scatter,
    /// The newest cohort of quality that was judged, by horizon.
    pub(super) matured: [u64; 3],
    /// When new was last bad enough and then was not any more.
    hit: Option<Timestamp>,
    slices: Option<Slices>,
    brake: Option<Brake>,
    /// What people were told of a hold that goes on.
    told: Option<Why>,
    told_duration: bool,
}

/// Requests of legacy, the older the less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Served {
    requests: f64,
    seconds: f64,
}

/// How failures scatter over groups of callers: chi-square, and its degrees of freedom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Scatter {
    chi: f64,
    freedom: f64,
}

/// A rollback on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Slices {
    from: Position,
    step: u16,
    /// When the next one is due.
    slot: u64,
    why: String,
    record: Value,
}

/// A brake that was decided, until the share is so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Brake {
    from: Position,
    revision: Revision,
    why: String,
    record: Value,
}

/// One migration, for the router that judges.
#[derive(Clone, Debug, Default)]
pub(super) struct Mind {
    /// Of what is stored.
    pub(super) version: u64,
    pub(super) engine: Engine,
    pub(super) status: Status,
}

impl Scatter {
    fn deff(self) -> f64 {
        if self.freedom < SCATTER_MIN { 1.0 } else { (self.chi / self.freedom).clamp(1.0, 20.0) }
    }
}

impl Engine {
    pub(super) const fn is_exposed(&self) -> bool {
        self.exposed.is_some()
    }

    /// A clock that was set back may take a year to come where it was. What is of a time to come is of now, or judging,
    /// and a rollback in slices, would wait for it.
    pub(super) fn keep_to(&mut self, running: Slot, now: Timestamp) {
        if self.slot <= running.plus(SET_BACK_SLOTS).0 {
            return;
        }
        let newest = running.minus(1).0;
        for slot in [&mut self.slot, &mut self.new_last, &mut self.legacy_last] {
            *slot = newest.min(*slot);
        }
        self.exposed = self.exposed.map(|slot| slot.min(running.0));
        self.begins = self.begins.min(running.0);
        self.matured = self.matured.map(|second| second.min(running.second()));
        self.hit = self.hit.map(|hit| hit.min(now));
        if let Some(slices) = &mut self.slices {
            slices.slot = slices.slot.min(running.0);
        }
    }

    /// Whether there is nothing to compare new with, because nobody is sent to legacy or nobody comes there.
    fn is_alone(&self, at: &Situation<'_>, slot: Slot) -> bool {
        let legacy_last = self.legacy_last.max(self.exposed.unwrap_or(slot.0));
        at.is_alone() || (at.exposure() > 0.0 && slot.0.saturating_sub(legacy_last) > ALONE_AFTER_SLOTS)
    }
}

impl Mind {
    /// Takes in the counts of one slot.
    pub(super) fn fold(&mut self, counts: &SlotCounts, at: &Situation<'_>, matured: [Matured; 3]) {
        let engine = &mut self.engine;
        let is_alone = engine.is_alone(at, counts.slot);
        let context = Context { thresholds: &engine.thresholds, deff: engine.scatter.deff(), is_alone, matured };
        // Answers that were on their way when new lost its callers are not of the stretch that begins now.
        let is_earlier = engine.exposed.is_some() && counts.slot.0 < engine.begins;
        let without_new = || SlotCounts { new: Tally::default(), ..counts.clone() };
        let seen = if is_earlier { seen(&without_new(), &context) } else { seen(counts, &context) };
        if seen.requests.legacy.total > 0.0 {
            engine.legacy_last = counts.slot.0;
        }
        let settings = at.settings();
        engine.streams.fold(&seen, &settings);
        engine.streams.fold_safety(&seen, f64::from(at.definition.guard.margin.get()) / 10_000.0);
        if seen.requests.new.total > 0.0 {
            engine.new_last = counts.slot.0;
        }
        let slot_seconds = 1.0 / Slot::PER_SECOND as f64;
        let Served { requests, seconds } = &mut engine.served;
        *requests = *requests * SERVED_MEMORY + seen.requests.legacy.total;
        *seconds = *seconds * SERVED_MEMORY + slot_seconds;
        let (chi, freedom) = FleetCounts(&counts.legacy).scatter();
        if freedom > 0 {
            engine.scatter.chi = engine.scatter.chi * SCATTER_MEMORY + chi;
            engine.scatter.freedom = engine.scatter.freedom * SCATTER_MEMORY + freedom as f64;
        }
        engine.slot = counts.slot.0;
    }

    /// Decides on what was folded so far.
    pub(super) fn decide(&mut self, at: &Situation<'_>) -> Vec<Order> {
        self.describe(at);
        // What still fails on its way out after a rollback is of no stretch that could be judged.
        if self.engine.exposed.is_none() {
            return Vec::new();
        }
        let settings = at.settings();
        let verdict = judge(&self.engine.streams, &settings, &self.standing(at));
        self.show(&verdict);
        if self.engine.slices.is_some() {
            return self.next_slice(&verdict, at);
        }
        let record = verdict.record.as_ref();
        let why = record.map(|record| record.why.clone()).unwrap_or_default();
        let value = record.map(|record| decision(record, &verdict, at)).unwrap_or_default();
        let mut orders = match verdict.action {
            Action::None => Vec::new(),
            Action::Notify { .. } => {
                let is_new = !std::mem::replace(&mut self.engine.told_duration, true);
                if is_new { vec![tell(Kind::MeanDuration, &why, value, at)] } else { Vec::new() }
            }
            Action::NoData { why: kind } => self.stop(State::NoData, Kind::NoData, kind, why, value, at),
            Action::Hold { why: kind, .. } => {
                let state = if self.status.state == State::Braked { State::Braked } else { State::Held };
                let notice = if kind == Why::SharedDependency { Kind::SharedDependency } else { Kind::Hold };
                self.stop(state, notice, kind, why, value, at)
            }
            Action::ReleaseHold => {
                let was = self.status.state;
                (self.engine.told, self.engine.told_duration) = (None, false);
                self.settle(State::Running, String::new(), at.now);
                let kind = if was == State::NoData { Kind::Recovered } else { Kind::Release };
                if was == State::Running { Vec::new() } else { vec![tell(kind, &why, value, at)] }
            }
            Action::Brake { why: kind } => self.brake(kind, why, value, at),
            Action::RollBack { pace, .. } => {
                self.status.record = Some(value.clone());
                if pace == Pace::Slices {
                    let from = at.document.position();
                    self.engine.slices = Some(Slices { from, step: 0, slot: 0, why, record: value });
                    return self.next_slice(&verdict, at);
                }
                self.engine.brake = None;
                vec![Order::RollBack { why, record: value }]
            }
        };
        if let Some(brake) = self.owed_brake(at) {
            orders.insert(0, brake);
        }
        orders
    }

    /// Progress stops for a reason; people are told once for each.
    fn stop(
        &mut self,
        state: State,
        kind: Kind,
        reason: Why,
        why: String,
        record: Value,
        at: &Situation<'_>,
    ) -> Vec<Order> {
        let is_new = self.engine.told.replace(reason) != Some(reason) || self.status.state != state;
        let notice = is_new.then(|| tell(kind, &why, record.clone(), at));
        if is_new {
            self.status.record = Some(record);
        }
        let stopped = is_new.then(|| Order::Stopped { why: why.clone() });
        self.settle(state, why, at.now);
        stopped.into_iter().chain(notice).collect()
    }

    fn brake(&mut self, reason: Why, why: String, record: Value, at: &Situation<'_>) -> Vec<Order> {
        let revision = at.document.revision;
        self.engine.brake =
            Some(Brake { from: at.document.position(), revision, why: why.clone(), record: record.clone() });
        if reason == Why::Recovered {
            self.engine.hit = Some(at.now);
        }
        self.stop(State::Braked, Kind::Brake, reason, why, record, at)
    }

    /// What is left to do of a brake: it may have been refused, or whoever decided it may have died over it. It ends with the
    /// share that it asks for, and with whatever somebody else changes.
    fn owed_brake(&mut self, at: &Situation<'_>) -> Option<Order> {
        let document = at.document;
        let brake = self.engine.brake.take()?;
        let is_overtaken = document.revision > brake.revision && document.actor != rollback::ACTOR;
        let asks = rollback::brake(brake.from, document.position(), document.hash);
        if is_overtaken || asks.is_empty() {
            return None;
        }
        let (why, record) = (brake.why.clone(), brake.record.clone());
        self.engine.brake = Some(brake);
        Some(Order::Lower { revision: document.revision, asks, why, record })
    }

    /// For whom an order is as good as done.
    pub(super) fn take_as_done(&mut self) {
        self.engine.brake = None;
    }

    /// A quarter of new's share at a time, halted while legacy fails, and at once when new is hopeless.
    fn next_slice(&mut self, verdict: &Verdict, at: &Situation<'_>) -> Vec<Order> {
        let is_hopeless = matches!(verdict.action, Action::RollBack { pace: Pace::AtOnce, .. });
        let legacy_fails = at.legacy_probe == Some(false)
            || matches!(verdict.action, Action::Hold { why: Why::LegacyUnhealthy | Why::SharedDependency, .. });
        if matches!(verdict.action, Action::Hold { why: Why::Irreversible, .. }) {
            self.engine.slices = None;
        }
        let Some(slices) = &mut self.engine.slices else { return Vec::new() };
        if !is_hopeless && (at.slot.0 < slices.slot || legacy_fails) {
            return Vec::new();
        }
        slices.step = if is_hopeless { SLICES } else { slices.step.saturating_add(1) };
        slices.slot = at.slot.plus(SLICE_SLOTS).0;
        let (why, record) = (slices.why.clone(), slices.record.clone());
        if slices.step >= SLICES {
            // Until new has nothing any more, for it may be refused.
            return vec![Order::RollBack { why, record }];
        }
        let asks = rollback::slice(slices.from, at.document.position(), slices.step, at.document.hash);
        let revision = at.document.revision;
        if asks.is_empty() { Vec::new() } else { vec![Order::Lower { revision, asks, why, record }] }
    }

    fn standing(&self, at: &Situation<'_>) -> Standing {
        let engine = &self.engine;
        let seconds = |slots: u64| slots as f64 / Slot::PER_SECOND as f64;
        let silent_since = engine.new_last.max(engine.exposed.unwrap_or(at.slot.0));
        let now = engine.streams.last_seconds();
        let served = engine.served.requests / engine.served.seconds.max(1.0);
        Standing {
            // Rules and pins give new traffic that no share tells of.
            exposure: if at.mode == Mode::Gradual && now.new.total > 0.0 {
                at.exposure().max(1e-4)
            } else {
                at.exposure()
            },
            expects_new_traffic: at.expects_new(),
            new_silent_seconds: seconds(at.slot.0.saturating_sub(silent_since)),
            legacy_probe: at.legacy_probe,
            legacy_per_second: match at.definition.guard.legacy {
                LegacyWarmth::Measured => served,
                LegacyWarmth::Warm => f64::MAX,
                LegacyWarmth::Cold => -1.0,
            },
            requests_per_second: (now.legacy.total + now.new.total) / 10.0,
            last_hit_seconds: engine.hit.map(|hit| at.now.duration_since(hit).as_secs_f64()),
            state: self.status.state.into(),
        }
    }

    /// Writes down what everybody may see of the counts.
    fn describe(&mut self, at: &Situation<'_>) {
        let Engine { streams, slot, .. } = &self.engine;
        let status = &mut self.status;
        let end = i64::try_from((slot + 1).saturating_mul(Slot::MILLIS)).unwrap_or_default();
        status.judged = Timestamp::from_millisecond(end).ok();
        let Block { legacy, new } = streams.last_seconds();
        status.legacy = Attempts { total: legacy.total, failed: legacy.bad };
        status.new = Attempts { total: new.total, failed: new.bad };
        status.since.get_or_insert(at.now);
    }

    /// Writes down what everybody may see of the evidence.
    fn show(&mut self, verdict: &Verdict) {
        let of = |measure: Measure| (measure.name().to_owned(), self.engine.streams.evidence(measure).value());
        let measures = Measure::ALL.map(of);
        self.status.evidence = measures.into_iter().chain([("all".to_owned(), verdict.rollback_evidence)]).collect();
        self.status.safety = verdict.safety_evidence;
    }

    fn settle(&mut self, state: State, why: String, now: Timestamp) {
        if self.status.state != state {
            self.status.since = Some(now);
        }
        (self.status.state, self.status.why) = (state, why);
    }
}

/// The record of a decision, with what it was made on besides the counts.
fn decision(record: &Record, verdict: &Verdict, at: &Situation<'_>) -> Value {
    let mut value = serde_json::to_value(record).unwrap_or_default();
    value["action"] = serde_json::to_value(verdict.action).unwrap_or_default();
    value["revision"] = json!(at.document.revision);
    value["position"] = serde_json::to_value(at.document.position()).unwrap_or_default();
    value["decided_by"] = json!("fleet");
    value["time"] = json!(at.now);
    value
}

fn tell(kind: Kind, why: &str, record: Value, at: &Situation<'_>) -> Order {
    let (migration, revision, position) = (&at.definition.id, at.document.revision, at.document.position());
    let title = match kind {
        Kind::Hold => format!("{migration} is held: new looks worse than legacy"),
        Kind::Brake => format!("{migration} is braked: new is worse than legacy"),
        Kind::Release => format!("{migration} goes on"),
        Kind::NoData => format!("{migration}: nothing is known of new"),
        Kind::Recovered => format!("{migration}: new is seen again"),
        Kind::SharedDependency => format!("{migration}: both systems fail"),
        Kind::MeanDuration => format!("{migration}: work on new takes longer than its limit"),
        other => format!("{migration}: {other}"),
    };
    Order::Tell(Notice {
        // The second hold after the same change is another one.
        id: format!("{}/{}", Notice::id_of(kind, migration, revision), at.now.as_second()),
        migration: migration.clone(),
        kind,
        severity: kind.severity(),
        title,
        text: why.to_owned(),
        time: at.now,
        revision,
        from: position,
        to: position,
        actor: rollback::ACTOR.into(),
        record,
        dashboard_url: None,
    })
}

#[cfg(test)]
mod tests;
