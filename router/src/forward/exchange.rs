//! The upload of a request and the wait for the head of its answer, which run at the same time.
//!
//! An upstream may answer before it has read the body, and the caller may hold the body back until it is told to go on. So both
//! directions are polled by the one task of the request, and who is waited for is told to whoever observes the attempt.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::{Progress, Request, caller_error};
use crate::body::{Outbound, Relay, RelayError};
use crate::caller::Caller;
use crate::error::ProxyError;
use crate::h1::conn::Conn;
use crate::h1::head::{ResponseHead, Version};
use crate::h1::interims::Pace;
use crate::h1::refusal::BadAnswer;
use crate::timer::Timer;
use crate::upstream::Upstream;

/// How long a caller that waits for 100 is kept waiting by an upstream that may not know it.
const CONTINUE_TIMEOUT: Duration = Duration::from_secs(1);

/// The upload and the wait for the head of its answer, which run at the same time.
pub(super) struct Exchange<'a> {
    request: &'a Request<'a>,
    upstream: &'a Upstream,
    pub(super) upload: Relay,
    pub(super) upload_broken: bool,
    /// The caller holds its body back until it is told to go on.
    held_back: bool,
    /// No time went by since the attempt began, because nothing was waited for or connected.
    at_once: bool,
    uploaded: bool,
    /// The rest of the caller's body is waited for.
    awaits_caller: bool,
    pub(super) interims: u8,
    /// Made by the first of them: mostly there is none, and room for a request is dear.
    pace: Option<Box<Pace>>,
    progress: Progress,
    to_head: bool,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(request: &'a Request<'a>, upstream: &'a Upstream, body_has_begun: bool, at_once: bool) -> Self {
        Self {
            request,
            upstream,
            upload: Relay::limited(request.body_max),
            upload_broken: false,
            held_back: request.onward.expect && !body_has_begun,
            at_once,
            uploaded: false,
            awaits_caller: false,
            interims: 0,
            pace: None,
            progress: Progress::default(),
            to_head: request.head.method() == b"HEAD",
        }
    }

    /// What the caller has given and seen so far.
    pub(super) fn progress(&self) -> Progress {
        Progress { body_taken: self.upload.bytes > 0, ..self.progress }
    }

    pub(super) async fn run<C: Caller>(
        &mut self,
        caller: &mut C,
        conn: &mut Conn,
        answer: &mut ResponseHead,
        timer: &mut Timer,
    ) -> Result<(), ProxyError> {
        let first = if self.held_back { CONTINUE_TIMEOUT } else { self.request.body_idle };
        if self.at_once {
            timer.set_from(self.request.now, first)
        } else {
            timer.set(first)
        }
        let mut is_first_poll = true;
        poll_fn(|cx| {
            self.poll_upload(cx, caller, conn, timer, std::mem::take(&mut is_first_poll))?;
            if let Poll::Ready(head) = self.poll_head(cx, caller, conn, answer, timer) {
                return Poll::Ready(head);
            }
            // Interim answers leave at once; if the caller cannot take them, its own reads will tell.
            let _ = caller.poll_flush(cx);
            if self.uploaded && caller.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(ProxyError::CallerGone));
            }
            if timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
            if self.held_back {
                self.release(caller, timer);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let caller_is_done = self.uploaded || self.upload_broken || self.upload.waits_for_sink();
            Poll::Ready(Err(if caller_is_done { ProxyError::AnswerTimeout } else { ProxyError::SlowBody }))
        })
        .await
    }

    /// Tells the caller to send its body.
    fn release<C: Caller>(&mut self, caller: &mut C, timer: &mut Timer) {
        self.held_back = false;
        self.progress.proceeded = true;
        caller.proceed();
        timer.set(self.request.body_idle);
    }

    /// Whether the caller sends its body without having been told to, as it may (RFC 9110 section 10.1.1).
    fn poll_unasked<C: Caller>(&mut self, cx: &mut Context<'_>, caller: &mut C) -> Result<bool, ProxyError> {
        let is_gone = caller.poll_gone(cx).is_ready();
        self.held_back = !caller.has_buffered();
        if is_gone && self.held_back { Err(ProxyError::CallerGone) } else { Ok(!self.held_back) }
    }

    fn poll_upload<C: Caller>(
        &mut self,
        cx: &mut Context<'_>,
        caller: &mut C,
        conn: &mut Conn,
        timer: &mut Timer,
        is_first_poll: bool,
    ) -> Result<(), ProxyError> {
        if self.uploaded || self.upload_broken {
            return Ok(());
        }
        if self.held_back {
            self.upload_broken = matches!(conn.poll_flush(cx), Poll::Ready(Err(_)));
            if !self.poll_unasked(cx, caller)? {
                return Ok(());
            }
            timer.set(self.request.body_idle);
        }
        let mut moved = false;
        let polled = self.upload.poll(cx, caller, conn, &mut moved, self.request.tee);
        self.charge(polled.is_pending() && !self.upload.waits_for_sink());
        match polled {
            Poll::Ready(Ok(())) => {
                self.uploaded = true;
                let first_byte = self.upstream.state.settings.first_byte_timeout;
                // Most requests leave whole at once; reading the clock again would tell nothing new.
                if is_first_poll && self.at_once {
                    timer.set_from(self.request.now, first_byte);
                } else {
                    timer.set(first_byte);
                }
            }
            // The upstream may have said why before it stopped reading: its answer is still worth waiting for.
            Poll::Ready(Err(RelayError::Sink(_))) => self.upload_broken = true,
            Poll::Ready(Err(RelayError::Source(error))) => return Err(caller_error(&error)),
            Poll::Pending if moved => timer.set(self.request.body_idle),
            Poll::Pending => {}
        }
        Ok(())
    }

    /// Time goes by at the caller's expense, or at the side's.
    pub(super) fn charge(&mut self, awaits_caller: bool) {
        if self.awaits_caller == awaits_caller {
            return;
        }
        self.awaits_caller = awaits_caller;
        match self.request.observed {
            Some(attempt) if awaits_caller => attempt.hold(Instant::now()),
            Some(attempt) => attempt.resume(Instant::now()),
            None => {}
        }
    }

    fn poll_head<C: Caller>(
        &mut self,
        cx: &mut Context<'_>,
        caller: &mut C,
        conn: &mut Conn,
        answer: &mut ResponseHead,
        timer: &mut Timer,
    ) -> Poll<Result<(), ProxyError>> {
        loop {
            if !conn.pending().is_empty() {
                let parsed = answer.parse(conn.pending(), self.to_head, self.request.limits);
                if let Some(length) = parsed.map_err(ProxyError::BadAnswer)? {
                    conn.take_head(length, &mut answer.bytes);
                    if !answer.is_interim() {
                        return Poll::Ready(self.accept(conn, answer));
                    }
                    self.relay_interim(caller, answer, timer)?;
                    continue;
                }
            }
            match conn.poll_read(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(read)) if read > 0 => {}
                Poll::Ready(Ok(_) | Err(_)) => return Poll::Ready(Err(ProxyError::Reset)),
            }
        }
    }

    fn accept(&self, conn: &mut Conn, answer: &ResponseHead) -> Result<(), ProxyError> {
        if answer.status == 101 && !self.request.onward.upgrade.is_some_and(|protocol| answer.switches_to(protocol)) {
            return Err(ProxyError::BadAnswer(BadAnswer::UnsolicitedSwitch));
        }
        conn.begin_receive_answer(answer.framing);
        Ok(())
    }

    fn relay_interim<C: Caller>(
        &mut self,
        caller: &mut C,
        answer: &ResponseHead,
        timer: &mut Timer,
    ) -> Result<(), ProxyError> {
        self.interims = self.interims.saturating_add(1);
        if !self.pace.get_or_insert_default().takes(Instant::now(), self.upload.bytes) {
            return Err(ProxyError::BadAnswer(BadAnswer::TooLarge));
        }
        if answer.status != 100 {
            // HTTP/1.0 knows no interim answers, and would take one for the answer.
            if self.request.head.version == Version::Http11 {
                caller.interim(answer);
                self.progress.answer_shown = true;
            }
        } else if self.held_back {
            self.release(caller, timer);
        }
        Ok(())
    }
}
