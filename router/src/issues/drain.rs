//! From the journal to the ledger: in order, as often as it takes, and forgotten only when the ledger was found to have it.
//!
//! # Why found and not told
//!
//! A store may answer, crash, and come back without what it has not synced; and one that takes over may lack what was never
//! copied to it. So a segment that the ledger has is given to it again after a while: it must know every delivery of it.
//! What it does not know was lost, is thereby there again, and waits for its own confirmation.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use flags::ledger::{Accepted, IssueId};
use flags::store::StoreError;
use flags::store::ledger::{Durability, Preflight};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::journal::{Entry, Segment};
use super::office::Office;

/// How long a segment is kept after the ledger has it: longer than a replica lags behind and a disk is not synced.
const KEPT: Duration = Duration::from_secs(10);

/// The same where the journal is half full.
const KEPT_LEAST: Duration = Duration::from_secs(2);

/// How long the open segment is written to while the ledger answers.
const OPEN_MAX: Duration = Duration::from_secs(3);

/// How often the journal is looked at.
const TURN: Duration = Duration::from_millis(200);

/// How often the store is asked how durable a write is: its settings change, and replicas come and go.
const ASKED: Duration = Duration::from_secs(5);

/// The longest pause after a ledger that did not answer.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Rounds in which the backlog is worked off before the door is closed for the rest.
const ROUNDS_MAX: usize = 16;

/// As much may be left for the time of the closed door.
const LAST_BYTES: u64 = 256 << 10;

/// Issues whose deliveries are given to the ledger at once.
const ISSUES_AT_ONCE: usize = 32;

/// Whether the ledger is to have a segment already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pass {
    First,
    Again,
}

/// Why a turn ended early.
enum Stopped {
    Ledger(StoreError),
    Disk(std::io::Error),
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error)
    }
}

impl From<std::io::Error> for Stopped {
    fn from(error: std::io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Runs for as long as the office does.
pub(crate) async fn run(office: &Office) {
    let mut pause = TURN;
    let mut known: Option<(Instant, Preflight)> = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = office.journalled.notified(), if pause == TURN => {}
        }
        if known.as_ref().is_none_or(|(asked, _)| asked.elapsed() >= ASKED) {
            known = office.ask(known.as_ref().map(|(_, found)| found)).await.map(|found| (Instant::now(), found));
        }
        let turn = office.turn().await;
        office.told.journal(office.journal.bytes(), office.is_away());
        match turn {
            Ok(()) => pause = TURN,
            Err(Stopped::Ledger(error)) => {
                office.told.still_away(&error);
                pause = (2 * pause).min(PAUSE_MAX);
            }
            Err(Stopped::Disk(error)) => {
                office.told.unreadable(&error);
                pause = PAUSE_MAX;
            }
        }
    }
}

impl Office {
    /// How durable a write is, once the store says so; what is new about it is told.
    async fn ask(&self, before: Option<&Preflight>) -> Option<Preflight> {
        let found = self.ledger().preflight().await.ok()?;
        self.set_durability(found.durability);
        if before.is_none_or(|before| *before != found) {
            found.refusals.iter().for_each(|refusal| self.told.refused(refusal));
            found.warnings.iter().for_each(|warning| self.told.warned(warning));
        }
        Some(found)
    }

    async fn turn(&self) -> Result<(), Stopped> {
        self.notice_renewal();
        if self.is_away() {
            self.catch_up().await?;
        } else if self.journal.open_since().is_some_and(|since| since.elapsed() > OPEN_MAX) {
            let _closed = self.door.write().await;
            self.journal.seal().await;
            if !self.is_away() {
                // Everything in it was accepted by the ledger, or we would be away.
                let now = Some(Instant::now());
                self.unsent().iter().for_each(|segment| self.journal.set_sent(segment.number, now));
            }
        }
        self.forget().await
    }

    /// Gives everything to the ledger, and opens the direct way again.
    async fn catch_up(&self) -> Result<(), Stopped> {
        for _ in 0..ROUNDS_MAX {
            self.journal.seal().await;
            if self.unsent().iter().map(|segment| segment.bytes).sum::<u64>() <= LAST_BYTES {
                break;
            }
            self.submit_unsent().await?;
        }
        // What comes from here on waits at the door, which is not for long.
        let _closed = self.door.write().await;
        self.journal.seal().await;
        self.submit_unsent().await?;
        if self.journal.is_sent() {
            self.come_back();
        }
        Ok(())
    }

    fn unsent(&self) -> Vec<Segment> {
        let mut sealed = self.journal.sealed();
        sealed.retain(|segment| segment.sent.is_none());
        sealed
    }

    async fn submit_unsent(&self) -> Result<(), Stopped> {
        for segment in self.unsent() {
            let new = self.submit(segment.number, Pass::First).await?;
            self.told.drained(new);
            self.journal.set_sent(segment.number, Some(Instant::now()));
        }
        Ok(())
    }

    /// Gives a segment to the ledger; answers how much of it was new there. The order is kept within each issue.
    async fn submit(&self, number: u64, pass: Pass) -> Result<u64, Stopped> {
        let mut issues: Vec<Vec<Entry>> = Vec::new();
        let mut places: HashMap<IssueId, usize> = HashMap::new();
        for entry in self.journal.read(number).await? {
            let place = *places.entry(entry.delivery.issue.clone()).or_insert_with(|| {
                issues.push(Vec::new());
                issues.len() - 1
            });
            issues[place].push(entry);
        }
        let submitting = issues.into_iter().map(|entries| self.submit_issue(entries, pass));
        let counts = futures_util::stream::iter(submitting).buffer_unordered(ISSUES_AT_ONCE);
        counts.try_fold(0, |sum, new| std::future::ready(Ok(sum + new))).await
    }

    async fn submit_issue(&self, entries: Vec<Entry>, pass: Pass) -> Result<u64, Stopped> {
        let mut new = 0;
        for entry in entries {
            match self.accept(&entry).await? {
                Accepted::New(_) => new += 1,
                Accepted::Duplicate(_) | Accepted::SameBody => {}
                Accepted::Conflict if pass == Pass::Again => {}
                Accepted::Conflict => self.conflict(entry).await,
                Accepted::Full(what) => {
                    self.told.full(what);
                    return Err(StoreError::unavailable("as much waits in the ledger as may").into());
                }
            }
        }
        Ok(new)
    }

    /// Removes what the ledger has for good.
    async fn forget(&self) -> Result<(), Stopped> {
        let kept = match self.durability() {
            Durability::Synced => Duration::ZERO,
            Durability::Soon | Durability::Memory if self.journal.is_half_full() => KEPT_LEAST,
            Durability::Soon | Durability::Memory => KEPT,
        };
        let old = |sent: Option<Instant>| sent.is_some_and(|sent| sent.elapsed() >= kept);
        let due: Vec<_> = self.journal.sealed().into_iter().filter(|segment| old(segment.sent)).collect();
        if due.is_empty() {
            return Ok(());
        }
        if self.durability() != Durability::Synced {
            self.ledger().confirm().await?;
        }
        for segment in due {
            let synced = self.durability() == Durability::Synced;
            let lost = if synced { 0 } else { self.submit(segment.number, Pass::Again).await? };
            if lost == 0 {
                self.journal.remove(segment.number).await?;
            } else {
                self.told.found_lost(lost);
                self.journal.set_sent(segment.number, Some(Instant::now()));
            }
        }
        Ok(())
    }
}
