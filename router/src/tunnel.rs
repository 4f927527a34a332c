//! A tunnel: after 101 two connections are joined and bytes go both ways as they are.
//!
//! A tunnel exists only after the upstream has agreed (Pingora CVE-2026-2835), so bytes that a caller sent ahead reach the
//! upstream only if they belong to the new protocol. Each direction may end alone. While the router drains, tunnels close
//! at moments spread over the time that is left, so that their callers do not return all at once.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use crate::body::Relay;
use crate::caller::Caller;
use crate::h1::conn::Conn;
use crate::h1::framing::Framing;
use crate::timer::Timer;
use crate::worker::{Generation, Worker};

/// Counts an open tunnel for as long as it lives.
#[derive(Debug)]
pub(crate) struct Tunnel {
    worker: Rc<Worker>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.worker.occupancy.tunnel_closed();
        self.worker.cells().tunnel_closed();
    }
}

impl Tunnel {
    /// `None` when there are as many as the router may have.
    pub(crate) fn open(worker: &Rc<Worker>, limit: usize) -> Option<Self> {
        if !worker.occupancy.open_tunnel(limit) {
            return None;
        }
        worker.cells().tunnel_opened();
        Some(Self { worker: Rc::clone(worker) })
    }

    /// Joins the two until both directions have ended, one breaks, or nothing moves for too long.
    pub(crate) async fn run<C: Caller>(
        self,
        caller: &mut C,
        upstream: &mut Conn,
        timer: &mut Timer,
        generation: &Generation,
    ) {
        caller.begin_tunnel();
        upstream.begin_receive(Framing::UntilClose);
        upstream.begin_send(Framing::UntilClose);
        let idle = generation.timeouts.tunnel_idle;
        let spread =
            self.worker.chance() % u64::try_from(generation.drain.timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut closing: Option<Instant> = None;
        let (mut up, mut down) = (Direction::default(), Direction::default());
        timer.set(idle);
        poll_fn(|cx| {
            let mut moved = false;
            let upward = up.poll(cx, caller, upstream, &mut moved, |cx, _, upstream| upstream.poll_shutdown(cx));
            let downward = down.poll(cx, upstream, caller, &mut moved, |cx, _, caller| caller.poll_shutdown(cx));
            match (upward, downward) {
                (Poll::Ready(false), _) | (_, Poll::Ready(false)) | (Poll::Ready(true), Poll::Ready(true)) => {
                    return Poll::Ready(());
                }
                _ => {}
            }
            if self.worker.draining.closes_idle() && closing.is_none() {
                closing = Some(Instant::now() + Duration::from_millis(spread));
            }
            match closing {
                Some(at) => timer.set_at(at),
                None if moved => timer.set(idle),
                None => {}
            }
            timer.poll(cx)
        })
        .await;
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
        match self.relay.poll(cx, source, sink, moved) {
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
