//! The second attempt, on legacy, of a request that new failed.
//!
//! # What the caller meets
//!
//! Legacy's answer, under the same request id, as if it had been decided so. If legacy fails too, the caller meets legacy's
//! failure: new's answer was given up before legacy was asked, and the side that answers today is what an operator looks at
//! next. If legacy has no place free or no endpoint up, the caller meets what new did: nobody waits in legacy's queue for a
//! request that was not meant for it, so that a broken new side cannot bury legacy. A time-out of new leaves legacy its own
//! time-outs in full.
//!
//! A request that a pin or a rule sent to new falls back as any other: what placed it asked for new, not for a failure.
//! Nothing falls back where the file says `reversible: false`, because legacy may not know what new has written.
//!
//! Not here: which failures and methods ([`flags::fallback`]), and a third attempt.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use flags::fallback::{Cause, Failed};
use flags::{MigrationIndex, Side};
use metrics::observe::Fallback;

use crate::body::{Filled, Inbound};
use crate::caller::Caller;
use crate::forward::{Answered, Attempted, Progress};
use crate::proxy::Call;
use crate::proxy::place::{Destination, Place};
use crate::upstream::{Admitted, Upstream};

/// More of an answer that nobody wants is not read; its connection closes instead.
const DISCARDED_BYTES_MAX: usize = 64 * 1024;

/// Legacy has taken a request that new failed.
pub(crate) struct Rescue {
    at: MigrationIndex,
    cause: Cause,
    pub(crate) upstream: Rc<Upstream>,
    pub(crate) admitted: Admitted,
    /// The caller was told to send its body.
    pub(crate) proceeded: bool,
}

impl<C: Caller> Call<'_, C> {
    /// Asks legacy for a place where new has failed in a way that legacy may answer.
    #[inline]
    pub(crate) fn rescue(&self, place: &Place, attempted: &Attempted) -> Option<Rescue> {
        match attempted {
            Ok(_) if self.exchange.answer.status < 500 => None,
            Ok(answered) => self.rescue_from(place, Cause::Status(self.exchange.answer.status), answered.progress),
            Err(failed) => self.rescue_from(place, failed.error.cause()?, failed.progress),
        }
    }

    #[cold]
    fn rescue_from(&self, place: &Place, cause: Cause, progress: Progress) -> Option<Rescue> {
        let Destination::Migration(at, decision) = &place.to else { return None };
        let migration = place.tables.migration(*at);
        let request = &self.exchange.request;
        let failed = Failed {
            cause,
            method: request.method(),
            upgrade: place.upgrade(request).is_some(),
            body_taken: progress.body_taken,
            answer_shown: progress.answer_shown,
        };
        let fallback = migration.fallback.as_ref().filter(|_| decision.serve == Side::New)?;
        if !fallback.takes(&failed) {
            return None;
        }
        let upstream = Rc::clone(&place.tables.upstreams[migration.upstream(Side::Legacy)]);
        let admitted = upstream.admit_now();
        if admitted.is_none() {
            migration.cells.fallback(Fallback::Refused);
        }
        Some(Rescue { at: *at, cause, admitted: admitted?, upstream, proceeded: progress.proceeded })
    }

    /// Ends the attempt at new, and makes the one at legacy.
    pub(crate) async fn fall_back(&mut self, place: &Place, attempted: Attempted, mut rescue: Rescue) -> Attempted {
        let cells = &place.tables.migration(rescue.at).cells;
        match attempted {
            Ok(answered) => {
                self.access.settle(Some(Ok(self.exchange.answer.status)), Instant::now());
                self.discard(answered).await;
            }
            Err(failed) => {
                let failure = failed.error.failure();
                self.access.settle(failure.map(Err), Instant::now());
                failure.into_iter().for_each(|failure| cells.failed(Side::New, failure));
            }
        }
        self.access.fallback = Some(name(rescue.cause));
        let upstream = Rc::clone(&rescue.upstream);
        let attempted = self.forward(place, &upstream, Some(&mut rescue)).await;
        let answered = attempted.is_ok() && self.exchange.answer.status < 500;
        cells.fallback(if answered { Fallback::Answered } else { Fallback::Failed });
        attempted
    }

    /// Keeps the connection of an answer that nobody wants if the rest of it is at hand, and closes it otherwise.
    async fn discard(&mut self, mut answered: Answered) {
        let uploaded = answered.upload.is_finished() && !self.exchange.request.has_unusual_body();
        let conn = &mut answered.conn;
        poll_fn(|cx| {
            let mut left = DISCARDED_BYTES_MAX;
            while let Poll::Ready(Ok(Filled::Data)) = conn.poll_fill(cx) {
                let bytes = conn.data().len();
                conn.consume(bytes);
                match left.checked_sub(bytes) {
                    Some(less) => left = less,
                    None => break,
                }
            }
            Poll::Ready(())
        })
        .await;
        if uploaded {
            answered.keep(&self.exchange.request, &self.exchange.answer, self.caller.own(), Instant::now());
        }
    }
}

/// What the log says of a fallback.
const fn name(cause: Cause) -> &'static str {
    match cause {
        Cause::Connect => "connect",
        Cause::Timeout => "timeout",
        Cause::Reset => "reset",
        Cause::Status(_) => "5xx",
    }
}
