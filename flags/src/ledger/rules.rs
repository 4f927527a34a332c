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

#[cfg(test)]
mod explore;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::{Answer, DeliveryId, Handed, Lane, Report, Reported, Settled, Why, Word};
use crate::bucket::{BasisPoints, Bucket};
use crate::migration::Side;
use crate::mode::Mode;

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

/// Whether a system may be working on an issue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Run {
    /// Certainly not: it was never given any of it.
    #[default]
    Free,
    /// It may be: something was sent and nobody knows what came of it.
    Unsure,
    /// It has accepted an event.
    Running,
    /// It has said that it ended.
    Ended,
}

/// Why an issue waits for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parked {
    /// The system refused the event.
    Rejected,
    /// It was tried as often as it is.
    Dead,
    /// New's part of parallel mode, after an emergency rollback.
    RolledBack,
}

impl Parked {
    pub const ALL: [Self; 3] = [Self::Rejected, Self::Dead, Self::RolledBack];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Dead => "dead",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// What a record is doing, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Its first event waits for a person.
    Parked,
    /// An event is being sent.
    Sending,
    /// It is to go to the other side as soon as that is safe.
    Moving,
    /// An event waits for its time.
    Waiting,
    /// Its owner may be working on it.
    Unsure,
    /// Its owner works on it.
    Running,
    /// It has an owner and nothing to do.
    Idle,
    /// Its owner has said that it ended.
    Ended,
}

impl State {
    pub const ALL: [Self; 8] = [
        Self::Parked,
        Self::Sending,
        Self::Moving,
        Self::Waiting,
        Self::Unsure,
        Self::Running,
        Self::Idle,
        Self::Ended,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Parked => "parked",
            Self::Sending => "sending",
            Self::Moving => "moving",
            Self::Waiting => "waiting",
            Self::Unsure => "unsure",
            Self::Running => "running",
            Self::Idle => "idle",
            Self::Ended => "ended",
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
const fn is_none(number: &u32) -> bool {
    *number == 0
}

/// All that is kept of one issue, or in parallel mode of one side's part in it, but for the events themselves.
///
/// Stored as JSON; a field that holds nothing is left out.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub owner: Side,
    pub epoch: u64,
    pub run: Run,
    /// Until when the owner need not say anything; 0 where it does nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lease_ms: u64,
    /// What the owner declared to be its longest silence, or 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub silent_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,

    /// Events that wait, the first of which is the one that is tried.
    #[serde(default, skip_serializing_if = "is_none")]
    pub waiting: u32,
    /// Until when the newest claim holds, or 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub claim_ms: u64,
    /// Of the newest claim; counts claims.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub token: u64,
    /// The event that was last sent to its owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<DeliveryId>,
    /// The claim during which its work was said to have ended.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ended_token: u64,
    /// Tries of the first event.
    #[serde(default, skip_serializing_if = "is_none")]
    pub attempt: u32,
    /// How many of the last were certainly not accepted.
    #[serde(default, skip_serializing_if = "is_none")]
    pub refused: u32,
    /// Not tried before this.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub due_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<Parked>,
    /// Where it is to go as soon as nobody can be working on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Side>,

    /// What was decided when it got its first owner.
    pub mode: Mode,
    pub share: BasisPoints,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<u16>,
    pub revision: u64,
    pub changed_ms: u64,
}

/// What became of the wish to send something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Taken {
    /// The first event may be sent under this claim.
    Send { token: u64, attempt: u32 },
    /// Not now.
    Nothing,
    /// It waits for a person from now on.
    Parked(Parked),
}

/// Whether the first event is to be taken from the queue.
pub type Pop = bool;

impl Record {
    /// A new issue with its owner and no event yet.
    pub fn pinned(owner: Side, epoch: u64, pin: (Mode, BasisPoints, Option<Bucket>, u64), now_ms: u64) -> Self {
        let (mode, share, bucket, revision) = pin;
        Self {
            owner,
            epoch,
            run: Run::Free,
            lease_ms: 0,
            silent_ms: 0,
            success: None,
            workflow: None,
            waiting: 0,
            claim_ms: 0,
            token: 0,
            last: None,
            ended_token: 0,
            attempt: 0,
            refused: 0,
            due_ms: 0,
            parked: None,
            moving: None,
            mode,
            share,
            bucket: bucket.map(Bucket::get),
            revision,
            changed_ms: now_ms,
        }
    }

    pub const fn state(&self) -> State {
        if self.parked.is_some() {
            State::Parked
        } else if self.claim_ms > 0 {
            State::Sending
        } else if self.moving.is_some() {
            State::Moving
        } else if self.waiting > 0 {
            State::Waiting
        } else {
            match self.run {
                Run::Unsure => State::Unsure,
                Run::Running => State::Running,
                Run::Free => State::Idle,
                Run::Ended => State::Ended,
            }
        }
    }

    /// When somebody should look at it to send something, if ever.
    pub const fn ready_at(&self) -> Option<u64> {
        if self.waiting == 0 || self.parked.is_some() {
            None
        } else if self.claim_ms > 0 {
            Some(self.claim_ms)
        } else if self.moving.is_some() {
            Some(self.movable_at())
        } else {
            Some(self.due_ms)
        }
    }

    /// When its lease runs out, where it has one.
    pub const fn leased_until(&self) -> Option<u64> {
        match self.run {
            Run::Running | Run::Unsure => Some(self.lease_ms),
            Run::Free | Run::Ended => None,
        }
    }

    /// From when on nobody can be working on it, if nothing is sent and nobody says anything.
    const fn movable_at(&self) -> u64 {
        match self.leased_until() {
            Some(until) => until + GRACE_MS,
            None => 0,
        }
    }

    /// Whether nobody can be working on it, nor get it.
    pub const fn may_move(&self, now_ms: u64) -> bool {
        self.claim_ms == 0 && now_ms >= self.movable_at()
    }

    /// Whether there is nothing more to do about it, so that a few words of it are enough.
    pub const fn is_finished(&self) -> bool {
        matches!(self.state(), State::Ended)
    }

    /// Whether nothing of it waits and nobody can be working on it.
    pub const fn is_at_rest(&self, now_ms: u64) -> bool {
        self.waiting == 0 && self.may_move(now_ms)
    }

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

    /// What is kept of one that has ended: `n 3 1 1760000000000 y g 2500 17 1200`.
    pub fn to_short(&self) -> String {
        let owner = self.owner.name().chars().next().unwrap_or('l');
        let success = self.success.map_or('-', |success| if success { 'y' } else { 'n' });
        let mode = self.mode.name().chars().next().unwrap_or('l');
        let bucket = self.bucket.map_or("-".to_owned(), |bucket| bucket.to_string());
        let Self { epoch, token, changed_ms, revision, .. } = self;
        let share = self.share.get();
        format!("{owner} {epoch} {token} {changed_ms} {success} {mode} {share} {bucket} {revision}")
    }

    pub fn from_short(text: &str) -> Option<Self> {
        let words: Vec<_> = text.split(' ').take(10).collect();
        let [owner, epoch, token, changed, success, mode, share, bucket, revision] = words.try_into().ok()?;
        let owner = Side::ALL.into_iter().find(|side| side.name().starts_with(owner) && owner.len() == 1)?;
        let mode = Mode::ALL.into_iter().find(|known| known.name().starts_with(mode) && mode.len() == 1)?;
        let success = match success {
            "y" => Some(true),
            "n" => Some(false),
            "-" => None,
            _ => return None,
        };
        let bucket = if bucket == "-" { None } else { Some(bucket.parse().ok()?) };
        let share = BasisPoints::new(share.parse().ok()?).ok()?;
        let mut record = Self::pinned(owner, epoch.parse().ok()?, (mode, share, None, revision.parse().ok()?), 0);
        (record.bucket, record.success, record.run) = (bucket, success, Run::Ended);
        (record.token, record.changed_ms) = (token.parse().ok()?, changed.parse().ok()?);
        Some(record)
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
        self.expire(lane, now_ms);
        if let Some(parked) = self.parked {
            return Taken::Parked(parked);
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
