//! What was seen and what it means: observations now, comparison and guards on top of them.
//!
//! # Why apart from the data plane
//!
//! A judgement must be replayable from counts, without a connection in sight; and the data plane
//! must be able to count without knowing who reads. This crate knows nothing about HTTP servers.

pub mod block;
mod causes;
pub mod compare;
pub mod events;
pub mod families;
pub mod fast;
pub mod fleet;
pub mod guard;
pub mod judge;
pub mod mismatch;
pub mod notice;
pub mod observe;
pub mod outcome;
pub mod performance;
pub mod rollback;
pub mod sequential;
pub mod simulate;
pub mod status;
pub mod wilson;

pub use causes::causes;
pub use observe::{MigrationCells, MirrorDrop, Observer, Shard, UpstreamCells, WorkerCells};
pub use outcome::{Attempted, CodeClass, Failure, Outcome};
