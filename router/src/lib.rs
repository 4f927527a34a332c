//! The data plane and the binary `crossfade`.

pub mod cli;
pub mod config;
pub mod demo;
pub mod logging;
