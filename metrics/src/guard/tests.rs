//! Every row of the table of arbitration, and that counts may come in any order.

mod content;

use proptest::prelude::*;

use super::*;
use crate::sequential::{Block, Count, Matured};

fn seen(legacy: (u32, u32), new: (u32, u32), failing_keys: u64) -> Seen {
    let count = |(total, bad): (u32, u32)| Count::new(f64::from(total), f64::from(bad));
    let requests = Block::new(count(legacy), count(new));
    Seen { requests, refusals: requests, failing_keys, seen_keys: 0xFFFF, deff: 1.0, ..Seen::default() }
}

const ALL_KEYS: u64 = 0xFF;

fn fold(streams: &mut Streams, blocks: usize, seen: &Seen) {
    (0..blocks).for_each(|_| streams.fold(seen, &GuardSettings::default()));
}

/// Five sound minutes of 200 requests a second, a tenth of them on new.
fn sound() -> Streams {
    let mut streams = Streams::default();
    for block in 0..600 {
        let bad_new = u32::from(block % 10 == 0);
        fold(&mut streams, 1, &seen((90, 1), (10, bad_new), u64::from(bad_new)));
    }
    streams
}

fn after(blocks: usize, of: &Seen) -> Streams {
    let mut streams = sound();
    fold(&mut streams, blocks, of);
    streams
}

/// New fails four in ten, legacy is well.
fn bad() -> Streams {
    after(12, &seen((90, 1), (10, 4), ALL_KEYS))
}

fn standing() -> Standing {
    Standing {
        exposure: 0.1,
        expects_new_traffic: true,
        new_silent_seconds: 0.0,
        legacy_probe: None,
        legacy_per_second: 180.0,
        requests_per_second: 200.0,
        last_hit_seconds: None,
        state: State::Running,
    }
}

/// The only place of these tests that knows how a verdict is asked for.
#[track_caller]
fn check(streams: &Streams, settings: &GuardSettings, standing: &Standing, expected: Action) {
    let verdict = judge(streams, settings, standing);
    assert_eq!(verdict.action, expected, "{verdict:#?}");
    assert_eq!(verdict.record.is_some(), expected != Action::None, "{verdict:#?}");
    if let Some(record) = verdict.record {
        assert!(record.why.ends_with('.') && record.why.len() < 400, "{}", record.why);
    }
}

#[track_caller]
fn check_standing(streams: &Streams, standing: Standing, expected: Action) {
    check(streams, &GuardSettings::default(), &standing, expected);
}

const AT_ONCE: Action = Action::RollBack { pace: Pace::AtOnce, why: Why::Evidence };

fn told(why: Why) -> Action {
    Action::Hold { why, notify: true }
}

#[test]
fn a_sound_system_is_left_alone() {
    check_standing(&sound(), standing(), Action::None);
    check_standing(&Streams::default(), standing(), Action::None);
}

#[test]
fn a_new_system_that_is_worse_is_rolled_back() {
    check_standing(&bad(), standing(), AT_ONCE);
    check_standing(&bad(), Standing { state: State::Braked, ..standing() }, AT_ONCE);
    check_standing(&bad(), Standing { legacy_probe: Some(true), ..standing() }, AT_ONCE);
}

/// Half seconds until new, which fails everything, is rolled back.
#[track_caller]
fn half_seconds(mut streams: Streams) -> u32 {
    let broken = seen((90, 1), (10, 10), ALL_KEYS);
    let is_over = |streams: &Streams| judge(streams, &GuardSettings::default(), &standing()).action == AT_ONCE;
    let blocks = (1..30).find(|_| {
        fold(&mut streams, 1, &broken);
        is_over(&streams)
    });
    blocks.expect("a total break is found")
}

#[test]
fn a_total_break_is_rolled_back_within_three_seconds_of_a_start_and_five_of_a_sound_past() {
    let mut streams = sound();
    streams.restart();
    assert!((3..=6).contains(&half_seconds(streams)));
    assert!((3..=6).contains(&half_seconds(Streams::default())));
    assert!((3..=10).contains(&half_seconds(sound())));
}

#[test]
fn a_legacy_that_is_unwell_takes_nobody() {
    check_standing(&bad(), Standing { legacy_probe: Some(false), ..standing() }, told(Why::LegacyUnhealthy));
    // Legacy at 40 % failures, new at nearly all: worse, and nowhere to go.
    let both = after(40, &seen((90, 36), (10, 10), ALL_KEYS));
    check_standing(&both, standing(), told(Why::LegacyUnhealthy));
}

#[test]
fn what_both_share_is_told_and_not_blamed_on_new() {
    let mut streams = sound();
    let outage = seen((90, 54), (10, 6), ALL_KEYS);
    for _ in 0..40 {
        fold(&mut streams, 1, &outage);
        let action = judge(&streams, &GuardSettings::default(), &standing()).action;
        assert!(!matches!(action, Action::RollBack { .. } | Action::Brake { .. }), "{action:?}");
    }
    check_standing(&streams, standing(), told(Why::SharedDependency));
    fold(&mut streams, 200, &seen((90, 1), (10, 0), 0));
    check_standing(&streams, Standing { state: State::Held, ..standing() }, Action::ReleaseHold);
}

#[test]
fn what_has_recovered_brakes_once_and_latches_the_second_time() {
    let mut streams = bad();
    fold(&mut streams, 40, &seen((9, 1), (1, 0), 0));
    let evidence = streams.rollback_evidence(&GuardSettings::default()).value();
    assert!(evidence >= 1_000.0, "{evidence}");
    check_standing(&streams, standing(), Action::Brake { why: Why::Recovered });
    let braked = Standing { state: State::Braked, last_hit_seconds: Some(0.5), ..standing() };
    check_standing(&streams, braked, told(Why::Recovered));
    let again = Standing { last_hit_seconds: Some(900.0), ..standing() };
    check_standing(&streams, again, Action::RollBack { pace: Pace::AtOnce, why: Why::SecondHit });
    let long_ago = Standing { last_hit_seconds: Some(3_601.0), ..standing() };
    check_standing(&streams, long_ago, Action::Brake { why: Why::Recovered });
    fold(&mut streams, 4, &seen((9, 0), (1, 1), ALL_KEYS));
    check_standing(&streams, braked, AT_ONCE);
    streams.restart();
    check_standing(&streams, Standing { state: State::Braked, ..again }, Action::ReleaseHold);
    check_standing(&streams, braked, Action::None);
}

#[test]
fn one_caller_alone_moves_nobody() {
    let one = after(12, &seen((90, 1), (10, 4), 1));
    check_standing(&one, standing(), Action::Brake { why: Why::FewKeys });
    check_standing(&one, Standing { state: State::Braked, ..standing() }, told(Why::FewKeys));
    let two = after(12, &seen((90, 1), (10, 4), 0b11));
    check_standing(&two, standing(), Action::Brake { why: Why::FewKeys });
}

#[test]
fn one_caller_that_fails_beside_others_who_do_now_and_then_moves_nobody() {
    let mut streams = sound();
    for block in 0..600_u32 {
        // A hundredth of all fails on both sides, and of one caller's requests to new all.
        let other = u8::try_from(3 + block % 60).unwrap();
        let failing = 1 | 1 << other;
        let groups = vec![(0, 20), (other, 1)];
        fold(&mut streams, 1, &Seen { failed: groups.clone(), refused: groups, ..seen((90, 1), (110, 21), failing) });
        let action = judge(&streams, &GuardSettings::default(), &standing()).action;
        assert!(!matches!(action, Action::RollBack { .. }), "block {block}: {action:?}");
    }
    assert!(streams.keys().failing() > 3, "others have failed, too");
    let braked = Standing { state: State::Braked, ..standing() };
    check_standing(&streams, braked, told(Why::FewKeys));
    let why = judge(&streams, &GuardSettings::default(), &braked).record.unwrap().why;
    assert!(why.contains("but not for others than the one or two callers that fail most"), "{why}");
    // And then new is really gone.
    let groups: Vec<(u8, u32)> = (0..10).map(|group| (group, 11)).collect();
    let gone = Seen { failed: groups.clone(), refused: groups, ..seen((90, 1), (110, 110), ALL_KEYS) };
    fold(&mut streams, 12, &gone);
    check_standing(&streams, braked, AT_ONCE);
}

#[test]
fn a_system_with_one_caller_needs_only_that_one() {
    let mut streams = Streams::default();
    let of = |bad| Seen { seen_keys: 1, ..seen((90, 1), (10, bad), u64::from(bad > 0)) };
    fold(&mut streams, 100, &of(0));
    fold(&mut streams, 12, &of(5));
    check_standing(&streams, standing(), AT_ONCE);
    fold(&mut streams, 1, &Seen { has_many_keys: true, ..of(5) });
    check_standing(&streams, standing(), Action::Brake { why: Why::FewKeys });
}

#[test]
fn nobody_is_moved_where_nobody_is_exposed_or_there_is_no_way_back() {
    check_standing(&bad(), Standing { exposure: 0.0, ..standing() }, told(Why::NobodyExposed));
    let one_way = GuardSettings::default().with_reversible(false);
    check(&bad(), &one_way, &standing(), told(Why::Irreversible));
}

#[test]
fn cold_legacy_gets_slices_unless_new_is_hopeless() {
    let cold = Standing { legacy_per_second: 49.0, ..standing() };
    check_standing(&bad(), cold, Action::RollBack { pace: Pace::Slices, why: Why::Evidence });
    check_standing(&bad(), Standing { legacy_per_second: 50.0, ..standing() }, AT_ONCE);
    let hopeless = after(20, &seen((90, 1), (10, 9), ALL_KEYS));
    check_standing(&hopeless, cold, AT_ONCE);
}

#[test]
fn no_data_is_neither_good_nor_bad() {
    let silent = Standing { new_silent_seconds: 600.0, ..standing() };
    check_standing(&sound(), silent, Action::NoData { why: Why::NoTraffic });
    check_standing(&sound(), Standing { expects_new_traffic: false, ..silent }, Action::None);
    check_standing(&sound(), Standing { state: State::NoData, ..standing() }, Action::ReleaseHold);
    assert_eq!(judge(&sound(), &GuardSettings::default(), &standing()).judgement, Judgement::Undecided);
}

#[test]
fn evidence_holds_then_brakes_then_rolls_back_and_is_released_below_five() {
    let mut streams = sound();
    let mut order = Vec::new();
    let mut state = State::Running;
    for _ in 0..60 {
        fold(&mut streams, 1, &seen((90, 1), (10, 1), ALL_KEYS));
        let action = judge(&streams, &GuardSettings::default(), &Standing { state, ..standing() }).action;
        state = match action {
            Action::Hold { .. } => {
                if state == State::Braked {
                    state
                } else {
                    State::Held
                }
            }
            Action::Brake { .. } => State::Braked,
            _ => state,
        };
        if action != Action::None && order.last() != Some(&action) {
            order.push(action);
        }
        if matches!(action, Action::RollBack { .. }) {
            break;
        }
    }
    let hold = Action::Hold { why: Why::Evidence, notify: false };
    assert_eq!(order[0], hold, "{order:?}");
    assert_eq!(order[1], Action::Brake { why: Why::Evidence }, "{order:?}");
    assert_eq!(order.last(), Some(&AT_ONCE), "{order:?}");
    streams.restart();
    check_standing(&streams, Standing { state: State::Held, ..standing() }, Action::ReleaseHold);
}

#[test]
fn new_alone_is_judged_by_the_floor_and_by_what_legacy_was() {
    let mut streams = sound();
    let alone = |bad| Seen { is_alone: true, ..seen((0, 0), (100, bad), ALL_KEYS) };
    fold(&mut streams, 200, &alone(1));
    let standing = Standing { exposure: 1.0, legacy_per_second: 0.0, ..standing() };
    check_standing(&streams, standing, Action::None);
    fold(&mut streams, 12, &alone(50));
    check_standing(&streams, standing, Action::RollBack { pace: Pace::Slices, why: Why::Evidence });
    check_standing(&streams, Standing { legacy_probe: Some(false), ..standing }, told(Why::LegacyUnhealthy));
}

#[test]
fn mean_duration_and_quality_hold_and_do_not_roll_back_by_themselves() {
    let hour = (0..crate::observe::CELLS).rfind(|cell| crate::observe::cell_start_us(*cell) <= 3_700_000_000).unwrap();
    let mut streams = sound();
    let slow = Seen { durations: vec![(hour as u16, 3)], ..seen((90, 1), (10, 0), 0) };
    fold(&mut streams, 20, &slow);
    check_standing(&streams, standing(), Action::Hold { why: Why::Evidence, notify: false });
    let block = |bad: f64| Block::new(Count::new(50.0, 2.0), Count::new(50.0, bad));
    let matured = [Matured { quality: block(40.0), reporting: block(2.0) }; 3];
    let poor = Seen { matured, ..seen((90, 1), (10, 0), ALL_KEYS) };
    let mut streams = sound();
    fold(&mut streams, 20, &poor);
    check_standing(&streams, standing(), Action::Hold { why: Why::Evidence, notify: false });
    let strict = GuardSettings::default().with_quality_can_rollback(true);
    check(&streams, &strict, &standing(), AT_ONCE);
}

#[test]
fn safety_makes_acceptable() {
    let mut streams = sound();
    let block = seen((90, 1), (10, 0), 0);
    for _ in 0..100 {
        streams.fold(&block, &GuardSettings::default());
        streams.fold_safety(&block, 0.05);
    }
    let verdict = judge(&streams, &GuardSettings::default(), &standing());
    assert_eq!(verdict.judgement, Judgement::Acceptable, "{verdict:?}");
    assert_eq!(judge(&bad(), &GuardSettings::default(), &standing()).judgement, Judgement::Degraded);
}

#[test]
fn a_record_says_what_was_seen() {
    let verdict = judge(&bad(), &GuardSettings::default(), &standing());
    let record = verdict.record.unwrap();
    assert_eq!((record.measure, record.span), (Measure::Requests, Span::LastSeconds));
    assert_eq!((record.failing_keys, record.needed_keys), (8, 3));
    let difference = record.difference.unwrap();
    assert!(difference.low > 0.1 && difference.low < difference.estimate && difference.estimate < difference.high);
    assert!(record.why.starts_with("rolled back to legacy, because requests fail more often on new"), "{}", record.why);
    let text = serde_json::to_string(&judge(&bad(), &GuardSettings::default(), &standing())).unwrap();
    let back: Verdict = serde_json::from_str(&text).unwrap();
    assert_eq!((back.action, back.record.unwrap().why), (verdict.action, record.why));
}

/// Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80.
#[test]
fn the_interval_is_newcombes() {
    let interval = Interval::of(&Block::new(Count::new(80.0, 48.0), Count::new(70.0, 56.0))).unwrap();
    let near = |value: f64, expected: f64| (value - expected).abs() < 5e-5;
    assert!(near(interval.estimate, 0.2), "{interval:?}");
    assert!(near(interval.low, 0.0524) && near(interval.high, 0.3339), "{interval:?}");
    assert_eq!(Interval::of(&Block::NONE), None);
}

#[test]
fn settings_are_refused_with_what_to_write() {
    let settings = GuardSettings::default();
    assert!(settings.with_success_floor(0.7).is_ok() && settings.with_margin(0.0).is_ok());
    for refused in [
        settings.with_success_floor(0.0),
        settings.with_success_floor(1.0),
        settings.with_success_floor(f64::NAN),
        settings.with_margin(-0.01),
        settings.with_margin(0.51),
        settings.with_mean_duration_limit_seconds(0.0),
        settings.with_mean_duration_limit_seconds(f64::INFINITY),
        settings.with_alpha(0.06),
        settings.with_alpha(9e-7),
        settings.with_alpha(f64::NAN),
    ] {
        assert!(refused.unwrap_err().to_string().contains("; write "), "{refused:?}");
    }
}

#[test]
fn weights_are_a_mean() {
    let sum: f64 = Measure::ALL.map(Measure::weight).iter().sum();
    assert!((sum - 1.0).abs() < 1e-12, "{sum}");
}

#[test]
fn what_is_stored_is_small_and_damage_is_refused() {
    let stored = serde_json::to_string(&bad()).unwrap();
    assert!(stored.len() < 2_500, "{} bytes", stored.len());
    assert_eq!(serde_json::from_str::<Streams>(&stored).unwrap(), bad());
    for damage in [stored.replacen("[[90.0,", "[[null,", 1), stored.replacen("[[90.0,1.0,", "[[1.0,9.0,", 1)] {
        assert_ne!(damage, stored);
        assert!(serde_json::from_str::<Streams>(&damage).is_err(), "{damage}");
    }
}

/// What one router may have counted in one block.
fn router() -> impl Strategy<Value = Seen> {
    let count = || (0..40u32).prop_flat_map(|total| (Just(total), 0..=total));
    let rest = (any::<u64>(), any::<u64>(), any::<bool>(), proptest::collection::vec((0..248u16, 1..9u32), 0..6));
    (count(), count(), rest).prop_map(|(legacy, new, (failing, keys, has_many_keys, durations))| Seen {
        seen_keys: keys,
        has_many_keys,
        durations,
        pairs: Pairs { only_new: new.1, only_legacy: legacy.1 },
        latency: [seen(legacy, new, 0).requests; 5],
        ..seen(legacy, new, failing)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// One router, three or sixteen, in whatever order their counts are added.
    #[test]
    fn the_order_of_routers_does_not_matter(
        blocks in proptest::collection::vec((1..=3usize).prop_flat_map(|which| {
            proptest::collection::vec(router(), [1, 3, 16][which - 1])
        }), 1..8),
        turn in 0..16usize,
    ) {
        let (mut forward, mut turned) = (Streams::default(), Streams::default());
        let settings = GuardSettings::default();
        for routers in &blocks {
            let sum = |order: &mut dyn Iterator<Item = &Seen>| {
                let mut sum = Seen::default();
                order.for_each(|router| sum.add(router));
                sum
            };
            forward.fold(&sum(&mut routers.iter()), &settings);
            let at = turn % routers.len();
            turned.fold(&sum(&mut routers[at..].iter().chain(&routers[..at]).rev()), &settings);
        }
        prop_assert_eq!(&forward, &turned);
        let back: Streams = serde_json::from_str(&serde_json::to_string(&forward).unwrap()).unwrap();
        prop_assert_eq!(back, forward);
    }

    #[test]
    fn impossible_counts_and_times_never_panic(
        numbers in proptest::collection::vec(any::<f64>(), 8),
        cells in proptest::collection::vec((any::<u16>(), any::<u32>()), 0..4),
        keys: u64,
    ) {
        let block = Block::new(Count::new(numbers[0], numbers[1]), Count::new(numbers[2], numbers[3]));
        let seen = Seen {
            requests: block,
            work: block,
            latency: [block; 5],
            durations: cells,
            matured: [Matured { quality: block, reporting: block }; 3],
            failing_keys: keys,
            deff: numbers[4],
            ..Seen::default()
        };
        let mut streams = sound();
        fold(&mut streams, 3, &seen);
        let standing = Standing {
            exposure: numbers[5],
            new_silent_seconds: numbers[6],
            last_hit_seconds: Some(numbers[7]),
            ..standing()
        };
        let verdict = judge(&streams, &GuardSettings::default(), &standing);
        prop_assert!(verdict.rollback_evidence.is_finite() && verdict.hold_evidence.is_finite());
    }
}
