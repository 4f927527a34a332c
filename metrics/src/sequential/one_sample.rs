//! One side's counts against a number: the floor, or the half that is expected of discordant pairs.
//!
//! `S = (g/a)^f ((1-g)/(1-a))^s` for a rate `a` that is still acceptable and alternatives `g` above it. A lower true rate than
//! `a` only makes it smaller.
//!
//! The block of a pair of sides may limit it: the floor must not blame new for an outage that legacy shares. The smaller
//! of two e-values is one for either claim.

use serde::{Deserialize, Serialize};

use super::clocks::{Clocks, Evidence};
use super::count::{Count, is_unused};
use super::factor::Test;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OneSample {
    #[serde(default, skip_serializing_if = "is_unused")]
    clocks: Clocks,
}

impl OneSample {
    /// Takes in what one side did. `ln_at_most` is what another e-value of the same block says, if it limits this one.
    pub fn fold(&mut self, seen: Count, acceptable: f64, test: &Test, deff: f64, ln_at_most: Option<f64>) {
        if !seen.is_valid() || seen.total == 0.0 || !(acceptable > 0.0 && acceptable < 1.0) {
            return;
        }
        let mut factors = test.one_sample(seen, acceptable, deff);
        if let Some(limit) = ln_at_most {
            factors.iter_mut().for_each(|factor| *factor = factor.min(limit));
        }
        self.clocks.advance(&factors, test.ln_caps);
    }

    pub fn evidence(&self) -> Evidence {
        self.clocks.evidence()
    }

    pub fn restart(&mut self) {
        *self = Self::default();
    }
}
