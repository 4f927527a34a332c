//! One deadline per connection, moved often and armed rarely.
//!
//! # Why not a timer per phase
//!
//! A request passes through head, connect, first byte and body, each with its own limit; registering and cancelling a timer
//! for each costs more than parsing the head. So the deadline is a plain number that moves with every phase, and the one
//! registered timer is only touched when it would otherwise fire too late. When it fires early it is armed again. Being
//! asked whether it has passed costs little too: a registered timer wakes its task by itself.
//!
//! # A router that stood still
//!
//! finds all deadlines passed when it goes on, and what its peers have sent meanwhile unread: a process that was stopped and a
//! machine that was suspended are told of the time before they are told of the bytes. Then time-outs would blame peers that
//! had answered. So a deadline that is noticed much too late passes a little later still, and what has arrived is read first.
//!
//! One task alone polls a timer, for as long as both live.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop;
use tokio::time::{Instant, Sleep};

/// A deadline that is noticed so late was missed by this router and not by a peer.
const MISSED: Duration = Duration::from_millis(500);

/// How long what arrived meanwhile is read before a deadline that was missed passes.
const GRACE: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(crate) struct Timer {
    sleep: Pin<Box<Sleep>>,
    deadline: Instant,
    /// The deadline of the sleep, here because what lies in a box of its own is not in the cache.
    armed: Instant,
    /// The sleep knows whom to wake.
    registered: bool,
}

impl Timer {
    pub(crate) fn new(after: Duration) -> Self {
        let deadline = Instant::now() + after;
        Self { sleep: Box::pin(tokio::time::sleep_until(deadline)), deadline, armed: deadline, registered: false }
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
        if deadline < self.armed {
            self.arm(deadline);
        }
    }

    fn arm(&mut self, deadline: Instant) {
        self.sleep.as_mut().reset(deadline);
        self.armed = deadline;
        self.registered = false;
    }

    /// Ready once the deadline has passed.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.registered && !self.sleep.is_elapsed() {
                return Poll::Pending;
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                // A task that has had its turn is told to come back, and nothing is registered.
                self.registered = coop::has_budget_remaining();
                return Poll::Pending;
            }
            self.registered = false;
            let now = Instant::now();
            if now >= self.deadline {
                if now < self.deadline + MISSED {
                    return Poll::Ready(());
                }
                self.deadline = now + GRACE;
            }
            self.arm(self.deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(5);

    /// A timer that has been polled and waits; then `change`; it still wakes the task that polls it on.
    #[track_caller]
    fn check(after: Duration, change: impl FnOnce(&mut Timer, &mut Context<'_>)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let woken = runtime.block_on(async {
            let mut timer = Timer::new(after);
            let mut change = Some(change);
            let passed = poll_fn(|cx| {
                if let Some(change) = change.take() {
                    assert!(timer.poll(cx).is_pending() && timer.poll(cx).is_pending());
                    change(&mut timer, cx);
                }
                timer.poll(cx)
            });
            tokio::time::timeout(Duration::from_secs(20), passed).await
        });
        assert!(woken.is_ok(), "nobody was woken");
    }

    #[test]
    fn a_timer_that_was_moved_wakes_its_task() {
        check(SHORT, |_, _| {});
        check(SHORT, |timer, _| timer.set(2 * SHORT));
        check(LONG, |timer, _| timer.set(SHORT));
        check(LONG, |timer, cx| {
            timer.set(SHORT);
            assert!(timer.poll(cx).is_pending());
            timer.set(2 * SHORT);
        });
    }

    #[test]
    fn a_deadline_that_was_missed_by_far_leaves_time_to_read() {
        check(LONG, |timer, cx| {
            timer.set_at(Instant::now() - SHORT);
            assert!(timer.poll(cx).is_ready());
            timer.set_at(Instant::now() - 2 * MISSED);
            assert!(timer.poll(cx).is_pending());
        });
    }

    /// Whose budget is used up is told to come back, but no sleep knows of it.
    #[test]
    fn a_timer_that_was_polled_without_budget_wakes_its_task() {
        check(LONG, |timer, cx| {
            timer.set(SHORT);
            while let Poll::Ready(turn) = coop::poll_proceed(cx) {
                turn.made_progress();
            }
            assert!(timer.poll(cx).is_pending() && !timer.registered);
        });
    }
}
