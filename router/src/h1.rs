//! HTTP/1.1, ours: strict, sans-io where rules live, with thin I/O over it.
//!
//! # Why not a general library
//!
//! A general server resolves what is ambiguous before a service can see it, cannot relay interim answers, and costs more
//! memory and time than relaying needs. A proxy reads a head, refuses or decides, writes a head and relays a body by its
//! framing; that is small enough to own and to test exhaustively.
//!
//! [`head`], [`framing`], `interims` and [`mod@write`] are pure; [`conn`] reads and writes; nothing here routes or decides.

pub mod conn;
pub mod framing;
pub mod head;
pub(crate) mod interims;
pub mod refusal;
pub mod write;
