//! Our own mutations: the ways to hide a request that suites, papers and advisories describe, written out as families.
//!
//! # Why lists and not chance
//!
//! A family is a spelling times a place. Written out, each has a name, fails the same way tomorrow, and has the verdict that
//! the conformance table gives it. Texts have one char a byte.

pub(super) mod bodies;
mod bytes;
mod heads;
pub(super) mod spellings;

use super::oracle::Outcome;

/// The request that is hidden. Whoever hid it well made an origin serve it.
pub(super) const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// Refused before a byte went on.
    Refused,
    /// Refused, perhaps on its way: no origin has got a whole request.
    Cut,
    /// One request, with this body.
    Forwarded(String),
    /// One request, and what stands behind it is never read.
    Last,
    /// The router answers by itself.
    Local,
    /// It frames nothing, so that what stands behind it is a request of its own; only the oracle applies.
    Apart,
}

#[derive(Clone, Debug)]
pub(super) struct Mutation {
    pub(super) family: &'static str,
    pub(super) text: String,
    pub(super) verdict: Verdict,
}

impl Mutation {
    fn new(family: &'static str, text: String, verdict: &Verdict) -> Self {
        Self { family, text, verdict: verdict.clone() }
    }

    pub(super) fn name(&self) -> String {
        format!("{}: {:?}", self.family, self.text)
    }

    /// What the verdict asks for, and whether it holds.
    pub(super) fn holds(&self, outcome: &Outcome) -> bool {
        let is_found = outcome.requests().iter().any(|request| request.head.target().contains("hidden"));
        match &self.verdict {
            Verdict::Refused => outcome.is_refused(),
            Verdict::Cut => outcome.is_cut(),
            Verdict::Forwarded(body) => outcome.has_forwarded(body.as_bytes()) && !is_found,
            Verdict::Last => outcome.is_forwarded() && outcome.is_last() && !is_found,
            Verdict::Local => outcome.statuses() == [200] && outcome.requests().is_empty(),
            Verdict::Apart => true,
        }
    }
}

/// Every mutation.
pub(super) fn all() -> Vec<Mutation> {
    [
        spellings::encodings(),
        spellings::lengths(),
        bodies::chunks(),
        bodies::trailers(),
        bodies::on_any_method(),
        heads::all(),
    ]
    .concat()
}

/// Every byte at every place around a framing field.
pub(super) fn every_byte() -> Vec<Mutation> {
    bytes::all()
}

fn post(lines: &str, body: &str) -> String {
    format!("POST /m HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}")
}

/// One chunk and the last.
fn chunked(body: &str) -> String {
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}
