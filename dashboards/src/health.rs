//! What only the running router knows of itself, asked for when an operator looks.
//!
//! The data plane implements [`Health`]; tests implement it with a struct. Nothing here is polled on
//! the path of a request.

use flags::migration::MigrationId;
use serde::Serialize;
use utoipa::ToSchema;

/// How this router is doing. Every method must answer at once, from memory.
pub trait Health: Send + Sync + 'static {
    fn readiness(&self) -> Readiness;

    /// Every upstream of the file, in its order.
    fn upstreams(&self) -> Vec<UpstreamHealth>;

    /// What one migration's requests did of late on this router; `None` before the first.
    fn observed(&self, migration: &MigrationId) -> Option<Observed>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Every listener is bound and workers accept. A first snapshot is loaded by then.
    pub listening: bool,
    /// Finishing what is open; no new work, please.
    pub draining: bool,
}

/// The service behind a side, as this router meets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct UpstreamHealth {
    pub name: String,
    pub endpoints: Vec<EndpointHealth>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct EndpointHealth {
    /// As the file writes it: `http://10.0.0.7:3001`.
    pub url: String,
    pub healthy: bool,
    /// Why it is not, in words for an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// First attempts by side over the last window, on this router alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Observed {
    pub window_seconds: u32,
    pub legacy: u64,
    pub new: u64,
}

impl Observed {
    /// The share of new in percent with two decimals; `None` without requests.
    pub fn percent_new(self) -> Option<f64> {
        let total = self.legacy.checked_add(self.new).filter(|total| *total > 0)?;
        #[allow(clippy::cast_precision_loss, reason = "two decimals of a share survive 52 bits")]
        let share = self.new as f64 / total as f64;
        Some((share * 10_000.0).round() / 100.0)
    }

    /// Requests a second; `None` without requests.
    pub fn per_second(self) -> Option<f64> {
        let total = self.legacy.checked_add(self.new).filter(|total| *total > 0)?;
        #[allow(clippy::cast_precision_loss, reason = "requests of a minute are far below 2^52")]
        let rate = total as f64 / f64::from(self.window_seconds.max(1));
        Some(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(legacy: u64, new: u64, expected: Option<f64>) {
        assert_eq!(Observed { window_seconds: 60, legacy, new }.percent_new(), expected, "{legacy} {new}");
    }

    #[test]
    fn a_share_needs_requests() {
        check(0, 0, None);
        check(1, 0, Some(0.0));
        check(0, 1, Some(100.0));
        check(2, 1, Some(33.33));
    }
}
