//! What the answer of a system means for an issue.
//!
//! # Why a time-out is no refusal
//!
//! A system that was too slow to say so may have begun. Giving its work to the other one is how an issue gets done twice.
//! So only what certainly was not accepted may go elsewhere: nothing was sent, or the system said so in one field.

use flags::ledger::Answer;

/// The field by which a system says that it certainly has not accepted a delivery, with `1` as its value.
pub(crate) const NOT_ACCEPTED: &str = "crossfade-not-accepted";

/// What came of one try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tried {
    Answered {
        status: u16,
        /// It said by [`NOT_ACCEPTED`] that it has not accepted it.
        declined: bool,
    },
    /// No byte of it has left: nobody was found, or nobody let us in.
    NothingSent(String),
    TimedOut,
    /// The connection broke when some of it may have arrived.
    Broken(String),
}

impl Tried {
    pub(crate) const fn class(&self) -> Answer {
        match self {
            Self::Answered { status: 200..=299, .. } => Answer::Accepted,
            Self::Answered { status: 409, .. } => Answer::InProgress,
            Self::Answered { status: 429 | 503, declined: true } => Answer::NotAccepted,
            Self::Answered { status: 400..=499, .. } => Answer::Rejected,
            Self::NothingSent(_) => Answer::NotAccepted,
            Self::Answered { .. } | Self::TimedOut | Self::Broken(_) => Answer::Ambiguous,
        }
    }

    /// For screens and logs.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Answered { status, declined: true } => format!("answered {status}, not accepted"),
            Self::Answered { status, declined: false } => format!("answered {status}"),
            Self::NothingSent(why) => format!("nothing was sent: {why}"),
            Self::TimedOut => "did not answer in time".into(),
            Self::Broken(why) => format!("the connection broke: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, declined: bool, class: Answer) {
        assert_eq!(Tried::Answered { status, declined }.class(), class, "{status}, {declined}");
    }

    #[test]
    fn answers_fall_into_their_classes() {
        for status in [200, 201, 202, 204, 299] {
            check(status, false, Answer::Accepted);
            check(status, true, Answer::Accepted);
        }
        check(409, false, Answer::InProgress);
        for status in [429, 503] {
            check(status, true, Answer::NotAccepted);
        }
        check(503, false, Answer::Ambiguous);
        for status in [400, 401, 403, 404, 405, 410, 413, 422, 429] {
            check(status, false, Answer::Rejected);
        }
        for status in [500, 501, 502, 504, 599] {
            check(status, false, Answer::Ambiguous);
            check(status, true, Answer::Ambiguous);
        }
        // Nobody follows a redirect, and nobody can say that nothing was done.
        for status in [301, 302, 307, 308] {
            check(status, false, Answer::Ambiguous);
        }
    }

    #[test]
    fn only_what_was_certainly_not_sent_may_go_elsewhere() {
        assert_eq!(Tried::NothingSent("refused".into()).class(), Answer::NotAccepted);
        assert_eq!(Tried::TimedOut.class(), Answer::Ambiguous);
        assert_eq!(Tried::Broken("reset".into()).class(), Answer::Ambiguous);
    }
}
