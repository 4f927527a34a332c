//! placeholder
mod mind;
