//! Quality that is reported hours later: a pull request accepted, a build that passed, a score.
//!
//! # Why cohorts
//!
//! Good answers are reported sooner than bad ones, so what has arrived so far is too good, and for the side that is younger
//! in traffic even more so. Therefore a request is looked at once per horizon, when it is older than the horizon: "a positive
//! report within 1 h, 24 h, 72 h of routing". What is missing then is a failure, on both sides alike.
//!
//! A reporter that is broken for new looks the same. A second stream per horizon compares how much is reported at all; while
//! that differs, the horizon says nothing against new.

use serde::{Deserialize, Serialize};

use super::clocks::Evidence;
use super::count::{Block, is_unused};
use super::factor::{FLEET, Margin};
use super::two_sample::TwoSample;

/// How old a request is when it is looked at.
pub const HORIZONS_SECONDS: [u64; 3] = [3_600, 86_400, 259_200];

/// From this evidence on the sides are taken to report differently.
pub const REPORTING_DIFFERS: f64 = 20.0;

/// Requests that have become older than one horizon since the last fold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Matured {
    /// Bad is what lacks a positive report; a score of 0.9 is 0.1 bad.
    pub quality: Block,
    /// Bad is what lacks a report of any kind.
    pub reporting: Block,
}

impl Matured {
    #[must_use]
    pub fn plus(&self, more: &Self) -> Self {
        Self { quality: self.quality.plus(&more.quality), reporting: self.reporting.plus(&more.reporting) }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Horizon {
    #[serde(default, skip_serializing_if = "is_unused")]
    quality: TwoSample,
    #[serde(default, skip_serializing_if = "is_unused")]
    reporting: TwoSample,
}

/// One pair of streams per horizon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cohorts {
    #[serde(default, skip_serializing_if = "is_unused")]
    horizons: [Horizon; 3],
}

impl Cohorts {
    pub fn fold(&mut self, matured: &[Matured; 3], margin: Margin, deff: f64) {
        for (horizon, matured) in self.horizons.iter_mut().zip(matured) {
            horizon.quality.fold(&matured.quality, &FLEET, margin, deff);
            horizon.reporting.fold(&matured.reporting, &FLEET, margin, deff);
        }
    }

    /// The mean over the horizons.
    pub fn evidence(&self) -> Evidence {
        let third = 1.0 / self.horizons.len() as f64;
        Evidence::mean(self.horizons.iter().map(|horizon| (third, horizon.evidence())))
    }

    /// Whether some horizon is silent because new reports less than legacy.
    pub fn reporting_differs(&self) -> bool {
        self.horizons.iter().any(Horizon::reporting_differs)
    }

    /// The stream that says most against new.
    pub(crate) fn leading(&self) -> &TwoSample {
        let [first, rest @ ..] = &self.horizons;
        let is_stronger = |one: &Horizon, other: &Horizon| one.evidence().value() > other.evidence().value();
        &rest.iter().fold(first, |most, next| if is_stronger(next, most) { next } else { most }).quality
    }

    pub fn restart(&mut self) {
        for horizon in &mut self.horizons {
            horizon.quality.restart();
            horizon.reporting.restart();
        }
    }
}

impl Horizon {
    fn reporting_differs(&self) -> bool {
        self.reporting.evidence().value() >= REPORTING_DIFFERS
    }

    fn evidence(&self) -> Evidence {
        let evidence = self.quality.evidence();
        if self.reporting_differs() { evidence.harmless() } else { evidence }
    }
}
