//! What the tests promise, by enumeration where that is possible.

use proptest::prelude::*;

use super::clocks::LN_MAX;
use super::factor::ln_two_sample;
use super::*;

/// `C(n, k) p^k (1-p)^(n-k)`.
fn binomial(n: u32, k: u32, p: f64) -> f64 {
    let ways: f64 = (0..k).map(|i| f64::from(n - i) / f64::from(i + 1)).product();
    ways * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)
}

/// The expectation of a function of both sides' failures.
fn expectation(new: (u32, f64), legacy: (u32, f64), value: impl Fn(&Block) -> f64) -> f64 {
    let (n_new, p_new) = new;
    let (n_legacy, p_legacy) = legacy;
    let outcomes = (0..=n_new).flat_map(|bad_new| (0..=n_legacy).map(move |bad_legacy| (bad_new, bad_legacy)));
    outcomes
        .map(|(bad_new, bad_legacy)| {
            let count = |total: u32, bad: u32| Count::new(f64::from(total), f64::from(bad));
            let block = Block::new(count(n_legacy, bad_legacy), count(n_new, bad_new));
            binomial(n_new, bad_new, p_new) * binomial(n_legacy, bad_legacy, p_legacy) * value(&block)
        })
        .sum()
}

const SHAPES: [(u32, u32); 7] = [(1, 1), (1, 9), (2, 2), (5, 5), (3, 12), (9, 1), (1, 60)];
const RATES: [f64; 9] = [0.0, 1e-4, 0.01, 0.1, 0.3, 0.5, 0.8, 0.95, 1.0];
const GUESSES: [f64; 4] = [1e-4, 0.01, 0.3, 0.9];

#[track_caller]
fn at_most_one(expectation: f64, what: impl std::fmt::Debug) {
    assert!(expectation <= 1.0 + 1e-9, "{expectation} {what:?}");
}

/// Whatever the past suggests and whatever the common rate is.
#[test]
fn a_common_rate_is_no_evidence() {
    for (n_new, n_legacy) in SHAPES {
        for rate in RATES {
            for guess in GUESSES {
                for alternative in [guess + 0.5 * (0.995 - guess), 0.995, guess * 1.05] {
                    let value = |block: &Block| ln_two_sample(block, alternative, guess, 0.0).exp();
                    let expected = expectation((n_new, rate), (n_legacy, rate), value);
                    at_most_one(expected, (n_new, n_legacy, rate, guess, alternative));
                }
            }
        }
    }
}

/// At the margin the factor is as large as it may be; within it, it is smaller; and better than legacy smaller still.
#[test]
fn a_difference_within_the_margin_is_no_evidence() {
    let mut largest: f64 = 0.0;
    for (n_new, n_legacy) in SHAPES {
        for legacy in RATES {
            for delta in [0.002, 0.05, 0.3] {
                for part in [0.0, 0.5, 1.0] {
                    let new = legacy + part * delta * (1.0 - legacy);
                    for guess in GUESSES {
                        let acceptable = guess + delta * (1.0 - guess);
                        let alternative = acceptable + 0.4 * (0.995 - acceptable);
                        let value = |block: &Block| ln_two_sample(block, alternative, acceptable, delta).exp();
                        let expected = expectation((n_new, new), (n_legacy, legacy), value);
                        at_most_one(expected, (n_new, n_legacy, legacy, new, guess));
                        largest = largest.max(expected);
                    }
                }
            }
        }
    }
    assert!(largest > 0.999, "the bound is reached, or this test looks at something else: {largest}");
}

/// The whole of a block as a stream folds it: tempered, capped, every alternative.
#[test]
fn every_test_keeps_the_promise_as_it_is_folded() {
    for (n_new, n_legacy) in [(1, 1), (2, 5), (6, 3)] {
        for legacy in RATES {
            for (test, delta, new) in [
                (FLEET, 0.0, legacy),
                (FLEET, 0.02, legacy + 0.02 * (1.0 - legacy)),
                (FAST, 0.002, legacy),
                (SAFETY, 0.05, legacy + 0.05 * (1.0 - legacy)),
                (SAFETY, 0.05, legacy + 0.3 * (1.0 - legacy)),
            ] {
                for deff in [1.0, 4.0] {
                    let value = |block: &Block| {
                        let factors = test.two_sample(block, 0.05, delta, deff);
                        factors.iter().map(|ln| ln.exp()).sum::<f64>() / factors.len() as f64
                    };
                    at_most_one(expectation((n_new, new), (n_legacy, legacy), value), (test, legacy, delta));
                }
            }
        }
    }
}

#[test]
fn a_rate_that_is_still_acceptable_is_no_evidence() {
    for (test, acceptable) in [(FLOOR, 0.3), (FLOOR, 0.05), (FLOOR, 0.999), (PAIRED, 0.5), (FLEET, 0.02)] {
        for part in [0.0, 0.3, 1.0] {
            for n in [1, 4, 20] {
                let value = |block: &Block| {
                    let factors = test.one_sample(block.new, acceptable, 1.0);
                    factors.iter().map(|ln| ln.exp()).sum::<f64>() / factors.len() as f64
                };
                at_most_one(expectation((n, part * acceptable), (0, 0.0), value), (acceptable, part, n));
            }
        }
    }
}

/// A score between good and bad says at most what a coin of the same mean would.
#[test]
fn a_part_of_a_failure_is_no_more_evidence_than_its_chance() {
    for alternative in [0.2, 0.6, 0.99] {
        for part in [0.1, 0.5, 0.9] {
            let factor = |bad: f64| {
                ln_two_sample(&Block::new(Count::new(3.0, 1.0), Count::new(1.0, bad)), alternative, 0.1, 0.01).exp()
            };
            assert!(factor(part) <= part * factor(1.0) + (1.0 - part) * factor(0.0) + 1e-12);
        }
    }
}

fn block(legacy: (f64, f64), new: (f64, f64)) -> Block {
    Block::new(Count::new(legacy.0, legacy.1), Count::new(new.0, new.1))
}

/// How many of the same block a stream needs until `1/alpha`.
#[track_caller]
fn blocks_until(test: &Test, every: &Block, threshold: f64) -> usize {
    let mut stream = learnt();
    let took = (1..1_000).find(|_| {
        stream.fold(every, test, Margin::at_least(0.002), 1.0);
        stream.evidence().value() >= threshold
    });
    took.expect("plain failure is found")
}

/// A stream that has seen five minutes of sound traffic.
fn learnt() -> TwoSample {
    let mut stream = TwoSample::default();
    for _ in 0..600 {
        stream.fold(&block((90.0, 1.0), (10.0, 0.0)), &FLEET, Margin::at_least(0.002), 1.0);
    }
    stream.restart();
    stream
}

#[test]
fn a_total_break_takes_the_three_blocks_that_the_cap_asks_for_and_a_router_alone_less_time() {
    let fleet = blocks_until(&FLEET, &block((90.0, 1.0), (10.0, 10.0)), 1_000.0);
    assert!((3..=5).contains(&fleet), "{fleet} half seconds");
    let fast = blocks_until(&FAST, &block((9.0, 0.0), (1.0, 1.0)), fast_threshold(0.001));
    assert!((1..=6).contains(&fast), "{fast} blocks of 50 ms");
    let fast = blocks_until(&FAST, &block((20.0, 0.0), (20.0, 20.0)), fast_threshold(0.001));
    assert_eq!(fast, 1, "one block may be enough without a cap");
}

#[test]
fn the_clock_that_restarts_finds_what_begins_late() {
    let mut stream = TwoSample::default();
    for _ in 0..5_000 {
        stream.fold(&block((90.0, 1.0), (10.0, 0.1)), &FLEET, Margin::at_least(0.002), 1.0);
    }
    assert!(stream.evidence().since_start < 1.0, "{:?}", stream.evidence());
    let late = (1..200).find(|_| {
        stream.fold(&block((90.0, 1.0), (10.0, 3.0)), &FLEET, Margin::at_least(0.002), 1.0);
        stream.evidence().value() >= 1_000.0
    });
    assert!(late.is_some_and(|blocks| blocks <= 12), "{late:?}");
    assert!(stream.evidence().restarting > stream.evidence().since_start, "{:?}", stream.evidence());
}

/// Clock A has sunk for hours, and still a total break takes the fleet no longer than one at the start.
#[test]
fn a_total_break_after_a_long_sound_past_takes_three_blocks_and_never_one() {
    let mut stream = learnt();
    for _ in 0..20_000 {
        stream.fold(&block((90.0, 0.0), (10.0, 0.0)), &FLEET, Margin::at_least(0.002), 1.0);
    }
    // What the guard's weights leave of it where requests, refusals and the floor speak.
    let weight = 0.3;
    let mut evidence = Vec::new();
    for _ in 0..3 {
        stream.fold(&block((90.0, 0.0), (10.0, 10.0)), &FLEET, Margin::at_least(0.002), 1.0);
        evidence.push(weight * stream.evidence().value());
    }
    assert!(evidence[0] < 20.0 && evidence[1] < 100.0 && evidence[2] >= 1_000.0, "{evidence:?}");
}

#[test]
fn what_both_sides_share_is_no_evidence_and_leaves_none() {
    let mut stream = learnt();
    for _ in 0..100 {
        stream.fold(&block((90.0, 54.0), (10.0, 6.0)), &FLEET, Margin::at_least(0.002), 1.0);
        assert!(stream.evidence().value() < 5.0, "{:?}", stream.evidence());
    }
}

#[test]
fn a_side_that_is_silent_is_waited_for_and_then_given_up() {
    let mut stream = TwoSample::default();
    let margin = Margin::at_least(0.002);
    let fold = |stream: &mut TwoSample, block: Block| stream.fold(&block, &FLEET, margin, 1.0).is_some();
    assert!(!fold(&mut stream, block((0.0, 0.0), (1.0, 1.0))));
    assert!(!fold(&mut stream, Block::NONE));
    assert!(fold(&mut stream, block((5.0, 0.0), (0.0, 0.0))), "the carried failure meets legacy");
    assert!((1..600).all(|_| !fold(&mut stream, block((0.0, 0.0), (1.0, 1.0)))));
    let before = stream.evidence();
    assert!(!fold(&mut stream, Block::NONE), "five minutes are over");
    assert!(fold(&mut stream, block((5.0, 0.0), (1.0, 0.0))));
    assert!(stream.evidence().value() <= before.value(), "the 599 failures were dropped");
}

#[test]
fn new_alone_is_held_against_what_legacy_was() {
    let mut stream = TwoSample::default();
    stream.fold_alone(Count::new(10.0, 10.0), &FLEET, 1.0);
    assert_eq!(stream, TwoSample::default(), "there is no past");
    let mut stream = learnt();
    for _ in 0..500 {
        stream.fold_alone(Count::new(100.0, 1.0), &FLEET, 1.0);
    }
    assert!(stream.evidence().value() <= 1.0, "{:?}", stream.evidence());
    stream.restart();
    for _ in 0..4 {
        stream.fold_alone(Count::new(100.0, 60.0), &FLEET, 1.0);
    }
    assert!(stream.evidence().value() >= 1_000.0, "{:?}", stream.evidence());
}

#[test]
fn safety_needs_many_good_answers_and_begins_anew_with_another_margin() {
    let mut safety = Safety::default();
    let sound = block((90.0, 1.0), (10.0, 0.1));
    let shown = (1..200).find(|_| {
        safety.fold(&sound, 0.05, 1.0);
        safety.evidence() >= 20.0
    });
    assert!(shown.is_some_and(|blocks| blocks >= 5), "{shown:?}");
    safety.fold(&sound, 0.02, 1.0);
    assert!(safety.evidence() < 2.0 && safety.delta() == 0.02, "{safety:?}");
    let mut safety = Safety::default();
    (0..200).for_each(|_| safety.fold(&block((90.0, 1.0), (10.0, 0.8)), 0.05, 1.0));
    assert!(safety.evidence() < 1.0, "8 % is worse by more than 5 points: {safety:?}");
}

#[test]
fn the_floor_is_found_broken_after_a_few_failures_in_a_row() {
    let mut floor = OneSample::default();
    let until = (1..50).find(|_| {
        floor.fold(Count::new(1.0, 1.0), 0.3, &FLOOR, 1.0, None);
        floor.evidence().value() >= 1_000.0
    });
    assert!(until.is_some_and(|requests| (6..=9).contains(&requests)), "{until:?}");
    let mut limited = OneSample::default();
    (0..50).for_each(|_| limited.fold(Count::new(1.0, 1.0), 0.3, &FLOOR, 1.0, Some(0.0)));
    assert!(limited.evidence().since_start <= 1.0, "{limited:?}");
}

#[test]
fn twelve_pairs_in_one_direction_are_enough() {
    let mut paired = OneSample::default();
    let until = (1..50).find(|_| {
        paired.fold(Count::new(1.0, 1.0), 0.5, &PAIRED, 1.0, None);
        paired.evidence().value() >= 1_000.0
    });
    assert!(until.is_some_and(|pairs| (11..=13).contains(&pairs)), "{until:?}");
}

/// The cell of so many seconds.
fn cell(seconds: u64) -> u16 {
    let micros = seconds * 1_000_000;
    (0..crate::observe::CELLS).rfind(|cell| crate::observe::cell_start_us(*cell) <= micros).unwrap() as u16
}

#[test]
fn jobs_that_take_an_hour_are_found_and_jobs_at_the_limit_are_not() {
    let until = |seconds| {
        let mut betting = Betting::default();
        (1..200).find(|_| {
            betting.fold(&[(cell(seconds), 1)], 600.0, 1.0);
            betting.evidence().value() >= 1_000.0
        })
    };
    assert!(until(3_700).is_some_and(|jobs| jobs <= 7), "{:?}", until(3_700));
    assert!(until(1_300).is_some_and(|jobs| jobs <= 25), "{:?}", until(1_300));
    assert_eq!(until(600), None);
    let mut betting = Betting::default();
    betting.fold(&[(u16::MAX, 1)], 600.0, 1.0);
    betting.fold(&[(cell(3_700), 1)], f64::NAN, 1.0);
    assert_eq!(betting, Betting::default());
}

#[test]
fn quality_counts_unless_new_reports_less() {
    let matured = |quality: Block, reporting: Block| [Matured { quality, reporting }; 3];
    let reported = block((20.0, 1.0), (20.0, 1.0));
    let worse = matured(block((20.0, 2.0), (20.0, 15.0)), reported);
    let mut cohorts = Cohorts::default();
    (0..20).for_each(|_| cohorts.fold(&worse, Margin::at_least(0.002), 1.0));
    assert!(cohorts.evidence().value() > 1_000.0 && !cohorts.reporting_differs(), "{cohorts:?}");
    let broken = matured(block((20.0, 2.0), (20.0, 20.0)), block((20.0, 1.0), (20.0, 20.0)));
    let mut cohorts = Cohorts::default();
    (0..20).for_each(|_| cohorts.fold(&broken, Margin::at_least(0.002), 1.0));
    assert!(cohorts.evidence().value() <= 1.0 && cohorts.reporting_differs(), "{cohorts:?}");
}

mod late {
    use super::super::Count;
    use super::super::latency::*;
    use crate::observe::{CELLS, cell_start_us};

    fn at(cell: u16, done: u64, moved: i64) -> Movement {
        Movement { cell, done, moved }
    }

    #[track_caller]
    fn check(movements: &[Movement], total: f64, bad: f64) {
        assert_eq!(count(movements, 100), Count::new(total, bad), "{movements:?}");
    }

    #[test]
    fn a_request_is_late_once() {
        check(&[], 0.0, 0.0);
        check(&[at(20, 5, 0), at(99, 1, 0), at(100, 2, 0)], 8.0, 2.0);
        // Its age crosses the threshold, moves on, and it ends.
        check(&[at(90, 0, -1), at(101, 0, 1)], 1.0, 1.0);
        check(&[at(101, 0, -1), at(110, 0, 1)], 0.0, 0.0);
        check(&[at(110, 1, -1)], 0.0, 0.0);
        // It was never noticed and ends late.
        check(&[at(110, 1, 0)], 1.0, 1.0);
    }

    #[test]
    fn what_cannot_be_counts_nothing() {
        check(&[at(110, 0, -1), at(10, 9, 0)], 0.0, 0.0);
        check(&[at(CELLS as u16, 1, 0)], 0.0, 0.0);
        check(&[at(110, u64::MAX, 0)], 0.0, 0.0);
        check(&[at(110, 1, i64::MAX)], 0.0, 0.0);
        check(&[at(110, 0, i64::MAX), at(111, 0, i64::MAX)], 0.0, 0.0);
    }

    #[test]
    fn thresholds_are_legacys_own_quantiles_and_a_tenth_more_for_new() {
        let hour: Vec<(u16, u64)> = (0..100).map(|cell| (100 + cell, 10)).collect();
        let [Some(p50), .., Some(p99)] = thresholds(&hour) else { panic!("1000 requests are enough") };
        assert_eq!((p50.legacy, p99.legacy), (150, 199));
        for threshold in thresholds(&hour).into_iter().flatten() {
            let start = |cell: u16| cell_start_us(usize::from(cell)) as f64;
            assert!(start(threshold.new) >= 1.1 * start(threshold.legacy), "{threshold:?}");
            assert!(start(threshold.new) <= 1.1 * 1.126 * start(threshold.legacy), "{threshold:?}");
        }
        let [Some(p50), ..] = thresholds(&[(20, 1_000)]) else { panic!("1000 requests are enough") };
        let gap_us = cell_start_us(usize::from(p50.new)) - cell_start_us(usize::from(p50.legacy));
        assert!((1_000..1_300).contains(&gap_us), "what takes microseconds may take a millisecond more: {gap_us}");
        assert_eq!(thresholds(&[(100, 199)]), [None; 5]);
        assert_eq!(thresholds(&[(CELLS as u16 - 1, 500)]), [None; 5], "nothing is beyond the last cell");
        assert_eq!(thresholds(&[(CELLS as u16, 500)]), [None; 5]);
    }
}

#[track_caller]
fn refused(json: &str) {
    assert!(serde_json::from_str::<TwoSample>(json).is_err(), "{json}");
}

#[test]
fn a_damaged_state_is_refused() {
    let stream = |clocks: &str, past: &str| format!("{{\"clocks\":{{{clocks}}},\"past\":{past}}}");
    let accepted = stream("\"a\":[-60,1],\"b\":[0,60]", "[9,1,8,0]");
    assert!(serde_json::from_str::<TwoSample>(&accepted).is_ok());
    for clocks in [
        "\"a\":[1e300],\"b\":[0]",
        "\"a\":[61],\"b\":[0]",
        "\"a\":[0],\"b\":[-1]",
        "\"a\":[null],\"b\":[0]",
        "\"a\":[0,0],\"b\":[0]",
    ] {
        refused(&stream(clocks, "[9,1,8,0]"));
    }
    refused(&stream(&format!("\"a\":{:?},\"b\":{:?}", [0.0; 17], [0.0; 17]), "[9,1,8,0]"));
    for past in ["[9,-1,8,0]", "[9,10,8,0]", "[9,1,8]", "[9,1,8,null]", "[9e99,1,8,0]"] {
        refused(&stream("", past));
    }
    assert!(Damaged::Counts.to_string().ends_with("this stream begins anew"));
}

#[test]
fn a_stored_stream_is_small() {
    let mut stream = learnt();
    for bad in [1.0, 3.0, 0.0, 2.0] {
        stream.fold(&block((97.0, 1.0), (11.0, bad)), &FLEET, Margin::at_least(0.002), 1.7);
    }
    let stored = serde_json::to_string(&stream).unwrap().len();
    assert!(stored <= 300, "{stored} bytes");
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>(),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-1.0),
        (0..50u32).prop_map(f64::from),
        0.0..2.0f64
    ]
}

fn any_block() -> impl Strategy<Value = Block> {
    let count = || (any_number(), any_number()).prop_map(|(total, bad)| Count { total, bad });
    (count(), count()).prop_map(|(legacy, new)| Block { legacy, new })
}

/// A block of whole requests.
fn counted_block() -> impl Strategy<Value = Block> {
    let count = || (0..30u32).prop_flat_map(|total| (Just(total), 0..=total));
    (count(), count()).prop_map(|(legacy, new)| {
        let real = |(total, bad)| Count::new(f64::from(total), f64::from(bad));
        Block::new(real(legacy), real(new))
    })
}

proptest! {
    #[test]
    fn nothing_that_is_counted_breaks_a_stream(
        blocks in proptest::collection::vec(any_block(), 1..40),
        deff in any_number(),
        acceptable in any_number(),
    ) {
        let (mut two, mut one, mut safety) = (TwoSample::default(), OneSample::default(), Safety::default());
        for block in &blocks {
            two.fold(block, &FLEET, Margin::at_least(0.002), deff);
            two.fold_alone(block.new, &FLEET, deff);
            one.fold(block.new, acceptable, &FLOOR, deff, None);
            safety.fold(block, acceptable, deff);
        }
        let most = LN_MAX.exp() * 1.01;
        for evidence in [two.evidence(), one.evidence()] {
            prop_assert!((0.0..=most).contains(&evidence.value()), "{evidence:?}");
        }
        prop_assert!((0.0..=most).contains(&safety.evidence()));
        let back: TwoSample = serde_json::from_str(&serde_json::to_string(&two).unwrap()).unwrap();
        prop_assert_eq!(back, two);
    }

    /// Fold, store, read back and fold on is the same as folding on.
    #[test]
    fn a_stored_stream_goes_on_as_if_it_had_not_been_stored(
        blocks in proptest::collection::vec(counted_block(), 1..60),
        deff in 1.0..5.0f64,
    ) {
        let (mut kept, mut stored) = (TwoSample::default(), TwoSample::default());
        for block in &blocks {
            kept.fold(block, &FLEET, Margin::at_least(0.002), deff);
            stored.fold(block, &FLEET, Margin::at_least(0.002), deff);
            stored = serde_json::from_str(&serde_json::to_string(&stored).unwrap()).unwrap();
            prop_assert_eq!(&stored, &kept);
        }
    }

    /// More failures on new never mean less evidence within a block, and more on legacy never more.
    #[test]
    fn a_factor_moves_the_right_way(legacy in 1..20u32, new in 1..20u32, rate in 0.001..0.5f64, delta in 0.0..0.2f64) {
        let acceptable = rate + delta * (1.0 - rate);
        let alternative = acceptable + 0.5 * (0.995 - acceptable);
        let factor = |bad_legacy: u32, bad_new: u32| {
            let of = |total: u32, bad: u32| Count::new(f64::from(total), f64::from(bad));
            ln_two_sample(&Block::new(of(legacy, bad_legacy), of(new, bad_new)), alternative, acceptable, delta)
        };
        for bad in 1..=new {
            prop_assert!(factor(0, bad) >= factor(0, bad - 1));
        }
        for bad in 1..=legacy {
            prop_assert!(factor(bad, 0) <= factor(bad - 1, 0));
        }
    }
}
