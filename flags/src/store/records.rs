//! What a guard keeps in the store besides the state: evidence, the lease to judge, a history by the minute.
//!
//! # Why opaque texts
//!
//! A store keeps what is written and hands it out again; what evidence is, and what a screen shows of it, is the matter
//! of who judges. What the store does promise is needed by every judge: one holds the lease, nobody writes over a
//! judgement that was not read, and nothing grows without a bound.
//!
//! # Why nothing here is believed
//!
//! All of this can be made again from counts, so what is damaged is as good as absent and is written over, unlike a
//! state, of which there is no other copy.
//!
//! Not here: any decision, and when to judge.

pub mod outcome;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use thiserror::Error;

use self::outcome::{Cohort, Outcome, Recorded};
use super::StoreError;
use crate::migration::{MigrationId, Side};
use crate::tally::{Slot, SlotCounts};

/// The longest text of an engine, in bytes.
pub const ENGINE_BYTES_MAX: usize = 32 * 1024;

/// The longest text of a status or of a minute, in bytes.
pub const STATUS_BYTES_MAX: usize = 4 * 1024;

/// Minutes of a history that are kept, 30 days, and the most that one call answers.
pub const MINUTES_MAX: u64 = 30 * MINUTES_PER_DAY;

pub(crate) const MINUTES_PER_DAY: u64 = 24 * 60;

/// What one router has found in one migration, in bytes, and from how many routers and runs of routers it is kept.
pub const FINDINGS_BYTES_MAX: usize = 64 * 1024;
pub const FINDERS_MAX: usize = 64;

/// How long it is kept after its last word.
pub const FINDINGS_KEPT_S: u64 = 7 * 24 * 60 * 60;

/// The longest name of who holds the lease, in bytes.
pub const HOLDER_BYTES_MAX: usize = 256;

/// The longest lease: as long is nobody there to judge when its holder has died.
pub const LEASE_MS_MAX: u64 = 60_000;

/// Why something was not recorded.
#[derive(Debug, Error)]
pub enum RecordError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{what} has {bytes} bytes, {max} are kept at most")]
    TooLarge { what: &'static str, bytes: usize, max: usize },
    #[error("{0}")]
    Invalid(&'static str),
    #[error(
        "this outcome was reported for {before} before, and now for {reported}; a job has one side, so use another id or correct the side"
    )]
    SideDiffers { before: Side, reported: Side },
    #[error(
        "migration \"{migration}\" has {max} new outcomes today, and no more ids are remembered; report one id for each job and not for each step of it, or report the rest tomorrow"
    )]
    Full { migration: MigrationId, max: u64 },
}

/// What a judge knows of one migration. A judgement that nobody has made has version 0 and is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub version: u64,
    /// All that it takes to go on, for judges.
    pub engine: String,
    /// What is shown, for everybody.
    pub status: String,
}

/// The part of a [`Judged`] for those who do not judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedStatus {
    pub version: u64,
    pub status: String,
}

/// A judgement that follows the one of version `expected`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedWrite {
    pub migration: MigrationId,
    pub expected: u64,
    pub engine: String,
    pub status: String,
}

/// What one run of a router has found in one migration so far; the whole of it each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingsWrite {
    pub migration: MigrationId,
    /// Of the run: a router that starts again has another.
    pub finder: String,
    pub text: String,
    /// Runs that are over and whose findings are part of `text` from now on.
    pub adopted: Vec<String>,
}

/// What is to be remembered of one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minute {
    pub migration: MigrationId,
    /// Since 1970.
    pub minute: u64,
    pub text: String,
}

/// The records of a fleet. Each call is one round trip, more only where an answer would be too large.
#[async_trait]
pub trait Records: Send + Sync + 'static {
    /// What the fleet counted of each of these migrations in these slots; those without counts are left out.
    async fn counts_of(
        &self,
        migrations: &[MigrationId],
        slots: RangeInclusive<Slot>,
    ) -> Result<Vec<(MigrationId, Vec<SlotCounts>)>, StoreError>;

    /// Takes the lease to judge, or keeps it for as long again; false while another holds it.
    async fn lease(&self, holder: &str, for_ms: u64) -> Result<bool, RecordError>;

    /// Gives the lease back, so that nobody has to wait for its end; another's is left alone.
    async fn release(&self, holder: &str) -> Result<(), StoreError>;

    /// All judgements. One that does not read is left out, as if it had never been made.
    async fn judged(&self) -> Result<BTreeMap<MigrationId, Judged>, StoreError>;

    /// The same without what only a judge needs.
    async fn judged_status(&self) -> Result<BTreeMap<MigrationId, JudgedStatus>, StoreError>;

    /// Stores each judgement as the version after the one that it expects; false where that is not the stored one.
    async fn put_judged(&self, writes: Vec<JudgedWrite>) -> Result<Vec<bool>, RecordError>;

    /// Remembers minutes for 30 days; a minute that is there is replaced.
    async fn put_minutes(&self, minutes: Vec<Minute>) -> Result<(), RecordError>;

    /// The history by the minute, oldest first: the newest [`MINUTES_MAX`] of the range at most.
    async fn minutes(
        &self,
        migration: &MigrationId,
        minutes: RangeInclusive<u64>,
    ) -> Result<Vec<(u64, String)>, StoreError>;

    /// Keeps what a run has found instead of what it and those that it adopts had; false, and nothing is kept, where one of
    /// them is not there any more, because another run has adopted it.
    ///
    /// What has had no word for 7 days is forgotten, and of more than [`FINDERS_MAX`] the one that was silent the longest.
    async fn put_findings(&self, write: FindingsWrite) -> Result<bool, RecordError>;

    /// What every run has found in one migration, by its name.
    async fn findings(&self, migration: &MigrationId) -> Result<BTreeMap<String, String>, StoreError>;

    /// Counts what is new of an outcome: its work in the slot that runs, its quality in its cohort. All of it, or nothing.
    async fn record_outcome(&self, migration: &MigrationId, outcome: Outcome) -> Result<Recorded, RecordError>;

    /// What the cohorts of the last 5 days add up to, oldest first; those without jobs are left out.
    async fn cohorts(&self, migration: &MigrationId) -> Result<Vec<Cohort>, StoreError>;
}

pub(super) fn check_lease(holder: &str, for_ms: u64) -> Result<(), RecordError> {
    check_bytes("the name of who judges", holder.len(), HOLDER_BYTES_MAX)?;
    if holder.is_empty() || for_ms == 0 || for_ms > LEASE_MS_MAX {
        return Err(RecordError::Invalid("a lease to judge needs a holder and lasts a minute at most"));
    }
    Ok(())
}

pub(super) fn check_judged(writes: &[JudgedWrite]) -> Result<(), RecordError> {
    writes.iter().try_for_each(|write| {
        if write.expected >= VERSION_MAX {
            return Err(RecordError::Invalid("there is no such version of a judgement"));
        }
        check_bytes("the evidence of a migration", write.engine.len(), ENGINE_BYTES_MAX)?;
        check_bytes("the status of a migration", write.status.len(), STATUS_BYTES_MAX)
    })
}

pub(super) fn check_minutes(minutes: &[Minute]) -> Result<(), RecordError> {
    minutes.iter().try_for_each(|minute| {
        if minute.minute > MINUTE_MAX {
            return Err(RecordError::Invalid("there is no such minute yet"));
        }
        check_bytes("a minute of history", minute.text.len(), STATUS_BYTES_MAX)
    })
}

pub(super) fn check_findings(write: &FindingsWrite) -> Result<(), RecordError> {
    for name in write.adopted.iter().chain([&write.finder]) {
        check_bytes("the name of who has found something", name.len(), HOLDER_BYTES_MAX)?;
        if name.is_empty() {
            return Err(RecordError::Invalid("who has found something needs a name"));
        }
    }
    if write.adopted.len() > FINDERS_MAX || write.adopted.contains(&write.finder) {
        return Err(RecordError::Invalid("a run adopts others, and no more than are kept"));
    }
    check_bytes("what was found in a migration", write.text.len(), FINDINGS_BYTES_MAX)
}

fn check_bytes(what: &'static str, bytes: usize, max: usize) -> Result<(), RecordError> {
    if bytes <= max { Ok(()) } else { Err(RecordError::TooLarge { what, bytes, max }) }
}

/// In the year 3871; numbers up to it are the same everywhere.
const MINUTE_MAX: u64 = 1_000_000_000;

/// The part of a range that is answered; none where it is empty.
pub(super) fn newest_of(minutes: &RangeInclusive<u64>, now_minute: u64) -> Option<(u64, u64)> {
    // A router whose clock is ahead may have written the minutes of tomorrow.
    let last = (*minutes.end()).min(now_minute + MINUTES_PER_DAY);
    let first = (*minutes.start()).max((last + 1).saturating_sub(MINUTES_MAX));
    (first <= last).then_some((first, last))
}

/// The digits of a version that a script of Redis can tell apart.
const VERSION_DIGITS_MAX: usize = 15;
const VERSION_MAX: u64 = 999_999_999_999_999;

/// A text under its version, as it is stored: `7 {"..."}`.
pub(super) fn versioned(version: u64, text: &str) -> String {
    format!("{version} {text}")
}

/// Reads [`versioned`]; what is longer than it can be, or has no version, was not written by a router.
pub(super) fn read_versioned(stored: &[u8], bytes_max: usize) -> Option<(u64, String)> {
    let space = stored.iter().position(|byte| *byte == b' ')?;
    let (version, text) = (std::str::from_utf8(&stored[..space]).ok()?, &stored[space + 1..]);
    let is_version = version.len() <= VERSION_DIGITS_MAX
        && version.bytes().all(|byte| byte.is_ascii_digit())
        && !version.starts_with('0');
    if !is_version || text.len() > bytes_max {
        return None;
    }
    // Nothing could follow the last one, so that one that is written by hand is as good as absent.
    let version = version.parse().ok().filter(|version| *version < VERSION_MAX)?;
    // Whoever reads the text finds out what is wrong with it.
    Some((version, String::from_utf8_lossy(text).into_owned()))
}

/// A judgement whose two parts were written together.
pub(super) fn read_judged(engine: &[u8], status: &[u8]) -> Option<Judged> {
    let (version, engine) = read_versioned(engine, ENGINE_BYTES_MAX)?;
    let (same, status) = read_versioned(status, STATUS_BYTES_MAX)?;
    (version == same).then_some(Judged { version, engine, status })
}

pub(super) fn read_status(status: &[u8]) -> Option<JudgedStatus> {
    let (version, status) = read_versioned(status, STATUS_BYTES_MAX)?;
    Some(JudgedStatus { version, status })
}

/// The lease of a store that lives in this process.
#[derive(Debug, Default)]
pub(super) struct Lease(Option<(String, Instant)>);

impl Lease {
    pub(super) fn take(&mut self, holder: &str, for_ms: u64, now: Instant) -> bool {
        let is_free = self.0.as_ref().is_none_or(|(held_by, until)| held_by == holder || *until <= now);
        if is_free {
            self.0 = Some((holder.to_owned(), now + Duration::from_millis(for_ms)));
        }
        is_free
    }

    pub(super) fn release(&mut self, holder: &str) {
        if self.0.as_ref().is_some_and(|(held_by, _)| held_by == holder) {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stored: &str, expected: Option<(u64, &str)>) {
        let read = read_versioned(stored.as_bytes(), 4);
        assert_eq!(read.as_ref().map(|(version, text)| (*version, text.as_str())), expected, "{stored:?}");
    }

    #[test]
    fn a_version_reads_in_one_form_only() {
        check("7 text", Some((7, "text")));
        check(&versioned(VERSION_MAX - 1, ""), Some((VERSION_MAX - 1, "")));
        check(&versioned(VERSION_MAX, ""), None);
        check("1  a ", Some((1, " a ")));
        for damaged in ["", "7", "7text", " 7 a", "07 a", "0 a", "-1 a", "+1 a", "1000000000000000 a", "7 texts"] {
            check(damaged, None);
        }
    }

    #[test]
    fn a_range_of_minutes_is_cut_to_what_is_kept() {
        let now = 1_000_000;
        for (asked, expected) in [
            (5..=7, Some((5, 7))),
            (0..=u64::MAX, Some((now + MINUTES_PER_DAY + 1 - MINUTES_MAX, now + MINUTES_PER_DAY))),
            (0..=now, Some((now + 1 - MINUTES_MAX, now))),
            (0..=0, Some((0, 0))),
            (RangeInclusive::new(7, 5), None),
            (u64::MAX..=u64::MAX, None),
        ] {
            assert_eq!(newest_of(&asked, now), expected, "{asked:?}");
        }
    }

    #[test]
    fn a_lease_is_one_holders_until_it_ends() {
        let (mut lease, now) = (Lease::default(), Instant::now());
        assert!(lease.take("a", 1_000, now) && lease.take("a", 1_000, now));
        lease.release("b");
        assert!(!lease.take("b", 1_000, now + Duration::from_millis(999)));
        assert!(lease.take("b", 1_000, now + Duration::from_millis(1_000)));
        assert!(!lease.take("a", 1, now + Duration::from_millis(1_000)));
        lease.release("b");
        assert!(lease.take("a", 1, now));
    }
}
