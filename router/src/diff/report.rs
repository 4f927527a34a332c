//! What a comparison came to: for people, for programs, and as a page to pass on.
//!
//! Every form has the same numbers, and "not compared" beside "matched". Values are as redacted as the comparison left them; what identifies a
//! request is its line in the recording, never its path as it was sent.

pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod text;

use super::tally::Counted;

/// Everything that a report tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) legacy: String,
    pub(crate) new: String,
    pub(crate) recording: String,
    /// Requests that were sent.
    pub(crate) sent: u64,
    /// Entries of the recording that are no requests.
    pub(crate) unreadable: u64,
    /// Why others were not sent, and how many.
    pub(crate) skipped: Vec<(&'static str, u64)>,
    /// Whether legacy was asked twice.
    pub(crate) noise: bool,
    pub(crate) counted: Counted,
}

impl Report {
    /// Requests that differ, of all that were compared, as a sentence.
    fn verdict(&self) -> String {
        let totals = self.counted.totals;
        match (totals.compared(), totals.mismatched) {
            (0, _) => "nothing was compared".into(),
            (compared, 0) => format!("no mismatch in {}", requests(compared)),
            (compared, mismatched) => format!("{mismatched} of {} mismatched", requests(compared)),
        }
    }

    /// The four numbers, each with what it means.
    fn numbers(&self) -> [(&'static str, u64, String); 4] {
        let totals = self.counted.totals;
        let ignored = match self.counted.by_noise {
            0 => "differ only where a rule allows it".into(),
            noise => format!("differ only where a rule allows it, or as legacy does from itself ({noise})"),
        };
        [
            ("matched", totals.matched, "answers are the same".into()),
            ("ignored", totals.ignored, ignored),
            ("mismatched", totals.mismatched, "answers differ".into()),
            ("not compared", totals.not_compared, "no answer, or one that cannot be compared: nobody knows".into()),
        ]
    }
}

fn requests(count: u64) -> String {
    format!("{count} request{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
