//! What is remembered of a request until it is over, then counted once and logged if it should be.
//!
//! Counters and the log line are written from the same value, so they cannot disagree. Text that a caller chose is escaped
//! before it reaches a log (RUSTSEC-2025-0055); bodies, cookies and credentials are never logged.

use std::rc::Rc;
use std::time::{Duration, Instant};

use flags::{Decision, MigrationIndex, Side, Snapshot};
use metrics::outcome::Failure;

use crate::attempts::Attempt;
use crate::error::ProxyError;
use crate::h1::head::RequestHead;
use crate::headers::{self, Peer};
use crate::worker::{Tables, Worker};

#[derive(Debug)]
pub(crate) struct Access {
    started: Instant,
    /// When the request was handed to the upstream, and when the head of its answer came.
    pub(crate) sent: Option<Instant>,
    pub(crate) first_byte: Option<Instant>,
    ended: Option<Instant>,
    pub(crate) identity: headers::Identity,
    decision: Option<(Rc<Tables>, MigrationIndex, Decision)>,
    /// The first attempt at the side that was decided, while it is under way.
    pub(crate) attempt: Option<Attempt>,
    /// What new had failed with, when the request was given to legacy.
    pub(crate) fallback: Option<&'static str>,
    pub(crate) error: Option<&'static str>,
    pub(crate) failure: Option<Failure>,
    pub(crate) bytes: u64,
}

impl Access {
    pub(crate) const fn begin(started: Instant, identity: headers::Identity) -> Self {
        Self {
            started,
            sent: None,
            first_byte: None,
            ended: None,
            identity,
            decision: None,
            attempt: None,
            fallback: None,
            error: None,
            failure: None,
            bytes: 0,
        }
    }

    pub(crate) fn decided(&mut self, tables: &Rc<Tables>, at: MigrationIndex, decision: Decision) {
        tables.migration(at).cells.decided(decision.serve, decision.reason, decision.bucket);
        self.decision = Some((Rc::clone(tables), at, decision));
    }

    pub(crate) const fn decision(&self) -> Option<&Decision> {
        match &self.decision {
            Some((_, _, decision)) => Some(decision),
            None => None,
        }
    }

    /// The side that was asked last, which is the one that answers if any does.
    pub(crate) fn side(&self) -> Option<Side> {
        self.decision().map(|decision| if self.fallback.is_some() { Side::Legacy } else { decision.serve })
    }

    pub(crate) fn failed(&mut self, error: &ProxyError) {
        self.error = Some(error.code());
        self.failure = error.failure();
        if self.attempt.is_some() {
            self.settle(error.failure().map(Err), Instant::now());
        }
    }

    /// The first attempt is over, if there was one and it is not over yet. Without an answer it said nothing about its side.
    pub(crate) fn settle(&mut self, answer: Option<Result<u16, Failure>>, now: Instant) {
        if let (Some(attempt), Some(answer)) = (self.attempt.take(), answer) {
            attempt.end(answer, now);
        }
    }

    /// What came after the head is not the side's time.
    pub(crate) fn stop(&self, head: Instant) {
        if let Some(attempt) = &self.attempt {
            attempt.stop(head);
        }
    }

    /// Time spent in this router: before the upstream got the request, and after its answer began.
    fn added(&self, ended: Instant) -> Duration {
        match (self.sent, self.first_byte) {
            (Some(sent), Some(first)) => (sent - self.started) + ended.saturating_duration_since(first),
            (Some(sent), None) => sent - self.started,
            (None, _) => ended - self.started,
        }
    }

    /// When the exchange was over, which is read from the clock once.
    pub(crate) fn end(&mut self) -> Instant {
        *self.ended.get_or_insert_with(Instant::now)
    }

    /// Counts the request. `streamed` answers took their time on the way, which is not the router's.
    pub(crate) fn finish(&mut self, worker: &Worker, status: u16, head: &RequestHead, peer: &Peer, streamed: bool) {
        let ended = self.end();
        let duration = ended - self.started;
        let added = if streamed { self.added(self.first_byte.unwrap_or(ended)) } else { self.added(ended) };
        match (&self.decision, self.error) {
            (Some((tables, at, decision)), _) => {
                let cells = &tables.migration(*at).cells;
                let side = self.side().unwrap_or(decision.serve);
                if let Some(failure) = self.failure {
                    cells.failed(side, failure);
                }
                cells.answered(side, status, duration, added);
            }
            (None, Some(_)) => worker.cells().unrouted(status),
            (None, None) => worker.cells().request_without_migration(status, duration),
        }
        let sampled = worker.chance() >> 32 < worker.with_view(|_, tables| tables.generation.access_sample);
        // A refusal or a failure is worth a line each time, as far as the budget of lines goes; the rest is counted.
        let failed = self.error.is_some() || self.fallback.is_some();
        if !sampled && !failed {
            return;
        }
        if worker.may_log() {
            worker.with_view(|snapshot, _| self.log(snapshot, status, duration, head, peer));
        } else {
            worker.cells().access_log_dropped();
        }
    }

    #[cold]
    fn log(&self, snapshot: &Snapshot, status: u16, duration: Duration, head: &RequestHead, peer: &Peer) {
        let made = headers::hexadecimal(self.identity);
        let id = headers::request_id(head).unwrap_or(&made);
        let decision = self.decision();
        let migration = self.decision.as_ref().and_then(|(_, at, _)| snapshot.definitions().migrations().get(at.0));
        tracing::info!(
            target: "access",
            method = %head.method().escape_ascii(),
            host = %head.authority().escape_ascii(),
            path = %head.path().escape_ascii(),
            status,
            duration_ms = duration.as_secs_f64() * 1000.0,
            bytes = self.bytes,
            client = %peer.ip,
            request_id = %id.escape_ascii(),
            migration = migration.map(|own| own.id.as_str()),
            side = self.side().map(Side::name),
            fallback = self.fallback,
            reason = decision.map(|own| own.reason.name()),
            error = self.error,
        );
    }
}
