//! The parts of `crossfade demo`: sample systems, load, status line.
//!
//! Kept in the library and not under `cli`, so that tests start the sample systems without a command line.
