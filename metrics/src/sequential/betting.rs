//! Whether the mean duration exceeds its limit.
//!
//! With `X = min(d, 6 limit) / (6 limit)` the null is a mean of at most `m = 1/6`, and the product of `1 + lambda (X - m)` over the
//! requests is an e-value for each stake `lambda < 1/m` (Waudby-Smith and Ramdas, 2024). Durations beyond six times the limit count
//! as that, so one request that hangs for a day says no more than one that hangs for an hour.
//!
//! Durations come in cells and count as the shortest of their cell: up to an eighth is given to new, and never the other way.

use serde::{Deserialize, Serialize};

use super::clocks::{Clocks, Evidence};
use super::count::is_unused;
use super::factor::{Caps, tempering};
use crate::observe::{CELLS, cell_start_us};

const STAKES: [f64; 6] = [0.25, 0.5, 1.0, 2.0, 4.0, 5.5];

/// The limit as a part of the largest duration that is told apart.
const MEAN: f64 = 1.0 / 6.0;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Betting {
    #[serde(default, skip_serializing_if = "is_unused")]
    clocks: Clocks,
}

impl Betting {
    /// Takes in completed requests as (cell, how many).
    pub fn fold(&mut self, done: &[(u16, u32)], limit_seconds: f64, deff: f64) {
        let is_possible = done.iter().all(|(cell, _)| usize::from(*cell) < CELLS);
        if done.is_empty() || !is_possible || !(limit_seconds > 0.0 && limit_seconds.is_finite()) {
            return;
        }
        let largest_us = limit_seconds * 1e6 / MEAN;
        let won = |stake: f64| {
            let of = |(cell, count): &(u16, u32)| {
                let part = (cell_start_us(usize::from(*cell)) as f64).min(largest_us) / largest_us;
                f64::from(*count) * (stake * (part - MEAN)).ln_1p()
            };
            done.iter().map(of).sum::<f64>() / tempering(deff)
        };
        self.clocks.advance(&STAKES.map(won), Caps::NONE);
    }

    pub fn evidence(&self) -> Evidence {
        self.clocks.evidence()
    }

    pub fn restart(&mut self) {
        *self = Self::default();
    }
}
