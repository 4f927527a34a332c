//! The life of one caller's HTTP/1.1 connection: heads in, answers out, and an end that loses nothing.
//!
//! # Why closing takes care
//!
//! A socket that is closed while unread bytes wait sends a reset, which may destroy the answer that is still on its way.
//! So a connection that ends after an answer first says that nothing more comes, then reads a bounded amount for a bounded
//! time, and only then closes (RFC 9112 section 9.6).
//!
//! An idle connection holds no buffer, and its task holds nothing of the last request.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::access::Access;
use crate::body::Outbound;
use crate::error::ProxyError;
use crate::h1::conn::Conn;
use crate::h1::head::RequestHead;
use crate::headers::Peer;
use crate::occupancy::Place;
use crate::proxy::{After, Call, Exchange};
use crate::timer::Timer;
use crate::worker::Worker;

/// How long a closing connection is read: while something comes at least so often, and in all.
///
/// What is left unread resets a connection, and a reset takes with it what the caller has not yet received (RFC 9112 section
/// 9.6). How much that is depends on networks, so no number of bytes is enough; these are nginx's times.
const LINGER_SILENCE: Duration = Duration::from_secs(5);
const LINGER_TIMEOUT: Duration = Duration::from_secs(30);

/// The silence that ends it once the router drains.
const LAST_SILENCE: Duration = Duration::from_secs(1);

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

/// One connection between its requests, and nothing of them.
struct Session {
    counted: Counted,
    worker: Rc<Worker>,
    peer: Peer,
    conn: Conn,
    timer: Timer,
    head_timeout: Duration,
    keep_alive: Duration,
    retire_at: Instant,
    /// Nothing was asked yet.
    fresh: bool,
    /// When the last request ended.
    since: Instant,
}

/// Serves one connection until either side ends it.
pub(crate) fn serve(counted: Counted, io: TcpStream, address: SocketAddr) -> impl Future<Output = ()> {
    let mut session = Session::new(counted, io, address);
    // What an async function is given has its place in the future twice.
    async move { session.run().await }
}

impl Session {
    fn new(counted: Counted, io: TcpStream, address: SocketAddr) -> Self {
        let worker = Rc::clone(&counted.worker);
        let _ = io.set_nodelay(true);
        let (timeouts, peer) = {
            let tables = worker.tables();
            (tables.generation.timeouts, Peer::new(address.ip(), &tables.generation.trusted_proxies))
        };
        let opened = Instant::now();
        Self {
            conn: Conn::new(io, worker.buffers()),
            timer: Timer::new(timeouts.head),
            head_timeout: timeouts.head,
            keep_alive: timeouts.keep_alive,
            retire_at: opened + jittered(timeouts.connection_age, worker.chance()),
            fresh: true,
            since: opened,
            counted,
            worker,
            peer,
        }
    }

    async fn run(&mut self) {
        self.counted.sleeper = Some(poll_fn(|cx| Poll::Ready(self.worker.register(cx.waker().clone()))).await);
        while self.wait().await {
            let mut exchange = self.worker.take_exchange();
            let next = self.next_head(&mut exchange.request).await;
            // Boxed, so that a connection that waits does not keep room for one that works.
            let after = match next {
                Next::Head => pinned(|| self.answer(&mut exchange)).await,
                Next::Refused(error) => Box::pin(self.refuse(&mut exchange, error)).await,
                Next::Closed => After::Abort,
            };
            self.worker.give_exchange(exchange);
            match after {
                After::KeepAlive => self.fresh = false,
                After::Close => return self.linger().await,
                After::Abort => return,
                // Boxed as well, for those that open none.
                After::Joined(joined) => {
                    return Box::pin(joined.run(&mut self.conn, &mut self.timer, &self.peer)).await;
                }
            }
        }
    }

    fn call<'a>(&'a mut self, exchange: &'a mut Exchange) -> Call<'a, Conn> {
        let started = Instant::now();
        let Self { worker, peer, conn: caller, timer, .. } = self;
        let access = Access::begin(started, worker.identity());
        let retire = worker.draining.is_on() || started >= self.retire_at;
        Call { worker, peer, caller, exchange, timer, retire, access, shadow: None }
    }

    async fn answer(&mut self, exchange: &mut Exchange) -> After {
        let mut call = self.call(exchange);
        call.caller.begin_receive(call.exchange.request.framing);
        let after = call.handle().await;
        self.since = call.access.end();
        after
    }

    async fn refuse(&mut self, exchange: &mut Exchange, error: ProxyError) -> After {
        exchange.request.keep_line(self.conn.pending());
        let mut call = self.call(exchange);
        let after = call.refuse(error).await;
        self.since = call.access.end();
        after
    }

    /// Waits for the first byte of a request; false when the connection is to end instead.
    async fn wait(&mut self) -> bool {
        let Self { worker, conn, timer, fresh, .. } = self;
        if !conn.pending().is_empty() {
            return true;
        }
        let idle = if *fresh { self.head_timeout } else { self.keep_alive };
        timer.set_from(self.since, idle);
        let mut told_to_end = false;
        poll_fn(|cx| {
            conn.release();
            match conn.poll_read(cx) {
                Poll::Ready(Ok(read)) => Poll::Ready(read > 0),
                Poll::Ready(Err(_)) => Poll::Ready(false),
                Poll::Pending if worker.draining.closes_idle() && !*fresh => Poll::Ready(false),
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

    async fn next_head(&mut self, head: &mut RequestHead) -> Next {
        let Self { worker, conn, timer, head_timeout, .. } = self;
        let limits = worker.with_view(|_, tables| tables.head_limits);
        let mut parsed_bytes = 0;
        // Most heads arrive whole, and need no deadline.
        let mut is_timed = false;
        poll_fn(|cx| {
            loop {
                let pending = conn.pending();
                let has_new_line =
                    || pending.get(parsed_bytes..).is_some_and(|new| memchr::memchr(b'\n', new).is_some());
                if pending.len() <= PARSE_EAGERLY_BYTES || pending.len() > limits.target || has_new_line() {
                    match head.parse(pending, &limits) {
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
                            timer.set(*head_timeout);
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
    async fn linger(&mut self) {
        let Self { worker, conn, timer, .. } = self;
        let patience = worker.tables().generation.timeouts.body_idle.min(LINGER_TIMEOUT);
        let begun = Instant::now();
        let silence = || if worker.draining.is_on() { LAST_SILENCE } else { LINGER_SILENCE };
        timer.set_from(begun, patience.min(silence()));
        poll_fn(|cx| {
            match conn.poll_flush(cx) {
                Poll::Pending => return timer.poll(cx),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) if std::task::ready!(conn.poll_shutdown(cx)).is_err() => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            loop {
                conn.discard_pending();
                match conn.poll_read(cx) {
                    Poll::Ready(Ok(read)) if read > 0 => {
                        let passed = begun.elapsed();
                        if passed >= patience {
                            return Poll::Ready(());
                        }
                        timer.set_from(begun, patience.min(passed + silence()));
                    }
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return timer.poll(cx),
                }
            }
        })
        .await;
    }
}

/// `Box::pin` of what is made in its place: that makes it on the stack, and copies all of its room for each request.
fn pinned<T>(make: impl FnOnce() -> T) -> Pin<Box<T>> {
    Box::into_pin(Box::write(Box::new_uninit(), make()))
}

/// Within a tenth around `age`, so that connections opened together do not all close together.
fn jittered(age: Duration, chance: u64) -> Duration {
    let permille = u32::try_from(chance % 201).unwrap_or(100);
    age.saturating_mul(900 + permille) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What glibc's allocator serves from a thread's cache; more costs hundreds of instructions a request.
    const CACHED_BYTES_MAX: usize = 1032;

    fn room_of_a_request<'a, F: Future>(_: impl FnOnce(&'a mut Session, &'a mut Exchange) -> F) -> usize {
        size_of::<F>()
    }

    fn room_of_a_connection<F: Future>(_: impl FnOnce(Counted, TcpStream, SocketAddr) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_and_a_request_take_little_room() {
        let (request, connection) = (room_of_a_request(Session::answer), room_of_a_connection(serve));
        assert!(request <= CACHED_BYTES_MAX, "{request} bytes");
        assert!(connection <= 656, "{connection} bytes");
    }
}
