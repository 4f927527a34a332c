//! What answers that differ by content may do, and what noise may not.

use super::*;
use crate::guard::streams::{hold_mean, rollback_mean};
use crate::simulate::Dice;

/// So many requests that legacy was asked twice: new differs with one chance, legacy from itself with another.
fn twins(dice: &mut Dice, requests: u32, new: f64, own: f64) -> Pairs {
    let mut pairs = Pairs::default();
    for _ in 0..requests {
        match (dice.uniform() < new, dice.uniform() < own) {
            (true, false) => pairs.only_new += 1,
            (false, true) => pairs.only_legacy += 1,
            _ => {}
        }
    }
    pairs
}

/// The largest evidence of a hold and of a rollback over so many blocks.
fn largest(seed: u64, blocks: u32, new: f64, own: f64) -> (f64, f64) {
    let (mut dice, mut streams) = (Dice::new(seed), Streams::default());
    let settings = GuardSettings::default();
    let mut largest = (0.0_f64, 0.0_f64);
    for _ in 0..blocks {
        let seen = Seen { twins: twins(&mut dice, 2, new, own), deff: 1.0, ..Seen::default() };
        streams.fold(&seen, &settings);
        let parts = streams.parts(&settings);
        let (says, may) = (hold_mean(&parts), rollback_mean(&parts));
        largest = (largest.0.max(says.value()), largest.1.max(may.value()));
    }
    largest
}

/// Of 400 sound migrations whose legacy differs from itself in 1 %, 30 % and 90 % of requests, none is held: a mean of streams
/// of which only a seventh part is this one asks more of it than its own bound of one in twenty.
#[test]
fn noise_holds_nobody() {
    for (at, own) in [0.01, 0.3, 0.9, 0.3].into_iter().enumerate() {
        let held = (0..100).filter(|seed| largest(seed + 1_000 * at as u64, 1_200, own, own).0 >= 20.0).count();
        assert!(held <= 1, "{held} of 100 at {own}");
    }
}

#[test]
fn what_differs_where_legacy_does_not_is_held_and_never_rolled_back() {
    for own in [0.0, 0.1, 0.5] {
        let (hold, rollback) = largest(7, 600, own + 0.4, own);
        assert!(hold >= 20.0, "{hold} at {own}");
        assert!(rollback <= 1.01, "{rollback} at {own}");
    }
    let mut streams = sound();
    let differing = Seen { twins: Pairs { only_new: 50, only_legacy: 0 }, ..seen((90, 1), (10, 0), 0) };
    fold(&mut streams, 600, &differing);
    let verdict = judge(&streams, &GuardSettings::default(), &standing());
    assert!(matches!(verdict.action, Action::Hold { .. }), "{verdict:#?}");
    assert!(verdict.rollback_evidence < 20.0, "{verdict:#?}");
    let why = verdict.record.as_ref().map(|record| record.why.clone()).unwrap_or_default();
    let said = "progress stopped, because new answers something else where legacy answers the same twice: lately in ";
    assert!(why.starts_with(said) && why.contains(" requests, the other way round in 0, evidence "), "{why}");
    streams.forget_content();
    let verdict = judge(&streams, &GuardSettings::default(), &standing());
    assert_eq!(verdict.action, Action::None, "what was accepted is no evidence any more");
}
