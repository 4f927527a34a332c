//! Issues that arrive as webhooks: each is kept before it is answered, and then sent to the one system that owns its issue.
//!
//! # Why not forwarded like other requests
//!
//! Whoever sends a webhook waits some seconds for an answer and does not send again. A system that restarts would lose the
//! event, and a second try at the other system is how an issue gets done twice. So an event is durable before its 2xx,
//! has one owner that changes only when nobody can be working on it, and is sent until it was delivered or a person has
//! decided otherwise. The rules of that are [`flags::ledger`]; here is what receives and what sends.
//!
//! - `signature`, `payload`, `answer`: what a webhook is, and what its sender is told;
//! - `intake`: from a webhook that a worker has read to its answer, off the workers;
//! - `journal`: a file for what the store has not got yet;
//! - `dispatch`, `sending`, `classes`: from the ledger to the systems;
//! - `reconcile`: asks GitHub for what never arrived.
//!
//! Not supported: order between issues, delivery exactly once, bodies that are not JSON.

pub(crate) mod answer;
pub(crate) mod classes;
pub(crate) mod dispatch;
pub(crate) mod drain;
pub(crate) mod intake;
pub(crate) mod journal;
mod limiter;
pub(crate) mod office;
pub(crate) mod payload;
mod placing;
pub(crate) mod reconcile;
mod sending;
pub(crate) mod signature;
mod strikes;
pub(crate) mod told;
