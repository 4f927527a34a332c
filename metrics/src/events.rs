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
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flags::state::Position;
use flags::{MigrationId, Mode, Revision, Snapshot};
use tracing::{error, info, warn};

use crate::notice::Notice;
use crate::observe::{Delivery, MigrationCells, MirrorDrop, NotificationCells, Observer, UpstreamCells, WorkerCells};

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

/// An endpoint is passed over for a while; the gauge says for how long.
#[derive(Debug)]
pub struct EndpointEjected<'a> {
    pub upstream: &'a str,
    pub endpoint: &'a str,
    /// Failures in a row.
    pub failures: u32,
}

impl EndpointEjected<'_> {
    pub fn emit(self, cells: &UpstreamCells) {
        let Self { upstream, endpoint, failures } = self;
        warn!(upstream, endpoint, failures, "endpoint ejected for a while: it failed too often in a row");
        cells.ejected();
        cells.up(false);
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

/// Copies to the other side are not sent for a while, because most of the last ones got no answer.
#[derive(Debug)]
pub struct MirrorBreakerOpened<'a> {
    pub migration: &'a MigrationId,
}

impl MirrorBreakerOpened<'_> {
    pub fn emit(self, cells: &MigrationCells) {
        let Self { migration } = self;
        cells.mirror_breaker_opened.add(1);
        warn!(%migration, "more than half of the last copies got no answer: none are sent for a while, then one at a time");
    }
}

/// A worker stopped accepting, because as many connections are open as may be.
#[derive(Debug)]
pub struct ConnectionLimitReached {
    pub limit: usize,
}

impl ConnectionLimitReached {
    pub fn emit(self, cells: &WorkerCells) {
        let Self { limit } = self;
        cells.limit_reached.add(1);
        if let Some(more) = cells.limit_log.admit(second()) {
            warn!(limit, more, "`limits.connections` are open: further ones wait until one closes");
        }
    }
}

/// A notice has reached a target.
#[derive(Debug)]
pub struct NoticeSent<'a> {
    pub target: &'a str,
    pub notice: &'a Notice,
}

impl NoticeSent<'_> {
    pub fn emit(self, cells: &NotificationCells) {
        let Self { target, notice } = self;
        info!(target, notice = %Untrusted(&notice.id), "notice sent");
        cells.count(Delivery::Sent);
    }
}

/// A notice has not reached a target yet, and is sent again.
#[derive(Debug)]
pub struct NoticeRetried<'a> {
    pub target: &'a str,
    pub notice: &'a Notice,
    pub problem: &'a str,
    pub after: Duration,
}

impl NoticeRetried<'_> {
    pub fn emit(self, cells: &NotificationCells) {
        let Self { target, notice, problem, after } = self;
        let (id, problem) = (Untrusted(&notice.id), Untrusted(problem));
        warn!(target, notice = %id, %problem, again_in_seconds = after.as_secs(), "notice not sent yet");
        cells.count(Delivery::Retried);
    }
}

/// A notice will not reach a target. Its text is in the line, because nobody else has told it there.
#[derive(Debug)]
pub struct NoticeGivenUp<'a> {
    pub target: &'a str,
    pub notice: &'a Notice,
    pub problem: &'a str,
}

impl NoticeGivenUp<'_> {
    pub fn emit(self, cells: &NotificationCells) {
        let Self { target, notice, problem } = self;
        let (id, text, problem) = (Untrusted(&notice.id), Untrusted(&notice.text), Untrusted(problem));
        error!(
            target, notice = %id, %text, %problem,
            "notice given up: crossfade notify test -c FILE tries each target"
        );
        cells.count(Delivery::Failed);
    }
}

/// A notice was not taken for a target, because as many as may wait do so already.
#[derive(Debug)]
pub struct NoticeDropped<'a> {
    pub target: &'a str,
    pub notice: &'a Notice,
    pub waiting: usize,
}

impl NoticeDropped<'_> {
    pub fn emit(self, cells: &NotificationCells) {
        let Self { target, notice, waiting } = self;
        let (id, text) = (Untrusted(&notice.id), Untrusted(&notice.text));
        warn!(target, notice = %id, %text, waiting, "notice dropped: the target takes none, and its queue is full");
        cells.count(Delivery::Dropped);
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

mod admin;
mod guard;
mod issues;
mod webhooks;

pub use admin::{SessionEvicted, SignInDropped, SignInLimit, StreamRefused};
pub use guard::{EvidenceUnreadable, GuardActed, GuardFailed};
pub use issues::{IssueDiscarded, IssueHandedOver, IssueParked, IssueReplayed, IssueResent, ReportFenced};
pub use webhooks::{
    DeliveryAskedFor, DeliveryTried, IssueMovedOn, IssueUnheardOf, IssuesHeld, IssuesSent, JournalAlone, JournalFailed,
    JournalGiven, SenderAsked, SenderNotAsked, SenderSilenced, Told, WebhookNotKept, WebhookQuarantined,
    WebhookRefused, WebhookRepeated,
};

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
