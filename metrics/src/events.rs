//! Every notable event: log line and counter together.
//!
//! # Why structs
//!
//! A line without its counter cannot be alerted on, a counter without its line cannot be explained;
//! written apart they drift. So an event is a struct whose `emit` writes both, at one level, with
//! the same fields wherever it happens.
//!
//! Text that a caller, an operator or a peer has chosen is written through [`Untrusted`]. Lines that
//! a caller can cause at will are limited to one a second and worker; each says how many it stands
//! for.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flags::state::Position;
use flags::{MigrationId, Mode, Revision, Snapshot};
use tracing::{error, info, warn};

use crate::observe::{MigrationCells, MirrorDrop, Observer, UpstreamCells, WorkerCells};

/// Characters of an untrusted text that are written.
const UNTRUSTED_CHARS_MAX: usize = 256;

/// Text that somebody else has chosen, written so that it cannot forge a line or move a cursor.
#[derive(Clone, Copy, Debug)]
pub struct Untrusted<'a>(pub &'a str);

impl fmt::Display for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut characters = self.0.chars();
        for character in characters.by_ref().take(UNTRUSTED_CHARS_MAX) {
            // Quotes are the reader's own business, everything that acts on a terminal is not.
            if matches!(character, '"' | '\'') {
                fmt::Write::write_char(f, character)?;
            } else {
                write!(f, "{}", character.escape_debug())?;
            }
        }
        if characters.next().is_some() { f.write_str("...") } else { Ok(()) }
    }
}

/// Lets one line a second through and counts the rest, so that a flood cannot fill a disk.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    /// The first second of the process in which the next line may be written.
    next: AtomicU64,
    suppressed: AtomicU64,
}

impl LogLimit {
    /// `Some(n)`: write the line, which stands for itself and `n` earlier ones.
    fn admit(&self, second: u64) -> Option<u64> {
        if second < self.next.load(Ordering::Relaxed) {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        self.next.store(second + 1, Ordering::Relaxed);
        Some(self.suppressed.swap(0, Ordering::Relaxed))
    }
}

/// Whole seconds since this process first asked.
fn second() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs()
}

/// The router serves from a new snapshot.
#[derive(Debug)]
pub struct SnapshotSwapped<'a> {
    pub from: Revision,
    pub to: &'a Snapshot,
}

impl SnapshotSwapped<'_> {
    pub fn emit(self, observer: &Observer) {
        let Self { from, to } = self;
        info!(from = from.0, revision = to.revision().0, generation = to.generation(), "serving from a new snapshot");
        observer.snapshot_swapped(to);
    }
}

/// The store stopped answering. Emitted once for an outage; each further failed call is counted by
/// [`crate::observe::ProcessCells::store_failed`].
#[derive(Debug)]
pub struct StoreLost<'a> {
    pub error: &'a str,
}

impl StoreLost<'_> {
    pub fn emit(self, observer: &Observer) {
        let error = Untrusted(self.error);
        warn!(%error, "the store does not answer: routing goes on from the last snapshot, changes are refused");
        observer.process().store_failed();
    }
}

/// The store answers again.
#[derive(Debug)]
pub struct StoreBack {
    pub revision: Revision,
    pub away: Duration,
}

impl StoreBack {
    pub fn emit(self, observer: &Observer) {
        let Self { revision, away } = self;
        info!(revision = revision.0, away_seconds = away.as_secs(), "the store answers again");
        observer.process().store_answered(revision, Instant::now());
    }
}

/// The store is older than what this router has already served, so it has lost writes.
///
/// An error and not a warning, because only a person can tell whether the lost state or the found
/// one is right.
#[derive(Debug)]
pub struct RevisionWentBack {
    pub served: Revision,
    pub found: Revision,
}

impl RevisionWentBack {
    pub fn emit(self, observer: &Observer) {
        let Self { served, found } = self;
        error!(
            served = served.0,
            found = found.0,
            "the store has lost writes: this router goes on from what it last served"
        );
        observer.process().revision_went_back();
    }
}

/// The stored state of one migration cannot be used; the others are not affected.
///
/// Counted by the gauge of problems, which each swapped snapshot sets.
#[derive(Debug)]
pub struct DocumentRefused<'a> {
    pub migration: &'a MigrationId,
    pub problem: &'a str,
}

impl DocumentRefused<'_> {
    pub fn emit(self) {
        let Self { migration, problem } = self;
        error!(%migration, problem = %Untrusted(problem), "the stored state of a migration is not used");
    }
}

/// A migration stands elsewhere than before, whoever moved it.
#[derive(Debug)]
pub struct MigrationChanged<'a> {
    pub migration: &'a MigrationId,
    pub from: Position,
    pub to: Position,
    pub revision: Revision,
    pub actor: &'a str,
    pub reason: &'a str,
}

impl MigrationChanged<'_> {
    pub fn emit(self, observer: &Observer) {
        let Self { migration, from, to, revision, actor, reason } = self;
        let (actor, reason) = (Untrusted(actor), Untrusted(reason));
        let rolled_back = to.mode == Mode::EmergencyRollback && from.mode != Mode::EmergencyRollback;
        if rolled_back {
            warn!(%migration, revision = revision.0, from = %from.mode, %actor, %reason, "migration rolled back to legacy");
            observer.process().rolled_back(migration);
        } else {
            info!(
                %migration, revision = revision.0, from = %from.mode, to = %to.mode,
                from_percent = %from.share, to_percent = %to.share, %actor, %reason, "migration changed"
            );
        }
    }
}

/// The kill file came or went. Counted by the gauge, which each swapped snapshot sets.
#[derive(Debug)]
pub struct KillFile<'a> {
    pub path: &'a Path,
    pub exists: bool,
}

impl KillFile<'_> {
    pub fn emit(self) {
        let path = self.path.to_string_lossy();
        let path = Untrusted(&path);
        if self.exists {
            warn!(%path, "the kill file exists: this router sends everything to legacy");
        } else {
            warn!(%path, "the kill file is gone: the stored modes hold again");
        }
    }
}

/// A worker takes an endpoint out.
#[derive(Debug)]
pub struct EndpointEjected<'a> {
    pub upstream: &'a str,
    pub endpoint: &'a str,
    pub why: &'a str,
}

impl EndpointEjected<'_> {
    pub fn emit(self, cells: &UpstreamCells) {
        let Self { upstream, endpoint, why } = self;
        warn!(upstream, endpoint, why = %Untrusted(why), "endpoint taken out");
        cells.ejected();
        cells.up(false);
    }
}

/// A worker sends requests to an endpoint again.
#[derive(Debug)]
pub struct EndpointReturned<'a> {
    pub upstream: &'a str,
    pub endpoint: &'a str,
}

impl EndpointReturned<'_> {
    pub fn emit(self, cells: &UpstreamCells) {
        let Self { upstream, endpoint } = self;
        info!(upstream, endpoint, "endpoint back in");
        cells.up(true);
    }
}

/// A file was taken, at the start or by a reload.
#[derive(Debug)]
pub struct ConfigReloaded<'a> {
    pub path: &'a Path,
    pub hash: &'a str,
    pub generation: u64,
}

impl ConfigReloaded<'_> {
    pub fn emit(self, observer: &Observer) {
        let Self { path, hash, generation } = self;
        info!(path = %Untrusted(&path.to_string_lossy()), hash, generation, "configuration taken");
        observer.process().config_loaded(hash);
    }
}

/// A file was refused; what was there before goes on.
#[derive(Debug)]
pub struct ConfigRefused<'a> {
    pub path: &'a Path,
    pub problem: &'a str,
}

impl ConfigRefused<'_> {
    pub fn emit(self, observer: &Observer) {
        let path = self.path.to_string_lossy();
        error!(
            path = %Untrusted(&path),
            problem = %Untrusted(self.problem),
            "configuration refused, nothing has changed: crossfade check -c FILE shows each error"
        );
        observer.process().config_refused();
    }
}

/// A copy was not sent, so a request was not compared.
///
/// Harmless to the caller, but lost samples that correlate with load make a verdict wrong. Hence a
/// warning as well as a count.
#[derive(Debug)]
pub struct MirrorDropped<'a> {
    pub migration: &'a MigrationId,
    pub why: MirrorDrop,
}

impl MirrorDropped<'_> {
    pub fn emit(self, cells: &MigrationCells) {
        let Self { migration, why } = self;
        cells.mirror_dropped(why);
        if let Some(more) = cells.mirror_log.admit(second()) {
            warn!(%migration, why = why.name(), more, "copy not sent");
        }
    }
}

/// The router answered a request with an error of its own.
#[derive(Debug)]
pub struct RequestRefused<'a> {
    /// The position of `code` in the list of the [`Observer`].
    pub code_index: usize,
    pub code: &'static str,
    pub status: u16,
    pub peer: Option<IpAddr>,
    pub detail: &'a str,
}

impl RequestRefused<'_> {
    pub fn emit(self, cells: &WorkerCells) {
        let Self { code_index, code, status, peer, detail } = self;
        cells.refused(code_index);
        if let Some(more) = cells.refused_log.admit(second()) {
            let peer = peer.map(tracing::field::display);
            info!(code, status, peer, detail = %Untrusted(detail), more, "request refused");
        }
    }
}

/// The router finishes what is open and then ends.
#[derive(Debug)]
pub struct Draining {
    pub delay: Duration,
    pub timeout: Duration,
}

impl Draining {
    pub fn emit(self, observer: &Observer) {
        let Self { delay, timeout } = self;
        info!(delay_seconds = delay.as_secs_f64(), timeout_seconds = timeout.as_secs_f64(), "draining");
        observer.process().draining();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, written: &str) {
        assert_eq!(Untrusted(text).to_string(), written);
    }

    #[test]
    fn untrusted_text_cannot_forge_a_line_or_move_a_cursor() {
        check("plain 'and' \"quoted\" ä", "plain 'and' \"quoted\" ä");
        check("a\nINFO forged", "a\\nINFO forged");
        check("\u{1b}[2J", "\\u{1b}[2J");
        check("a\u{202e}b", "a\\u{202e}b");
        check(&"x".repeat(1_000), &format!("{}...", "x".repeat(UNTRUSTED_CHARS_MAX)));
    }

    #[test]
    fn a_flood_writes_one_line_a_second_and_says_what_it_hides() {
        let limit = LogLimit::default();
        let lines: Vec<_> = [7, 7, 7, 8, 8, 20].into_iter().map(|second| limit.admit(second)).collect();
        assert_eq!(lines, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
