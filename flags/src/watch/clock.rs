//! The store's clock as this router knows it, so that a slot means the same half second on every router.
//!
//! # Why not the last answer alone
//!
//! The store tells its time somewhere between question and answer, so an answer is as uncertain as half of what it took.
//! One that was slow would move this router's slots by as much, until the next; it is left out where a better one is
//! still good enough. One that no uncertainty explains means that a clock was set, and is believed at once.

use jiff::{SignedDuration, Timestamp};

/// How far two clocks may run apart, as a part of the time that passes; real ones do a tenth of it.
const DRIFT_DIVISOR: i32 = 1_000;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StoreClock(Option<Known>);

#[derive(Clone, Copy, Debug)]
struct Known {
    /// Of this router's clock.
    ahead: SignedDuration,
    uncertain: SignedDuration,
    at: Timestamp,
}

impl StoreClock {
    /// The store's time when this router's clock says `now`; the same before any answer.
    pub(super) fn time(&self, now: Timestamp) -> Timestamp {
        let ahead = self.0.map(|known| known.ahead).unwrap_or_default();
        now.saturating_add(ahead).unwrap_or(now)
    }

    /// Takes what the store `told` between two times of this router's clock.
    pub(super) fn heard(&mut self, asked: Timestamp, told: Timestamp, answered: Timestamp) {
        let took = answered.duration_since(asked);
        if took.is_negative() {
            // This router's clock was set meanwhile.
            return;
        }
        let uncertain = took / 2;
        let ahead = told.duration_since(asked).saturating_sub(uncertain);
        if let Some(known) = self.0 {
            let age = answered.duration_since(known.at).abs();
            let known_within = known.uncertain.saturating_add(age / DRIFT_DIVISOR);
            let is_explained = ahead.saturating_sub(known.ahead).abs() <= known_within.saturating_add(uncertain);
            if is_explained && uncertain > known_within {
                return;
            }
        }
        self.0 = Some(Known { ahead, uncertain, at: answered });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers as (asked, told, answered) in milliseconds, and how far ahead the store is taken to be after them.
    #[track_caller]
    fn check(answers: &[(i64, i64, i64)], ahead_ms: i64) {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let mut clock = StoreClock::default();
        answers.iter().for_each(|(asked, told, answered)| clock.heard(at(*asked), at(*told), at(*answered)));
        assert_eq!(clock.time(at(5_000_000)), at(5_000_000 + ahead_ms), "{answers:?}");
    }

    #[test]
    fn the_best_answer_of_late_is_believed_and_a_clock_that_was_set_at_once() {
        check(&[], 0);
        check(&[(1_000, 1_702, 1_004)], 700);
        check(&[(1_000, 702, 1_004)], -300);
        // A slow one says less than is known, a quick one more.
        check(&[(1_000, 1_702, 1_004), (2_000, 2_990, 2_400)], 700);
        check(&[(1_000, 1_990, 1_400), (2_000, 2_702, 2_004)], 700);
        // After a while the slow one is as good.
        check(&[(1_000, 1_702, 1_004), (301_000, 301_990, 301_400)], 790);
        // No uncertainty explains these.
        check(&[(1_000, 1_702, 1_004), (2_000, 62_200, 2_400)], 60_000);
        check(&[(1_000, 1_702, 1_004), (2_000, 2_102, 2_004)], 100);
        // An answer from before its question.
        check(&[(1_000, 1_702, 1_004), (2_000, 2_002, 1_000)], 700);
    }
}
