//! Made-up comparisons, and what they add up to.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use metrics::compare::{NotCompared, Place, Type};

use super::*;
use crate::diff::send::Unanswered;

fn request(line: usize, route: &str) -> Selected {
    Selected {
        line,
        route: route.into(),
        method: Method::GET,
        target: PathAndQuery::from_static("/"),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        write: false,
    }
}

fn difference(pattern: &str, legacy: &str, new: &str) -> Difference {
    let shown = |form: &str| Some(Shown { kind: Type::String, length: form.len(), form: form.into() });
    Difference {
        apart: None,
        place: Place::Body(pattern.into()),
        pattern: pattern.into(),
        kind: Kind::ValueChanged,
        legacy: shown(legacy),
        new: shown(new),
    }
}

fn mismatched(differences: Vec<Difference>) -> Comparison {
    Comparison::Mismatched { differences, more: 0, ignored: 0, notations: Vec::new(), body: None }
}

fn matched() -> Comparison {
    Comparison::Matched { ignored: 0, notations: Vec::new() }
}

fn compared(comparison: Comparison, noise: Option<Comparison>) -> Outcome {
    Outcome::Compared { comparison, raw: None, noise }
}

fn totals(counted: &Counted) -> [u64; 4] {
    let Totals { matched, ignored, mismatched, not_compared } = counted.totals;
    [matched, ignored, mismatched, not_compared]
}

#[test]
fn every_request_ends_in_exactly_one_of_four_numbers() {
    let mut tally = Tally::default();
    let refused = || Some(Unanswered::Unreachable("refused".into()));
    let outcomes = vec![
        compared(matched(), None),
        compared(Comparison::Ignored { ignored: 1, notations: Vec::new() }, None),
        compared(mismatched(vec![difference("$.a", "x", "y")]), None),
        compared(Comparison::NotCompared { why: NotCompared::EventStream }, None),
        Outcome::Unanswered { legacy: None, new: refused() },
        Outcome::Unanswered { legacy: refused(), new: Some(Unanswered::TimedOut(std::time::Duration::from_secs(1))) },
        Outcome::Written(Ok(503)),
        Outcome::Written(Err(Unanswered::BrokeOff("reset".into()))),
        Outcome::NotSent,
    ];
    for (line, outcome) in outcomes.into_iter().enumerate() {
        tally.add(&request(line, "GET /"), outcome);
    }
    assert_eq!((tally.ended(), tally.differing()), (9, 1));
    let counted = tally.finish();
    assert_eq!(totals(&counted), [1, 1, 1, 6]);
    assert_eq!(counted.routes["GET /"], counted.totals);
    let reasons: Vec<&str> = counted.reasons.keys().map(String::as_str).collect();
    assert_eq!(
        reasons,
        [
            "event stream",
            "legacy cannot be reached: refused; new did not answer whole within 1 s",
            "new cannot be reached: refused",
            "not sent: one system has never answered",
            "sent to new alone, which answered 5xx",
            "sent to new alone, which broke off: reset",
        ]
    );
}

#[test]
fn findings_are_counted_by_request_with_the_first_as_the_example() {
    let mut tally = Tally::default();
    let twice = || mismatched(vec![difference("$.a", "x", "y"), difference("$.a", "x", "z")]);
    tally.add(&request(9, "GET /"), compared(twice(), None));
    tally.add(&request(3, "GET /"), compared(mismatched(vec![difference("$.a", "first", "y")]), None));
    tally.add(&request(4, "GET /b"), compared(mismatched(vec![difference("$.b", "x", "y")]), None));
    let counted = tally.finish();
    assert_eq!(counted.findings.len(), 2);
    let first = &counted.findings[0];
    assert_eq!((first.requests, first.differences, first.pattern.as_str()), (2, 3, "$.a"));
    let example = first.example.as_ref().unwrap();
    assert_eq!((example.line, example.legacy.as_ref().unwrap().form.as_str()), (3, "first"));
}

/// Requests that differ so often, while legacy differs from itself so often; at other places in the order.
#[track_caller]
fn check_noise(requests: usize, differ: usize, itself: usize, expected_mismatched: u64) {
    let mut tally = Tally::default();
    for line in 0..requests {
        let differs = |yes: bool| if yes { mismatched(vec![difference("$.at", "time", "time")]) } else { matched() };
        let own = differs(line >= requests - itself);
        tally.add(&request(line, "GET /"), compared(differs(line < differ), Some(own)));
    }
    let counted = tally.finish();
    assert_eq!(counted.totals.mismatched, expected_mismatched, "{differ} and {itself} of {requests}");
    assert_eq!(counted.totals.compared(), requests as u64);
}

#[test]
fn what_legacy_has_with_itself_about_as_often_is_noise() {
    check_noise(10, 10, 10, 0);
    check_noise(10, 10, 8, 0);
    check_noise(10, 3, 2, 0);
    check_noise(10, 10, 0, 10);
    check_noise(1, 1, 1, 0);
    // A field that legacy changes at times and new always: those where legacy did not are told.
    check_noise(1000, 1000, 10, 990);
    check_noise(1000, 500, 10, 500);
}

#[test]
fn noise_keeps_its_shape_and_hides_no_other_field() {
    let outcome = |new: &str| {
        let own = mismatched(vec![difference("$.id", "uuid", "uuid")]);
        compared(mismatched(vec![difference("$.id", "uuid", new)]), Some(own))
    };
    let mut tally = Tally::default();
    tally.add(&request(1, "GET /"), outcome("uuid"));
    tally.add(&request(2, "GET /"), outcome("empty"));
    let own = mismatched(vec![difference("$.id", "uuid", "uuid")]);
    let both = mismatched(vec![difference("$.id", "uuid", "uuid"), difference("$.price", "a", "b")]);
    tally.add(&request(3, "GET /"), compared(both, Some(own)));
    let counted = tally.finish();
    assert_eq!((totals(&counted), counted.by_noise), ([0, 1, 2, 0], 1));
    let patterns: Vec<&str> = counted.findings.iter().map(|finding| finding.pattern.as_str()).collect();
    assert_eq!(patterns, ["$.id", "$.price"]);
}

#[track_caller]
fn check_shape(own: [&str; 2], new: &str, breaks_it: bool) {
    let made = difference("$.a", own[0], own[1]);
    let shapes = HashSet::from([form(&made.legacy), form(&made.new)]);
    assert_eq!(breaks(&shapes, &difference("$.a", own[0], new)), breaks_it, "{own:?} {new}");
}

#[test]
fn what_changes_from_value_to_value_is_no_shape() {
    check_shape(["integer(2)", "integer(3)"], "integer(9)", false);
    check_shape(["text(5)", "text(5)"], "text(9)", false);
    check_shape(["uuid", "uuid"], "uuid", false);
    check_shape(["uuid", "uuid"], "text(4)", true);
    check_shape(["rfc3339", "rfc3339"], "date", true);
    check_shape(["hex-40", "hex-40"], "integer(10)", true);
    // The helper says that a form is as long as its name.
    check_shape(["hex-11", "hex-11"], "integer(11)", false);
    // Where legacy itself has two shapes, nothing is known.
    check_shape(["uuid", "text(4)"], "integer(1)", false);
}

#[test]
fn a_second_answer_that_says_nothing_leaves_a_mismatch() {
    let mut tally = Tally::default();
    let differs = || mismatched(vec![difference("$.a", "x", "y")]);
    tally.add(&request(1, "GET /"), compared(differs(), None));
    tally.add(&request(2, "GET /"), compared(differs(), Some(Comparison::NotCompared { why: NotCompared::TooLarge })));
    assert_eq!(totals(&tally.finish()), [0, 0, 2, 0]);
}

#[test]
fn everything_has_a_limit() {
    let mut tally = Tally::default();
    for at in 0..ROUTES_MAX + 50 {
        tally.add(&request(at, &format!("GET /{at}")), compared(matched(), None));
    }
    let many: Vec<Difference> =
        (0..FINDINGS_PER_ROUTE_MAX + 7).map(|at| difference(&format!("$.k{at}"), "x", "y")).collect();
    tally.add(&request(7, "GET /7"), compared(mismatched(many), None));
    for at in 0..REASONS_MAX + 50 {
        let new = Some(Unanswered::Unreachable(at.to_string()));
        tally.add(&request(8, "GET /8"), Outcome::Unanswered { legacy: None, new });
    }
    let counted = tally.finish();
    assert_eq!((counted.routes.len(), counted.routes[OTHER].matched), (ROUTES_MAX + 1, 50));
    assert_eq!((counted.findings.len(), counted.beyond), (FINDINGS_PER_ROUTE_MAX, 1));
    assert_eq!((counted.reasons.len(), counted.reasons[OTHER]), (REASONS_MAX + 1, 50));
}

#[test]
fn intervals_are_those_of_wilson() {
    let (low, high) = wilson(5, 10);
    assert!((low - 0.2366).abs() < 1e-3 && (high - 0.7634).abs() < 1e-3, "{low} {high}");
    assert_eq!(wilson(0, 0), (0.0, wilson(0, 1).1));
    assert!(wilson(10, 10).1 >= 1.0 - 1e-9);
}
