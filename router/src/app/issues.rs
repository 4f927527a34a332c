//! The offices of the routes that receive issues, and their tasks: what receives, what drains journals, what sends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use dashboards::reconcile::{Found, Lost, NotAsked, Reconcile as Ask};
use flags::control::Control;
use flags::{MigrationId, Side};
use metrics::rollback::Hand;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Shared, StartError};
use crate::config::issues::IssueRoute;
use crate::issues::dispatch::Dispatch;
use crate::issues::drain;
use crate::issues::intake::{self, Arrival, Offices};
use crate::issues::journal::Journal;
use crate::issues::office::Office;
use crate::issues::reconcile;
use crate::issues::told::Told;

/// How long the store may take to say whether it may hold issues. One that is away is asked again later.
const PREFLIGHT_MAX: Duration = Duration::from_secs(3);

pub(super) struct Issues {
    shared: Arc<Shared>,
    control: Control,
    offices: Offices,
    dispatches: Mutex<Vec<Arc<Dispatch>>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Issues {
    /// Opens what the file asks for; nothing arrives yet.
    pub(super) async fn start(
        shared: &Arc<Shared>,
        control: &Control,
        routes: &[Arc<IssueRoute>],
        waiting: mpsc::Receiver<Arrival>,
    ) -> Result<Self, StartError> {
        let issues = Self {
            shared: Arc::clone(shared),
            control: control.clone(),
            offices: Offices::default(),
            dispatches: Mutex::default(),
            tasks: Mutex::default(),
        };
        if !routes.is_empty() {
            issues.preflight().await?;
        }
        for route in routes {
            issues.open(Arc::clone(route)).await?;
        }
        issues.spawn(intake::run(issues.offices.clone(), waiting));
        Ok(issues)
    }

    /// Takes the routes of another file. One that is gone goes on sending what it has.
    pub(super) async fn reload(&self, routes: impl Iterator<Item = Arc<IssueRoute>>) {
        for route in routes {
            match self.offices.get(&route.migration) {
                Some(office) => office.take(route),
                None => {
                    let migration = route.migration.clone();
                    if let Err(error) = self.open(route).await {
                        tracing::error!(%migration, %error, "a new route for issues cannot be used: its webhooks get 503");
                    }
                }
            }
        }
    }

    /// A store that answers must be one that may hold issues.
    async fn preflight(&self) -> Result<(), StartError> {
        let asked = tokio::time::timeout(PREFLIGHT_MAX, self.shared.watch.store().ledger().preflight()).await;
        let Ok(Ok(found)) = asked else { return Ok(()) };
        match found.refusals.as_slice() {
            [] => Ok(()),
            refusals => Err(StartError::Issues(refusals.join("; "))),
        }
    }

    async fn open(&self, route: Arc<IssueRoute>) -> Result<(), StartError> {
        let (folder, bytes_max) = (route.journal.clone(), route.journal_max);
        let opened = tokio::task::spawn_blocking(move || Journal::open(&folder, bytes_max)).await;
        let opened = opened.map_err(|error| StartError::Issues(error.to_string()))?;
        let (journal, recovered) = opened.map_err(|error| StartError::Issues(format!("the journal {error}")))?;
        let told = Told::new(route.migration.clone(), Arc::clone(&self.shared.observer));
        told.recovered(&recovered);
        let office = Arc::new(Office::new(route, Arc::clone(&self.shared.watch), journal, told));
        self.offices.insert(Arc::clone(&office));
        let hand = Hand::new(self.control.clone());
        let dispatch = Dispatch::new(Arc::clone(&office), Arc::clone(&self.shared.catalog), hand);
        let asking = Arc::clone(&office);
        self.spawn(async move { reconcile::run(&asking).await });
        self.spawn(async move { drain::run(&office).await });
        for side in Side::ALL {
            self.spawn(Arc::clone(&dispatch).run(side));
        }
        self.spawn(Arc::clone(&dispatch).tend());
        self.dispatches.lock().unwrap_or_else(PoisonError::into_inner).push(dispatch);
        Ok(())
    }

    /// What asks senders when a person wants to know.
    pub(super) fn asker(&self) -> Arc<dyn Ask> {
        Arc::new(Asker(self.offices.clone()))
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
    }

    /// Takes nothing more from the ledger, and waits for what is being sent.
    pub(super) async fn finish(&self, timeout: Duration) {
        let dispatches = std::mem::take(&mut *self.dispatches.lock().unwrap_or_else(PoisonError::into_inner));
        let finishing = futures_util::future::join_all(dispatches.iter().map(|own| own.finish()));
        if tokio::time::timeout(timeout, finishing).await.is_err() {
            tracing::warn!("ended before every delivery was answered: another router sends them again");
        }
        futures_util::future::join_all(dispatches.iter().map(|own| own.office().leave_duties())).await;
    }

    /// Ends; what is in a journal stays there for the next start.
    pub(super) async fn shutdown(self) {
        let mut tasks = self.tasks.into_inner().unwrap_or_else(PoisonError::into_inner);
        tasks.shutdown().await;
    }
}

/// Senders as the admin side asks them.
struct Asker(Offices);

#[async_trait]
impl Ask for Asker {
    async fn ask(&self, migration: &MigrationId, dry_run: bool) -> Result<Found, NotAsked> {
        let office = self.0.get(migration).ok_or(NotAsked::NotSet)?;
        let found = office.ask_sender(dry_run).await.map_err(|why| match why {
            reconcile::NotAsked::NotSet => NotAsked::NotSet,
            reconcile::NotAsked::Silent(pause) => NotAsked::Silent(pause),
            reconcile::NotAsked::Failed(error) => NotAsked::Failed(error),
        })?;
        let lost = |own: reconcile::Lost| Lost {
            repository: own.repository,
            delivery: own.attempt.guid,
            action: own.attempt.action,
            tried: own.attempt.delivered_at,
            status: own.attempt.status_code,
            answered: own.answered,
        };
        let reconcile::Found { lost: all, unknown, more } = found;
        Ok(Found { lost: all.into_iter().map(lost).collect(), unknown, more })
    }
}
