//! One deadline per connection, moved often and armed rarely.
//!
//! # Why not a timer per phase
//!
//! A request passes through head, connect, first byte and body, each with its own limit; registering and cancelling a timer
//! for each costs more than parsing the head. So the deadline is a plain number that moves with every phase, and the one
//! registered timer is only touched when it would otherwise fire too late. When it fires early it is armed again.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

#[derive(Debug)]
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    deadline: Instant,
}

impl Timer {
    pub(crate) fn new(after: Duration) -> Self {
        let deadline = Instant::now() + after;
        Self { sleep: Box::pin(tokio::time::sleep_until(deadline)), deadline }
    }

    /// Moves the deadline to `after` from now.
    pub(crate) fn set(&mut self, after: Duration) {
        self.set_at(Instant::now() + after);
    }

    /// Moves the deadline to `after` from a moment that was just read.
    pub(crate) fn set_from(&mut self, now: std::time::Instant, after: Duration) {
        self.set_at(Instant::from_std(now) + after);
    }

    pub(crate) fn set_at(&mut self, deadline: Instant) {
        self.deadline = deadline;
        if deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
        }
    }

    /// Ready once the deadline has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= self.deadline {
                return Poll::Ready(());
            }
            let deadline = self.deadline;
            self.sleep.as_mut().reset(deadline);
        }
    }
}
