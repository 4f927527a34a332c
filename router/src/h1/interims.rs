//! How fast interim answers (RFC 9110 section 15.2) may come.
//!
//! # Why a pace and no total
//!
//! An upload of an hour is told how far it has come thousands of times (104), and long work says that it goes on (102). What costs
//! is only an upstream that announces without a pause. So what is counted are those that come while neither a second goes by nor
//! the upload moves. How long all of them may take is decided by the time-outs of the wait for the answer, which they do not postpone.

use std::time::{Duration, Instant};

/// Interim answers in one count; more is an upstream that never answers.
const COUNT_MAX: usize = 64;

/// A count starts over after this time.
const COUNT_TIME: Duration = Duration::from_secs(1);

/// What of an upload may be told of in one count, where nothing is read before all of it was sent.
const TOLD_BYTES: usize = 16 * 1024;

/// Tells a fast upstream from one that never answers.
#[derive(Debug)]
pub(crate) struct Pace {
    left: usize,
    since: Option<Instant>,
    uploaded: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self::behind(0)
    }
}

impl Pace {
    /// Behind an upload during which nothing was read: what came all the while comes at once.
    pub(crate) const fn behind(bytes: usize) -> Self {
        Self { left: COUNT_MAX * (1 + bytes / TOLD_BYTES), since: None, uploaded: 0 }
    }

    /// Whether one more is taken, that came now, when so much of the upload had gone.
    pub(crate) fn takes(&mut self, now: Instant, uploaded: u64) -> bool {
        let since = *self.since.get_or_insert(now);
        if uploaded != self.uploaded || now.saturating_duration_since(since) >= COUNT_TIME {
            self.left = self.left.max(COUNT_MAX);
            (self.since, self.uploaded) = (Some(now), uploaded);
        }
        let takes = self.left > 0;
        self.left = self.left.saturating_sub(1);
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of these is the first that is not taken; each is `(milliseconds, bytes uploaded)`.
    #[track_caller]
    fn check(mut pace: Pace, times: impl IntoIterator<Item = (u64, u64)>, expected: Option<usize>) {
        let begun = Instant::now();
        let mut times = times.into_iter();
        let refused = times.position(|(at, uploaded)| !pace.takes(begun + Duration::from_millis(at), uploaded));
        assert_eq!(refused, expected);
    }

    #[test]
    fn what_comes_without_a_pause_ends() {
        check(Pace::default(), (0..10_000).map(|_| (0, 0)), Some(COUNT_MAX));
        check(Pace::default(), (0..10_000).map(|n| (n, 0)), Some(COUNT_MAX));
        check(Pace::default(), (0..10_000).map(|n| (5_000 + n, 7)), Some(COUNT_MAX));
        let burst = (0..40).map(|_| (0, 0)).chain((0..100).map(|_| (1_000, 0)));
        check(Pace::default(), burst, Some(40 + COUNT_MAX));
    }

    #[test]
    fn what_comes_with_time_or_with_the_upload_goes_on() {
        check(Pace::default(), (0..10_000).map(|n| (n * 16, 0)), None);
        check(Pace::default(), (0..10_000).map(|n| (0, n)), None);
        check(Pace::default(), (0..10_000).map(|n| (0, n / 60)), None);
        check(Pace::default(), (0..10_000).map(|n| (n * 1_000 / 64, 0)), None);
    }

    #[test]
    fn what_came_during_an_upload_comes_at_once_behind_it() {
        let at_once = || (0..10_000).map(|_| (0, 0));
        check(Pace::behind(TOLD_BYTES - 1), at_once(), Some(COUNT_MAX));
        check(Pace::behind(10 * TOLD_BYTES), at_once(), Some(11 * COUNT_MAX));
        check(Pace::behind(10 * TOLD_BYTES), (0..10_000).map(|n| (n / 64 * 1_000, 0)), None);
    }
}
