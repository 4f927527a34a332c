//! Routing and deciding a request allocates nothing.
//!
//! A test of its own, because counting takes over the allocator of the whole program.

mod sample;

use flags::{Mode, Side};

#[test]
fn a_decision_by_header_allocates_nothing() {
    let snapshot = sample::snapshot(100);
    let requests: Vec<_> = (0..100).map(sample::Get::of).collect();
    let mut new = 0;
    let seen = allocation_counter::measure(|| {
        for request in &requests {
            let decision = sample::route_and_decide(&snapshot, request).unwrap();
            new += usize::from(decision.serve == Side::New);
        }
    });
    assert_eq!(seen.count_total, 0, "{seen:?}");
    // Had all gone one way, less than the whole would have been measured.
    assert!((20..80).contains(&new), "{new} of 100 to new");
}

#[test]
fn a_decision_with_rules_pins_and_a_prerequisite_allocates_nothing() {
    let request = sample::Get::of(1);
    for (name, snapshot) in [
        ("fixed mode", sample::alone(Mode::NewOnly)),
        ("gradual", sample::alone(Mode::Gradual)),
        ("10 rules, 10,000 pins, 1 prerequisite", sample::laden()),
    ] {
        let key = b"0189f7ea-ae2c-7809-8aeb-b819cf5e9e7f";
        let mut reason = None;
        let seen = allocation_counter::measure(|| {
            reason = Some(sample::decide_first(&snapshot, &request, key).reason);
        });
        assert_eq!(seen.count_total, 0, "{name}: {seen:?}");
        assert!(matches!(reason, Some(flags::decide::Reason::Mode | flags::decide::Reason::Percent)), "{name}");
    }
}
