//! Everything that one migration's issues need on this router: the route as it is now, the ledger, the journal.
//!
//! # The two ways in
//!
//! As a rule a delivery goes to the ledger at once, and its sender hears whose its issue is. When the ledger does not
//! answer, the office is [`Office::is_away`]: from then on every delivery goes to the journal alone, and comes to the
//! ledger in the order of the journal (`drain`). The way back is taken with the door closed, so that no delivery
//! overtakes one that came before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use flags::ledger::Accepted;
use flags::store::StoreError;
use flags::store::ledger::{Durability, Duty, Ledger};
use flags::watch::Watch;
use flags::{MigrationId, Side, Snapshot};
use tokio::sync::{Notify, RwLock};

use super::journal::{Entry, Journal, NotKept};
use super::limiter::Limiter;
use super::payload::Fields;
use super::placing::placement;
use super::reconcile::Asking;
use super::told::Told;
use crate::config::issues::IssueRoute;

/// How long the ledger may take for a delivery before the journal has to do. Whoever waits has seconds, not minutes.
const ACCEPT_MAX: Duration = Duration::from_millis(1_500);

pub(crate) struct Office {
    pub(crate) migration: MigrationId,
    pub(crate) route: ArcSwap<IssueRoute>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) journal: Journal,
    pub(crate) limiter: ArcSwap<Option<Limiter>>,
    pub(crate) told: Told,
    pub(crate) asking: Asking,
    /// Something may be ready to be sent to a side, in the order of [`Side::ALL`].
    news: [Notify; 2],
    /// The journal has something to do.
    pub(crate) journalled: Notify,
    /// Held for reading while a delivery is kept, for writing while the way in changes.
    pub(crate) door: RwLock<()>,
    away: AtomicBool,
    /// What [`Ledger::renewals`] was when the ledger had everything.
    renewals: AtomicU64,
    durability: AtomicU8,
}

impl std::fmt::Debug for Office {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Office")
            .field("migration", &self.migration)
            .field("away", &self.is_away())
            .finish_non_exhaustive()
    }
}

/// Where a delivery is now.
#[derive(Debug)]
pub(crate) enum Kept {
    Ledger(Accepted),
    Journal,
}

impl Office {
    /// One whose journal holds something begins away, so that what is in it goes first.
    pub(crate) fn new(route: Arc<IssueRoute>, watch: Arc<Watch>, journal: Journal, told: Told) -> Self {
        let away = !journal.is_sent();
        Self {
            migration: route.migration.clone(),
            limiter: ArcSwap::from_pointee(route.rate.map(Limiter::new)),
            route: ArcSwap::new(route),
            watch,
            journal,
            told,
            asking: Asking::default(),
            news: [Notify::new(), Notify::new()],
            journalled: Notify::new(),
            door: RwLock::new(()),
            away: AtomicBool::new(away),
            renewals: AtomicU64::new(0),
            durability: AtomicU8::new(Durability::Soon as u8),
        }
    }

    /// Takes the route of another file; the journal stays the one of the start.
    pub(crate) fn take(&self, route: Arc<IssueRoute>) {
        let same = match (self.limiter.load().as_ref(), route.rate) {
            (Some(limiter), Some(rate)) => limiter.is_of(rate),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same {
            self.limiter.store(Arc::new(route.rate.map(Limiter::new)));
        }
        self.route.store(route);
    }

    pub(crate) fn ledger(&self) -> &dyn Ledger {
        self.watch.store().ledger()
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.watch.current()
    }

    /// Takes or keeps what one router does for all; without an answer of the store nobody does it.
    pub(crate) async fn has_duty(&self, duty: Duty, lease: Duration) -> bool {
        let for_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let taken = self.ledger().take_duty(&self.migration, duty, self.watch.replica(), for_ms);
        matches!(tokio::time::timeout(ACCEPT_MAX, taken).await, Ok(Ok(true)))
    }

    /// Lets another router ask the sender at once. What was trimmed need not be trimmed again soon, so that duty stays.
    pub(crate) async fn leave_duties(&self) {
        let left = self.ledger().leave_duty(&self.migration, Duty::Reconcile, self.watch.replica());
        // It ends by itself soon, too.
        let _ = tokio::time::timeout(ACCEPT_MAX, left).await;
    }

    /// Whatever sends looks into the ledger at once.
    pub(crate) fn has_news(&self) {
        Side::ALL.into_iter().for_each(|side| self.has_news_for(side));
    }

    pub(crate) fn has_news_for(&self, side: Side) {
        self.news[side as usize].notify_one();
    }

    pub(crate) async fn news(&self, side: Side) {
        self.news[side as usize].notified().await;
    }

    pub(crate) fn is_away(&self) -> bool {
        self.away.load(Ordering::Acquire)
    }

    /// The ledger has everything that came before; only with the door closed.
    pub(crate) fn come_back(&self) {
        // What it was given went by the connection that there is now.
        self.renewals.store(self.ledger().renewals(), Ordering::Relaxed);
        if self.away.swap(false, Ordering::AcqRel) {
            self.told.back();
        }
    }

    /// The ledger may not have what it was given.
    pub(crate) fn go_away(&self, error: &StoreError) {
        self.journal.distrust();
        if !self.away.swap(true, Ordering::AcqRel) {
            self.told.away(error);
        }
        self.journalled.notify_one();
    }

    /// Another server may answer than the one that had everything, and lack what the journal still has.
    pub(crate) fn notice_renewal(&self) {
        if self.is_away() {
            return;
        }
        let renewals = self.ledger().renewals();
        let before = self.renewals.swap(renewals, Ordering::Relaxed);
        if before != renewals && before > 0 && self.journal.bytes() > 0 {
            self.go_away(&StoreError::unavailable(
                "its connection is another one, perhaps to a server without the last writes",
            ));
        }
    }

    pub(crate) fn durability(&self) -> Durability {
        [Durability::Synced, Durability::Soon, Durability::Memory]
            .into_iter()
            .find(|own| *own as u8 == self.durability.load(Ordering::Relaxed))
            .unwrap_or_default()
    }

    pub(crate) fn set_durability(&self, durability: Durability) {
        self.durability.store(durability as u8, Ordering::Relaxed);
    }

    /// Keeps a delivery for good: when this answers, neither a crash of this router nor one of the store loses it.
    pub(crate) async fn keep(&self, entry: &Entry) -> Result<Kept, NotKept> {
        let _open = self.door.read().await;
        if self.is_away() {
            return self.to_journal(entry).await;
        }
        if self.durability() == Durability::Synced {
            return match self.accept(entry).await {
                Ok(accepted) => Ok(Kept::Ledger(accepted)),
                Err(error) => {
                    self.go_away(&error);
                    self.to_journal(entry).await
                }
            };
        }
        let (accepted, journalled) = tokio::join!(self.accept(entry), self.journal.append(entry));
        match (accepted, journalled) {
            (Ok(accepted), Ok(())) => Ok(Kept::Ledger(accepted)),
            // Without room for what is not synced yet, the sender waits until it is.
            (Ok(accepted), Err(problem)) => {
                self.told.not_journalled(&problem);
                match tokio::time::timeout(2 * ACCEPT_MAX, self.ledger().confirm()).await {
                    Ok(Ok(_)) => Ok(Kept::Ledger(accepted)),
                    Ok(Err(_)) | Err(_) => Err(problem),
                }
            }
            (Err(error), journalled) => {
                self.go_away(&error);
                journalled.map(|()| Kept::Journal)
            }
        }
    }

    async fn to_journal(&self, entry: &Entry) -> Result<Kept, NotKept> {
        self.journal.append(entry).await?;
        self.journalled.notify_one();
        Ok(Kept::Journal)
    }

    /// Gives a delivery to the ledger, placed by the state as it is now.
    pub(crate) async fn accept(&self, entry: &Entry) -> Result<Accepted, StoreError> {
        let fields = Fields::from_list(entry.delivery.headers.clone());
        let now = self.watch.store_time().as_second();
        let snapshot = self.snapshot();
        let place = placement(&snapshot, &self.route.load(), (&fields, &entry.delivery.body), &entry.key, now);
        let place = place.ok_or_else(|| StoreError::unavailable("the file no longer has the migration"))?;
        drop(snapshot);
        let accepting = self.ledger().accept(&self.migration, &entry.delivery, &place);
        match tokio::time::timeout(ACCEPT_MAX, accepting).await {
            Ok(accepted) => {
                if let Ok(Accepted::New(owners)) = &accepted {
                    owners.iter().for_each(|own| self.has_news_for(own.owner));
                }
                accepted
            }
            Err(_) => Err(StoreError::unavailable("it did not answer in time")),
        }
    }
}
