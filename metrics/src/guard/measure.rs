//! The measures of a guard and what each weighs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is compared between new and legacy, or held against a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    Requests,
    Refusals,
    Work,
    LatencyP50,
    LatencyP75,
    LatencyP90,
    LatencyP95,
    LatencyP99,
    MeanDuration,
    Mismatch,
    Quality,
    Floor,
}

impl Measure {
    pub const ALL: [Self; 12] = [
        Self::Requests,
        Self::Refusals,
        Self::Work,
        Self::LatencyP50,
        Self::LatencyP75,
        Self::LatencyP90,
        Self::LatencyP95,
        Self::LatencyP99,
        Self::MeanDuration,
        Self::Mismatch,
        Self::Quality,
        Self::Floor,
    ];

    /// Its part of the mean; all together 1.
    pub const fn weight(self) -> f64 {
        match self {
            Self::Requests => 0.20,
            Self::Refusals | Self::Work | Self::Quality | Self::Floor => 0.10,
            Self::LatencyP50 | Self::LatencyP75 | Self::LatencyP90 | Self::LatencyP95 | Self::LatencyP99 => 0.04,
            Self::MeanDuration => 0.05,
            Self::Mismatch => 0.15,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Refusals => "refusals",
            Self::Work => "work",
            Self::LatencyP50 => "latency_p50",
            Self::LatencyP75 => "latency_p75",
            Self::LatencyP90 => "latency_p90",
            Self::LatencyP95 => "latency_p95",
            Self::LatencyP99 => "latency_p99",
            Self::MeanDuration => "mean_duration",
            Self::Mismatch => "mismatch",
            Self::Quality => "quality",
            Self::Floor => "floor",
        }
    }

    /// What went wrong, as the subject of a sentence about new.
    pub(super) const fn complaint(self) -> &'static str {
        match self {
            Self::Requests => "requests fail more often on new than on legacy",
            Self::Refusals => "requests are refused more often on new than on legacy",
            Self::Work => "work fails more often on new than on legacy",
            Self::LatencyP50 => "new is slower than the median of legacy",
            Self::LatencyP75 => "new is slower than the p75 of legacy",
            Self::LatencyP90 => "new is slower than the p90 of legacy",
            Self::LatencyP95 => "new is slower than the p95 of legacy",
            Self::LatencyP99 => "new is slower than the p99 of legacy",
            Self::MeanDuration => "the mean duration on new exceeds its limit",
            Self::Mismatch => "of two answers to the same request the one of new is the bad one",
            Self::Quality => "what new did is of lower quality",
            Self::Floor => "new succeeds less often than the floor allows",
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
