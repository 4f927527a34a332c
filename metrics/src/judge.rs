//! The one router that judges for its fleet: what everybody counted becomes evidence, and evidence what is done.
//!
//! # Why one router, and which
//!
//! Evidence must be the same wherever one looks, and must survive the router that found it. So the counts of all routers meet in
//! the store, one router at a time holds a lease to judge, and what it keeps between two slots is stored under a version that
//! nobody can write over unread. A router that dies is followed by another within [`LEASE_MS`] and the two seconds after which
//! the others ask again (with no traffic on new later, as `cadence` says), which goes on from there. The others read what it has
//! found.
//!
//! # One turn
//!
//! ```text
//! lease -> counts of the slots that are over -> fold -> decide -> store -> act -> tell
//! ```
//!
//! What was decided is stored before it is done: a judge that dies in between is followed by one that asks for the same again.
//!
//! # Without the store
//!
//! Nobody judges then, and after five seconds that is what is shown: no data. A router alone still trips (`fast`).
//!
//! Not here: when a turn is due (the composition root), and what evidence is (`sequential`, `guard`).

mod cadence;
mod mind;
mod minutes;
mod past;
mod quality;
mod recording;
mod replay;
mod situation;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flags::control::{Control, ControlError};
use flags::guard::GuardAction;
use flags::snapshot::Snapshot;
use flags::store::Page;
use flags::store::records::{JudgedWrite, STATUS_BYTES_MAX};
use flags::tally::{Slot, SlotCounts};
use flags::watch::Watch;
use flags::{MigrationId, MigrationIndex, Mode, Revision, Side};
use jiff::Timestamp;

use self::cadence::Cadence;
use self::mind::{Engine, Mind, Order};
use self::minutes::MINUTES_LATE;
use self::past::Past;
pub use self::past::{minute, minute_text};
pub use self::recording::{Recording, RecordingError, SLOTS_MAX};
pub use self::replay::{Decision, Replay, replay};
use self::situation::Situation;
use self::step::{consider, minute_of};
use crate::events::{EvidenceUnreadable, GuardActed, GuardFailed};
use crate::notice::Notify;
use crate::observe::Observer;
use crate::rollback::Hand;
use crate::sequential::Matured;
use crate::status::{State, Status};

/// How long the lease to judge lasts unless it is kept, while new has traffic somewhere.
pub const LEASE_MS: u64 = 2_500;

/// The same while new has none anywhere, so that there is nothing to judge but what legacy is like.
const IDLE_LEASE_MS: u64 = 8_000;

/// How long counts of a slot are waited for after its end.
pub const SETTLE: Duration = Duration::from_millis(200);

/// Without a judgement for so long, nothing is known.
const BLIND_AFTER: Duration = Duration::from_secs(5);

/// Slots that a new judge goes back to at most: half a minute.
const CATCH_UP_SLOTS: u64 = 60;

/// A turn that took longer does nothing any more: another router may judge, and people may have decided meanwhile.
const ACT_WITHIN: Duration = Duration::from_secs(5);

/// Migrations whose counts are asked for at once.
const AT_ONCE: usize = 500;

/// Changes between two turns that are looked at; who makes more has not acknowledged what the guard did.
const MISSED_MAX: usize = 32;

/// What health checks say of an upstream.
pub type Probe = dyn Fn(&str) -> Option<bool> + Send + Sync;

/// See the module.
pub struct Judge {
    control: Control,
    watch: Arc<Watch>,
    observer: Arc<Observer>,
    notify: Arc<dyn Notify>,
    probe: Box<Probe>,
    hand: Hand,
    /// Some while this router judges.
    minds: Option<BTreeMap<MigrationId, Mind>>,
    pasts: BTreeMap<MigrationId, Past>,
    /// What has become old enough to be judged by its quality, until the next block takes it.
    matured: BTreeMap<MigrationId, [Matured; 3]>,
    /// The newest minute that was made.
    minute: u64,
    cadence: Cadence,
    /// When something was known last.
    seen: Instant,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").field("judges", &self.minds.is_some()).finish_non_exhaustive()
    }
}

impl Judge {
    pub fn new(
        control: Control,
        watch: Arc<Watch>,
        observer: Arc<Observer>,
        notify: Arc<dyn Notify>,
        probe: Box<Probe>,
    ) -> Self {
        Self {
            hand: Hand::new(control.clone()),
            control,
            watch,
            observer,
            notify,
            probe,
            minds: None,
            pasts: BTreeMap::new(),
            matured: BTreeMap::new(),
            minute: 0,
            cadence: Cadence::default(),
            seen: Instant::now(),
        }
    }

    /// Judges, or looks what another has found; called [`SETTLE`] after the end of each slot.
    pub async fn turn(&mut self) {
        let snapshot = self.watch.current();
        let is_idle =
            !snapshot.iter().any(|(at, own, _)| own.guard.action != GuardAction::Off && has_new(&snapshot, at));
        let is_due = self.cadence.is_due(snapshot.revision(), self.judges(), is_idle);
        if !is_due {
            return;
        }
        match self.try_turn(&snapshot, is_idle).await {
            Ok(()) => self.seen = Instant::now(),
            Err(error) => {
                // Whatever was written or not, the next turn reads it again.
                self.minds = None;
                tracing::debug!(%error, "nothing was judged");
                if self.seen.elapsed() >= BLIND_AFTER {
                    self.tell_blind();
                }
            }
        }
    }

    /// Lets another router judge at once.
    pub async fn leave(mut self) {
        if self.minds.take().is_some() {
            // It ends by itself soon, too.
            let _ = self.control.release().await;
        }
    }

    /// Whether this router is the one that judges.
    pub const fn judges(&self) -> bool {
        self.minds.is_some()
    }

    async fn try_turn(&mut self, snapshot: &Snapshot, is_idle: bool) -> Result<(), ControlError> {
        let named: BTreeSet<MigrationId> = snapshot.iter().map(|(_, own, _)| own.id.clone()).collect();
        self.observer.board().retain(&named);
        if !self.control.lease(if is_idle { IDLE_LEASE_MS } else { LEASE_MS }).await? {
            self.minds = None;
            return self.look(&named).await;
        }
        let mut minds = match self.minds.take() {
            Some(minds) => minds,
            None => self.take_over().await?,
        };
        minds.retain(|id, _| named.contains(id));
        self.pasts.retain(|id, _| named.contains(id));
        self.matured.retain(|id, _| named.contains(id));
        let judged = self.judge(snapshot, &mut minds).await?;
        self.make_minutes(snapshot, &mut minds).await?;
        // A judgement that another has written is read again.
        self.minds = judged.then_some(minds);
        Ok(())
    }

    /// Takes what the router that judges has found.
    async fn look(&self, named: &BTreeSet<MigrationId>) -> Result<(), ControlError> {
        for (id, judged) in self.control.judged_status().await? {
            if let (true, Ok(status)) = (named.contains(&id), serde_json::from_str(&judged.status)) {
                self.observer.board().put(&id, status);
            }
        }
        Ok(())
    }

    async fn take_over(&mut self) -> Result<BTreeMap<MigrationId, Mind>, ControlError> {
        let mut minds = BTreeMap::new();
        for (id, judged) in self.control.judged().await? {
            let mut mind = Mind { version: judged.version, ..Mind::default() };
            match (serde_json::from_str(&judged.engine), serde_json::from_str(&judged.status)) {
                (Ok(engine), Ok(status)) => (mind.engine, mind.status) = (engine, status),
                (Err(error), _) | (_, Err(error)) => {
                    EvidenceUnreadable { migration: &id, error: &error }.emit(self.observer.process());
                }
            }
            minds.insert(id, mind);
        }
        self.pasts.clear();
        self.matured.clear();
        self.minute = minute_of(self.watch.store_slot()).saturating_sub(MINUTES_LATE + 1);
        tracing::info!(migrations = minds.len(), "this router judges for the fleet now");
        Ok(minds)
    }

    /// Folds, decides, stores and acts; false where another router has stored something meanwhile.
    async fn judge(
        &mut self,
        snapshot: &Snapshot,
        minds: &mut BTreeMap<MigrationId, Mind>,
    ) -> Result<bool, ControlError> {
        let began = Instant::now();
        let running = self.watch.store_slot();
        let newest = running.minus(1);
        let oldest = running.minus(CATCH_UP_SLOTS);
        let now = self.watch.store_time();
        minds.values_mut().for_each(|mind| mind.engine.keep_to(running, now));
        let judged: Vec<_> =
            snapshot.iter().filter(|(_, own, _)| own.guard.action != GuardAction::Off).map(|(at, _, _)| at).collect();
        let ids: Vec<_> = judged.iter().map(|at| snapshot.migration(*at).id.clone()).collect();
        let next = |id: &MigrationId| minds.get(id).map_or(newest.0, |mind| mind.engine.slot + 1);
        let first = ids.iter().map(next).min().unwrap_or(newest.0).clamp(oldest.0, newest.0);
        let counts = self.counts(&ids, Slot(first), newest).await?;
        let (mut writes, mut orders) = (Vec::new(), Vec::new());
        for at in judged {
            let id = &snapshot.migration(at).id;
            let mind = minds.entry(id.clone()).or_default();
            let situation = self.situation(snapshot, at, running);
            let slots = counts.get(id).map_or(&[][..], Vec::as_slice);
            let before = mind.status.clone();
            self.catch_up(mind, &situation).await?;
            let ordered = self.consider(mind, &situation, slots);
            mind.engine.slot = mind.engine.slot.max(newest.0);
            let has_changed = before.state != mind.status.state || before.rollbacks != mind.status.rollbacks;
            if !slots.is_empty() || !ordered.is_empty() || has_changed {
                writes.push(write(id, mind));
            }
            orders.extend(ordered.into_iter().map(|order| (id.clone(), order)));
            self.observer.board().put(id, mind.status.clone());
        }
        for (at, own, _) in snapshot.iter().filter(|(_, own, _)| own.guard.action == GuardAction::Off) {
            let Some(mind) = minds.get_mut(&own.id).filter(|mind| mind.engine.is_exposed()) else { continue };
            let ended = mind.stand_down(&self.situation(snapshot, at, running));
            orders.extend(ended.into_iter().map(|order| (own.id.clone(), order)));
            writes.push(write(&own.id, mind));
            self.observer.board().put(&own.id, mind.status.clone());
        }
        let written: Vec<_> = writes.iter().map(|write| write.migration.clone()).collect();
        let stored = if writes.is_empty() { Vec::new() } else { self.control.put_judged(writes).await? };
        let refused: BTreeSet<_> =
            written.iter().zip(&stored).filter(|(_, stored)| !**stored).map(|(id, _)| id).collect();
        for id in written.iter().filter(|id| !refused.contains(id)) {
            if let Some(mind) = minds.get_mut(id) {
                mind.version += 1;
            }
        }
        if began.elapsed() >= ACT_WITHIN {
            return Ok(false);
        }
        for (id, order) in orders.into_iter().filter(|(id, _)| !refused.contains(id)) {
            match (order, minds.get_mut(&id)) {
                (Order::Recall(revision), Some(mind)) => self.recall(mind, &id, revision).await,
                (order, _) => self.act(&id, order).await,
            }
        }
        Ok(refused.is_empty())
    }

    fn situation<'a>(&self, snapshot: &'a Snapshot, at: MigrationIndex, slot: Slot) -> Situation<'a> {
        let definition = snapshot.migration(at);
        Situation {
            definition,
            document: &snapshot.placed(at).document,
            mode: snapshot.effective_mode(at),
            legacy_probe: (self.probe)(definition.upstream(Side::Legacy)),
            now: self.watch.store_time(),
            slot,
        }
    }

    /// Lets a mind know of what was changed and changed again since the last turn.
    async fn catch_up(&self, mind: &mut Mind, at: &Situation<'_>) -> Result<(), ControlError> {
        if mind.has_missed(at.document) {
            let page = Page { before: Some(at.document.revision), limit: MISSED_MAX };
            mind.catch_up(&self.control.history(&at.definition.id, page).await?, at);
        }
        Ok(())
    }

    fn consider(&mut self, mind: &mut Mind, situation: &Situation<'_>, slots: &[SlotCounts]) -> Vec<Order> {
        let id = &situation.definition.id;
        let matured = if slots.is_empty() { None } else { self.matured.remove(id) };
        consider(mind, self.pasts.entry(id.clone()).or_default(), situation, slots, matured)
    }

    async fn counts(
        &self,
        ids: &[MigrationId],
        first: Slot,
        last: Slot,
    ) -> Result<BTreeMap<MigrationId, Vec<SlotCounts>>, ControlError> {
        let mut counts = BTreeMap::new();
        for ids in ids.chunks(AT_ONCE) {
            counts.extend(self.control.counts_of(ids, first..=last).await?);
        }
        Ok(counts)
    }

    /// Shows what a rollback was decided on that this router has not decided.
    async fn recall(&self, mind: &mut Mind, id: &MigrationId, revision: Revision) {
        let page = Page { before: Some(revision.next()), limit: 1 };
        let newest = self.control.history(id, page).await.ok().and_then(|entries| entries.into_iter().next());
        if let Some(evidence) = newest.filter(|entry| entry.revision == revision).and_then(|entry| entry.evidence) {
            mind.status.record = Some(evidence);
        }
    }

    async fn act(&self, id: &MigrationId, order: Order) {
        let process = self.observer.process();
        let done = match order {
            Order::Tell(notice) => {
                self.notify.notify(notice);
                return;
            }
            Order::RollBack { why, record } => {
                let acted = || GuardActed::RolledBack { migration: id, why: &why }.emit(process);
                self.hand.roll_back(id, &why, &record).await.map(|_| acted())
            }
            Order::Lower { revision, asks, why, record } => {
                let acted = || GuardActed::Lowered { migration: id, why: &why }.emit(process);
                self.hand.lower(id, revision, asks, &why, &record).await.map(|_| acted())
            }
            Order::Recall(_) => return,
            Order::Stopped { why } => {
                GuardActed::Held { migration: id, why: &why }.emit(process);
                return;
            }
        };
        if let Err(error) = done {
            GuardFailed { migration: id, error: &error }.emit(process);
        }
    }

    /// Shows that nothing is known, where something should be.
    fn tell_blind(&self) {
        let snapshot = self.watch.current();
        let board = self.observer.board();
        for (at, definition, _) in snapshot.iter() {
            let has_new = has_new(&snapshot, at);
            let status = board.get(&definition.id).unwrap_or_default();
            if has_new && definition.guard.action != GuardAction::Off && status.state != State::NoData {
                let why =
                    "the fleet's counts do not arrive, because the store is away: nothing is judged until it is back";
                let since = Some(Timestamp::now());
                board.put(&definition.id, Status { state: State::NoData, since, why: why.into(), ..status });
            }
        }
    }
}

/// Whether new may have traffic.
fn has_new(snapshot: &Snapshot, at: MigrationIndex) -> bool {
    match snapshot.effective_mode(at) {
        Mode::LegacyOnly | Mode::EmergencyRollback => false,
        Mode::Parallel | Mode::Gradual | Mode::NewOnly => true,
    }
}

/// What is stored of a migration. A record too large to be kept, which only somebody else can have written, is left out: one
/// write that is refused would take all others with it.
fn write(id: &MigrationId, mind: &Mind) -> JudgedWrite {
    let text = |status: &Status| serde_json::to_string(status).unwrap_or_default();
    let status = Some(text(&mind.status)).filter(|text| text.len() <= STATUS_BYTES_MAX);
    JudgedWrite {
        migration: id.clone(),
        expected: mind.version,
        engine: serde_json::to_string::<Engine>(&mind.engine).unwrap_or_default(),
        status: status.unwrap_or_else(|| text(&Status { record: None, ..mind.status.clone() })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_too_large_is_not_stored_and_the_rest_is() {
        let mut mind = Mind::default();
        mind.status.record = Some("x".repeat(STATUS_BYTES_MAX).into());
        mind.status.why = "new is worse".into();
        let stored = write(&MigrationId::new("shop").unwrap(), &mind);
        let read: Status = serde_json::from_str(&stored.status).unwrap();
        assert_eq!((read.record, read.why.as_str()), (None, "new is worse"));
    }
}
