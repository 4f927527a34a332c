//! What should happen to a request: vocabulary, decisions and the state they are made from.
//!
//! # Why a crate without a server
//!
//! Everything that decides is pure and everything that stores is behind one trait, so that the same
//! code answers the data plane, the admin API, the command line and a test. This crate knows
//! nothing about HTTP servers, connections or metrics.

pub mod accepted;
pub mod bucket;
pub mod control;
pub mod decide;
pub mod fallback;
pub mod freeze;
pub mod guard;
pub mod jwt;
pub mod key;
pub mod ledger;
pub mod migration;
pub mod mirror;
pub mod mode;
pub mod route;
pub mod rule;
pub mod saved;
pub mod snapshot;
pub mod state;
pub mod store;
pub mod tally;
pub mod watch;

pub use bucket::{BasisPoints, Bucket, HashKind};
pub use decide::{Decision, Facts, Reason, decide};
pub use guard::Guard;
pub use key::KeySource;
pub use migration::{Migration, MigrationId, Side};
pub use mode::{Command, Mode};
pub use snapshot::{Definitions, MigrationIndex, Snapshot};
pub use state::Revision;
