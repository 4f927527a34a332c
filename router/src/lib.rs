//! The data plane and the binary `crossfade`.

mod access;
pub mod app;
mod body;
mod buffers;
mod caller;
pub mod cli;
mod client_side;
pub mod config;
pub mod demo;
#[cfg(test)]
mod documents;
mod error;
mod forward;
pub mod h1;
mod headers;
mod health;
mod listener;
pub mod logging;
mod mirror;
mod proxy;
mod runtime;
mod seen;
mod timer;
mod tunnel;
mod upstream;
mod worker;
