//! When a notice that did not arrive is sent again, and when it is given up.
//!
//! # Why so long
//!
//! What takes notices is often restarted by the same trouble that they tell of. Eight tries over about a quarter of an hour
//! outlive a restart; after that the alert rules, which need no notice, have long fired.

use std::time::Duration;

use thiserror::Error;

/// Tries of one notice at one target.
pub(super) const TRIES_MAX: u32 = 8;

/// The pause after the first try; each further one is twice as long.
const PAUSE_FIRST: Duration = Duration::from_secs(7);

/// The longest pause that a target may ask for.
const PAUSE_ASKED_MAX: Duration = Duration::from_secs(300);

/// Why a notice did not arrive, told to an operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Undelivered {
    #[error("it answered {status}{}", advice(*status))]
    Answered {
        status: u16,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    #[error("it did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("the notice cannot be sent: {0}")]
    Unsendable(String),
}

const fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => ": redirects are not followed, write the address that it names",
        400 | 422 => ": it does not take what was sent, so look whether the address is of this kind of target",
        401 | 403 => ": look whether the address and the secret are right",
        404 | 410 => ": nothing takes notices at this address",
        _ => "",
    }
}

impl Undelivered {
    /// Whether the same may arrive later.
    fn is_transient(&self) -> bool {
        match self {
            Self::Answered { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::TimedOut(_) | Self::Unreachable(_) => true,
            Self::Unsendable(_) => false,
        }
    }
}

/// The pause before the next try after so many; none: it is given up. `die` is a random number, which keeps the routers of
/// a fleet from coming back together.
pub(super) fn pause(why: &Undelivered, tries: u32, die: u32) -> Option<Duration> {
    if !why.is_transient() || tries >= TRIES_MAX {
        return None;
    }
    if let Undelivered::Answered { retry_after: Some(asked), .. } = why {
        return Some((*asked).clamp(Duration::from_secs(1), PAUSE_ASKED_MAX));
    }
    let whole = PAUSE_FIRST.saturating_mul(1 << tries.saturating_sub(1).min(TRIES_MAX));
    // Between half of it and half as much again.
    Some(whole.mul_f64(0.5 + f64::from(die) / f64::from(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answered(status: u16) -> Undelivered {
        Undelivered::Answered { status, retry_after: None }
    }

    #[track_caller]
    fn check(why: &Undelivered, again: bool) {
        assert_eq!(pause(why, 1, 0).is_some(), again, "{why}");
        assert_eq!(pause(why, TRIES_MAX, 0), None, "{why}");
    }

    #[test]
    fn what_may_pass_is_tried_again() {
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            check(&answered(status), true);
        }
        for status in [301, 302, 308, 400, 401, 403, 404, 405, 410, 413, 422] {
            check(&answered(status), false);
        }
        check(&Undelivered::TimedOut(Duration::from_secs(10)), true);
        check(&Undelivered::Unreachable("refused".into()), true);
        check(&Undelivered::Unsendable("no authorities".into()), false);
    }

    #[track_caller]
    fn check_asked(asked: u64, waited: u64) {
        let why = Undelivered::Answered { status: 429, retry_after: Some(Duration::from_secs(asked)) };
        assert_eq!(pause(&why, 3, u32::MAX), Some(Duration::from_secs(waited)), "{asked}");
    }

    #[test]
    fn a_target_may_ask_for_a_pause_within_bounds() {
        check_asked(0, 1);
        check_asked(30, 30);
        check_asked(86_400, 300);
    }

    #[test]
    fn an_operator_is_told_what_to_look_at() {
        assert_eq!(answered(503).to_string(), "it answered 503");
        assert_eq!(answered(403).to_string(), "it answered 403: look whether the address and the secret are right");
    }

    proptest! {
        #[test]
        fn all_tries_take_about_a_quarter_of_an_hour(dice in proptest::collection::vec(any::<u32>(), 7)) {
            let pauses: Vec<_> = (1..).zip(dice).map_while(|(tries, die)| pause(&answered(503), tries, die)).collect();
            prop_assert_eq!(pauses.len(), 7);
            let total: Duration = pauses.iter().sum();
            prop_assert!((7..=23).contains(&(total.as_secs() / 60)), "{:?}", total);
        }
    }
}
