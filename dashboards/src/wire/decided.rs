//! How many requests were decided for new, of how many.

use flags::tally::Tally;
use metrics::fleet::FleetCounts;
use metrics::outcome::CodeClass;

/// Requests by the side that was to serve them: copies are not among them, and one that a fallback saved is new's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) new: u64,
    pub(crate) all: u64,
}

impl Decided {
    pub(crate) fn of(legacy: &Tally, new: &Tally) -> Self {
        let answered = |tally| CodeClass::ALL.into_iter().map(|class| FleetCounts(tally).requests(class)).sum::<u64>();
        let by_new = answered(new);
        Self { new: by_new + FleetCounts(new).fallbacks(), all: answered(legacy) + by_new }
    }

    /// The share of new, 0 to 100 with two decimals; `None` without requests.
    pub(crate) fn percent(self) -> Option<f64> {
        #[allow(clippy::cast_precision_loss, reason = "two decimals of a share survive 52 bits")]
        let share = || (self.new.min(self.all) as f64 / self.all as f64 * 10_000.0).round() / 100.0;
        (self.all > 0).then(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(legacy: &str, new: &str, expected: Option<f64>) {
        let tally = |text: &str| {
            let mut tally = Tally::default();
            for (name, count) in text.split(' ').filter_map(|word| word.split_once('=')) {
                tally.add(name, count.parse().unwrap());
            }
            tally
        };
        assert_eq!(Decided::of(&tally(legacy), &tally(new)).percent(), expected, "{legacy:?} {new:?}");
    }

    #[test]
    fn a_share_is_of_what_callers_asked_and_not_of_copies() {
        check("", "", None);
        check("2xx=3", "2xx=1", Some(25.0));
        check("2xx=2 5xx=1", "", Some(0.0));
        check("2xx=3 ok=3", "ok=3", Some(0.0));
        check("2xx=4", "fallbacks=1", Some(25.0));
        check("2xx=1", "fallbacks=2", Some(100.0));
    }
}
