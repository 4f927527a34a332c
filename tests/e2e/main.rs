//! The promises of the router, each as a sentence, against the binary that ships.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail as the test itself does")]

mod admin;
mod attempts;
mod chaos;
mod conformance;
mod connections;
mod demo;
mod diff;
mod drops;
mod fallback;
mod fleet;
mod flips;
mod freezes;
mod guard;
mod hostile_mirror;
mod issues;
mod limits;
mod links;
mod mirror;
mod mismatches;
mod modes;
mod notify;
mod observability;
mod operations;
mod parallel;
mod proxying;
mod replay;
mod restarts;
mod secrets;
mod splits;
mod store;
mod streaming;
mod suites;
mod tidy;
mod tunnels;
mod world;
