//! What is kept of one issue: its fields, the words for where it stands, and the short form of one that has ended.

use serde::{Deserialize, Serialize};

use super::GRACE_MS;
use crate::bucket::{BasisPoints, Bucket};
use crate::ledger::DeliveryId;
use crate::migration::Side;
use crate::mode::Mode;

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
    pub(super) const fn movable_at(&self) -> u64 {
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
}
