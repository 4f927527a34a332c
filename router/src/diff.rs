//! The parts of `crossfade diff`: recorded requests in, both systems asked, what differs counted and reported.
//!
//! # Why apart from the mirror
//!
//! The mirror compares while callers wait, so it drops what it has no time for. Here nobody waits: every request is either compared
//! or told with the reason why not. What is compared and how is the same engine, `metrics::compare`.
//!
//! Not here: arguments and exit codes, which are `cli/diff.rs`.

pub(crate) mod fold;
pub(crate) mod gathering;
pub(crate) mod recording;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod select;
pub(crate) mod send;
pub(crate) mod tally;
