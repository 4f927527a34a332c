//! The only automatic hand: what a guard has decided becomes a change of the migration, and people are told.
//!
//! # Why through the same door as a person
//!
//! A guard asks [`flags::control`] like everybody else, so its changes meet the same rules, one history and one undo. A rollback
//! holds on this router before the store has it, and reaches the store when it is back; everything else needs the store.
//!
//! # Slices
//!
//! Legacy that has served little of late may not survive all the traffic at once. Then new gives up a quarter of its
//! share at a time, and the rollback proper is the last of four steps.
//!
//! Not here: when and why (`guard`).

use std::time::Duration;

use flags::control::{Applied, Ask, Change, Control, ControlError};
use flags::state::Position;
use flags::{BasisPoints, HashKind, MigrationId, Mode, Revision};
use serde_json::Value;

/// The actor of every change that a guard makes, as the history records it.
pub const ACTOR: &str = "guard";

/// How long each slice of a rollback lasts.
pub const SLICE: Duration = Duration::from_secs(5);

/// Slices of a rollback to a legacy that is cold, the rollback itself included.
pub const SLICES: u16 = 4;

/// The least share that a brake leaves, so that evidence goes on.
const BRAKED_MIN: u16 = 100;

/// Reasons are cut to what is recorded.
const REASON_BYTES_MAX: usize = 900;

/// The changes that brake: half the share that new had at `from`. None where that is done, or nobody but a mirror would notice.
pub fn brake(from: Position, at: Position, hash: HashKind) -> Vec<Ask> {
    let share = match from.mode {
        Mode::Gradual => from.share.get(),
        Mode::NewOnly => BasisPoints::ALL.get(),
        Mode::LegacyOnly | Mode::Parallel | Mode::EmergencyRollback => return Vec::new(),
    };
    let half = lowered(share / 2, hash).max(BRAKED_MIN.min(share));
    toward(at, half)
}

/// The changes of one slice (1 to 3 of [`SLICES`]) of a rollback that began at `from`.
pub fn slice(from: Position, at: Position, slice: u16, hash: HashKind) -> Vec<Ask> {
    let whole = if from.mode == Mode::NewOnly { BasisPoints::ALL.get() } else { from.share.get() };
    let left = u32::from(whole) * u32::from(SLICES.saturating_sub(slice)) / u32::from(SLICES);
    toward(at, lowered(u16::try_from(left).unwrap_or(0), hash))
}

/// Gradual at this share, from where it is: the share first, so that no moment has more than both.
fn toward(at: Position, share: u16) -> Vec<Ask> {
    let Ok(share) = BasisPoints::new(share) else { return Vec::new() };
    match at.mode {
        Mode::Gradual if share < at.share => vec![Ask::Rollout(share)],
        Mode::NewOnly => vec![Ask::Rollout(share), Ask::Mode(Mode::Gradual)],
        Mode::Gradual | Mode::LegacyOnly | Mode::Parallel | Mode::EmergencyRollback => Vec::new(),
    }
}

/// A share that the hash can split by.
const fn lowered(share: u16, hash: HashKind) -> u16 {
    match hash {
        HashKind::Bucket => share,
        HashKind::Modulo => share / 100 * 100,
    }
}

/// Makes what a guard has decided happen.
#[derive(Clone, Debug)]
pub struct Hand {
    control: Control,
}

impl Hand {
    pub const fn new(control: Control) -> Self {
        Self { control }
    }

    /// Everything to legacy, latched; at once on this router, whatever the store does.
    pub async fn roll_back(&self, id: &MigrationId, why: &str, record: &Value) -> Result<Applied, ControlError> {
        self.ask(id, Ask::RollBack, None, why, record).await
    }

    /// Less for new than at the revision it was decided on; stops at the first change that is refused.
    ///
    /// Somebody may have lowered it further since, and then the same step would raise it.
    pub async fn lower(
        &self,
        id: &MigrationId,
        mut revision: Revision,
        asks: Vec<Ask>,
        why: &str,
        record: &Value,
    ) -> Result<Option<Applied>, ControlError> {
        let mut last = None;
        for ask in asks {
            let applied = self.ask(id, ask, Some(revision), why, record).await?;
            revision = applied.revision;
            last = Some(applied);
        }
        Ok(last)
    }

    async fn ask(
        &self,
        id: &MigrationId,
        ask: Ask,
        if_revision: Option<Revision>,
        why: &str,
        record: &Value,
    ) -> Result<Applied, ControlError> {
        let evidence = Some(record.clone());
        let change = Change { evidence, if_revision, force: true, ..Change::new(ask, ACTOR, reason(why)) };
        self.control.apply(id, change).await
    }
}

/// A sentence as a reason that is taken: one line, and not too long.
fn reason(why: &str) -> String {
    let mut text: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = text.len().min(REASON_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mode: Mode, percent: f64) -> Position {
        Position { mode, share: BasisPoints::from_percent(percent).unwrap() }
    }

    fn rollout(percent: f64) -> Ask {
        Ask::Rollout(BasisPoints::from_percent(percent).unwrap())
    }

    #[track_caller]
    fn check_brake(from: Position, hash: HashKind, asks: &[Ask]) {
        assert_eq!(brake(from, from, hash), asks, "{from:?}");
    }

    #[test]
    fn a_brake_halves_and_leaves_something_to_see() {
        check_brake(at(Mode::Gradual, 50.0), HashKind::Bucket, &[rollout(25.0)]);
        check_brake(at(Mode::Gradual, 25.0), HashKind::Bucket, &[rollout(12.5)]);
        check_brake(at(Mode::Gradual, 25.0), HashKind::Modulo, &[rollout(12.0)]);
        check_brake(at(Mode::Gradual, 1.5), HashKind::Bucket, &[rollout(1.0)]);
        check_brake(at(Mode::Gradual, 1.0), HashKind::Bucket, &[]);
        check_brake(at(Mode::Gradual, 0.5), HashKind::Bucket, &[]);
        check_brake(at(Mode::Gradual, 0.0), HashKind::Bucket, &[]);
        check_brake(at(Mode::NewOnly, 0.0), HashKind::Bucket, &[rollout(50.0), Ask::Mode(Mode::Gradual)]);
        for mode in [Mode::LegacyOnly, Mode::Parallel, Mode::EmergencyRollback] {
            check_brake(at(mode, 50.0), HashKind::Bucket, &[]);
        }
    }

    #[test]
    fn a_brake_is_made_once_and_wholly() {
        let after = |from, at| brake(from, at, HashKind::Bucket);
        let half = at(Mode::Gradual, 50.0);
        assert_eq!(after(half, at(Mode::Gradual, 25.0)), []);
        assert_eq!(after(half, at(Mode::EmergencyRollback, 50.0)), []);
        let (all, begun) = (at(Mode::NewOnly, 100.0), at(Mode::NewOnly, 50.0));
        assert_eq!(after(all, begun), [rollout(50.0), Ask::Mode(Mode::Gradual)], "its second change was refused");
        assert_eq!(after(all, at(Mode::Gradual, 50.0)), []);
    }

    #[test]
    fn slices_give_a_quarter_each() {
        let from = at(Mode::Gradual, 40.0);
        let after = |slice_at, percent| slice(from, at(Mode::Gradual, percent), slice_at, HashKind::Bucket);
        assert_eq!([after(1, 40.0), after(2, 30.0), after(3, 20.0)], [30.0, 20.0, 10.0].map(|p| vec![rollout(p)]));
        assert_eq!(after(2, 15.0), [], "somebody has lowered it further meanwhile");
        let all = at(Mode::NewOnly, 0.0);
        assert_eq!(slice(all, all, 1, HashKind::Modulo), [rollout(75.0), Ask::Mode(Mode::Gradual)]);
        assert_eq!(slice(all, at(Mode::EmergencyRollback, 75.0), 2, HashKind::Modulo), []);
    }

    #[test]
    fn a_reason_is_one_line_of_bounded_length() {
        assert_eq!(reason("a\nb"), "a b");
        assert_eq!(reason(&"ä".repeat(1_000)).len(), REASON_BYTES_MAX);
    }
}
