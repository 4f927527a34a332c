//! What becomes of the record of one issue: every rule of the ledger, without the ledger.
//!
//! # What is promised
//!
//! - An issue has one owner; the owner changes only together with the epoch, and only while nobody can be working on the
//!   issue: it was never sent, its owner has said that it ended, or its lease has run out and [`GRACE_MS`] besides. Or a
//!   person says so.
//! - One event of an issue is under way at a time, in the order of arrival.
//! - A time-out is no refusal. What may have been accepted goes to the same system again, never to the other.
//! - An event goes only when it was delivered or a person discards it.
//!
//! # Why data and functions
//!
//! The embedded store runs these functions in its transactions, the scripts in Redis are a translation that is held to
//! them by one suite, and an explorer walks through every order of calls on small instances. Nothing here
//! reads a clock; times are milliseconds of the store's own.

mod record;
#[cfg(test)]
mod tests;

pub use self::record::{Parked, Record, Run, State};

use super::past::Resent;
use super::{Answer, DeliveryId, Handed, Lane, QUEUE_MAX, Report, Reported, Settled, Why, Word};
use crate::migration::Side;

/// How long a claim keeps an event from everybody else; whatever is sent under it must be over by then.
pub const CLAIM_MS: u64 = 30_000;

/// How long work may be silent, where a system does not declare more. Heartbeats are expected every 15 s.
pub const LEASE_MS: u64 = 60_000;

/// What is waited besides after a lease has run out.
pub const GRACE_MS: u64 = 5_000;

/// The longest that a system may declare to be silent: a day.
pub const SILENT_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// How long after each failure the next try comes; after the last the event waits for a person.
pub const BACKOFF_MS: [u64; 8] = [0, 2_000, 10_000, 60_000, 300_000, 1_800_000, 7_200_000, 21_600_000];

/// Tries that new may certainly not accept in a row before the issue is legacy's.
pub const REFUSED_MAX: u32 = 3;

/// What became of the wish to send something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Taken {
    /// The first event may be sent under this claim.
    Send { token: u64, attempt: u32 },
    /// Not now.
    Nothing,
    /// It went to the other side, with which it is taken from now on.
    Moved,
    /// It waits for a person from now on.
    Parked(Parked),
}

/// Whether the first event is to be taken from the queue.
pub type Pop = bool;

impl Record {
    /// Counts as ended if it had nothing to do for so long, although its owner did not say so; true if it does now.
    pub fn forget_if_idle(&mut self, now_ms: u64, idle_ms: u64) -> bool {
        let is_idle = self.is_at_rest(now_ms) && self.changed_ms.saturating_add(idle_ms) <= now_ms;
        if !is_idle || self.run == Run::Ended {
            return false;
        }
        self.run = Run::Ended;
        (self.lease_ms, self.moving) = (0, None);
        true
    }

    /// Another event waits.
    pub fn enqueue(&mut self, now_ms: u64) {
        if self.waiting == 0 {
            (self.attempt, self.refused) = (0, 0);
            self.due_ms = now_ms;
        }
        self.waiting += 1;
        self.changed_ms = now_ms;
    }

    /// Takes the first event for one router, if it may be sent now.
    pub fn claim(&mut self, lane: Lane, first: &DeliveryId, now_ms: u64) -> Taken {
        if self.waiting == 0 || self.parked.is_some() || now_ms < self.claim_ms {
            return Taken::Nothing;
        }
        let epoch = self.epoch;
        self.expire(lane, now_ms);
        if let Some(parked) = self.parked {
            return Taken::Parked(parked);
        }
        if self.epoch != epoch {
            return Taken::Moved;
        }
        if let Some(to) = self.moving {
            if !self.may_move(now_ms) {
                return Taken::Nothing;
            }
            if lane != Lane::Only {
                self.park(Parked::RolledBack, now_ms);
                return Taken::Parked(Parked::RolledBack);
            }
            self.give(to, now_ms);
            return Taken::Moved;
        }
        if now_ms < self.due_ms {
            return Taken::Nothing;
        }
        self.token += 1;
        self.claim_ms = now_ms + CLAIM_MS;
        self.attempt += 1;
        self.last = Some(first.clone());
        self.changed_ms = now_ms;
        Taken::Send { token: self.token, attempt: self.attempt }
    }

    /// Who claimed it has gone silent: it may have been sent.
    pub fn expire(&mut self, lane: Lane, now_ms: u64) {
        if self.claim_ms > 0 && now_ms >= self.claim_ms {
            self.settle(lane, self.token, Answer::Ambiguous, now_ms);
        }
    }

    /// What follows from the answer to what was sent under a claim.
    pub fn settle(&mut self, lane: Lane, token: u64, answer: Answer, now_ms: u64) -> (Settled, Pop) {
        if self.claim_ms == 0 || self.token != token {
            return (Settled::Fenced, false);
        }
        let claimed_until = std::mem::take(&mut self.claim_ms);
        self.changed_ms = now_ms;
        match answer {
            Answer::Accepted | Answer::InProgress => {
                self.was_sent(Run::Running, now_ms);
                self.next(now_ms);
                self.move_on(lane, now_ms);
                (Settled::Delivered, true)
            }
            Answer::NotAccepted => {
                self.refused += 1;
                let is_refused = lane == Lane::Only && self.owner == Side::New && self.refused >= REFUSED_MAX;
                if is_refused && self.moving.is_none() && self.may_move(now_ms) {
                    self.give(Side::Legacy, now_ms);
                    return (Settled::Reassigned { to: self.owner, epoch: self.epoch }, false);
                }
                (self.moved_or_again(lane, now_ms), false)
            }
            Answer::Rejected => {
                if self.move_on(lane, now_ms) {
                    return (Settled::Reassigned { to: self.owner, epoch: self.epoch }, false);
                }
                self.park(Parked::Rejected, now_ms);
                (Settled::Parked, false)
            }
            Answer::Ambiguous => {
                self.refused = 0;
                // What was sent may yet arrive, for as long as it may be under way.
                self.was_sent(Run::Unsure, now_ms.max(claimed_until));
                (self.moved_or_again(lane, now_ms), false)
            }
        }
    }

    /// Its owner has something of it, or may have.
    fn was_sent(&mut self, run: Run, by_ms: u64) {
        if self.ended_token == self.token && self.run == Run::Ended {
            return;
        }
        self.run = if self.run == Run::Running { Run::Running } else { run };
        self.success = None;
        self.lease_ms = self.lease_ms.max(by_ms + self.lease_length());
    }

    const fn lease_length(&self) -> u64 {
        if self.silent_ms > LEASE_MS { self.silent_ms } else { LEASE_MS }
    }

    /// The first event is done with; the next has its own tries.
    const fn next(&mut self, now_ms: u64) {
        self.waiting -= 1;
        (self.attempt, self.refused, self.due_ms) = (0, 0, now_ms);
        self.parked = None;
    }

    fn moved_or_again(&mut self, lane: Lane, now_ms: u64) -> Settled {
        if self.move_on(lane, now_ms) {
            return Settled::Reassigned { to: self.owner, epoch: self.epoch };
        }
        let tried = usize::try_from(self.attempt).unwrap_or(usize::MAX);
        match BACKOFF_MS.get(tried.saturating_sub(1)) {
            Some(wait) => {
                self.due_ms = now_ms + wait;
                Settled::Again { at_ms: self.due_ms }
            }
            None => {
                self.park(Parked::Dead, now_ms);
                Settled::Dead
            }
        }
    }

    /// The first event cannot be sent, because it is no longer there.
    pub const fn lose(&mut self, now_ms: u64) {
        self.claim_ms = 0;
        self.park(Parked::Dead, now_ms);
    }

    const fn park(&mut self, why: Parked, now_ms: u64) {
        self.parked = Some(why);
        self.changed_ms = now_ms;
    }

    /// Makes the move that waits, if it may be made; true if it was.
    pub fn move_on(&mut self, lane: Lane, now_ms: u64) -> bool {
        let Some(to) = self.moving else { return false };
        if lane != Lane::Only || !self.may_move(now_ms) {
            return false;
        }
        self.give(to, now_ms);
        true
    }

    /// The only place where an owner changes.
    fn give(&mut self, to: Side, now_ms: u64) {
        self.owner = to;
        self.epoch += 1;
        self.run = Run::Free;
        (self.lease_ms, self.silent_ms, self.ended_token) = (0, 0, 0);
        (self.success, self.workflow, self.last) = (None, None, None);
        (self.attempt, self.refused, self.due_ms) = (0, 0, now_ms);
        (self.parked, self.moving) = (None, None);
        self.changed_ms = now_ms;
    }

    /// What a system says of it. What it says of an earlier event than it was sent last is no news.
    pub fn report(&mut self, lane: Lane, report: &Report, now_ms: u64) -> Reported {
        let Report { side, epoch, word, .. } = *report;
        if self.owner != side || self.epoch != epoch {
            return Reported::Fenced { owner: self.owner, epoch: self.epoch, split_brain: self.owner != side };
        }
        let is_last = report.delivery == self.last;
        if let (Word::Ended { .. }, Some(_), false) = (word, &report.delivery, is_last) {
            return Reported::Ended;
        }
        self.changed_ms = now_ms;
        match word {
            Word::Heartbeat { max_ms } => {
                if let Some(max_ms) = max_ms {
                    self.silent_ms = max_ms.min(SILENT_MS_MAX);
                }
                self.run = Run::Running;
                self.ended_token = 0;
                self.success = None;
                self.lease_ms = now_ms + self.lease_length();
                Reported::Renewed { until_ms: self.lease_ms }
            }
            Word::Ended { success } => {
                // What is being sent has begun and ended, if that is what the report names or nothing was sent before. Else
                // this may be the end of earlier work, and what is being sent may begin other work.
                if self.claim_ms > 0 && (is_last || self.run == Run::Free) {
                    self.ended_token = self.token;
                }
                self.run = Run::Ended;
                (self.lease_ms, self.silent_ms) = (0, 0);
                self.success = success;
                if self.move_on(lane, now_ms) {
                    return Reported::HandedOver { to: self.owner, epoch: self.epoch };
                }
                Reported::Ended
            }
        }
    }

    /// Gives it to the other side if that is safe, or as soon as it is; a person need not wait.
    pub fn hand_over(&mut self, lane: Lane, epoch: u64, to: Side, why: Why, now_ms: u64) -> Handed {
        if lane != Lane::Only {
            return Handed::Parallel;
        }
        self.expire(lane, now_ms);
        if self.epoch != epoch {
            return Handed::Fenced { epoch: self.epoch };
        }
        if self.owner == to {
            self.moving = None;
            return Handed::Already;
        }
        if self.claim_ms > 0 {
            return Handed::Busy { until_ms: self.claim_ms };
        }
        if why == Why::Operator || self.may_move(now_ms) {
            self.give(to, now_ms);
            return Handed::Over { epoch: self.epoch };
        }
        self.moving = Some(to);
        self.changed_ms = now_ms;
        Handed::Waiting { lease_until_ms: self.lease_ms }
    }

    /// An emergency rollback: what new certainly has not begun is legacy's at once, the rest as soon as it is safe.
    ///
    /// New's part of parallel mode stops where it is, because legacy has all of it anyway.
    pub fn roll_back(&mut self, lane: Lane, now_ms: u64) -> Rolled {
        self.expire(lane, now_ms);
        if self.owner != Side::New {
            return Rolled::Stays;
        }
        if lane != Lane::Only {
            if self.waiting > 0 && self.claim_ms == 0 && self.parked.is_none() {
                self.park(Parked::RolledBack, now_ms);
                return Rolled::Parked;
            }
            let waits = self.waiting > 0 && self.parked.is_none();
            self.moving = waits.then_some(Side::Legacy);
            return if waits { Rolled::Waits } else { Rolled::Stays };
        }
        if self.may_move(now_ms) {
            self.give(Side::Legacy, now_ms);
            return Rolled::Moved;
        }
        self.moving = Some(Side::Legacy);
        self.changed_ms = now_ms;
        Rolled::Waits
    }

    /// A person wants the first event tried again, from the first try on; true where it waited for that.
    pub const fn replay(&mut self, now_ms: u64) -> bool {
        if self.parked.is_none() {
            return false;
        }
        (self.parked, self.moving) = (None, None);
        (self.attempt, self.refused, self.due_ms) = (0, 0, now_ms);
        self.changed_ms = now_ms;
        true
    }

    /// Whether one that this side has had may be sent once more. To that side and to no other, whatever its epoch is by now.
    pub const fn may_resend(&self, had: Side, is_rolled_back: bool) -> Resent {
        let is_had = matches!((self.owner, had), (Side::Legacy, Side::Legacy) | (Side::New, Side::New));
        if !is_had || self.moving.is_some() {
            Resent::Moved
        } else if is_rolled_back && matches!(had, Side::New) {
            Resent::RolledBack
        } else if self.waiting >= QUEUE_MAX {
            Resent::Full
        } else {
            Resent::Again
        }
    }

    /// The first event is not for this owner, who never had it; it was delivered before.
    pub const fn pass_over(&mut self, now_ms: u64) {
        self.next(now_ms);
        self.changed_ms = now_ms;
    }

    /// A person gives the first event up; true where it waited for that and is to be taken from the queue.
    pub const fn discard(&mut self, now_ms: u64) -> Pop {
        if self.parked.is_none() || self.waiting == 0 {
            return false;
        }
        self.next(now_ms);
        self.changed_ms = now_ms;
        true
    }
}

/// What an emergency rollback did to one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rolled {
    Stays,
    Moved,
    Waits,
    Parked,
}
