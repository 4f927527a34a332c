//! How often new has certainly not accepted a delivery of late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use flags::ledger::Answer;

/// Older ones do not count.
const WINDOW: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Strikes(VecDeque<Instant>);

impl Strikes {
    /// Counts an answer; how many there were, where that is enough. Then it begins anew.
    pub(crate) fn count(&mut self, answer: Answer, enough: u32, now: Instant) -> Option<usize> {
        if enough == 0 || answer != Answer::NotAccepted {
            return None;
        }
        self.0.push_back(now);
        while self.0.front().is_some_and(|first| now.duration_since(*first) > WINDOW) {
            self.0.pop_front();
        }
        let count = self.0.len();
        if count < enough as usize {
            return None;
        }
        self.0.clear();
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_within_a_minute_are_enough() {
        let (mut strikes, begin) = (Strikes::default(), Instant::now());
        let mut at = |answer, second| strikes.count(answer, 3, begin + Duration::from_secs(second));
        assert_eq!(at(Answer::NotAccepted, 0), None);
        for other in [Answer::Accepted, Answer::Ambiguous, Answer::Rejected, Answer::InProgress] {
            assert_eq!(at(other, 1), None);
        }
        assert_eq!(at(Answer::NotAccepted, 30), None);
        assert_eq!(at(Answer::NotAccepted, 61), None, "the first is older than a minute");
        assert_eq!(at(Answer::NotAccepted, 62), Some(3));
        assert_eq!(at(Answer::NotAccepted, 63), None, "it begins anew");
        assert_eq!(Strikes::default().count(Answer::NotAccepted, 1, begin), Some(1), "as the story does it");
        assert_eq!(Strikes::default().count(Answer::NotAccepted, 0, begin), None, "off");
    }
}
