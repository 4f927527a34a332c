//! Which notices were taken of late, so that each is told once.
//!
//! Bounded: beyond the most ids that are kept the oldest is forgotten, and could be told again.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an id is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(3_600);

/// Ids that are remembered; a fleet in trouble makes a few an hour.
const IDS_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Recent {
    known: HashSet<Arc<str>>,
    /// The oldest comes first.
    order: VecDeque<(Instant, Arc<str>)>,
}

impl Recent {
    /// Whether this id was not seen within the last hour; from now on it was.
    pub(super) fn is_new(&mut self, id: &str, now: Instant) -> bool {
        let expired = |(at, _): &(Instant, Arc<str>)| now.saturating_duration_since(*at) >= REMEMBERED_FOR;
        while self.order.front().is_some_and(expired) {
            self.forget_oldest();
        }
        if self.known.contains(id) {
            return false;
        }
        if self.order.len() >= IDS_MAX {
            self.forget_oldest();
        }
        let id: Arc<str> = id.into();
        self.known.insert(Arc::clone(&id));
        self.order.push_back((now, id));
        true
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_front() {
            self.known.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_an_hour() {
        let mut recent = Recent::default();
        let start = Instant::now();
        let second = |n: u64| start + Duration::from_secs(n);
        assert!(recent.is_new("a", second(0)));
        assert!(!recent.is_new("a", second(0)));
        assert!(recent.is_new("b", second(10)));
        assert!(!recent.is_new("a", second(3_599)));
        assert!(recent.is_new("a", second(3_600)));
        assert!(!recent.is_new("b", second(3_600)));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let mut recent = Recent::default();
        let now = Instant::now();
        for n in 0..3 * IDS_MAX {
            assert!(recent.is_new(&n.to_string(), now));
        }
        assert_eq!((recent.order.len(), recent.known.len()), (IDS_MAX, IDS_MAX));
        assert!(!recent.is_new(&(3 * IDS_MAX - 1).to_string(), now));
        assert!(recent.is_new("0", now));
    }
}
