//! Two systems and their callers, half a second at a time.

use std::f64::consts::{SQRT_2, TAU};

use super::dice::Dice;
use crate::guard::Seen;
use crate::sequential::{Block, Count};

/// How latencies vary: the deviation of their logarithm.
const SIGMA: f64 = 0.6;

/// The factor by which new may be slower.
const TOLERANCE: f64 = 1.1;

/// Where a normal variable has its p50, p75, p90, p95 and p99.
const NORMAL_QUANTILES: [f64; 5] = [0.0, 0.674_490, 1.281_552, 1.644_854, 2.326_348];

/// Requests that a system refuses rightly, on both sides.
const REFUSED: f64 = 0.02;

/// Groups of keys that a router tells apart.
const GROUPS: u64 = 64;

/// How traffic and the rates that both sides share move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    Flat,
    /// Traffic and failures rise and fall, with a period of so many blocks.
    Diurnal {
        period: u32,
    },
    /// Both sides fail at this rate for a while.
    Outage {
        from: u32,
        until: u32,
        rate: f64,
    },
    /// Traffic in bursts; in one block of twenty both sides fail at a rate of 20 %.
    Bursty,
    /// Something that both sides use makes them slower by this factor for a while.
    SlowShared {
        from: u32,
        until: u32,
        factor: f64,
    },
}

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct World {
    pub shape: Shape,
    /// Requests of the migration, both sides together.
    pub per_second: f64,
    /// The share of new, of one.
    pub share: f64,
    pub legacy_failure: f64,
    /// From `onset` on; before, new fails as legacy does.
    pub new_failure: f64,
    /// By which new is slower from `onset` on.
    pub slowness: f64,
    /// The block in which new becomes what it is.
    pub onset: u32,
    /// Requests of one caller in a row that fail together or not at all.
    pub session: u32,
    pub callers: u64,
    pub blocks: u32,
}

impl World {
    /// A sound system at 10 %, 200 requests a second, for five minutes. New is as slow as is tolerated.
    pub const SOUND: Self = Self {
        shape: Shape::Flat,
        per_second: 200.0,
        share: 0.1,
        legacy_failure: 0.01,
        new_failure: 0.01,
        slowness: TOLERANCE,
        onset: 0,
        session: 1,
        callers: 10_000,
        blocks: 600,
    };
}

/// What holds for one block.
struct Mood {
    traffic: f64,
    legacy_failure: f64,
    new_failure: f64,
    legacy_late: [f64; 5],
    new_late: [f64; 5],
}

impl World {
    /// One block with this share of new; a negative number is before the ramp, when legacy serves alone.
    pub fn block(&self, at: i64, share: f64, deff: f64, dice: &mut Dice) -> Seen {
        let mood = self.mood(at, dice);
        let session = self.session.max(1);
        let sessions = dice.poisson(self.per_second * 0.5 * mood.traffic / f64::from(session));
        let new = dice.binomial(sessions, share);
        let legacy_failed = dice.binomial(sessions - new, mood.legacy_failure);
        let new_failed = dice.binomial(new, mood.new_failure);
        let count = |sessions: u32, failed: u32| Count::new(f64::from(sessions * session), f64::from(failed * session));
        let requests = Block::new(count(sessions - new, legacy_failed), count(new, new_failed));
        let mut refused = |count: Count| {
            let more = dice.binomial(count.good() as u32, REFUSED);
            Count::new(count.total, count.bad + f64::from(more))
        };
        let refusals = Block::new(refused(requests.legacy), refused(requests.new));
        let latency = self.latency(&requests, &mood, dice);
        let (failing_keys, seen_keys) = (self.keys(new_failed, share, dice), self.keys(new.min(8), share, dice));
        let has_many_keys = self.callers_of_new(share) > GROUPS;
        Seen { requests, refusals, latency, failing_keys, seen_keys, has_many_keys, deff, ..Seen::default() }
    }

    /// The design effect as a router estimates it while legacy serves alone: how much more the failures of groups of keys vary
    /// than those of independent requests would.
    pub(super) fn observed_deff(&self, seconds: f64, dice: &mut Dice) -> f64 {
        let session = f64::from(self.session.max(1));
        let per_group = self.per_second * seconds / session / GROUPS as f64;
        let groups: Vec<(f64, f64)> = (0..GROUPS)
            .map(|_| {
                let sessions = dice.poisson(per_group);
                let failed = dice.binomial(sessions, self.legacy_failure);
                (f64::from(sessions) * session, f64::from(failed) * session)
            })
            .collect();
        let (total, bad) = groups.iter().fold((0.0, 0.0), |(total, bad), (n, f)| (total + n, bad + f));
        let rate = if total > 0.0 { bad / total } else { 0.0 };
        if rate <= 0.0 || rate >= 1.0 {
            return 1.0;
        }
        let excess =
            |(n, f): &(f64, f64)| if *n > 0.0 { (f - n * rate).powi(2) / (n * rate * (1.0 - rate)) } else { 0.0 };
        groups.iter().map(excess).sum::<f64>() / (GROUPS - 1) as f64
    }

    fn callers_of_new(&self, share: f64) -> u64 {
        ((self.callers as f64 * share) as u64).max(1)
    }

    /// The groups of so many callers, each drawn anew.
    fn keys(&self, callers: u32, share: f64, dice: &mut Dice) -> u64 {
        let all = self.callers_of_new(share);
        // More draws than this leave no group out but by chance.
        (0..callers.min(512)).fold(0, |groups, _| groups | 1 << (dice.below(all) % GROUPS))
    }

    /// How many of both sides exceeded each quantile: who exceeds one has exceeded those before it.
    fn latency(&self, requests: &Block, mood: &Mood, dice: &mut Dice) -> [Block; 5] {
        let mut side = |count: Count, chances: &[f64; 5]| {
            let (mut left, mut chance) = (count.total as u32, 1.0);
            chances.map(|next| {
                left = dice.binomial(left, if chance > 0.0 { (next / chance).min(1.0) } else { 0.0 });
                chance = next;
                Count::new(count.total, f64::from(left))
            })
        };
        let (legacy, new) = (side(requests.legacy, &mood.legacy_late), side(requests.new, &mood.new_late));
        std::array::from_fn(|at| Block::new(legacy[at], new[at]))
    }

    fn mood(&self, at: i64, dice: &mut Dice) -> Mood {
        let is_within = |from: u32, until: u32| (i64::from(from)..i64::from(until)).contains(&at);
        let (mut traffic, mut failure, mut slow) = (1.0, self.legacy_failure, 1.0);
        match self.shape {
            Shape::Flat => {}
            Shape::Diurnal { period } => {
                let phase = TAU * (at as f64) / f64::from(period.max(1));
                traffic = 1.0 + 0.8 * phase.sin();
                failure *= 1.0 + 0.9 * (phase + 1.0).sin();
            }
            Shape::Outage { from, until, rate } if is_within(from, until) => failure = rate,
            Shape::SlowShared { from, until, factor } if is_within(from, until) => slow = factor,
            Shape::Outage { .. } | Shape::SlowShared { .. } => {}
            Shape::Bursty => {
                traffic = if dice.uniform() < 0.1 { 5.5 } else { 0.5 };
                failure = if dice.uniform() < 0.05 { 0.2 } else { failure };
            }
        }
        let is_bad = at >= i64::from(self.onset);
        // New fails where legacy does, and besides with a chance of its own.
        let may_differ = is_bad && self.legacy_failure < 1.0;
        let own = if may_differ { (self.new_failure - self.legacy_failure) / (1.0 - self.legacy_failure) } else { 0.0 };
        let slowness = if is_bad { self.slowness } else { TOLERANCE.min(self.slowness) };
        Mood {
            traffic,
            legacy_failure: failure,
            new_failure: (failure + own * (1.0 - failure)).clamp(0.0, 1.0),
            legacy_late: late(slow),
            new_late: late(slow * slowness / TOLERANCE),
        }
    }
}

/// The chances of exceeding each quantile, for one that is slower by a factor.
fn late(factor: f64) -> [f64; 5] {
    let shift = factor.ln() / SIGMA;
    NORMAL_QUANTILES.map(|quantile| above(quantile - shift))
}

/// The chance that a normal variable is above `x`: formula 7.1.26 of Abramowitz and Stegun, good to `1.5e-7`.
fn above(x: f64) -> f64 {
    let z = x.abs() / SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let series = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    let sum = series.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    let tail = 0.5 * sum * (-z * z).exp();
    if x >= 0.0 { tail } else { 1.0 - tail }
}
