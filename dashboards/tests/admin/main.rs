//! The admin side as a client meets it: real `Control` and `Watch` over an embedded store, no socket.

#![allow(clippy::unwrap_used, reason = "a panic in a test is the failure it should be")]

mod bad_input;
mod changes;
mod events;
mod freeze;
mod guard;
mod issues;
mod mismatches;
mod ofrep;
mod outcomes;

mod probes;
mod reads;
mod schema;
mod sessions;
mod story;
mod ui;
mod world;
