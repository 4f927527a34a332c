//! A fleet on a Redis that fails: nobody notices, and the routers agree again as soon as they can.

mod histories;
mod scenarios;
