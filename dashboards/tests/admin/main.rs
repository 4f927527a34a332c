//! The admin side as a client meets it: real `Control` and `Watch` over an embedded store, no socket.

mod bad_input;
mod changes;
mod probes;
mod reads;
mod story;
mod world;
