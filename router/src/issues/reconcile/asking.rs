//! When GitHub is asked: at intervals by one router of a fleet, and whenever a person wants to know.
//!
//! # Why a duty
//!
//! Every router would find the same lost deliveries and ask for each of them, and all of them together would use up the
//! allowance of one token. So the one that has the duty in the ledger's store asks. It says so anew three times within a lease; one
//! that is gone, or whose store is, loses the duty by itself, and who takes it over looks an hour back. Between the two
//! somebody may ask twice, which is harmless: a redelivery has the id of the delivery.

use std::time::{Duration, Instant};

use flags::store::ledger::Duty;
use tokio::sync::Mutex;

use super::{Found, How, Reconciler, Stopped};
use crate::config::issues::Reconcile;
use crate::issues::office::Office;

/// How long the duty is ours without another word: as long as the interval, within these.
const LEASE_LEAST: Duration = Duration::from_secs(3);
const LEASE_MOST: Duration = Duration::from_secs(30);

/// How often a file without `reconcile` is looked at again.
const LOOK: Duration = Duration::from_secs(5);

/// The longest that a person waits for a turn.
const ASKED_MAX: Duration = Duration::from_secs(60);

/// What is remembered between two turns; one turn at a time.
#[derive(Default)]
pub(crate) struct Asking(Mutex<Memory>);

#[derive(Default)]
struct Memory {
    reconciler: Option<Reconciler>,
    /// Until then the server wants to hear nothing.
    silent_until: Option<Instant>,
}

/// Why a person gets no answer.
#[derive(Debug)]
pub(crate) enum NotAsked {
    /// The file does not say whom to ask.
    NotSet,
    /// The server wants to hear nothing for so long.
    Silent(Duration),
    Failed(String),
}

/// Runs for as long as the office does; without `reconcile` in the file it only waits for one.
pub(crate) async fn run(office: &Office) {
    let mut due = Instant::now();
    loop {
        let Some(settings) = office.route.load().reconcile.clone() else {
            tokio::time::sleep(LOOK).await;
            continue;
        };
        let lease = settings.interval.clamp(LEASE_LEAST, LEASE_MOST);
        if !office.has_duty(Duty::Reconcile, lease).await {
            // Whoever takes it over begins at once.
            due = Instant::now();
            tokio::time::sleep(lease / 3).await;
            continue;
        }
        if due <= Instant::now() {
            tokio::select! {
                turned = office.reconcile(&settings, How::Changed) => {
                    let silent = if let Err(NotAsked::Silent(asked)) = turned { asked } else { Duration::ZERO };
                    due = Instant::now() + settings.interval.max(silent);
                }
                () = loses(office, lease) => continue,
            }
        }
        tokio::time::sleep(due.saturating_duration_since(Instant::now()).min(lease / 3)).await;
    }
}

/// Keeps the duty, and resolves once it is another's.
async fn loses(office: &Office, lease: Duration) {
    loop {
        tokio::time::sleep(lease / 3).await;
        if !office.has_duty(Duty::Reconcile, lease).await {
            return;
        }
    }
}

impl Office {
    /// A person wants to know now, whoever has the duty.
    pub(crate) async fn ask_sender(&self, dry_run: bool) -> Result<Found, NotAsked> {
        let settings = self.route.load().reconcile.clone().ok_or(NotAsked::NotSet)?;
        let how = if dry_run { How::DryRun } else { How::Whole };
        let asking = tokio::time::timeout(ASKED_MAX, self.reconcile(&settings, how));
        asking
            .await
            .unwrap_or_else(|_| Err(NotAsked::Failed(format!("no whole answer within {} s", ASKED_MAX.as_secs()))))
    }

    async fn reconcile(&self, settings: &Reconcile, how: How) -> Result<Found, NotAsked> {
        let mut memory = self.asking.0.lock().await;
        let silent = memory.silent_until.map(|until| until.saturating_duration_since(Instant::now()));
        if let Some(silent) = silent.filter(|silent| !silent.is_zero()) {
            return Err(NotAsked::Silent(silent));
        }
        if memory.reconciler.is_none() {
            let made = Reconciler::new(settings).inspect_err(|error| self.told.unreconciled(error));
            memory.reconciler = Some(made.map_err(NotAsked::Failed)?);
        }
        let Some(reconciler) = &mut memory.reconciler else { return Err(NotAsked::NotSet) };
        match reconciler.turn(self, settings, how).await {
            Ok(found) => {
                self.told.reconciled(&found);
                Ok(found)
            }
            Err(Stopped::Silence(asked)) => {
                self.told.silenced(asked);
                memory.silent_until = Some(Instant::now() + asked);
                Err(NotAsked::Silent(asked))
            }
            Err(Stopped::Failed(error)) => {
                self.told.unreconciled(&error);
                Err(NotAsked::Failed(error))
            }
        }
    }
}
