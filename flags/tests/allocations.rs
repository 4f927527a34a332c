//! Routing and deciding a request allocates nothing.
//!
//! A test of its own, because counting takes over the allocator of the whole program.

mod sample;

use flags::Side;

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
