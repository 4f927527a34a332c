//! What the guard would have done with counts that were recorded, by the very engine that judges.
//!
//! # What it can tell and what not
//!
//! Callers are where they were: a replay notes what it would have done, and the counts go on as they were recorded. It ends with a
//! rollback, because what came afterwards would not have come. The share is that of the recording, so a rollback that
//! somebody else made (a person, a router's own fast test) takes traffic from new here, too.
//!
//! Nothing is random and no clock is read, so that the same recording gives the same answer.
//!
//! Not here: health checks of legacy and reports of quality, which a recording does not hold, and a router's own fast test, whose
//! blocks are shorter than a slot.

use std::collections::BTreeMap;

use flags::control::Ask;
use flags::state::{Document, Position};
use flags::tally::{Slot, SlotCounts};
use flags::{Migration, Mode, Revision};
use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::SETTLE;
use super::mind::{Mind, Order};
use super::past::Past;
use super::recording::{Recording, Stood};
use super::situation::Situation;
use super::step::{consider, learn, minute_of, newest_minute, renew};
use crate::fleet::FleetCounts;
use crate::notice::Kind;
use crate::outcome::Attempted;
use crate::rollback::ACTOR;
use crate::status::State;

/// Decisions that are told; a guard that does more in a day is told by its first ones.
const DECISIONS_MAX: usize = 10_000;

/// One thing that the guard would have done, or that was done meanwhile.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// When.
    pub time: Timestamp,
    /// The newest slot that was known then.
    pub slot: u64,
    /// `hold`, `brake`, `slice`, `rollback` and what else people are told; `changed` is what somebody did in the recording.
    pub does: &'static str,
    /// Where it moves to, where it does.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "in_percent")]
    pub to: Option<Position>,
    pub why: String,
    /// What it was decided on.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub record: Value,
}

/// What became of a recording.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Replay {
    /// The furthest that it went: `rolled_back`, `braked`, `held`, `no_data`, or all the time `running`.
    pub outcome: &'static str,
    /// Where it was at the end.
    pub state: &'static str,
    pub decisions: Vec<Decision>,
    /// Decisions beyond what is told.
    pub left_out: usize,
    /// Half seconds that were played, and requests of new in them.
    pub slots: u64,
    pub requests: f64,
    /// E-values by measure at the end, and `all` for their weighted mean.
    pub evidence: BTreeMap<String, f64>,
    /// The largest mean on the way.
    pub evidence_max: f64,
    pub safety: f64,
}

/// Plays a recording with these settings; where it stood is recorded, or `fixed` all the time.
pub fn replay(recording: &Recording, definition: &Migration, fixed: Option<Position>) -> Replay {
    let mut player = Player::new(recording, definition, fixed);
    let mut next = 0;
    for at in recording.first().0..=recording.last().0 {
        let newest = recording.slots.get(next).filter(|counts| counts.slot.0 == at);
        next += usize::from(newest.is_some());
        if player.slot(Slot(at), newest) {
            break;
        }
    }
    player.end()
}

struct Player<'a> {
    definition: &'a Migration,
    /// Changes that are still to come, oldest first.
    changes: std::slice::Iter<'a, Stood>,
    document: Document,
    mind: Mind,
    past: Past,
    /// The slots of the minutes that are not over.
    recent: Vec<SlotCounts>,
    minute: u64,
    /// The furthest state so far, by its rank.
    furthest: usize,
    replay: Replay,
}

impl<'a> Player<'a> {
    fn new(recording: &'a Recording, definition: &'a Migration, fixed: Option<Position>) -> Self {
        let positions = if fixed.is_some() { &[] } else { recording.positions.as_slice() };
        let mut document = Document::initial(definition);
        let start = fixed.or_else(|| positions.first().map(|stood| stood.position));
        if let Some(Position { mode, share }) = start {
            (document.mode, document.share) = (mode, share);
        }
        let replay = Replay {
            outcome: State::Running.name(),
            state: State::Running.name(),
            decisions: Vec::new(),
            left_out: 0,
            slots: 0,
            requests: 0.0,
            evidence: BTreeMap::new(),
            evidence_max: 0.0,
            safety: 1.0,
        };
        Self {
            definition,
            changes: positions.get(1..).unwrap_or_default().iter(),
            document,
            mind: Mind::default(),
            past: Past::default(),
            recent: Vec::new(),
            minute: minute_of(recording.first()).saturating_sub(1),
            furthest: 0,
            replay,
        }
    }

    /// Plays one slot, with what was counted in it; true once it is rolled back.
    fn slot(&mut self, slot: Slot, counts: Option<&SlotCounts>) -> bool {
        let running = slot.next();
        let now = start_of(running).checked_add(SETTLE).unwrap_or(Timestamp::MAX);
        self.change(slot, now);
        let situation = situation(self.definition, &self.document, now, running);
        let orders =
            consider(&mut self.mind, &mut self.past, &situation, counts.map_or(&[], std::slice::from_ref), None);
        self.mind.engine.slot = self.mind.engine.slot.max(slot.0);
        self.replay.slots += 1;
        self.replay.requests += counts.map_or(0.0, requests);
        self.replay.evidence_max = self.replay.evidence_max.max(self.mind.status.e_value());
        self.furthest = self.furthest.max(rank(self.mind.status.state));
        let is_over = self.note(slot, now, &orders);
        self.recent.extend(counts.cloned());
        self.learn(running);
        is_over
    }

    /// Takes over what was changed until now. What was changed and changed again ends a stretch of evidence all the same.
    fn change(&mut self, slot: Slot, now: Timestamp) {
        while let Some(stood) = self.changes.as_slice().first().filter(|stood| stood.time <= now) {
            self.changes.next();
            let Stood { time, position, actor } = stood;
            let document = &mut self.document;
            (document.mode, document.share) = (position.mode, position.share);
            (document.revision, document.time) = (Revision(document.revision.0 + 1), *time);
            document.actor.clone_from(actor);
            let who = if actor == ACTOR { "the guard of the recording" } else { actor.as_str() };
            let decision = Decision {
                time: *time,
                slot: slot.0,
                does: "changed",
                to: Some(*position),
                why: format!("by {who}"),
                record: Value::Null,
            };
            self.tell(decision);
            // What is to be remembered of it is in the store.
            let _ = self.mind.follow(&situation(self.definition, &self.document, now, slot.next()));
        }
    }

    /// Writes down what was decided; true where that ends it.
    fn note(&mut self, slot: Slot, time: Timestamp, orders: &[Order]) -> bool {
        let mut lowered = None;
        for order in orders {
            let (does, to, why, record) = match order {
                Order::Lower { asks, why, record, .. } => {
                    lowered = Some(self.target(asks));
                    self.mind.take_as_done();
                    // A brake is told of below.
                    if orders.iter().any(|order| matches!(order, Order::Tell(notice) if notice.kind == Kind::Brake)) {
                        continue;
                    }
                    ("slice", lowered, why, record)
                }
                Order::Tell(notice) => (notice.kind.name(), lowered, &notice.text, &notice.record),
                Order::RollBack { why, record } => {
                    let to = Position { mode: Mode::EmergencyRollback, share: self.document.share };
                    (Kind::Rollback.name(), Some(to), why, record)
                }
                Order::Stopped { .. } | Order::Recall(_) => continue,
            };
            let is_rollback = does == Kind::Rollback.name();
            self.tell(Decision { time, slot: slot.0, does, to, why: why.clone(), record: record.clone() });
            if is_rollback {
                return true;
            }
        }
        false
    }

    fn target(&self, asks: &[Ask]) -> Position {
        let mut to = self.document.position();
        for ask in asks {
            match ask {
                Ask::Rollout(share) => to.share = *share,
                Ask::Mode(mode) => to.mode = *mode,
                Ask::RollBack
                | Ask::Acknowledge(_)
                | Ask::Pin { .. }
                | Ask::Unpin { .. }
                | Ask::AcceptRule(_)
                | Ask::RemoveRule { .. }
                | Ask::Undo => {}
            }
        }
        to
    }

    fn tell(&mut self, decision: Decision) {
        // A rollback is the last one, and always told.
        if self.replay.decisions.len() < DECISIONS_MAX || decision.does == Kind::Rollback.name() {
            self.replay.decisions.push(decision);
        } else {
            self.replay.left_out += 1;
        }
    }

    /// Takes in the minutes that are over.
    fn learn(&mut self, running: Slot) {
        while self.minute < newest_minute(running) {
            self.minute += 1;
            let (minute, after) = (self.minute, Slot::of_second((self.minute + 1) * 60));
            let rest = self.recent.split_off(self.recent.partition_point(|counts| counts.slot < after));
            let over = std::mem::replace(&mut self.recent, rest);
            // The text is for the store.
            let _ = learn(&mut self.past, minute, &over);
            renew(&mut self.mind, &self.past, minute);
        }
    }

    fn end(self) -> Replay {
        let (status, mut replay) = (self.mind.status, self.replay);
        let is_rolled_back = replay.decisions.last().is_some_and(|last| last.does == Kind::Rollback.name());
        replay.outcome = if is_rolled_back { "rolled_back" } else { RANKS[self.furthest].name() };
        (replay.state, replay.evidence, replay.safety) = (status.state.name(), status.evidence, status.safety);
        replay
    }
}

/// How far a guard has gone in each state.
const RANKS: [State; 4] = [State::Running, State::NoData, State::Held, State::Braked];

fn rank(state: State) -> usize {
    RANKS.iter().position(|of| *of == state).unwrap_or(0)
}

/// As the API tells a position, not as the store keeps it.
fn in_percent<S: Serializer>(to: &Option<Position>, serializer: S) -> Result<S::Ok, S::Error> {
    to.map(|Position { mode, share }| json!({ "mode": mode, "percent": share.percent() })).serialize(serializer)
}

fn situation<'a>(definition: &'a Migration, document: &'a Document, now: Timestamp, slot: Slot) -> Situation<'a> {
    Situation { definition, document, mode: document.mode, legacy_probe: None, now, slot }
}

fn start_of(slot: Slot) -> Timestamp {
    let millis = SignedDuration::from_millis(i64::try_from(slot.0.saturating_mul(Slot::MILLIS)).unwrap_or(i64::MAX));
    Timestamp::UNIX_EPOCH.checked_add(millis).unwrap_or(Timestamp::MAX)
}

fn requests(counts: &SlotCounts) -> f64 {
    let attempts = |result| FleetCounts(&counts.new).attempts(result);
    Attempted::ALL.into_iter().map(attempts).sum::<u64>() as f64
}

#[cfg(test)]
mod tests;
