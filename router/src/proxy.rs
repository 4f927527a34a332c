//! The story of one request: route, key, decide, forward, answer, observe.
//!
//! Everything that may refuse a request does so before the first byte goes to an upstream; everything that may fail after
//! that is told to the caller in a way it can see. The decision is made on one snapshot, synchronously, and nothing of the
//! snapshot is held while the request waits.

mod local;
pub(crate) mod place;
pub(crate) mod pure_path;
mod relay;
mod webhook;

use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use flags::route::Respond;
use flags::{Decision, MigrationIndex};
use local::{expose, write_local};
use place::{Destination, KeyBody, Looked, Place, look};
use relay::{Broken, is_long, relay_both};

use crate::access::Access;
use crate::attempts::Subject;
use crate::body::Relay;
use crate::buffers::{BUFFER_BYTES, Buffers};
use crate::caller::{Caller, Peek};
use crate::error::{self, ProxyError};
use crate::fallback::Rescue;
use crate::forward::{self, Answered, Attempted};
use crate::h1::framing::Framing;
use crate::h1::head::{RequestHead, ResponseHead, Version};
use crate::h1::write::{self, Onward, Relayed};
use crate::headers::{self, Peer};
use crate::mirror::{self, Original, Shadow};
use crate::timer::Timer;
use crate::tunnel::{Joined, Standing, Tunnel};
use crate::upstream::Upstream;
use crate::worker::Worker;

/// How long a caller may take for the rest of an answer that broke off.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// How much of a body is read for a key.
const KEY_BODY_BYTES_MAX: usize = 64 * 1024;

/// The parts of an exchange that keep their memory from one request to the next.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) request: RequestHead,
    pub(crate) answer: ResponseHead,
    additions: Vec<u8>,
}

impl Exchange {
    /// Gives whole buffers back; a short head of its own size is kept.
    pub(crate) fn release(&mut self, buffers: &Buffers) {
        for bytes in [&mut self.request.bytes, &mut self.answer.bytes] {
            if bytes.capacity() >= BUFFER_BYTES {
                buffers.give(std::mem::take(bytes));
            }
        }
    }
}

/// What becomes of the caller's connection.
pub(crate) enum After {
    KeepAlive,
    /// The answer is whole; what the caller may still send is not wanted.
    Close,
    /// The answer was cut short, or the caller is gone.
    Abort,
    /// It is one end of a tunnel. What a request needs is given back before that begins, because it may stay for hours:
    /// memory, the tables of an old file, and its place among the requests in flight.
    Joined(Box<Joined>),
}

/// One request on its way through.
pub(crate) struct Call<'a, C> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) peer: &'a Peer,
    pub(crate) caller: &'a mut C,
    pub(crate) exchange: &'a mut Exchange,
    pub(crate) timer: &'a mut Timer,
    /// The connection is to close after this answer.
    pub(crate) retire: bool,
    pub(crate) access: Access,
    /// What is made of it beside its answer, where it is copied.
    pub(crate) shadow: Option<Box<Shadow>>,
}

impl<C: Caller> Call<'_, C> {
    /// Handles the request whose head has arrived.
    pub(crate) async fn handle(&mut self) -> After {
        let place = 'placed: {
            // The error alone is kept while it is told: what waits in a future has its room in it for good.
            let error = match self.place().await {
                Ok(place) => break 'placed place,
                Err(error) => error,
            };
            return self.fail(error).await;
        };
        match &place.to {
            Destination::Respond(respond) => return self.answer_locally(respond).await,
            Destination::Issues(route) => return Box::pin(self.receive(Arc::clone(route))).await,
            Destination::Migration(at, decision) => self.decided(&place, *at, *decision),
            Destination::Upstream(_) => {}
        }
        let upstream = place.upstream();
        let answered = 'answered: {
            let error = match self.ask(&place, &upstream).await {
                Ok(answered) => break 'answered answered,
                Err(failed) => failed.error,
            };
            return self.fail(error).await;
        };
        let first_byte = Instant::now();
        self.access.first_byte = Some(first_byte);
        if self.exchange.answer.status == 101 {
            self.access.settle(Some(Ok(101)), first_byte);
            let Some(joined) = self.switch(&place, answered) else { return self.fail(ProxyError::TunnelLimit).await };
            return After::Joined(joined);
        }
        self.respond(&place, answered, first_byte).await
    }

    /// Answers a request whose head broke a rule.
    pub(crate) async fn refuse(&mut self, error: ProxyError) -> After {
        self.fail(error).await
    }

    /// Finds the route and, for a migration, decides. Reads the body first where the key may lie in it, and then looks
    /// again, because the state may have moved meanwhile.
    async fn place(&mut self) -> Result<Place, ProxyError> {
        let (worker, peer, chance) = (self.worker, self.peer, self.worker.die());
        let look = |head: &RequestHead, body: KeyBody<'_>| {
            worker.with_view(|snapshot, tables| look(worker, peer, snapshot, tables, head, body, chance))
        };
        let head = &mut self.exchange.request;
        let pause = match look(head, KeyBody::Unread)? {
            Looked::Placed(place) => return Ok(place),
            Looked::NeedsBody(pause) => pause,
        };
        let mut peek = Peek::new(head.framing, KEY_BODY_BYTES_MAX);
        // A body that will not be read here stays the upstream's to ask for.
        if head.expects_continue && !peek.is_too_long() {
            head.expects_continue = false;
            self.caller.proceed();
        }
        self.timer.set(pause);
        let (caller, timer) = (&mut *self.caller, &mut *self.timer);
        let body = poll_fn(|cx| {
            let _ = caller.poll_flush(cx);
            match caller.poll_peek(cx, &mut peek) {
                Poll::Ready(peeked) => Poll::Ready(peeked.map_err(|error| forward::caller_error(&error))),
                Poll::Pending => timer.poll(cx).map(|()| Err(ProxyError::SlowBody)),
            }
        })
        .await?;
        match look(head, KeyBody::Read(body.as_deref()))? {
            Looked::Placed(place) => Ok(place),
            Looked::NeedsBody(_) => Err(ProxyError::NoRoute),
        }
    }

    /// Counts the decision, begins to observe what the side does, and copies the request to the other one.
    fn decided(&mut self, place: &Place, at: MigrationIndex, decision: Decision) {
        self.access.decided(&place.tables, at, decision);
        let cells = Arc::clone(&place.tables.migration(at).cells);
        let subject = Subject { cells, side: decision.serve, group: place.group };
        self.shadow = decision.mirror.and_then(|side| {
            let subject = Subject { side, ..subject.clone() };
            mirror::cast(self.original(), place, at, &decision, subject)
        });
        let now = *self.access.sent.insert(Instant::now());
        let mut attempt = self.worker.attempts.begin(subject, now);
        attempt.meet(self.shadow.as_ref().map(|shadow| shadow.meeting()));
        self.access.attempt = Some(attempt);
    }

    /// The request, as copies are made of it.
    fn original(&self) -> Original<'_> {
        let Self { worker, peer, exchange, access, .. } = self;
        Original { worker, peer, head: &exchange.request, identity: access.identity }
    }

    /// Asks the side that was decided, and legacy if that is to answer for what new fails.
    #[allow(clippy::manual_async_fn, reason = "what an async function is given has its place in the future twice")]
    fn ask(&mut self, place: &Place, upstream: &Upstream) -> impl Future<Output = Attempted> {
        async move {
            let attempted = self.forward(place, upstream, None).await;
            let Some(rescue) = self.rescue(place, &attempted) else { return attempted };
            // Whatever legacy answers now is not what the copy is to be compared with.
            self.shadow.take().into_iter().for_each(|shadow| shadow.failed(false));
            // Boxed, so that a request that needs none keeps no room for it.
            Box::pin(self.fall_back(place, attempted, rescue)).await
        }
    }

    /// Asks the side that was decided, or legacy for what new has failed.
    #[allow(clippy::manual_async_fn, reason = "as above")]
    pub(crate) fn forward(
        &mut self,
        place: &Place,
        upstream: &Upstream,
        rescue: Option<&mut Rescue>,
    ) -> impl Future<Output = Attempted> {
        async move {
            let Exchange { request, answer, additions } = &mut *self.exchange;
            let generation = &place.tables.generation;
            let settings = place.tables.route(place.route);
            self.caller.allow_half_close(settings.half_close);
            additions.clear();
            headers::forwarded(additions, request, self.peer, self.access.identity);
            if let Destination::Migration(at, decision) = &place.to {
                let side = self.access.side().unwrap_or(decision.serve);
                additions.extend_from_slice(place.tables.migration(*at).stamp(side));
            }
            let now =
                if rescue.is_some() { Instant::now() } else { *self.access.sent.get_or_insert_with(Instant::now) };
            let proceeded = rescue.as_ref().is_some_and(|rescue| rescue.proceeded);
            let onward = forward::Request {
                head: request,
                onward: Onward {
                    default_host: &generation.default_host,
                    trusted: self.peer.trusted,
                    upgrade: place.upgrade(request),
                    expect: request.expects_continue && !proceeded,
                    trailers: request.takes_trailers(),
                },
                additions,
                body_max: settings.body_max,
                body_idle: generation.timeouts.body_idle,
                limits: &place.tables.head_limits,
                now,
                observed: self.access.attempt.as_ref(),
                tee: self.shadow.as_ref().and_then(|shadow| shadow.upload()),
            };
            let admitted = match rescue.map_or_else(|| upstream.admit(), |rescue| Some(rescue.admitted.take())) {
                Some(admitted) => admitted,
                // Boxed, so that a request that need not wait keeps no room for it.
                None => Box::pin(forward::unless_gone(self.caller, upstream.wait_for_place()))
                    .await?
                    .map_err(|_| ProxyError::Busy)?,
            };
            forward::attempt(self.worker, upstream, admitted, self.caller, &onward, answer, self.timer).await
        }
    }

    /// The answer broke off: what came of it reaches the caller, and an end that cannot be taken for a clean one.
    async fn break_off(&mut self, broken: Broken, framing: Framing) {
        let (caller, timer) = (&mut *self.caller, &mut *self.timer);
        if broken != Broken::Caller {
            timer.set(FLUSH_TIMEOUT);
            poll_fn(|cx| match caller.poll_flush(cx) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => timer.poll(cx),
            })
            .await;
        }
        if framing == Framing::UntilClose {
            caller.reset();
        }
    }

    /// Relays the answer while what is left of the request still goes the other way.
    async fn respond(&mut self, place: &Place, mut answered: Answered, begun: Instant) -> After {
        let retires = self.retires();
        self.cast_answer(answered.upload.is_finished());
        let Exchange { request, answer, additions } = &mut *self.exchange;
        let generation = &place.tables.generation;
        let relayed_framing = write::relay_framing(answer.framing, request.version);
        // An upgrade that was declined: what the caller sent ahead of the answer was meant for the other protocol.
        let declined = place.upgrade(request).is_some();
        // Nobody knows how much of the upload an upstream reads once it has answered.
        let is_early = !answered.upload.is_finished();
        let close = retires
            || declined
            || request.version == Version::Http10
            || request.persistence.close
            || !answer.unambiguous
            || is_early;
        let bodiless_length = answer.bodiless_length(request.method() == b"HEAD");
        additions.clear();
        if generation.expose {
            expose(additions, &self.access);
        }
        self.caller.begin_answer(answer, additions, bodiless_length, Relayed { framing: relayed_framing, close });
        let mut download = Relay::default();
        let idle = generation.timeouts.body_idle;
        let (attempt, shadow) = (self.access.attempt.as_ref(), self.shadow.as_deref());
        let relayed =
            relay_both(self.caller, &mut answered, &mut download, self.timer, attempt, shadow, (begun, idle)).await;
        self.access.bytes = download.bytes;
        let streamed = is_long(&download) || answer.framing == Framing::UntilClose;
        let upload_finished = answered.upload.is_finished();
        if streamed || !upload_finished {
            self.access.stop(begun);
        }
        let status = answer.status;
        let after = match relayed {
            Ok(()) => {
                if let Some(shadow) = self.shadow.take() {
                    let (worker, peer, identity) = (self.worker, self.peer, self.access.identity);
                    shadow.finished(Original { worker, peer, head: request, identity }, answer, upload_finished);
                }
                if !is_early && !request.has_unusual_body() {
                    answered.keep(request, answer, self.caller.own(), self.access.end());
                }
                if close { After::Close } else { After::KeepAlive }
            }
            Err(broken) => {
                let is_the_callers = matches!(broken, Broken::Caller | Broken::Request(_));
                self.shadow.take().into_iter().for_each(|shadow| shadow.failed(is_the_callers));
                self.access.error = Some(broken.code());
                self.access.failure = Some(broken.failure());
                self.access.settle(Some(Err(broken.failure())), Instant::now());
                if let Some(index) = error::index_of(broken.code()) {
                    self.worker.cells().refused(index);
                }
                self.break_off(broken, relayed_framing).await;
                After::Abort
            }
        };
        let ended = self.access.end();
        self.access.settle(Some(Ok(status)), ended);
        self.access.finish(self.worker, status, &self.exchange.request, self.peer, streamed);
        after
    }

    /// The head of the answer is there: a copy that waited for it leaves, and what comes is kept to be compared.
    #[inline]
    fn cast_answer(&mut self, uploaded: bool) {
        if let Some(mut shadow) = self.shadow.take() {
            let goes_on = shadow.answered(self.original(), &self.exchange.answer, uploaded);
            self.shadow = goes_on.then_some(shadow);
        }
    }

    /// Tells the caller of a tunnel, now that the upstream has agreed to switch protocols; `None` where there are too many.
    fn switch(&mut self, place: &Place, answered: Answered) -> Option<Box<Joined>> {
        let Exchange { request, answer, additions } = &mut *self.exchange;
        let generation = &place.tables.generation;
        let tunnel = Tunnel::open(self.worker, generation.limits.tunnels)?;
        let protocol = request.upgrade.map(|protocol| protocol.of(&request.bytes)).unwrap_or_default();
        additions.clear();
        if generation.expose {
            expose(additions, &self.access);
        }
        self.caller.begin_switch(answer, additions, protocol);
        let standing = Standing::new(self.worker, place, request, self.access.side());
        self.access.finish(self.worker, 101, request, self.peer, true);
        let Answered { conn: upstream, in_flight, place: among_requests, .. } = answered;
        drop(among_requests);
        Some(Box::new(Joined { tunnel, upstream, in_flight, standing }))
    }

    async fn answer_locally(&mut self, respond: &Respond) -> After {
        let head_only = self.exchange.request.method() == b"HEAD";
        let close = self.must_close();
        self.caller.begin_local(&mut |out| write_local(out, respond, head_only, close));
        self.flush(respond.status, close).await
    }

    /// Tells the caller what went wrong, whole and with its connection in a known state.
    async fn fail(&mut self, error: ProxyError) -> After {
        self.access.failed(&error);
        self.shadow.take().into_iter().for_each(|shadow| shadow.failed(matches!(error, ProxyError::CallerGone)));
        self.worker.cells().refused(error.index());
        if let ProxyError::Connect(source) = &error {
            tracing::debug!(%source, "upstream cannot be reached");
        }
        if matches!(error, ProxyError::CallerGone) {
            self.access.finish(self.worker, error.status(), &self.exchange.request, self.peer, false);
            return After::Abort;
        }
        let head_only = self.exchange.request.method() == b"HEAD";
        let close =
            self.must_close() || matches!(error, ProxyError::Refused(_) | ProxyError::SlowBody | ProxyError::SlowHead);
        self.caller.begin_local(&mut |out| error.write(out, close, head_only));
        self.flush(error.status(), close).await
    }

    /// A connection is kept only if nothing of this request is still to come on it.
    fn must_close(&self) -> bool {
        let request = &self.exchange.request;
        self.retires()
            || request.version == Version::Http10
            || request.persistence.close
            // What was sent behind an upgrade that is declined here was meant for the other protocol.
            || request.upgrade.is_some()
            || !self.caller.has_received()
    }

    /// The connection is to close, because it is old or because the router drains by now.
    fn retires(&self) -> bool {
        self.retire || self.worker.draining.is_on()
    }

    async fn flush(&mut self, status: u16, close: bool) -> After {
        let (caller, timer) = (&mut *self.caller, &mut *self.timer);
        timer.set(self.worker.tables().generation.timeouts.body_idle);
        let flushed = poll_fn(|cx| match caller.poll_finish(cx, &[]) {
            Poll::Ready(done) => Poll::Ready(done.is_ok()),
            Poll::Pending => timer.poll(cx).map(|()| false),
        })
        .await;
        self.access.finish(self.worker, status, &self.exchange.request, self.peer, false);
        match (flushed, close) {
            (false, _) => After::Abort,
            (true, true) => After::Close,
            (true, false) => After::KeepAlive,
        }
    }
}
