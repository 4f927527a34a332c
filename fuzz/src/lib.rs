//! What must hold of everything that reads what others wrote, each as one function over bytes.
//!
//! # Why functions over bytes
//!
//! A fuzzer hands bytes in, and so does a test. So an invariant is written once: the targets in `targets/` run it for as long as
//! somebody lets them, and `router/tests/invariants.rs` includes this file and runs it briefly wherever the tests run. A broken
//! invariant panics; so does, of course, a panic.
//!
//! Not here: connections, which need a runtime, and what other readers make of the same bytes
//! (`router/tests/differential.rs`).

mod chunks;
mod exchange;
mod file;
mod reading;
mod request_head;
mod response_head;
mod routes;

pub use chunks::chunks;
pub use exchange::exchange;
pub use file::file;
pub use request_head::request_head;
pub use response_head::response_head;
pub use routes::routes;
