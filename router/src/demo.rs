//! The parts of `crossfade demo`: sample systems, load, generated file, status line.
//!
//! Kept in the library and not under `cli`, so that tests start the sample systems without a command line.

pub mod fault;
pub mod folder;
pub mod guide;
pub mod load;
pub mod status;
pub mod system;
pub mod websocket;
