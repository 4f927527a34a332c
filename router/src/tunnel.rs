//! A tunnel: after 101 two connections are joined and bytes go both ways as they are.
//!
//! A tunnel exists only after the upstream has agreed (Pingora CVE-2026-2835), so bytes that a caller sent ahead reach the
//! upstream only if they belong to the new protocol. Each direction may end alone.
//!
//! A tunnel follows a flip late and a drain in time: it closes at a moment of its own within the time that is left, so that
//! callers do not all return at once. Whether a flip concerns it is looked at when the state changes, a few tunnels at a time,
//! so that ten thousand of them do not hold up requests.

mod standing;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use metrics::observe::TunnelEnd;
use tokio::time::Instant;

use crate::body::Relay;
use crate::caller::Caller;
use crate::h1::conn::Conn;
use crate::h1::framing::Framing;
use crate::headers::Peer;
use crate::timer::Timer;
use crate::upstream::InFlight;
use crate::worker::{TICK, Worker};
pub(crate) use standing::Standing;
use standing::{Departure, part};

/// How often a worker looks whether the state has changed.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);

/// Tunnels that look at a changed state before requests get their turn.
const FOLLOWERS_AT_ONCE: usize = 64;
const FOLLOW_PAUSE: Duration = Duration::from_millis(1);

/// Counts an open tunnel for as long as it lives.
#[derive(Debug)]
pub(crate) struct Tunnel {
    worker: Rc<Worker>,
    sleeper: Option<usize>,
    end: TunnelEnd,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.worker.occupancy.tunnel_closed();
        self.worker.cells().tunnel_closed(self.end);
        if let Some(sleeper) = self.sleeper {
            self.worker.tunnels.borrow_mut().leave(sleeper);
        }
    }
}

/// A tunnel of which the caller was told, and its other end.
pub(crate) struct Joined {
    pub(crate) tunnel: Tunnel,
    pub(crate) upstream: Box<Conn>,
    /// Its endpoint is asked less while it stays.
    pub(crate) in_flight: InFlight,
    pub(crate) standing: Option<Standing>,
}

impl Joined {
    /// Moves what comes from either end until the tunnel ends.
    pub(crate) async fn run<C: Caller>(self: Box<Self>, caller: &mut C, timer: &mut Timer, peer: &Peer) {
        let Self { tunnel, mut upstream, in_flight, standing } = *self;
        tunnel.run(caller, &mut upstream, timer, peer, standing).await;
        drop(in_flight);
    }
}

/// What makes a tunnel end before its ends do.
struct Watch<'a> {
    worker: &'a Worker,
    peer: &'a Peer,
    standing: Option<Standing>,
    /// The change of state that the tunnel has followed.
    followed: Option<u64>,
    departure: Departure,
    drained: Option<Instant>,
    idle: Duration,
    /// When bytes last moved. As exact as the worker's clock, so that a message does not pay for a better one.
    moved: Instant,
}

impl Watch<'_> {
    /// Looks whether the state still places the tunnel here.
    fn judge(&mut self) {
        let Some(standing) = &self.standing else { return };
        let tables = self.worker.tables();
        let (flip, rollback) = (tables.generation.timeouts.tunnel_flip, tables.generation.drain.timeout);
        let verdict = standing.judge(self.worker, self.peer);
        self.departure.follow(verdict, std::time::Instant::now(), self.worker.chance(), flip, rollback);
    }

    /// Never too early: bytes may have moved up to a tick later.
    fn idle_at(&self) -> Instant {
        self.moved + TICK + self.idle
    }

    /// Whether something has happened that may bring the end closer.
    fn has_news(&self) -> bool {
        self.followed != Some(self.worker.changes.get()) || self.drained.is_none() && self.worker.draining.closes_idle()
    }

    /// The next moment at which the tunnel may have to end.
    fn deadline(&mut self) -> Instant {
        let changes = self.worker.changes.get();
        if self.followed != Some(changes) {
            self.followed = Some(changes);
            self.judge();
        }
        if self.worker.draining.closes_idle() && self.drained.is_none() {
            let timeout = self.worker.tables().generation.drain.timeout;
            self.drained = Some(Instant::now() + part(timeout, self.worker.chance()));
        }
        let departure = self.departure.at.map(Instant::from_std);
        [departure, self.drained].into_iter().flatten().fold(self.idle_at(), Instant::min)
    }

    /// Why the tunnel ends now that a deadline has passed; `None` when it may stay after all.
    fn end(&mut self) -> Option<TunnelEnd> {
        let now = Instant::now();
        if self.drained.is_some_and(|at| at <= now) {
            return Some(TunnelEnd::Drained);
        }
        if self.idle_at() <= now {
            return Some(TunnelEnd::Idle);
        }
        if self.departure.at.is_none_or(|at| Instant::from_std(at) > now) {
            return None;
        }
        // A pin may have run out meanwhile, which changes no state.
        self.judge();
        self.departure.at.map(|_| TunnelEnd::Moved)
    }
}

impl Tunnel {
    /// `None` when there are as many as the router may have.
    pub(crate) fn open(worker: &Rc<Worker>, limit: usize) -> Option<Self> {
        if !worker.occupancy.open_tunnel(limit) {
            return None;
        }
        worker.cells().tunnel_opened();
        Some(Self { worker: Rc::clone(worker), sleeper: None, end: TunnelEnd::Ended })
    }

    /// Joins the two until both directions have ended, one breaks, or it has to end for a reason of ours.
    async fn run<C: Caller>(
        mut self,
        caller: &mut C,
        upstream: &mut Conn,
        timer: &mut Timer,
        peer: &Peer,
        standing: Option<Standing>,
    ) {
        caller.begin_tunnel();
        upstream.begin_receive(Framing::UntilClose);
        upstream.begin_send(Framing::UntilClose);
        let worker = Rc::clone(&self.worker);
        let idle = worker.tables().generation.timeouts.tunnel_idle;
        let mut watch = Watch {
            worker: &worker,
            peer,
            standing,
            followed: None,
            departure: Departure::default(),
            drained: None,
            idle,
            moved: worker.ticked(),
        };
        let (mut up, mut down) = (Direction::default(), Direction::default());
        self.end = poll_fn(|cx| {
            if self.sleeper.is_none() {
                self.sleeper = Some(worker.tunnels.borrow_mut().enter(cx.waker().clone()));
            }
            let mut moved = false;
            let upward = up.poll(cx, caller, upstream, &mut moved, |cx, _, upstream| upstream.poll_shutdown(cx));
            let downward = down.poll(cx, upstream, caller, &mut moved, |cx, _, caller| caller.poll_shutdown(cx));
            match (upward, downward) {
                (Poll::Ready(false), _) | (_, Poll::Ready(false)) | (Poll::Ready(true), Poll::Ready(true)) => {
                    return Poll::Ready(TunnelEnd::Ended);
                }
                _ => {}
            }
            if moved {
                watch.moved = worker.ticked();
            }
            // Bytes only postpone the end, which is soon enough taken over when the timer fires.
            if watch.has_news() {
                timer.set_at(watch.deadline());
            }
            loop {
                ready!(timer.poll(cx));
                if let Some(end) = watch.end() {
                    return Poll::Ready(end);
                }
                timer.set_at(watch.deadline());
            }
        })
        .await;
    }
}

/// Lets tunnels look again whenever the state has changed, until the task is dropped.
pub(crate) async fn follow(worker: Rc<Worker>) {
    let mut seen = worker.tables();
    loop {
        tokio::time::sleep(FOLLOW_INTERVAL).await;
        let now = worker.tables();
        if Rc::ptr_eq(&seen, &now) {
            continue;
        }
        seen = now;
        worker.changes.set(worker.changes.get().wrapping_add(1));
        let mut start = 0;
        loop {
            let Some(wakers) = worker.tunnels.borrow().some(start, FOLLOWERS_AT_ONCE) else { break };
            wakers.into_iter().for_each(std::task::Waker::wake);
            start += FOLLOWERS_AT_ONCE;
            tokio::time::sleep(FOLLOW_PAUSE).await;
        }
    }
}

/// One direction of a tunnel.
#[derive(Debug, Default)]
struct Direction {
    relay: Relay,
    shut: bool,
}

impl Direction {
    /// Ready with whether the direction ended as it should.
    fn poll<S: crate::body::Inbound, D: crate::body::Outbound>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        sink: &mut D,
        moved: &mut bool,
        shutdown: impl FnOnce(&mut Context<'_>, &mut S, &mut D) -> Poll<std::io::Result<()>>,
    ) -> Poll<bool> {
        if self.shut {
            return Poll::Ready(true);
        }
        match self.relay.poll(cx, source, sink, moved, None) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => return Poll::Ready(false),
            Poll::Ready(Ok(())) => {}
        }
        match shutdown(cx, source, sink) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(done) => {
                self.shut = done.is_ok();
                Poll::Ready(self.shut)
            }
        }
    }
}
