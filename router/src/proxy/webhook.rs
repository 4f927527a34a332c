//! A webhook about an issue: read whole, handed over, and answered when it is kept.
//!
//! The only place where a body is collected for another reason than a key in it. What may be collected is bounded by the
//! route, and over all requests by one budget. The worker goes on with others meanwhile.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use super::{After, Call};
use crate::body::Filled;
use crate::caller::Caller;
use crate::config::issues::IssueRoute;
use crate::error::{ProxyError, reason_phrase};
use crate::forward;
use crate::h1::framing::Framing;
use crate::h1::refusal::Refusal;
use crate::h1::write::{self, Relayed};
use crate::headers;
use crate::issues::answer::{Said, Unaccepted};
use crate::issues::intake::{Arrival, Room};
use crate::issues::payload::Fields;

/// How long a sender waits for its answer. GitHub waits for 10 s.
const ANSWER_MAX: Duration = Duration::from_secs(8);

/// Room that is taken at a time for a body of unknown length.
const PIECE_BYTES: u64 = 64 << 10;

impl<C: Caller> Call<'_, C> {
    /// Receives a webhook. Boxed by its caller, so that other requests keep no room for it.
    pub(super) async fn receive(&mut self, route: Arc<IssueRoute>) -> After {
        match self.keep_webhook(route).await {
            Ok(said) => self.say(&said).await,
            Err(error) => self.fail(error).await,
        }
    }

    async fn keep_webhook(&mut self, route: Arc<IssueRoute>) -> Result<Said, ProxyError> {
        let head = &self.exchange.request;
        if head.method() != b"POST" {
            return Err(Unaccepted::OnlyPost.into());
        }
        let tables = self.worker.tables();
        let source = headers::client_ip(head, self.peer, &tables.generation.trusted_proxies);
        let fields = head.fields.iter().filter(|field| !field.dropped);
        let fields = Fields::collect(fields.map(|field| (field.name.of(&head.bytes), field.value.of(&head.bytes))));
        let (body, room) = self.collect(route.body_max, tables.generation.timeouts.body_idle).await?;
        let (reply, replied) = tokio::sync::oneshot::channel();
        self.worker.desk.hand_over(Arrival { route, source, fields, body, room, reply })?;
        match tokio::time::timeout(ANSWER_MAX, replied).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(_)) | Err(_) => Err(Unaccepted::NoLedger.into()),
        }
    }

    /// The whole body, with its part of the budget.
    async fn collect(&mut self, bytes_max: usize, pause: Duration) -> Result<(Vec<u8>, Room), ProxyError> {
        let head = &self.exchange.request;
        let (mut body, mut room, mut reserved) = (Vec::new(), Room::default(), 0);
        if let Framing::Length(length) = head.framing {
            if length > bytes_max as u64 {
                return Err(Refusal::BodyTooLarge.into());
            }
            self.worker.desk.reserve(&mut room, length)?;
            reserved = length;
            body.reserve_exact(usize::try_from(length).unwrap_or_default());
        }
        if head.expects_continue {
            self.caller.proceed();
        }
        let (caller, timer, desk) = (&mut *self.caller, &mut *self.timer, &self.worker.desk);
        loop {
            timer.set(pause);
            let filled = poll_fn(|cx| {
                let _ = caller.poll_flush(cx);
                match caller.poll_fill(cx) {
                    Poll::Ready(filled) => Poll::Ready(filled.map_err(|error| forward::caller_error(&error))),
                    Poll::Pending => timer.poll(cx).map(|()| Err(ProxyError::SlowBody)),
                }
            });
            if filled.await? == Filled::End {
                return Ok((body, room));
            }
            let piece = caller.data();
            let (taken, whole) = (piece.len(), body.len() + piece.len());
            if whole > bytes_max {
                return Err(Refusal::BodyTooLarge.into());
            }
            while whole as u64 > reserved {
                desk.reserve(&mut room, PIECE_BYTES)?;
                reserved += PIECE_BYTES;
            }
            body.extend_from_slice(piece);
            caller.consume(taken);
        }
    }

    /// Answers with a document of our own.
    async fn say(&mut self, said: &Said) -> After {
        let close = self.must_close();
        self.caller.begin_local(&mut |out| {
            write::status_line(out, said.status, reason_phrase(said.status).as_bytes());
            write::field(out, "Content-Type", b"application/json");
            write::field(out, "Cache-Control", b"no-store");
            write::end_response(out, Relayed { framing: Framing::Length(said.body.len() as u64), close });
            out.extend_from_slice(said.body.as_bytes());
        });
        self.flush(said.status, close).await
    }
}
