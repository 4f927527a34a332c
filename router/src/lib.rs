//! The data plane and the binary `crossfade`.
//!
//! Public is what the binary starts, and the pure path of a request - `config`, `h1`, `seen`, `headers` - which fuzz targets and
//! benchmarks drive without a socket.

mod access;
pub mod app;
mod attempts;
mod body;
mod buffers;
mod caller;
pub mod cli;
mod client_side;
pub mod config;
pub mod demo;
mod diff;
#[cfg(test)]
mod documents;
mod error;
mod fallback;
mod forward;
pub mod h1;
pub mod headers;
mod health;
mod issues;
mod listener;
pub mod logging;
mod mirror;
pub mod notify;
mod occupancy;
mod outgoing;
mod proxy;
mod runtime;
pub mod seen;
mod sleepers;
mod timer;
mod tunnel;
mod upstream;
mod worker;

#[doc(hidden)]
pub use proxy::pure_path::{Passed, PurePath};
