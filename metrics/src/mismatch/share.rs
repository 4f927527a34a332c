//! What this run of a router tells the fleet of findings, and what the fleet has found together.
//!
//! # Why each run writes its own
//!
//! Nobody waits for a lock, a write that is said twice changes nothing, and a sum over runs is always the same. A run has the
//! name of its replica, which is new at each start. One that is over is adopted by the next that writes: its findings become
//! part of that one's, in the same step in which they go, so that nothing is lost and nothing counted twice, and a fleet that
//! is restarted every hour has as many records as routers.
//!
//! # How often
//!
//! Every [`EVERY`] at most, and only where something was recorded: at rest nobody writes and nobody reads.

use std::collections::BTreeSet;
use std::time::Duration;

use flags::MigrationId;
use flags::control::{Control, ControlError};
use flags::store::records::{FINDINGS_BYTES_MAX, FindingsWrite};
use jiff::{SignedDuration, Timestamp};

use super::{Findings, Mismatches, OfMigration};
use crate::observe::lock;

/// Between two words of one run.
pub const EVERY: Duration = Duration::from_secs(5);

/// Between two looks for runs that are over: longer than a silent router is remembered, so that one that lives and could not
/// say so is not adopted.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(70);

/// What the fleet knows of one migration.
#[derive(Clone, Debug, Default)]
pub struct OfFleet {
    pub findings: Findings,
    /// Runs of routers whose findings are in it, this one too.
    pub finders: BTreeSet<String>,
}

impl Mismatches {
    /// Tells the fleet what is new on this router. A migration whose word could not be said is told with the next.
    pub async fn share(&self, control: &Control, replica: &str, now: Timestamp) -> Result<(), ControlError> {
        let mut failed = None;
        for id in self.with_news() {
            if let Err(error) = self.share_one(control, replica, &id, now).await {
                if matches!(error, ControlError::Unknown(_)) {
                    // A pair that was under way when the file stopped naming it.
                    lock(&self.known).migrations.remove(&id);
                    continue;
                }
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn share_one(
        &self,
        control: &Control,
        replica: &str,
        id: &MigrationId,
        now: Timestamp,
    ) -> Result<(), ControlError> {
        let shared = self.observer.comparisons(id).totals();
        let adopted = self.adopt(control, replica, id, now).await?;
        let mut found = self.findings(id);
        adopted.iter().for_each(|(_, more)| found.merge(more));
        found.forget(now);
        let names = adopted.iter().map(|(name, _)| name.clone()).collect();
        let text = found.written(FINDINGS_BYTES_MAX);
        let write = FindingsWrite { migration: id.clone(), finder: replica.to_owned(), text, adopted: names };
        let is_kept = control.put_findings(write).await?;
        let mut known = lock(&self.known);
        let Some(of) = known.migrations.get_mut(id) else { return Ok(()) };
        // Where another run was faster, what is left is looked at again with the next word.
        of.looked_at = if is_kept { of.looked_at } else { None };
        if is_kept {
            adopted.iter().for_each(|(_, more)| of.adopted.merge(more));
            of.shared = shared;
        }
        of.adopted.forget(now);
        of.ledger.findings_mut().forget(now);
        Ok(())
    }

    /// Runs that are over, with what they had found: those whose name no live router had at two looks.
    async fn adopt(
        &self,
        control: &Control,
        replica: &str,
        id: &MigrationId,
        now: Timestamp,
    ) -> Result<Vec<(String, Findings)>, ControlError> {
        if !self.is_time_to_look(id, now) {
            return Ok(Vec::new());
        }
        let stored = control.findings(id).await?;
        let live: BTreeSet<String> = control.replicas().await?.into_iter().map(|beat| beat.replica).collect();
        let missing: BTreeSet<String> =
            stored.keys().filter(|name| *name != replica && !live.contains(*name)).cloned().collect();
        let over = {
            let mut known = lock(&self.known);
            let Some(of) = known.migrations.get_mut(id) else { return Ok(Vec::new()) };
            let before = std::mem::replace(&mut of.missing, missing.clone());
            missing.into_iter().filter(|name| before.contains(name)).collect::<BTreeSet<_>>()
        };
        let over = stored.into_iter().filter(|(name, _)| over.contains(name));
        // What does not read is adopted too, so that it goes.
        Ok(over.map(|(name, text)| (name, Findings::read(&text).unwrap_or_default())).collect())
    }

    /// What the fleet has found: of this router what it knows now, of others what they have told.
    pub async fn of_fleet(
        &self,
        control: &Control,
        replica: &str,
        id: &MigrationId,
        now: Timestamp,
    ) -> Result<OfFleet, ControlError> {
        let stored = control.findings(id).await?;
        let mut fleet = OfFleet { findings: self.findings(id), finders: [replica.to_owned()].into() };
        for (name, text) in stored.into_iter().filter(|(name, _)| name != replica) {
            if let Some(found) = Findings::read(&text) {
                fleet.findings.merge(&found);
                fleet.finders.insert(name);
            }
        }
        fleet.findings.forget(now);
        Ok(fleet)
    }

    /// Migrations of which more was counted than has been told.
    fn with_news(&self) -> Vec<MigrationId> {
        let known = lock(&self.known);
        let has_news = |id: &MigrationId, of: &OfMigration| self.observer.comparisons(id).totals() != of.shared;
        known.migrations.iter().filter(|(id, of)| has_news(id, of)).map(|(id, _)| id.clone()).collect()
    }

    fn is_time_to_look(&self, id: &MigrationId, now: Timestamp) -> bool {
        let mut known = lock(&self.known);
        let Some(of) = known.migrations.get_mut(id) else { return false };
        let is_time = of.looked_at.is_none_or(|at| now.duration_since(at) >= LOOK_EVERY);
        if is_time {
            of.looked_at = Some(now);
        }
        is_time
    }
}
