//! From the ledger to the systems: takes what is due, sends it, and says what came of it.
//!
//! # What keeps two routers apart
//!
//! Nothing here: the ledger gives each event to one of them, and the next event of an issue only when the last one is
//! settled. So any router may die at any moment, and another goes on after the claim has run out. A state that this router
//! does not know yet is one that it must not send by, which the ledger refuses too.
//!
//! # What keeps two sides apart
//!
//! Each side has places and a taker of its own, and the ledger answers by side: one that hangs until its time-out takes
//! all of its places and none of the other's.
//!
//! While the ledger is away nothing is sent, because nobody can prove that an issue is not being worked on elsewhere.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flags::ledger::rules::{CLAIM_MS, LEASE_MS};
use flags::ledger::{Answer, Claimed, IssueLane, Report, Settled, Word};
use flags::store::StoreError;
use flags::store::ledger::{CLAIMS_MAX, Duty, Policy, Taking};
use flags::{Mode, Side};
use metrics::rollback::Hand;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::MissedTickBehavior;

use super::classes::Tried;
use super::office::Office;
use super::sending::{Beside, Sender};
use super::strikes::Strikes;
use crate::config::issues::SideTarget;
use crate::worker::Catalog;

/// Deliveries that are under way at once, to one side of one migration on this router.
pub(crate) const IN_FLIGHT_MAX: usize = 256;

/// How long the ledger is left alone when it had nothing, unless there is news.
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// How long it is left alone when it did not answer.
const PAUSE_AWAY: Duration = Duration::from_secs(1);

/// How long the ledger's replica may take to have what was claimed. With the longest try, 25 s, it is within the claim.
const COPIED_MAX: Duration = Duration::from_secs(3);

/// How long a connection may take; a try as a whole has its own limit.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long what was claimed is ours.
const CLAIM: Duration = Duration::from_millis(CLAIM_MS);

/// How often moves that wait are looked at, and how often old records are forgotten, by one router of a fleet.
const SWEEP: Duration = Duration::from_secs(3);
const TRIM: Duration = Duration::from_secs(600);

/// Steps of one sweep, rollback or trim before something else has its turn.
const STEPS_MAX: usize = 10_000;

/// Sends the issues of one migration.
pub(crate) struct Dispatch {
    office: Arc<Office>,
    catalog: Arc<Catalog>,
    hand: Hand,
    sender: Sender,
    /// By side, in the order of [`Side::ALL`].
    places: [Arc<Semaphore>; 2],
    strikes: Mutex<Strikes>,
    /// Nothing more is taken.
    stopped: AtomicBool,
    /// The ledger's replica did not follow, so that what would be claimed could not be sent.
    behind: AtomicBool,
}

impl Dispatch {
    pub(crate) fn new(office: Arc<Office>, catalog: Arc<Catalog>, hand: Hand) -> Arc<Self> {
        let places = Side::ALL.map(|_| Arc::new(Semaphore::new(IN_FLIGHT_MAX)));
        let sender = Sender::new(CONNECT_MAX);
        let (stopped, behind) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { office, catalog, hand, sender, places, strikes: Mutex::default(), stopped, behind })
    }

    /// Takes nothing more, and waits for what is under way.
    pub(crate) async fn finish(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        let all = u32::try_from(IN_FLIGHT_MAX).unwrap_or(u32::MAX);
        // The one that waits for news holds no event, but a place.
        self.office.has_news();
        for places in &self.places {
            let _ = places.acquire_many(all - 1).await;
        }
    }

    pub(crate) fn office(&self) -> &Office {
        &self.office
    }

    fn places(&self, side: Side) -> &Arc<Semaphore> {
        &self.places[side as usize]
    }

    /// Sends to one side until the router ends.
    pub(crate) async fn run(self: Arc<Self>, side: Side) {
        let mut pause = PAUSE;
        loop {
            let Ok(first) = Arc::clone(self.places(side)).acquire_owned().await else { return };
            match self.take(side, first).await {
                Some(taken) if taken > 0 => pause = PAUSE,
                Some(_) => {
                    tokio::select! {
                        () = self.office.news(side) => pause = PAUSE,
                        () = tokio::time::sleep(pause) => pause = (2 * pause).min(PAUSE_MAX),
                    }
                }
                None => tokio::time::sleep(PAUSE_AWAY).await,
            }
        }
    }

    /// Takes as much as there is room for and sends it; how much that was, none where the ledger is away.
    async fn take(self: &Arc<Self>, side: Side, first: OwnedSemaphorePermit) -> Option<usize> {
        let office = &self.office;
        if office.snapshot().find(&office.migration).is_none() || self.stopped.load(Ordering::Relaxed) {
            return Some(0);
        }
        if self.behind.load(Ordering::Relaxed) && !self.is_copied().await {
            return None;
        }
        let mut places = vec![first];
        while places.len() < CLAIMS_MAX
            && let Ok(place) = Arc::clone(self.places(side)).try_acquire_owned()
        {
            places.push(place);
        }
        let revision = office.snapshot().revision().0;
        let claims = match office.ledger().claim(&office.migration, revision, side, places.len()).await {
            Ok(Taking::Taken { claims, parked, moved }) => {
                parked.iter().for_each(|letter| office.told.parked(letter));
                moved.iter().for_each(|standing| office.told.moved_on(standing.owner));
                if !moved.is_empty() {
                    office.has_news();
                }
                claims
            }
            Ok(Taking::Stale { .. }) => {
                office.watch.refresh().await;
                return Some(0);
            }
            Err(error) => {
                office.told.undispatched(&error);
                // It may come back without what it had not synced.
                office.go_away(&error);
                return None;
            }
        };
        let taken = claims.len();
        // What is not sent now is claimed again when this claim has run out.
        if taken > 0 && !self.is_copied().await {
            return None;
        }
        for (claimed, place) in claims.into_iter().zip(places) {
            let own = Arc::clone(self);
            tokio::spawn(async move {
                own.deliver(&claimed, revision).await;
                drop(place);
                own.office.has_news_for(side);
            });
        }
        Some(taken)
    }

    /// Whether what was claimed, and all that it rests upon, would outlive the server that the ledger is on.
    async fn is_copied(&self) -> bool {
        let copied = tokio::time::timeout(COPIED_MAX, self.office.ledger().copied()).await;
        let copied = copied.unwrap_or_else(|_| Err(StoreError::unavailable("it did not answer in time")));
        let was_behind = self.behind.swap(copied.is_err(), Ordering::Relaxed);
        match &copied {
            Ok(()) if was_behind => self.office.told.sent_again(),
            Err(error) if !was_behind => self.office.told.held(error),
            Ok(()) | Err(_) => {}
        }
        copied.is_ok()
    }

    /// One try, and what the ledger makes of it.
    async fn deliver(&self, claimed: &Claimed, revision: u64) {
        let office = &self.office;
        let route = office.route.load_full();
        let begun = Instant::now();
        let tried = self.attempt(claimed, route.target(claimed.owner), revision).await;
        let (answer, words) = (tried.class(), tried.words());
        let took = begun.elapsed();
        let settled = self.settle(claimed, answer, &words, begun).await;
        office.told.tried(claimed, answer, &words, took);
        let settled = match settled {
            Ok(settled) => settled,
            Err(error) => return office.told.unsettled(&claimed.delivery.id, &error),
        };
        office.told.settled(claimed, settled);
        match settled {
            Settled::Delivered => self.declare(claimed, &claimed.claim.at).await,
            Settled::Reassigned { to, .. } => office.has_news_for(to),
            Settled::Again { .. } | Settled::Dead | Settled::Parked | Settled::Fenced => {}
        }
        let snapshot = office.snapshot();
        let mode = snapshot.find(&office.migration).map(|at| snapshot.effective_mode(at));
        drop(snapshot);
        if claimed.owner == Side::New && mode == Some(Mode::NewOnly) {
            self.judge(route.rollback_after, answer, &words).await;
        }
    }

    async fn attempt(&self, claimed: &Claimed, target: &SideTarget, revision: u64) -> Tried {
        let office = &self.office;
        let snapshot = office.snapshot();
        let Some(at) = snapshot.find(&office.migration) else {
            return Tried::NothingSent("the migration is not in the file any more".into());
        };
        let migration = snapshot.migration(at);
        if snapshot.killed() && claimed.owner == Side::New {
            return Tried::NothingSent("the kill file exists, so that new gets nothing from this router".into());
        }
        let name = migration.upstream(claimed.owner);
        let shadow = claimed.claim.at.lane.side().is_some() && claimed.owner != migration.parallel.serve;
        let newest = self.catalog.newest();
        let upstreams = newest.iter().flat_map(|generation| &generation.upstreams);
        let found = upstreams.into_iter().find(|own| own.settings.name == name).map(Arc::clone);
        drop(snapshot);
        let Some(upstream) = found else {
            return Tried::NothingSent("its upstream is not in the file any more".into());
        };
        let beside = Beside { migration: office.migration.as_str(), revision, shadow };
        self.sender.attempt(&upstream, target, claimed, &beside).await
    }

    /// Tells the ledger, again where it does not answer, for as long as the claim holds: what is not told is sent twice.
    async fn settle(
        &self,
        claimed: &Claimed,
        answer: Answer,
        words: &str,
        begun: Instant,
    ) -> Result<Settled, StoreError> {
        let mut pause = PAUSE;
        loop {
            let settled = self.office.ledger().settle(&self.office.migration, &claimed.claim, answer, words).await;
            match settled {
                Err(error) if error.is_transient() && begun.elapsed() + pause < CLAIM => {
                    tracing::debug!(%error, "a delivery is not settled yet");
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(PAUSE_AWAY);
                }
                settled => return settled,
            }
        }
    }

    /// Says for how long the owner may be silent, where the file says more than the ledger grants by itself.
    async fn declare(&self, claimed: &Claimed, at: &IssueLane) {
        let office = &self.office;
        let route = office.route.load_full();
        let longest = route.target(claimed.owner).max_duration.unwrap_or_default().max(route.lease);
        let max_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        if max_ms <= LEASE_MS {
            return;
        }
        let report = Report {
            issue: at.issue.clone(),
            side: claimed.owner,
            epoch: claimed.fence.epoch,
            word: Word::Heartbeat { max_ms: Some(max_ms) },
            delivery: Some(claimed.delivery.id.clone()),
            workflow: None,
        };
        // An issue that is somebody else's by now needs no longer lease.
        if let Err(error) = office.ledger().report(&office.migration, &report).await {
            office.told.unsettled(&claimed.delivery.id, &error);
        }
    }

    /// New alone serves and does not accept: that is what the story rolls back for.
    async fn judge(&self, after: u32, answer: Answer, words: &str) {
        let strikes = {
            let mut strikes = self.strikes.lock().unwrap_or_else(PoisonError::into_inner);
            strikes.count(answer, after, Instant::now())
        };
        let Some(count) = strikes else { return };
        let why = format!("{count} deliveries were not accepted within a minute, the last one: {words}");
        let record = serde_json::json!({ "issues": { "not_accepted": count, "last": words } });
        match self.hand.roll_back(&self.office.migration, &why, &record).await {
            Ok(_) => self.office.told.rolled_back(&why),
            Err(error) => self.office.told.not_rolled_back(&error),
        }
    }

    /// Rollbacks, moves that wait, and what is forgotten; for as long as the router runs.
    pub(crate) async fn tend(self: Arc<Self>) {
        let office = &self.office;
        let mut swapped = office.watch.subscribe();
        let (mut rolled_back, mut trimmed) = (None, None);
        let mut turns = tokio::time::interval(SWEEP);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                changed = swapped.changed() => if changed.is_err() { return },
                _ = turns.tick() => self.sweep().await,
            }
            let snapshot = office.snapshot();
            let at = snapshot.find(&office.migration);
            let stored = at.map(|at| (&snapshot.placed(at).document, snapshot.revision()));
            match stored {
                Some((document, revision)) if document.mode == Mode::EmergencyRollback => {
                    if rolled_back != Some(document.revision) && self.roll_back(revision.0).await {
                        rolled_back = Some(document.revision);
                    }
                }
                Some(_) | None => rolled_back = None,
            }
            if trimmed.is_none_or(|trimmed: Instant| trimmed.elapsed() > TRIM) {
                trimmed = Some(Instant::now());
                self.trim().await;
            }
        }
    }

    /// Of use only where it succeeds, and it is tried again soon.
    async fn sweep(&self) {
        let office = &self.office;
        if let Ok(step) = office.ledger().sweep(&office.migration).await
            && step.moved > 0
        {
            office.has_news();
        }
        if let Ok(totals) = office.ledger().totals(&office.migration).await {
            office.told.stands(&totals);
        }
    }

    /// Moves everything that may move to legacy; whether that is done.
    async fn roll_back(&self, revision: u64) -> bool {
        let office = &self.office;
        let mut after = None;
        let (mut moved, mut waiting) = (0, 0);
        for _ in 0..STEPS_MAX {
            match office.ledger().roll_back(&office.migration, revision, after.as_deref()).await {
                Ok(step) => {
                    (moved, waiting) = (moved + step.moved, waiting + step.waiting);
                    after = step.next;
                }
                Err(error) => {
                    office.told.undispatched(&error);
                    return false;
                }
            }
            if after.is_none() {
                office.told.reassigned(moved, waiting);
                office.has_news();
                return true;
            }
        }
        false
    }

    /// Forgets what is old, once in a while for the whole fleet.
    async fn trim(&self) {
        if !self.office.has_duty(Duty::Trim, TRIM).await {
            return;
        }
        let mut after = None;
        for _ in 0..STEPS_MAX {
            match self.office.ledger().trim(&self.office.migration, &Policy::default(), after.as_deref()).await {
                Ok((_, next)) => after = next,
                Err(_) => return,
            }
            if after.is_none() {
                return;
            }
        }
    }
}
