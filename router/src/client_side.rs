//! The life of one caller's HTTP/1.1 connection: heads in, answers out, and an end that loses nothing.
//!
//! # Why closing takes care
//!
//! A socket that is closed while unread bytes wait sends a reset, which may destroy the answer that is still on its way.
//! So a connection that ends after an answer first says that nothing more comes, then reads a bounded amount for a bounded
//! time, and only then closes (RFC 9112 section 9.6).
//!
//! An idle connection holds no buffer, and its task holds nothing of the last request.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::access::Access;
use crate::body::Outbound;
use crate::error::ProxyError;
use crate::h1::conn::Conn;
use crate::h1::head::{HeadLimits, RequestHead};
use crate::headers::Peer;
use crate::occupancy::Place;
use crate::proxy::{After, Call};
use crate::timer::Timer;
use crate::worker::Worker;

/// What a closing connection may still send.
const LINGER_BYTES_MAX: usize = 64 * 1024;
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// A head is parsed again only when a line was added to it, beyond this size.
const PARSE_EAGERLY_BYTES: usize = 1024;

/// How long a connection on which nothing was asked yet may take to ask, once the router drains.
///
/// Who has just connected cannot know that the router goes, and would take a close without an answer for a failure.
const LAST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Counts a connection for as long as it lives.
///
/// Made by whoever accepts it and not by its task, so that a limit is never passed and a drain never overlooks one.
pub(crate) struct Counted {
    worker: Rc<Worker>,
    sleeper: Option<usize>,
    _place: Place,
}

impl Counted {
    pub(crate) fn new(worker: Rc<Worker>, place: Place) -> Self {
        worker.connections.set(worker.connections.get() + 1);
        worker.cells().connection_opened();
        Self { worker, sleeper: None, _place: place }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.worker.connections.set(self.worker.connections.get() - 1);
        self.worker.cells().connection_closed();
        if let Some(sleeper) = self.sleeper {
            self.worker.unregister(sleeper);
        }
    }
}

enum Next {
    Head,
    Refused(ProxyError),
    Closed,
}

/// Serves one connection until either side ends it.
pub(crate) async fn serve(mut counted: Counted, io: TcpStream, address: SocketAddr) {
    let worker = Rc::clone(&counted.worker);
    counted.sleeper = Some(poll_fn(|cx| Poll::Ready(worker.register(cx.waker().clone()))).await);
    let _ = io.set_nodelay(true);
    let (timeouts, peer) = {
        let tables = worker.tables();
        (tables.generation.timeouts, Peer::new(address.ip(), &tables.generation.trusted_proxies))
    };
    let opened = Instant::now();
    let retire_at = opened + jittered(timeouts.connection_age, worker.chance());
    let mut conn = Conn::new(io, worker.buffers());
    let mut timer = Timer::new(timeouts.head);
    let mut idle = timeouts.head;
    let mut fresh = true;
    let mut since = opened;
    loop {
        let mut exchange = match wait(&worker, &mut conn, &mut timer, (since, idle), fresh).await {
            true => worker.take_exchange(),
            false => break,
        };
        let limits = worker.with_view(|_, tables| tables.head_limits);
        let next = next_head(&mut conn, &mut timer, timeouts.head, &mut exchange.request, &limits).await;
        let started = Instant::now();
        let access = Access::begin(started, worker.identity());
        let retire = worker.draining.is_on() || started >= retire_at;
        let (caller, timer_now, inner) = (&mut conn, &mut timer, &mut *exchange);
        let (worker, peer) = (&worker, &peer);
        let mut call = Call { worker, peer, caller, exchange: inner, timer: timer_now, retire, access, shadow: None };
        let after = match next {
            Next::Head => {
                call.caller.begin_receive(call.exchange.request.framing);
                // Boxed, so that a connection that waits does not keep room for one that works.
                Box::pin(call.handle()).await
            }
            Next::Refused(error) => {
                call.exchange.request.keep_line(call.caller.pending());
                Box::pin(call.refuse(error)).await
            }
            Next::Closed => After::Abort,
        };
        since = call.access.end();
        worker.give_exchange(exchange);
        match after {
            After::KeepAlive => (idle, fresh) = (timeouts.keep_alive, false),
            After::Close => {
                linger(&mut conn, &mut timer).await;
                break;
            }
            After::Abort => break,
        }
    }
    drop(counted);
}

/// Waits for the first byte of a request; false when the connection is to end instead.
async fn wait(
    worker: &Worker,
    conn: &mut Conn,
    timer: &mut Timer,
    (since, idle): (Instant, Duration),
    fresh: bool,
) -> bool {
    if !conn.pending().is_empty() {
        return true;
    }
    timer.set_from(since, idle);
    let mut told_to_end = false;
    poll_fn(|cx| {
        conn.release();
        match conn.poll_read(cx) {
            Poll::Ready(Ok(read)) => Poll::Ready(read > 0),
            Poll::Ready(Err(_)) => Poll::Ready(false),
            Poll::Pending if worker.draining.closes_idle() && !fresh => Poll::Ready(false),
            Poll::Pending => {
                if worker.draining.closes_idle() && !told_to_end {
                    told_to_end = true;
                    timer.set(idle.min(LAST_REQUEST_TIMEOUT));
                }
                timer.poll(cx).map(|()| false)
            }
        }
    })
    .await
}

async fn next_head(
    conn: &mut Conn,
    timer: &mut Timer,
    timeout: Duration,
    head: &mut RequestHead,
    limits: &HeadLimits,
) -> Next {
    let mut parsed_bytes = 0;
    // Most heads arrive whole, and need no deadline.
    let mut is_timed = false;
    poll_fn(|cx| {
        loop {
            let pending = conn.pending();
            let has_new_line = || pending.get(parsed_bytes..).is_some_and(|new| memchr::memchr(b'\n', new).is_some());
            if pending.len() <= PARSE_EAGERLY_BYTES || pending.len() > limits.target || has_new_line() {
                match head.parse(pending, limits) {
                    Ok(Some(length)) => {
                        conn.take_head(length, &mut head.bytes);
                        return Poll::Ready(Next::Head);
                    }
                    Ok(None) => parsed_bytes = pending.len(),
                    Err(refusal) => return Poll::Ready(Next::Refused(refusal.into())),
                }
            }
            match conn.poll_read(cx) {
                Poll::Ready(Ok(read)) if read > 0 => {}
                Poll::Ready(Ok(_) | Err(_)) => return Poll::Ready(Next::Closed),
                Poll::Pending => {
                    if !is_timed {
                        is_timed = true;
                        timer.set(timeout);
                    }
                    // An empty line after a body is no request that was begun; an answer to it would be taken for the
                    // answer to the next one.
                    let is_begun = conn.pending().iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
                    let late = if is_begun { Next::Refused(ProxyError::SlowHead) } else { Next::Closed };
                    return timer.poll(cx).map(|()| late);
                }
            }
        }
    })
    .await
}

/// Closes so that the answer arrives.
async fn linger(conn: &mut Conn, timer: &mut Timer) {
    timer.set(LINGER_TIMEOUT);
    let mut read_bytes = 0;
    poll_fn(|cx| {
        if std::task::ready!(conn.poll_flush(cx)).is_err() || std::task::ready!(conn.poll_shutdown(cx)).is_err() {
            return Poll::Ready(());
        }
        loop {
            conn.discard_pending();
            match conn.poll_read(cx) {
                Poll::Ready(Ok(read)) if read > 0 && read_bytes < LINGER_BYTES_MAX => read_bytes += read,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return timer.poll(cx),
            }
        }
    })
    .await;
}

/// Within a tenth around `age`, so that connections opened together do not all close together.
fn jittered(age: Duration, chance: u64) -> Duration {
    let permille = u32::try_from(chance % 201).unwrap_or(100);
    age.saturating_mul(900 + permille) / 1000
}
