//! Where a guard stands with one migration, as the fleet shares it and screens show it.
//!
//! # Why apart from the engine
//!
//! One router judges for all; the others, the API and Prometheus only want to know what it found.
//! So the router that judges leaves this short text beside its own state, and nobody else reads that.
//!
//! Not here: the sums that evidence is made of (`sequential`), and what is done about it (`rollback`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use flags::MigrationId;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::guard;

/// The first cooldown after a rollback; each further one within a week doubles it.
const COOLDOWN_FIRST: SignedDuration = SignedDuration::from_mins(15);
const COOLDOWN_MAX: SignedDuration = SignedDuration::from_hours(24);

/// How long a rollback counts toward the length of a cooldown.
pub const ROLLBACKS_REMEMBERED: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Beside its mode, whether a migration makes progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    #[default]
    Running,
    Paused,
    /// There is some evidence that new is worse: progress stops.
    Held,
    /// There is more, and the share of new was lowered.
    Braked,
    /// Nothing is known of late, which is neither good nor bad.
    NoData,
    AwaitingApproval,
}

impl State {
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Paused, Self::Held, Self::Braked, Self::NoData, Self::AwaitingApproval];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Held => "held",
            Self::Braked => "braked",
            Self::NoData => "no_data",
            Self::AwaitingApproval => "awaiting_approval",
        }
    }

    /// Whether a person who gives new more traffic should know better first.
    pub const fn stops_progress(self) -> bool {
        match self {
            Self::Held | Self::Braked => true,
            Self::Running | Self::Paused | Self::NoData | Self::AwaitingApproval => false,
        }
    }
}

impl From<State> for guard::State {
    /// As an engine distinguishes them; what people stop is no matter of evidence.
    fn from(state: State) -> Self {
        match state {
            State::Running | State::Paused | State::AwaitingApproval => Self::Running,
            State::Held => Self::Held,
            State::Braked => Self::Braked,
            State::NoData => Self::NoData,
        }
    }
}

/// First attempts at a side in the newest ten seconds that were judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Attempts {
    pub total: f64,
    pub failed: f64,
}

/// What the guard says of one migration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub state: State,
    /// Since when.
    pub since: Option<Timestamp>,
    /// Why, in one sentence; empty while running.
    pub why: String,
    /// The end of the newest half second that was judged.
    pub judged: Option<Timestamp>,
    /// E-values by measure, and `all` for their weighted mean, which is what thresholds are compared with.
    pub evidence: BTreeMap<String, f64>,
    /// How much speaks for new being no worse than legacy by more than the margin.
    pub safety: f64,
    pub legacy: Attempts,
    pub new: Attempts,
    /// Rollbacks of the last 7 days, whoever made them.
    pub rollbacks: Vec<Timestamp>,
    /// When the last of them was acknowledged.
    pub acknowledged: Option<Timestamp>,
    /// The newest decision with everything that it was made on.
    pub record: Option<Value>,
}

impl Status {
    /// Until when people are warned of progress after a rollback that was acknowledged.
    pub fn cooldown_until(&self) -> Option<Timestamp> {
        let acknowledged = self.acknowledged?;
        let recent = self.rollbacks.iter().filter(|at| acknowledged.duration_since(**at) <= ROLLBACKS_REMEMBERED);
        let doublings = u32::try_from(recent.count()).unwrap_or(u32::MAX).checked_sub(1)?;
        let length = COOLDOWN_FIRST.checked_mul(1 << doublings.min(16)).unwrap_or(COOLDOWN_MAX).min(COOLDOWN_MAX);
        acknowledged.checked_add(length).ok()
    }

    pub fn is_cooling_down(&self, now: Timestamp) -> bool {
        self.cooldown_until().is_some_and(|until| now < until)
    }

    pub fn e_value(&self) -> f64 {
        self.evidence.get("all").copied().unwrap_or(1.0)
    }
}

/// The newest word about every migration, kept by this process.
#[derive(Debug, Default)]
pub struct Board(Mutex<BTreeMap<MigrationId, Status>>);

impl Board {
    pub fn get(&self, migration: &MigrationId) -> Option<Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(migration).cloned()
    }

    pub fn all(&self) -> BTreeMap<MigrationId, Status> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn put(&self, migration: &MigrationId, status: Status) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(migration.clone(), status);
    }

    /// Forgets migrations that the file no longer names.
    pub fn retain(&self, named: &BTreeSet<MigrationId>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|id, _| named.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    #[track_caller]
    fn check(rollbacks: &[i64], acknowledged: Option<i64>, until: Option<i64>) {
        let rollbacks = rollbacks.iter().map(|minutes| at(*minutes)).collect();
        let status = Status { rollbacks, acknowledged: acknowledged.map(at), ..Status::default() };
        assert_eq!(status.cooldown_until(), until.map(at));
    }

    #[test]
    fn each_rollback_of_a_week_doubles_the_cooldown() {
        check(&[], None, None);
        check(&[0], None, None);
        check(&[], Some(5), None);
        check(&[0], Some(5), Some(20));
        check(&[-100, 0], Some(5), Some(35));
        check(&[-300, -200, -100, 0], Some(5), Some(125));
        let week = 7 * 24 * 60;
        check(&[-week, 0], Some(5), Some(20));
        check(&[0; 40], Some(5), Some(5 + 24 * 60));
    }

    #[test]
    fn a_status_reads_back() {
        let status = Status {
            state: State::Held,
            since: Some(at(0)),
            evidence: [("all".to_owned(), 21.5)].into(),
            ..Status::default()
        };
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&text).unwrap(), status);
    }
}
