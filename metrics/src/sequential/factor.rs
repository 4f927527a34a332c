//! One block's factor for one alternative, and the tests that differ in nothing but their numbers.
//!
//! Not here: what adds the factors up ([`super::Clocks`]).

use serde::{Deserialize, Serialize};

use super::clocks::LN_MAX;
use super::count::{Block, Count};

/// A rate that is assumed is never nearer to certainty than this.
const ALTERNATIVE_MAX: f64 = 0.995;

/// Bounds of the rate that the past suggests.
pub(super) const RATE_MIN: f64 = 1e-4;
pub(super) const RATE_MAX: f64 = 0.9;

/// Bounds of the tempering.
const DEFF_MAX: f64 = 20.0;

/// A design effect as it may be used; one that is no number is the worst one.
pub(super) fn tempering(deff: f64) -> f64 {
    if deff.is_nan() { DEFF_MAX } else { deff.clamp(1.0, DEFF_MAX) }
}

/// Which rates of failure a test has in mind, given the rate that is still acceptable.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Alternatives {
    /// The odds times each of these.
    Odds(&'static [f64]),
    /// This part of the way from the acceptable rate to certain failure.
    Toward(&'static [f64]),
    /// The rate of legacy, of which new is then shown not to be worse by the margin.
    Same,
}

/// How much one block may say, as logarithms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Caps {
    pub(super) since_start: f64,
    pub(super) restarting: f64,
}

impl Caps {
    pub(super) const NONE: Self = Self::both(LN_MAX);
    const TEN: Self = Self::both(std::f64::consts::LN_10);

    /// For what may roll back: by either clock the failures of three blocks are needed, and enough where requests have a fifth of
    /// the weight, all else is silent, and half of the alternatives are as sure as may be. So a block may say 24 to the clock since
    /// the start (`ln` 3.18), and 900 to the one that restarts (`ln` 6.8), which asks for 64,000 times as much.
    const THREE_BLOCKS: Self = Self { since_start: 3.18, restarting: 6.8 };

    const fn both(ln: f64) -> Self {
        Self { since_start: ln, restarting: ln }
    }
}

/// The numbers of a test; its state is elsewhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Test {
    alternatives: Alternatives,
    /// Logarithms of the most that one block may say, to the clock since the start and to the one that restarts.
    pub(super) ln_caps: Caps,
    /// Blocks until a block in which one side is silent is given up.
    pub(super) wait_blocks_max: u32,
}

/// The fleet's test: blocks of half a second.
pub const FLEET: Test = Test {
    alternatives: Alternatives::Odds(&[1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1e3, 1e4]),
    ln_caps: Caps::THREE_BLOCKS,
    wait_blocks_max: 600,
};

/// The test of one router: blocks of 50 ms, no cap, and in mind only that new is plainly gone. See [`fast_threshold`].
pub const FAST: Test =
    Test { alternatives: Alternatives::Toward(&[0.5, 0.8, 0.99]), ln_caps: Caps::NONE, wait_blocks_max: 6_000 };

/// That new is *not* worse by the margin.
pub const SAFETY: Test = Test { alternatives: Alternatives::Same, ln_caps: Caps::TEN, wait_blocks_max: 600 };

/// The absolute floor; for the usual 30 % the alternatives are 40, 50, 70, 90 and 99 %.
pub const FLOOR: Test = Test {
    alternatives: Alternatives::Toward(&[1.0 / 7.0, 2.0 / 7.0, 4.0 / 7.0, 6.0 / 7.0, 69.0 / 70.0]),
    ln_caps: Caps::THREE_BLOCKS,
    wait_blocks_max: 600,
};

/// Discordant pairs, of which half are expected; the alternatives are 60, 75, 90 and 99 %.
pub const PAIRED: Test =
    Test { alternatives: Alternatives::Toward(&[0.2, 0.5, 0.8, 0.98]), ln_caps: Caps::TEN, wait_blocks_max: 600 };

/// The evidence against legacy's past at which one router trips alone: ten times what the fleet needs, because each of many
/// routers asks for itself.
///
/// In blocks of 50 ms clock B reaches it without cause once in a year of blocks with traffic, at `alpha` 0.001.
pub fn fast_threshold(alpha: f64) -> f64 {
    10.0 / alpha
}

/// By how much new may be worse before anybody cares.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Margin {
    /// A difference of rates.
    pub absolute: f64,
    /// A part of legacy's rate.
    pub relative: f64,
}

impl Margin {
    pub const ZERO: Self = Self { absolute: 0.0, relative: 0.0 };

    /// The usual one: so much, or a tenth of legacy's rate if that is more.
    pub const fn at_least(absolute: f64) -> Self {
        Self { absolute, relative: 0.1 }
    }

    pub(super) fn delta(self, legacy_rate: f64) -> f64 {
        self.absolute.max(self.relative * legacy_rate)
    }
}

impl Test {
    /// Rates of failure to test against, where one of `acceptable` would be no offence and the past has `legacy`.
    fn rates(&self, acceptable: f64, legacy: f64) -> impl Iterator<Item = f64> {
        let numbers: &[f64] = match self.alternatives {
            Alternatives::Odds(numbers) | Alternatives::Toward(numbers) => numbers,
            Alternatives::Same => &[1.0],
        };
        numbers.iter().map(move |number| self.rate(*number, acceptable, legacy))
    }

    fn rate(&self, number: f64, acceptable: f64, legacy: f64) -> f64 {
        let worse = match self.alternatives {
            Alternatives::Same => return legacy,
            Alternatives::Odds(_) => {
                let odds = number * acceptable / (1.0 - acceptable);
                odds / (1.0 + odds)
            }
            Alternatives::Toward(_) => acceptable + number * (1.0 - acceptable),
        };
        // Never below what is acceptable, or good answers would be evidence against new.
        worse.min(ALTERNATIVE_MAX).max(acceptable)
    }

    /// Tempered for callers that fail together, and capped as the clock allows that lets a block say more.
    fn limited(&self, ln_factor: f64, deff: f64) -> f64 {
        (ln_factor / tempering(deff)).clamp(-LN_MAX, self.ln_caps.since_start.max(self.ln_caps.restarting))
    }

    /// Logarithms of the factors of a block with both sides in it.
    pub(super) fn two_sample(&self, block: &Block, legacy: f64, delta: f64, deff: f64) -> Vec<f64> {
        let acceptable = legacy + delta * (1.0 - legacy);
        let factor = |rate| self.limited(ln_two_sample(block, rate, acceptable, delta), deff);
        self.rates(acceptable, legacy).map(factor).collect()
    }

    /// Logarithms of the factors of one side's counts, where a rate up to `acceptable` is no offence.
    pub(super) fn one_sample(&self, count: Count, acceptable: f64, deff: f64) -> Vec<f64> {
        let factor = |rate: f64| {
            let ln = count.bad * (rate / acceptable).ln() + count.good() * ((1.0 - rate) / (1.0 - acceptable)).ln();
            self.limited(ln, deff)
        };
        self.rates(acceptable, acceptable).map(factor).collect()
    }
}

/// `ln S` of the module's formula; `acceptable` is `theta_L'`.
pub(super) fn ln_two_sample(block: &Block, rate: f64, acceptable: f64, delta: f64) -> f64 {
    let (new, legacy) = (block.new, block.legacy);
    let common = (new.total * rate + legacy.total * acceptable) / (new.total + legacy.total);
    let success = delta * acceptable / common + (1.0 - delta) * (1.0 - acceptable) / (1.0 - common);
    weighted(new.bad, rate / common)
        + weighted(new.good(), (1.0 - rate) / (1.0 - common))
        + weighted(legacy.bad, acceptable / common)
        + weighted(legacy.good(), success)
}

/// `count * ln(ratio)`, without the logarithm where there is nothing to count.
fn weighted(count: f64, ratio: f64) -> f64 {
    if count > 0.0 { count * ratio.ln() } else { 0.0 }
}
