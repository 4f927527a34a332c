//! What a change makes of a migration's state. Pure: [`super::Control`] stores the result.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Ask, ControlError, InvalidPin};
use crate::accepted::{self, AcceptedRule, InvalidRule, RuleChange};
use crate::bucket::{BasisPoints, HashKind};
use crate::migration::{Migration, Side};
use crate::mode::{Command, Mode, Refused, step};
use crate::state::{ChangeKind, Document, HistoryEntry, PIN_KEY_BYTES_MAX, PINS_MAX, Pin, PinChange, Pins, Position};

/// What a change is decided on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'a> {
    pub(super) definition: &'a Migration,
    pub(super) document: &'a Document,
    pub(super) pins: &'a Pins,
    /// The newest entry of the history; needed by an undo only.
    pub(super) newest: Option<&'a HistoryEntry>,
    pub(super) now: Timestamp,
}

/// The state after a change, not yet stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) kind: ChangeKind,
    pub(super) before: Position,
    pub(super) after: Position,
    pub(super) pin: Option<PinChange>,
    /// With the rules that there are afterwards.
    pub(super) rule: Option<(RuleChange, Vec<AcceptedRule>)>,
    pub(super) hash: HashKind,
    pub(super) salt: String,
}

/// Decides a change: `actor` and `reason` end up in a pin.
pub(super) fn next(standing: Standing<'_>, ask: &Ask, actor: &str, reason: &str) -> Result<Next, ControlError> {
    let before = standing.document.position();
    let moved = |mode, share| Position { mode, share };
    let mut rule = None;
    let (kind, after, pin) = match ask {
        Ask::Mode(mode) => (ChangeKind::Mode, moved(step(before.mode, Command::Serve(*mode))?, before.share), None),
        Ask::Rollout(share) => {
            lowered_while_rolled_back(before, *share)?;
            (ChangeKind::Rollout, moved(before.mode, *share), None)
        }
        Ask::RollBack => (ChangeKind::Rollback, moved(step(before.mode, Command::RollBack)?, before.share), None),
        Ask::Acknowledge(to) => {
            (ChangeKind::Acknowledge, moved(step(before.mode, Command::Acknowledge(*to))?, before.share), None)
        }
        Ask::Pin { key, side, until } => {
            let pin = Pin { side: *side, reason: reason.into(), actor: actor.into(), until: *until };
            (ChangeKind::Pin, before, Some(pinned(standing, key, pin)?))
        }
        Ask::Unpin { key } => {
            check_key(key)?;
            let pin = PinChange { key: key.clone(), before: standing.pins.get(key).cloned(), after: None };
            (ChangeKind::Unpin, before, Some(pin))
        }
        Ask::AcceptRule(asked) => {
            let asked = AcceptedRule { reason: reason.into(), accepted: standing.now, ..asked.clone() };
            asked.check(today(standing.now))?;
            rule = Some(ruled(standing, &asked.id, Some(&asked))?);
            (ChangeKind::AcceptRule, before, None)
        }
        Ask::RemoveRule { id } => {
            let removed = ruled(standing, id, None)?;
            if removed.0.before.is_none() {
                return Err(InvalidRule::Unknown.into());
            }
            rule = Some(removed);
            (ChangeKind::RemoveRule, before, None)
        }
        Ask::Undo => {
            let (kind, after, pin, of_rule) = undo(standing)?;
            rule = of_rule;
            (kind, after, pin)
        }
    };
    let (hash, salt) = split(standing, after.share);
    if hash == HashKind::Modulo && !after.share.is_whole_percent() {
        return Err(ControlError::NotWholePercent(after.share));
    }
    Ok(Next { kind, before, after, pin, rule, hash, salt })
}

impl Next {
    /// Whether anything would be different afterwards. A pin with another reason is the same pin.
    pub(super) fn changes(&self) -> bool {
        let pin_changes = self.pin.as_ref().is_some_and(|change| {
            let placement = |pin: &Option<Pin>| pin.as_ref().map(|pin| (pin.side, pin.until));
            placement(&change.before) != placement(&change.after)
        });
        let rule_changes = self.rule.as_ref().is_some_and(|(change, _)| match (&change.before, &change.after) {
            (Some(before), Some(after)) => !before.is_same(after),
            (before, after) => before != after,
        });
        self.before != self.after || pin_changes || rule_changes
    }

    /// Whether some traffic may meet new that did not before.
    pub(super) fn is_toward_new(&self, definition: &Migration, now: Timestamp) -> bool {
        let position = |position| exposure(definition, position);
        let pin_toward_new = self.pin.as_ref().is_some_and(|change| {
            let side = |pin: &Option<Pin>| pin.as_ref().filter(|p| p.applies_at(now.as_second())).map(|p| p.side);
            match (side(&change.before), side(&change.after)) {
                (Some(Side::New), _) | (_, Some(Side::Legacy)) | (None, None) => false,
                (Some(Side::Legacy) | None, Some(Side::New)) | (Some(Side::Legacy), None) => true,
            }
        });
        position(self.after) > position(self.before) || pin_toward_new
    }

    /// Whether it must not be made while the environment is frozen: what goes toward new, but for an acknowledgement
    /// after which legacy serves as it did.
    pub(super) fn is_refused_by_a_freeze(&self, definition: &Migration, now: Timestamp) -> bool {
        let served = |position| exposure(definition, position).0;
        let only_acknowledges = self.kind == ChangeKind::Acknowledge && served(self.after) <= served(self.before);
        self.is_toward_new(definition, now) && !only_acknowledges
    }
}

/// How much of the traffic may meet new, in an order that compares: what new serves, then how far
/// along the mode is (a parallel mode sends copies), then the share that waits for its mode.
fn exposure(definition: &Migration, position: Position) -> (BasisPoints, u8, BasisPoints) {
    let (served, rank) = match position.mode {
        Mode::LegacyOnly | Mode::EmergencyRollback => (BasisPoints::ZERO, 0),
        Mode::Parallel => match definition.parallel.serve {
            Side::Legacy => (BasisPoints::ZERO, 1),
            Side::New => (BasisPoints::ALL, 1),
        },
        Mode::Gradual => (position.share, 2),
        Mode::NewOnly => (BasisPoints::ALL, 3),
    };
    (served, rank, position.share)
}

fn lowered_while_rolled_back(before: Position, share: BasisPoints) -> Result<(), ControlError> {
    if before.mode == Mode::EmergencyRollback && share > before.share {
        return Err(Refused::NeedsAcknowledgement.into());
    }
    Ok(())
}

/// The hash and the salt that place keys from now on: the file's when no key can change sides by
/// it, else those the rollout began with.
fn split(standing: Standing<'_>, share_after: BasisPoints) -> (HashKind, String) {
    let Standing { definition, document, .. } = standing;
    if document.share.is_an_end() || share_after.is_an_end() {
        (definition.hash, definition.salt().into())
    } else {
        (document.hash, document.salt.clone())
    }
}

fn check_key(key: &str) -> Result<(), InvalidPin> {
    match key.len() {
        0 => Err(InvalidPin::EmptyKey),
        1..=PIN_KEY_BYTES_MAX => Ok(()),
        len => Err(InvalidPin::KeyTooLong(len)),
    }
}

fn pinned(standing: Standing<'_>, key: &str, pin: Pin) -> Result<PinChange, InvalidPin> {
    check_key(key)?;
    if let Some(until) = pin.until.filter(|until| *until <= standing.now) {
        return Err(InvalidPin::AlreadyOver(until));
    }
    let before = standing.pins.get(key).cloned();
    if before.is_none() && standing.pins.len() >= PINS_MAX {
        return Err(InvalidPin::TooMany);
    }
    Ok(PinChange { key: key.into(), before, after: Some(pin) })
}

/// The day in UTC, by which rules end.
fn today(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date()
}

/// One rule put, or removed, and all rules afterwards.
fn ruled(
    standing: Standing<'_>,
    id: &str,
    after: Option<&AcceptedRule>,
) -> Result<(RuleChange, Vec<AcceptedRule>), InvalidRule> {
    let rules = &standing.document.rules;
    let before = rules.iter().find(|rule| rule.id == id).cloned();
    let change = RuleChange { before, after: after.cloned() };
    let rules = accepted::changed(rules, &change, today(standing.now))?;
    Ok((change, rules))
}

/// What an undo makes of position, pin and rules.
type Undone = (ChangeKind, Position, Option<PinChange>, Option<(RuleChange, Vec<AcceptedRule>)>);

/// The inverse of the newest change, through the state machine like any other change: so that the
/// undo of a rollback needs an acknowledgement, and the undo of an acknowledgement rolls back.
fn undo(standing: Standing<'_>) -> Result<Undone, ControlError> {
    let Standing { definition, document, pins, newest, .. } = standing;
    let entry = newest.ok_or_else(|| ControlError::NothingToUndo(definition.id.clone()))?;
    let from = document.position();
    if let Some(change) = &entry.pin {
        let before = pins.get(&change.key).cloned();
        let pin = PinChange { key: change.key.clone(), before, after: change.before.clone() };
        return Ok((ChangeKind::Undo, from, Some(pin), None));
    }
    if let Some(change) = &entry.rule {
        let id = [&change.before, &change.after].into_iter().flatten().map(|rule| rule.id.as_str()).next();
        // What was removed may be over by now, and comes back as it was.
        let rule = ruled(standing, id.unwrap_or_default(), change.before.as_ref())?;
        return Ok((ChangeKind::Undo, from, None, Some(rule)));
    }
    let back = entry.before;
    let mode = match back.mode {
        same if same == from.mode => same,
        Mode::EmergencyRollback => step(from.mode, Command::RollBack)?,
        mode @ (Mode::LegacyOnly | Mode::Parallel | Mode::Gradual | Mode::NewOnly) => {
            step(from.mode, Command::Serve(mode))?
        }
    };
    if mode == Mode::EmergencyRollback {
        lowered_while_rolled_back(from, back.share)?;
    }
    Ok((ChangeKind::Undo, Position { mode, share: back.share }, None, None))
}
