//! A small part of `benches/ramps`, always the same, and that the dice are fair.

use super::*;
use crate::guard::GuardSettings;

const RAMPS: u64 = 200;

fn played(world: &World, ramps: u64) -> Summary {
    let settings = GuardSettings::default();
    Summary::of(&(0..ramps).map(|seed| ramp(world, &settings, seed)).collect::<Vec<_>>())
}

#[track_caller]
fn sound(world: &World) {
    let seen = played(world, RAMPS);
    assert_eq!((seen.rolled_back, seen.braked), (0, 0), "{world:?}: {seen:?}");
}

#[test]
fn a_sound_system_is_not_rolled_back() {
    let short = World { blocks: 120, ..World::SOUND };
    sound(&short);
    sound(&World { legacy_failure: 0.05, new_failure: 0.05, ..short });
    sound(&World { session: 20, ..short });
    sound(&World { legacy_failure: 1.0, new_failure: 1.0, ..short });
    sound(&World { legacy_failure: 0.0, new_failure: 0.0, ..short });
}

#[test]
fn what_both_sides_share_rolls_nothing_back() {
    let short = World { blocks: 120, ..World::SOUND };
    sound(&World { shape: Shape::Outage { from: 30, until: 70, rate: 0.3 }, ..short });
    sound(&World { shape: Shape::Outage { from: 30, until: 70, rate: 0.6 }, ..short });
    sound(&World { shape: Shape::Diurnal { period: 120 }, ..short });
    sound(&World { shape: Shape::Bursty, ..short });
    sound(&World { shape: Shape::SlowShared { from: 30, until: 70, factor: 3.0 }, ..short });
}

#[test]
fn a_trickle_is_not_rolled_back() {
    sound(&World { share: 0.01, per_second: 0.1, blocks: 1_000, ..World::SOUND });
}

/// Everything new is found, and new requests until then are at most so many on average.
#[track_caller]
fn found(world: &World, requests: f64) {
    let seen = played(world, 20);
    assert_eq!(seen.rolled_back, seen.ramps, "{world:?}: {seen:?}");
    let mean = seen.until_rollback.unwrap().requests_mean;
    assert!(mean <= requests, "{world:?}: {mean} requests");
}

#[test]
fn a_worse_system_is_rolled_back() {
    let world = World { blocks: 4_000, slowness: 1.0, ..World::SOUND };
    found(&World { new_failure: 1.0, ..world }, 45.0);
    found(&World { new_failure: 1.0, share: 0.01, per_second: 50.0, ..world }, 5.5);
    found(&World { new_failure: 0.1, ..world }, 200.0);
    found(&World { new_failure: 0.05, ..world }, 600.0);
    found(&World { new_failure: 0.1, onset: 600, ..world }, 400.0);
    found(&World { slowness: 2.0, ..world }, 600.0);
}

#[test]
fn the_same_seed_is_the_same_ramp() {
    let world = World { new_failure: 0.1, ..World::SOUND };
    let settings = GuardSettings::default();
    assert_eq!(ramp(&world, &settings, 7), ramp(&world, &settings, 7));
    assert_ne!(ramp(&world, &settings, 7), ramp(&world, &settings, 8));
}

/// Mean and variance of many draws, within five standard errors.
#[track_caller]
fn fair(draw: impl Fn(&mut Dice) -> u32, mean: f64, variance: f64) {
    let mut dice = Dice::new(42);
    let draws: Vec<f64> = (0..20_000).map(|_| f64::from(draw(&mut dice))).collect();
    let n = draws.len() as f64;
    let seen = draws.iter().sum::<f64>() / n;
    let spread = draws.iter().map(|draw| (draw - seen).powi(2)).sum::<f64>() / n;
    assert!((seen - mean).abs() <= 5.0 * (variance / n).sqrt() + 1e-12, "mean {seen}, not {mean}");
    assert!((spread / variance - 1.0).abs() <= 0.08, "variance {spread}, not {variance}");
}

#[test]
fn the_dice_are_fair() {
    for (n, p) in [(1, 0.5), (90, 0.01), (10, 0.3), (100, 0.5), (30, 0.97), (5_000, 0.4)] {
        fair(|dice| dice.binomial(n, p), f64::from(n) * p, f64::from(n) * p * (1.0 - p));
    }
    for mean in [0.05, 3.0, 100.0, 450.0] {
        fair(|dice| dice.poisson(mean), mean, mean);
    }
    let mut dice = Dice::new(0);
    assert_eq!(
        (dice.binomial(10, 0.0), dice.binomial(10, 1.0), dice.binomial(0, 0.5), dice.poisson(0.0)),
        (0, 10, 0, 0)
    );
    assert!((0..1_000).all(|_| dice.below(3) < 3 && (0.0..1.0).contains(&dice.uniform())));
}

/// From the published reference code: SplitMix64 fills the state, and xoshiro256++ begins with rotl(s0 + s3, 23) + s0.
#[test]
fn the_generator_is_the_published_one() {
    let state = [0xe220_a839_7b1d_cdaf_u64, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f, 0xf88b_b8a8_724c_81ec];
    let first = state[0].wrapping_add(state[3]).rotate_left(23).wrapping_add(state[0]);
    assert_eq!(Dice::new(0).bits(), first);
}

#[test]
fn the_bound_is_the_one_of_the_design() {
    for (new, share, expected) in [(0.02, 0.01, 1_788.0), (0.05, 0.01, 171.0), (0.1, 0.01, 49.0), (1.0, 0.01, 1.6)] {
        let bound = requests_needed(0.01, new, share, 0.0, 1_000.0);
        assert!((bound / expected - 1.0).abs() < 0.025, "{bound}, not {expected}");
    }
    assert!(requests_needed(0.01, 0.02, 0.1, 0.002, 1_000.0) > requests_needed(0.01, 0.02, 0.1, 0.0, 1_000.0));
}
