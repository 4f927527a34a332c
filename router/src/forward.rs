//! One attempt at one upstream: a connection, the request on its way, and the head of the answer.
//!
//! # What is retried
//!
//! Only what provably did no work: a connection that was refused, a request of which nothing was sent, or one that is
//! idempotent and bodiless and met a reused connection which the upstream had just closed (RFC 9112 section 9.3.1), perhaps
//! with a 408 that was meant for the silence before (RFC 9110 section 15.5.9). A retry is paid for from the upstream's
//! budget. Everything else is told, because doing a thing twice is worse than saying that it may not have been done; whether
//! legacy then answers for new is not decided here.
//!
//! Nothing has been sent to the caller when this returns but interim answers, so that a fallback stays possible.

mod exchange;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use exchange::Exchange;
use tokio::net::TcpStream;

use crate::attempts::Attempt;
use crate::body::{BodyError, Relay};
use crate::caller::Caller;
use crate::error::ProxyError;
use crate::h1::conn::Conn;
use crate::h1::framing::Framing;
use crate::h1::head::{HeadLimits, RequestHead, ResponseHead};
use crate::h1::refusal::Refusal;
use crate::h1::write::{self, Onward};
use crate::listener::UNSENT_BYTES_MAX;
use crate::mirror::Tee;
use crate::timer::Timer;
use crate::upstream::{Admitted, Bound, Endpoint, InFlight, Own, Purpose, Upstream, asks_to_sign_in, signs_in};
use crate::worker::Worker;

/// Tries of one request, the first included.
const TRIES_MAX: u8 = 3;

/// What goes to the upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) onward: Onward<'a>,
    /// Our fields, as whole lines.
    pub(crate) additions: &'a [u8],
    pub(crate) body_max: Option<u64>,
    /// Longest pause between two pieces of body.
    pub(crate) body_idle: Duration,
    pub(crate) limits: &'a HeadLimits,
    /// When this attempt began.
    pub(crate) now: Instant,
    /// Told when the caller is waited for, where the attempt is observed.
    pub(crate) observed: Option<&'a Attempt>,
    /// Sees the body, where the request is copied.
    pub(crate) tee: Option<&'a Tee>,
}

/// What the caller has given and seen, which decides whether the request can be made again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Some of its body was taken.
    pub(crate) body_taken: bool,
    /// It was passed an interim answer.
    pub(crate) answer_shown: bool,
    /// It was told to send its body.
    pub(crate) proceeded: bool,
}

/// An attempt without an answer.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: ProxyError,
    pub(crate) progress: Progress,
}

impl From<ProxyError> for Failed {
    fn from(error: ProxyError) -> Self {
        Self { error, progress: Progress::default() }
    }
}

/// What came of one attempt.
pub(crate) type Attempted = Result<Answered, Failed>;

/// An upstream that has begun to answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) in_flight: InFlight,
    /// Boxed, because it changes hands several times on the way of a request.
    pub(crate) conn: Box<Conn>,
    /// The request's body, which may still be on its way.
    pub(crate) upload: Relay,
    /// The upstream stopped reading it.
    pub(crate) upload_broken: bool,
    pub(crate) progress: Progress,
    /// Its place among the requests in flight, until it is a tunnel.
    pub(crate) place: Admitted,
}

impl Answered {
    /// Gives the connection back, to all or to this caller, if the exchange on it was whole.
    pub(crate) fn keep(self, request: &RequestHead, answer: &ResponseHead, own: &mut Own, now: Instant) {
        let Self { conn, in_flight, .. } = self;
        if !conn.has_received() {
            return;
        }
        if conn.is_bound || signs_in(request) || asks_to_sign_in(answer) {
            Bound::keep(own, conn, &in_flight.endpoint, answer);
        } else {
            in_flight.endpoint.keep(conn, Purpose::Forward, answer, now);
        }
    }
}

/// Runs `future` until the timer's deadline.
pub(crate) async fn within<F: Future>(timer: &mut Timer, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => timer.poll(cx).map(|()| None),
    })
    .await
}

/// Waits for as long as the caller does. What it sends meanwhile is kept.
pub(crate) async fn unless_gone<C: Caller, F: Future>(caller: &mut C, future: F) -> Result<F::Output, ProxyError> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => caller.poll_gone(cx).map(|()| Err(ProxyError::CallerGone)),
    })
    .await
}

/// Sends the request and waits for the head of the answer, which it leaves in `answer`.
#[allow(clippy::manual_async_fn, reason = "what an async function is given has its place in the future twice")]
pub(crate) fn attempt<C: Caller>(
    worker: &Worker,
    upstream: &Upstream,
    place: Admitted,
    caller: &mut C,
    request: &Request<'_>,
    answer: &mut ResponseHead,
    timer: &mut Timer,
) -> impl Future<Output = Attempted> {
    async move {
        let mut tries = 0;
        let mut reuse = true;
        let mut unreachable = None;
        // What an earlier try has sent may have been done, whatever becomes of the next: that failure is no longer one to connect.
        let mut sent = false;
        loop {
            tries += 1;
            let unconnected = |error| if sent { ProxyError::Reset } else { error };
            let own = if reuse { Bound::take(caller.own(), upstream) } else { None };
            let entered = own.or_else(|| enter(worker, upstream, request, reuse, unreachable.as_ref()));
            let (in_flight, idle) = entered.ok_or_else(|| unconnected(ProxyError::NoEndpoint))?;
            let endpoint = Rc::clone(&in_flight.endpoint);
            let reused = idle.is_some();
            let connected = match idle {
                Some(conn) => Ok(conn),
                // Boxed, so that a request that finds a connection keeps no room for making one.
                None => {
                    let connecting = connect(worker, upstream, &in_flight, request.observed, timer);
                    Box::pin(unless_gone(caller, connecting)).await?
                }
            };
            let may_retry = |proven: bool| proven && tries < TRIES_MAX && upstream.retries.withdraw();
            let mut conn = match connected {
                Ok(conn) => conn,
                Err(error) => {
                    upstream.failed(&endpoint);
                    endpoint.cells.connect_failed();
                    if upstream.state.endpoints.len() > 1 && may_retry(true) {
                        unreachable = Some(endpoint);
                        continue;
                    }
                    return Err(unconnected(error).into());
                }
            };
            write_request(&mut conn, request);
            // With a limit of requests in flight this one may have waited for its place, which is not the upstream's time.
            let at_once = reused && tries == 1 && place.is_none();
            let mut exchange = Exchange::new(request, upstream, caller.has_buffered(), at_once);
            let ran = exchange.run(caller, &mut conn, answer, timer).await;
            let untouched = reused && exchange.upload.bytes == 0;
            let harmless = || conn.written == 0 || (is_idempotent(request.head.method()) && !request.head.has_body());
            match ran {
                Ok(()) if untouched && exchange.interims == 0 && is_for_silence(answer) && may_retry(harmless()) => {
                    exchange.charge(false);
                    (sent, reuse) = (sent || conn.written > 0, false);
                }
                Ok(()) => {
                    endpoint.succeeded();
                    let progress = exchange.progress();
                    let Exchange { upload, upload_broken, .. } = exchange;
                    return Ok(Answered { in_flight, conn, upload, upload_broken, progress, place });
                }
                Err(error) => {
                    let unanswered = matches!(error, ProxyError::Reset) && conn.pending().is_empty();
                    if untouched && exchange.interims == 0 && unanswered && may_retry(harmless()) {
                        exchange.charge(false);
                        (sent, reuse) = (sent || conn.written > 0, false);
                        continue;
                    }
                    if error.failure().is_some_and(metrics::outcome::Failure::blames_the_side) {
                        upstream.failed(&endpoint);
                    }
                    return Err(Failed { error, progress: exchange.progress() });
                }
            }
        }
    }
}

/// An endpoint that is well, and a connection to it that is idle.
fn enter(
    worker: &Worker,
    upstream: &Upstream,
    request: &Request<'_>,
    reuse: bool,
    avoid: Option<&Rc<Endpoint>>,
) -> Option<(InFlight, Option<Box<Conn>>)> {
    let in_flight = upstream.enter(worker.chance(), avoid)?;
    let idle = if reuse { in_flight.endpoint.take_idle(Purpose::Forward, request.now) } else { None };
    Some((in_flight, idle))
}

pub(crate) async fn connect(
    worker: &Worker,
    upstream: &Upstream,
    in_flight: &InFlight,
    observed: Option<&Attempt>,
    timer: &mut Timer,
) -> Result<Box<Conn>, ProxyError> {
    let endpoint = &in_flight.endpoint;
    let Some(address) = endpoint.address() else {
        let unresolved = std::io::Error::new(std::io::ErrorKind::NotFound, "the host name does not resolve");
        return Err(ProxyError::Connect(unresolved));
    };
    timer.set(upstream.state.settings.connect_timeout);
    let tell = |told: fn(&Attempt, Instant)| observed.into_iter().for_each(|attempt| told(attempt, Instant::now()));
    tell(Attempt::connecting);
    let connected = within(timer, TcpStream::connect(address)).await;
    tell(Attempt::connected);
    let io = match connected {
        None => return Err(ProxyError::ConnectTimeout),
        Some(Err(error)) => return Err(ProxyError::Connect(error)),
        Some(Ok(io)) => io,
    };
    // Without it small writes wait for acknowledgements; nothing is lost if it cannot be set.
    let _ = io.set_nodelay(true);
    let _ = socket2::SockRef::from(&io).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
    endpoint.cells.connected();
    Ok(Box::new(Conn::new(io, worker.buffers())))
}

pub(crate) fn write_request(conn: &mut Conn, request: &Request<'_>) {
    let framing = request.head.framing;
    let out = conn.begin_send(framing);
    write::begin_request(out, request.head, &request.onward);
    out.extend_from_slice(request.additions);
    write::end_request(out, framing, &request.onward);
    conn.begin_receive(Framing::None);
}

/// Whether an upstream says this to a connection on which it waited in vain, and closes it.
pub(crate) const fn is_for_silence(answer: &ResponseHead) -> bool {
    answer.status == 408 && answer.persistence.close
}

/// RFC 9110 section 9.2.2.
fn is_idempotent(method: &[u8]) -> bool {
    matches!(method, b"GET" | b"HEAD" | b"OPTIONS" | b"PUT" | b"DELETE")
}

/// Whose fault it is when the caller's body does not arrive.
pub(crate) fn caller_error(error: &BodyError) -> ProxyError {
    match error {
        BodyError::Truncated | BodyError::Io(_) => ProxyError::CallerGone,
        BodyError::Chunk => Refusal::Chunk.into(),
        BodyError::Trailer => Refusal::Trailer.into(),
        BodyError::TooLarge => Refusal::BodyTooLarge.into(),
    }
}
