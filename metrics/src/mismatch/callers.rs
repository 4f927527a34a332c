//! How many different callers there were, in 128 bytes: linear counting over 1,024 places.
//!
//! # Why no list of callers
//!
//! A list would grow with the harm, and would be a list of people. A place is shared by many callers, so what is kept, also
//! in the store, names nobody.
//!
//! # How exact
//!
//! One standard error is about 2.5 % up to 1,000 callers and 6 % at 4,000; beyond [`CALLERS_MAX`] it is only known that there
//! were as many. Sums of several routers count a caller of both once.

use serde::{Deserialize, Serialize};
use thiserror::Error;

const PLACES: usize = 1_024;
const WORDS: usize = PLACES / 64;

/// Beyond this nearly all places are taken, and the estimate says "at least".
pub const CALLERS_MAX: u64 = 5_000;

/// Up to so many places are written one by one.
const LISTED_MAX: u32 = 48;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Callers([u64; WORDS]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("these are no places of callers")]
pub struct Damaged;

impl Callers {
    pub fn add(&mut self, caller: u64) {
        let at = (caller >> 54) as usize;
        self.0[at / 64] |= 1 << (at % 64);
    }

    pub fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum |= more);
    }

    /// About how many there were; [`CALLERS_MAX`] at most.
    pub fn count(&self) -> u64 {
        let free = PLACES as u32 - self.taken();
        if free == 0 {
            return CALLERS_MAX;
        }
        let places = PLACES as f64;
        let estimate = places * (places / f64::from(free)).ln();
        (estimate.round() as u64).min(CALLERS_MAX)
    }

    fn taken(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }
}

impl From<Callers> for String {
    fn from(callers: Callers) -> Self {
        if callers.taken() <= LISTED_MAX {
            let taken = (0..PLACES).filter(|at| callers.0[at / 64] & (1 << (at % 64)) != 0);
            return taken.map(|at| at.to_string()).collect::<Vec<_>>().join(",");
        }
        callers.0.iter().fold("x".to_owned(), |text, word| text + &format!("{word:016x}"))
    }
}

impl TryFrom<String> for Callers {
    type Error = Damaged;

    fn try_from(text: String) -> Result<Self, Damaged> {
        let mut callers = Self::default();
        if let Some(hex) = text.strip_prefix('x') {
            if hex.len() != WORDS * 16 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(Damaged);
            }
            for (word, at) in callers.0.iter_mut().zip((0..hex.len()).step_by(16)) {
                *word = u64::from_str_radix(&hex[at..at + 16], 16).map_err(|_| Damaged)?;
            }
            return Ok(callers);
        }
        for place in text.split(',').filter(|place| !place.is_empty()) {
            let at: usize = place.parse().ok().filter(|at| *at < PLACES).ok_or(Damaged)?;
            callers.0[at / 64] |= 1 << (at % 64);
        }
        Ok(callers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Dice;

    #[test]
    fn estimates_are_within_three_standard_errors() {
        for (callers, error) in [(1, 0.0), (5, 0.2), (64, 0.075), (1_000, 0.08), (4_000, 0.18)] {
            for seed in 0..20 {
                let (mut dice, mut seen) = (Dice::new(seed), Callers::default());
                let all: Vec<u64> = (0..callers).map(|_| dice.bits()).collect();
                // Who comes back is no other caller.
                all.iter().chain(&all).for_each(|caller| seen.add(*caller));
                let (count, real) = (seen.count() as f64, callers as f64);
                assert!((count - real).abs() <= real * error, "{count} of {callers}");
            }
        }
    }

    #[test]
    fn what_is_written_is_read_again_and_what_is_damaged_is_not() {
        let mut dice = Dice::new(7);
        for callers in [0, 1, 40, 400, 40_000] {
            let mut seen = Callers::default();
            (0..callers).for_each(|_| seen.add(dice.bits()));
            let text = String::from(seen.clone());
            assert!(text.len() <= 257, "{text}");
            assert_eq!(Callers::try_from(text), Ok(seen));
        }
        for damaged in ["1024", "-1", "a", "x00", &format!("x{}", "g".repeat(256)), &format!("x{}", "é".repeat(128))] {
            assert_eq!(Callers::try_from(damaged.to_owned()), Err(Damaged), "{damaged}");
        }
    }
}
