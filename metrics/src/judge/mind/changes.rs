//! What was changed since the last turn: by people, by a plan, by a router alone.
//!
//! # Why the history is asked at times
//!
//! A state tells where a migration stands, and not where it was between two turns. Whoever acknowledges a rollback and starts again
//! within a half second would be held to the evidence of before, and be rolled back for failures that were mended. A document
//! names the one that it was decided on, so a gap is seen, and only then is the history read.
//!
//! Not here: what follows from counts.

use flags::state::{Document, HistoryEntry, Position};
use flags::tally::Slot;
use flags::{BasisPoints, Mode};
use jiff::Timestamp;
use serde_json::Value;

use super::{Engine, Mind, Order, ROLLBACKS_MAX, Situation};
use crate::notice::Kind;
use crate::rollback;
use crate::status::{ROLLBACKS_REMEMBERED, State};

impl Mind {
    /// Whether more has changed since the last turn than the newest change says.
    pub(in crate::judge) fn has_missed(&self, document: &Document) -> bool {
        let Engine { revision, position, chain, .. } = &self.engine;
        position.is_some() && document.revision > *revision && document.previous != *chain
    }

    /// Takes in the changes between the last turn and the newest change; they are listed newest first.
    pub(in crate::judge) fn catch_up(&mut self, missed: &[HistoryEntry], at: &Situation<'_>) {
        let between = |entry: &&HistoryEntry| entry.revision < at.document.revision;
        for entry in missed.iter().rev().filter(between) {
            if entry.revision <= self.engine.revision {
                continue;
            }
            self.engine.revision = entry.revision;
            let from = self.engine.position.replace(entry.after);
            self.note(from, entry.after, entry.time);
            if leaves_new(entry.after) {
                self.lose_new(at.now);
            }
        }
    }

    /// Takes in where the migration stands now.
    pub(in crate::judge) fn follow(&mut self, at: &Situation<'_>) -> Vec<Order> {
        let Document { revision, actor, time, chain, rules, .. } = at.document;
        let to = at.document.position();
        let engine = &mut self.engine;
        let from = engine.position.replace(to);
        let is_news = *revision > engine.revision && from.is_some_and(|from| from != to);
        engine.revision = *revision;
        engine.chain.clone_from(chain);
        let rules = rules.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>().join(",");
        if engine.rules != rules {
            // What was found by other rules says nothing by these.
            engine.rules = rules;
            engine.streams.forget_content();
        }
        self.follow_exposure(at);
        if !is_news {
            return Vec::new();
        }
        self.note(from, to, *time);
        let oldest = at.now.checked_sub(ROLLBACKS_REMEMBERED).unwrap_or_default();
        self.status.rollbacks.retain(|time| *time >= oldest);
        // Told by whoever sees the change; what a guard decided it on is remembered here.
        let is_guards = actor == rollback::ACTOR && to.mode == Mode::EmergencyRollback;
        if is_guards { vec![Order::Recall(*revision)] } else { Vec::new() }
    }

    /// Remembers rollbacks, and when one was acknowledged.
    fn note(&mut self, from: Option<Position>, to: Position, time: Timestamp) {
        let Some(from) = from else { return };
        match (from.mode == Mode::EmergencyRollback, to.mode == Mode::EmergencyRollback) {
            (false, true) => {
                self.status.rollbacks.push(time);
                let cut = self.status.rollbacks.len().saturating_sub(ROLLBACKS_MAX);
                self.status.rollbacks.drain(..cut);
            }
            (true, false) => self.status.acknowledged = Some(time),
            (true, true) | (false, false) => {}
        }
    }

    /// New gets traffic from here on, or has lost it: evidence is of one stretch of exposure.
    fn follow_exposure(&mut self, at: &Situation<'_>) {
        if !at.expects_new() {
            self.lose_new(at.now);
        } else if self.engine.exposed.is_none() {
            let engine = &mut self.engine;
            engine.streams.restart();
            engine.exposed = Some(at.slot.0);
            // What new has met since the change, until this turn, counts; what it had on its way before does not.
            engine.begins = Slot::of(at.document.time).min(at.slot).0;
            // Work of before this stretch is not of it.
            engine.matured = [at.slot.second(); 3];
        }
    }

    /// Ends what a guard has begun that was switched off: it must stop nobody, and go on with nothing when it is on again.
    pub(in crate::judge) fn stand_down(&mut self, at: &Situation<'_>) -> Vec<Order> {
        let was_stopped = self.status.state != State::Running;
        self.lose_new(at.now);
        let why = "the guard was switched off in the file";
        if was_stopped { vec![super::tell(Kind::Release, why, Value::Null, at)] } else { Vec::new() }
    }

    fn lose_new(&mut self, now: Timestamp) {
        let engine = &mut self.engine;
        if engine.exposed.take().is_some() {
            engine.streams.restart();
            (engine.slices, engine.brake, engine.hit) = (None, None, None);
            (engine.told, engine.told_duration) = (None, false);
            self.settle(State::Running, String::new(), now);
            self.status.evidence.clear();
            self.status.safety = 1.0;
        }
    }
}

fn leaves_new(position: Position) -> bool {
    match position.mode {
        Mode::LegacyOnly | Mode::EmergencyRollback => true,
        Mode::Parallel | Mode::Gradual => position.share == BasisPoints::ZERO,
        Mode::NewOnly => false,
    }
}
