//! Stops copies to a side that answers few of them, and tries again with one at a time.
//!
//! # Why beside a budget
//!
//! A budget bounds what copies use; a side that hangs would use all of it for ever, and each copy would burden a system that is
//! in trouble. So the breaker opens where more than half of at least [`JUDGED_MIN`] copies within [`WINDOW_SECONDS`] got no
//! answer. An answer of any status is one: a side that says 500 to everything is there, and that it does is what comparing is
//! for.
//!
//! # Shared without a lock
//!
//! By all workers: a slot a second, each a word of second, answered and failed copies, and one word for the state. Two workers
//! that meet at the turn of a second may lose a copy of the count, which changes no verdict that twenty copies make.

use std::sync::atomic::{AtomicU64, Ordering};

/// Fewer copies than this say nothing.
const JUDGED_MIN: u64 = 20;

const WINDOW_SECONDS: u64 = 10;

/// How long nothing is sent before one copy may try.
const OPEN_MS: u64 = 5_000;

/// A try that has not ended by then is forgotten, and another one may go.
const TRY_MS: u64 = 10_000;

/// Answered and failed copies of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    second: u64,
    answered: u64,
    failed: u64,
}

const HALF: u64 = 0xffff;

impl Counts {
    const fn of(word: u64) -> Self {
        Self { second: word >> 32, answered: word >> 16 & HALF, failed: word & HALF }
    }

    const fn word(self) -> u64 {
        self.second << 32 | self.answered << 16 | self.failed
    }

    fn and(self, failed: bool) -> Self {
        let more = |count: u64, one: bool| (count + u64::from(one)).min(HALF);
        Self { answered: more(self.answered, !failed), failed: more(self.failed, failed), ..self }
    }
}

/// The breaker of one migration. Times are milliseconds since any moment, the same for all calls.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    seconds: [AtomicU64; WINDOW_SECONDS as usize],
    /// 0 while closed; otherwise when one copy may try, and one more.
    opens_at: AtomicU64,
}

/// How a copy was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Free,
    /// It is the one that tries whether the side answers again.
    Try,
}

impl Breaker {
    /// Whether a copy may go now.
    pub(crate) fn pass(&self, now: u64) -> Option<Pass> {
        let opens_at = self.opens_at.load(Ordering::Relaxed);
        if opens_at == 0 {
            return Some(Pass::Free);
        }
        if now + 1 < opens_at {
            return None;
        }
        let next = now + TRY_MS + 1;
        let won = self.opens_at.compare_exchange(opens_at, next, Ordering::Relaxed, Ordering::Relaxed);
        won.is_ok().then_some(Pass::Try)
    }

    /// A copy is over; `true` when the breaker opens by it.
    pub(crate) fn ended(&self, pass: Pass, failed: bool, now: u64) -> bool {
        match (pass, failed) {
            (Pass::Try, true) => {
                self.opens_at.store(now + OPEN_MS + 1, Ordering::Relaxed);
                false
            }
            (Pass::Try, false) => {
                self.seconds.iter().for_each(|second| second.store(0, Ordering::Relaxed));
                self.opens_at.store(0, Ordering::Relaxed);
                false
            }
            (Pass::Free, _) => {
                self.count(failed, now);
                let opens = failed && self.is_bad(now);
                // Copies that were sent before it opened end after that, too.
                let open = now + OPEN_MS + 1;
                opens && self.opens_at.compare_exchange(0, open, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            }
        }
    }

    fn count(&self, failed: bool, now: u64) {
        let second = (now / 1_000) & 0xffff_ffff;
        let Ok(at) = usize::try_from(second % WINDOW_SECONDS) else { return };
        let counted = |word: u64| {
            let counts = Counts::of(word);
            let current = if counts.second == second { counts } else { Counts { second, ..Counts::default() } };
            Some(current.and(failed).word())
        };
        // Never an error, because it always has a new value.
        let _ = self.seconds[at].fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    fn is_bad(&self, now: u64) -> bool {
        let second = (now / 1_000) & 0xffff_ffff;
        let all = self.seconds.iter().map(|word| Counts::of(word.load(Ordering::Relaxed)));
        let recent = all.filter(|counts| second.saturating_sub(counts.second) < WINDOW_SECONDS);
        let (answered, failed) = recent.fold((0, 0), |sum, one| (sum.0 + one.answered, sum.1 + one.failed));
        answered + failed >= JUDGED_MIN && failed > answered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies as letters, one each 100 ms from `from`: `.` is answered, `x` fails. Whether it is open at the end.
    fn fed(breaker: &Breaker, from: u64, copies: &str) -> bool {
        for (at, copy) in (from..).step_by(100).zip(copies.chars()) {
            breaker.ended(Pass::Free, copy == 'x', at);
        }
        breaker.opens_at.load(Ordering::Relaxed) != 0
    }

    #[track_caller]
    fn check(copies: &str, opens: bool) {
        assert_eq!(fed(&Breaker::default(), 5_000, copies), opens, "{copies}");
    }

    #[test]
    fn it_opens_when_most_of_enough_fail() {
        check(&"x".repeat(19), false);
        check(&"x".repeat(20), true);
        check(&".x".repeat(40), false);
        check(&".xx".repeat(20), true);
        check(&"..x".repeat(20), false);
    }

    #[test]
    fn what_is_old_does_not_count() {
        let breaker = Breaker::default();
        assert!(!fed(&breaker, 0, &"x".repeat(19)));
        assert!(!fed(&breaker, 12_000, "x"), "the nineteen are forgotten");
        assert!(!fed(&breaker, 60_000, &".".repeat(19)));
        assert!(!fed(&breaker, 72_000, &"x".repeat(19)));
        assert!(fed(&breaker, 74_000, "x"));
    }

    #[test]
    fn one_at_a_time_tries_until_one_is_answered() {
        let breaker = Breaker::default();
        assert_eq!(breaker.pass(0), Some(Pass::Free));
        fed(&breaker, 0, &"x".repeat(20));
        let opened = 1_900;
        assert_eq!(breaker.pass(opened + OPEN_MS - 1), None);
        assert_eq!(breaker.pass(opened + OPEN_MS), Some(Pass::Try));
        assert_eq!(breaker.pass(opened + OPEN_MS + 1), None, "one tries");
        breaker.ended(Pass::Free, true, opened + OPEN_MS + 2);
        assert_eq!(breaker.pass(opened + OPEN_MS + 3), None, "one of before changes nothing");
        breaker.ended(Pass::Try, true, opened + OPEN_MS + 10);
        assert_eq!(breaker.pass(opened + 2 * OPEN_MS + 9), None);
        assert_eq!(breaker.pass(opened + 2 * OPEN_MS + 10), Some(Pass::Try));
        breaker.ended(Pass::Try, false, opened + 2 * OPEN_MS + 20);
        assert_eq!(breaker.pass(opened + 2 * OPEN_MS + 21), Some(Pass::Free));
        assert!(!fed(&breaker, 20_000, "x"), "it begins anew");
    }

    #[test]
    fn a_try_that_never_ends_does_not_keep_it_open() {
        let breaker = Breaker::default();
        fed(&breaker, 0, &"x".repeat(20));
        assert_eq!(breaker.pass(10_000), Some(Pass::Try));
        assert_eq!(breaker.pass(10_000 + TRY_MS - 1), None);
        assert_eq!(breaker.pass(10_000 + TRY_MS), Some(Pass::Try));
    }
}
