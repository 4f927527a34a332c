//! Findings over many requests: bounds, noise, what is told and what never is, a fleet, and a corpus of regressions.

mod corpus;
mod secrets;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::*;
use crate::compare::Kind;

const ROUTE: &str = "/orders/{id}";

fn id() -> MigrationId {
    MigrationId::new("m").unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

fn kept(status: u16, body: &str) -> Kept {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Kept { status, headers, body: body.as_bytes().to_vec(), ..Kept::default() }
}

fn pair(n: u64, legacy: &str, new: &str, again: Option<&str>) -> Pair {
    Pair {
        migration: id(),
        route: ROUTE.into(),
        method: "GET".into(),
        caller: Some(Mismatches::caller("test", &(n % 40).to_be_bytes())),
        request_id: format!("r-{n}"),
        tokens: Vec::new(),
        revision: 7,
        at: at(n as i64),
        legacy: kept(200, legacy),
        new: kept(200, new),
        again: again.map(|body| kept(200, body)),
    }
}

fn mismatches() -> Mismatches {
    let mismatches = Mismatches::new(Observer::new(&[]).unwrap(), [9; 32]);
    mismatches.configure(vec![(id(), CompareSettings::default())]);
    mismatches
}

/// Compares so many, every twentieth with a second answer of legacy.
fn traffic(mismatches: &Mismatches, requests: std::ops::Range<u64>, make: impl Fn(u64) -> [String; 3]) {
    let cells = mismatches.route(&id(), ROUTE);
    for n in requests {
        let [legacy, new, again] = make(n);
        cells.eligible();
        mismatches.compare(&pair(n, &legacy, &new, (n % 20 == 0).then_some(&again)));
    }
}

/// Patterns and kinds by their standing.
fn told(findings: &Findings, standing: Standing) -> Vec<String> {
    let of = findings.iter().filter(|finding| finding.raw > 0 && findings.standing(finding) == standing);
    let mut told: Vec<String> = of.map(|finding| format!("{} {}", finding.pattern, finding.kind)).collect();
    told.sort();
    told
}

/// Answers of one system that makes times and ids anew and has no order of keys and of sets.
fn noisy(n: u64, salt: u64) -> String {
    let mut dice = Dice::new(n ^ (salt << 40));
    let id = format!("{:08x}-0000-4000-8000-{:012x}", dice.bits() as u32, dice.bits() >> 16);
    let time = format!("2026-05-{:02}T03:04:{:02}Z", 1 + dice.below(28), dice.below(60));
    let (first, second) = (r#""total":12"#, format!(r#""request_id":"{id}","at":"{time}""#));
    let tags = if dice.below(2) == 0 { r#"["a","b"]"# } else { r#"["b","a"]"# };
    let members = if dice.below(2) == 0 { format!("{first},{second}") } else { format!("{second},{first}") };
    format!(r#"{{"n":{n},"tags":{tags},{members}}}"#)
}

#[test]
fn two_sound_systems_have_no_mismatch_once_noise_is_known() {
    let mismatches = mismatches();
    let make = |n| [noisy(n, 1), noisy(n, 2), noisy(n, 3)];
    traffic(&mismatches, 0..1_000, make);
    let learned = mismatches.findings(&id()).totals();
    traffic(&mismatches, 1_000..4_000, make);
    let findings = mismatches.findings(&id());
    assert_eq!(told(&findings, Standing::Counted), Vec::<String>::new());
    assert_eq!(
        told(&findings, Standing::Noise),
        ["$.at value_changed", "$.request_id value_changed", "$.tags order_changed"]
    );
    let totals = findings.totals();
    assert_eq!(totals.mismatched, learned.mismatched, "none after the baseline");
    assert!(learned.mismatched < 400, "{learned:?}");
    assert_eq!((totals.eligible, totals.compared(), totals.not_compared()), (4_000, 4_000, 0));
    let proposals: Vec<_> = findings
        .iter()
        .map(|finding| {
            let proposal = propose(&findings, finding).unwrap();
            (proposal.path, proposal.kind, proposal.last_resort)
        })
        .collect();
    for expected in [("$.at", "shape"), ("$.request_id", "shape"), ("$.tags", "unordered")] {
        assert!(proposals.contains(&(expected.0.into(), json!(expected.1), false)), "{proposals:?}");
    }
}

#[test]
fn a_broken_value_shows_through_noise_and_what_is_lost_too() {
    let mismatches = mismatches();
    traffic(&mismatches, 0..1_000, |n| [noisy(n, 1), noisy(n, 2), noisy(n, 3)]);
    traffic(&mismatches, 1_000..2_000, |n| {
        let broken = noisy(n, 2).replace("\"at\":\"2026-", "\"at\":\"on 2026-").replace("\"total\":12,", "");
        [noisy(n, 1), broken, noisy(n, 3)]
    });
    let counted = told(&mismatches.findings(&id()), Standing::Counted);
    assert_eq!(counted, ["$.at (shape) value_changed", "$.total missing"]);
}

#[test]
fn numbers_that_are_near_each_other_get_a_tolerance_that_covers_legacy() {
    let mismatches = mismatches();
    let answer = |n: u64, salt: u64| {
        let mut dice = Dice::new(n ^ (salt << 40));
        format!(r#"{{"load":{}.{:02},"far":{}}}"#, 100, dice.below(90), dice.below(1_000_000))
    };
    traffic(&mismatches, 0..1_000, |n| [answer(n, 1), answer(n, 2), answer(n, 3)]);
    let findings = mismatches.findings(&id());
    let proposed = |pattern: &str| {
        let finding = findings.iter().find(|finding| finding.pattern == pattern).unwrap();
        propose(&findings, finding).unwrap().kind
    };
    assert_eq!(proposed("$.load"), json!({"tolerance": {"relative": 0.01}}));
    assert_eq!(proposed("$.far"), json!("shape"));
    let rule = AcceptedRule {
        id: "r".into(),
        path: "$.load".into(),
        kind: proposed("$.load").to_string(),
        route: None,
        owner: "ann".into(),
        reason: "a gauge".into(),
        expires: day_of(at(0)),
        accepted: at(0),
    };
    let rules = Rules::parse(vec![entry(&rule).unwrap()]).unwrap();
    assert!(matches!(rules.entries()[0].kind, RuleKind::Tolerance { .. }));
}

#[test]
fn what_only_one_side_has_issued_is_no_ground_to_compare_on() {
    let mismatches = mismatches();
    let page = |cursor: &str| format!(r#"{{"items":[1],"next_cursor":"{cursor}"}}"#);
    let ask = |n: u64, query: &str, legacy: String, new: String| {
        let count = || {
            let totals = mismatches.findings(&id()).totals();
            totals.not_compared_by.get("one_sided").copied().unwrap_or_default()
        };
        let before = count();
        mismatches.compare(&Pair { tokens: mismatches.tokens(query.as_bytes()), ..pair(n, &legacy, &new, None) });
        count() - before
    };
    assert_eq!(ask(0, "limit=10", page("legacy-1"), page("new-00001")), 0);
    // The page behind, and the one behind that, whose cursor new could not issue.
    assert_eq!(ask(1, "cursor=legacy-1", page("legacy-2"), r#"{"error":"no such cursor"}"#.into()), 1);
    assert_eq!(ask(2, "limit=10&cursor=legacy%2D2", page("legacy-3"), "{}".into()), 1);
    assert_eq!(ask(3, "cursor=new-00001", "{}".into(), page("new-00002")), 1);
    // What both have issued, or nobody, is compared.
    assert_eq!(ask(4, "", page("of-both-1"), page("of-both-1")), 0);
    assert_eq!(ask(5, "cursor=of-both-1", page("of-both-2"), page("of-both-2")), 0);
    assert_eq!(ask(6, "cursor=of-nobody", page("of-both-2"), "{}".into()), 0);
}

#[test]
fn what_was_mended_is_gone_and_counts_again_when_it_comes_back() {
    let mismatches = mismatches();
    let make = |total: u8| move |n: u64| [noisy(n, 1), noisy(n, 2).replace("12", &total.to_string()), noisy(n, 3)];
    let standing = || {
        let findings = mismatches.findings(&id());
        let of_total = findings.iter().find(|finding| finding.pattern == "$.total").unwrap();
        (findings.standing(of_total), findings.recently(of_total).raw)
    };
    // A request a second.
    traffic(&mismatches, 0..600, make(13));
    assert_eq!(standing().0, Standing::Counted);
    traffic(&mismatches, 600..3_600, make(12));
    assert_eq!(standing(), (Standing::Counted, 600), "it was there within the hour");
    traffic(&mismatches, 3_600..6_000, make(12));
    assert_eq!(standing(), (Standing::Gone, 0));
    traffic(&mismatches, 6_000..6_001, make(13));
    assert_eq!(standing(), (Standing::Counted, 1));
    let written = mismatches.findings(&id()).written(1 << 20);
    let read = Findings::read(&written).unwrap();
    let of_total = read.iter().find(|finding| finding.pattern == "$.total").unwrap();
    assert_eq!(read.recently(of_total).raw, 1, "a fleet knows as much");
}

#[test]
fn accepted_rules_hold_until_they_end_and_on_top_of_those_of_the_file() {
    let accepted = |path: &str, kind: &str| AcceptedRule {
        id: AcceptedRule::id_of(None, path, kind),
        path: path.into(),
        kind: kind.into(),
        route: None,
        owner: "ann".into(),
        reason: "noise".into(),
        expires: day_of(at(0)),
        accepted: at(0),
    };
    let mut document = flags::state::Document::initial(&flags::Migration::new(id(), "a", "b"));
    document.rules = vec![accepted("$.a", "\"ignore\""), accepted("$.b", "no json"), accepted("$.b", "\"shape\"")];
    document.revision = flags::Revision(1);
    let stored = flags::store::Stored::State { document, pins: Default::default() };
    let loaded = flags::store::Loaded {
        revision: flags::Revision(1),
        migrations: [(id(), stored)].into(),
        ..Default::default()
    };
    let definitions =
        flags::Definitions::build(vec![flags::Migration::new(id(), "a", "b")], vec![], None, String::new()).unwrap();
    let snapshot = Snapshot::build(Arc::new(definitions), &loaded, Default::default(), None);
    let mismatches = mismatches();
    mismatches.follow(&snapshot);
    let make = |_| [r#"{"a":1,"b":"x"}"#.into(), r#"{"a":true,"b":"y"}"#.into(), String::new()];
    traffic(&mismatches, 0..1, make);
    assert_eq!(mismatches.findings(&id()).totals().ignored, 1, "{:?}", mismatches.findings(&id()));
    traffic(&mismatches, 86_401..86_402, make);
    assert_eq!(mismatches.findings(&id()).totals().mismatched, 1, "the day after");

    // One of the file for the same path holds again when the accepted one is over.
    let rule = |path: &str| RuleEntry {
        path: path.into(),
        kind: RuleKind::Ignore,
        owner: "ann".into(),
        reason: "r".into(),
        expires: None,
        route: None,
    };
    let rules = Rules::parse(vec![rule("$.a"), rule("$.b")]).unwrap();
    mismatches.configure(vec![(id(), CompareSettings { rules, ..CompareSettings::default() })]);
    traffic(&mismatches, 86_402..86_403, make);
    assert_eq!(mismatches.findings(&id()).totals().ignored, 2);
}

#[test]
fn every_eligible_request_ends_in_exactly_one_way() {
    let mismatches = mismatches();
    let cells = mismatches.route(&id(), ROUTE);
    traffic(&mismatches, 0..3, |_| ["1".into(), "1".into(), "1".into()]);
    traffic(&mismatches, 3..5, |_| ["1".into(), "2".into(), "1".into()]);
    for why in NotPaired::ALL {
        cells.eligible();
        cells.not_compared(why);
    }
    for status in [304, 429] {
        cells.eligible();
        mismatches.compare(&Pair { new: kept(status, ""), ..pair(9, "1", "1", None) });
    }
    let totals = mismatches.findings(&id()).totals();
    assert_eq!((totals.matched, totals.ignored, totals.mismatched), (3, 0, 2));
    assert_eq!(totals.not_compared(), NotPaired::ALL.len() as u64 + 2);
    assert_eq!(totals.compared() + totals.not_compared(), totals.eligible);
    assert_eq!(totals.not_compared_by["not_modified"], 1);
    assert_eq!(mismatches.observer.comparisons(&id()).totals().eligible, totals.eligible);
}

#[test]
fn who_differs_where_legacy_agrees_with_itself_is_counted_for_the_guard() {
    let mismatches = mismatches();
    for (n, (new, again)) in [("2", "1"), ("2", "1"), ("1", "2"), ("2", "3"), ("1", "1")].into_iter().enumerate() {
        mismatches.compare(&pair(n as u64, "1", new, Some(again)));
    }
    mismatches.compare(&pair(9, "1", "2", None));
    let totals = mismatches.observer.comparisons(&id()).totals();
    assert_eq!(Twin::ALL.map(|twin| totals.twins(twin)), [2, 1, 2]);
}

#[test]
fn versions_callers_and_times_are_told() {
    let mismatches = mismatches();
    let settings = CompareSettings { version_header: Some("X-Version".into()), ..CompareSettings::default() };
    mismatches.configure(vec![(id(), settings)]);
    for n in 0..300 {
        let mut one = pair(n, "1", "2", None);
        let version = if n < 100 { "1.4.0" } else { "1.5.0" };
        one.new.headers.push(("x-version".into(), version.into()));
        mismatches.compare(&one);
    }
    let mut odd = pair(300, "1", "2", None);
    odd.new.headers.push(("x-version".into(), "ann@example.com".into()));
    mismatches.compare(&odd);
    let findings = mismatches.findings(&id());
    let finding = findings.iter().next().unwrap();
    let of: Vec<_> = finding.versions.iter().map(|(name, one)| (name.as_str(), one.requests, one.first)).collect();
    assert_eq!(of, [("1.4.0", 100, at(0)), ("1.5.0", 200, at(100))]);
    assert_eq!((finding.first, finding.latest, finding.revisions), (at(0), at(300), (7, 7)));
    assert!((38..=42).contains(&finding.callers.count()), "{}", finding.callers.count());
    assert_eq!(finding.examples.len(), 5);
    // Each is as likely to be an example as any other: the five are not the first five.
    assert!(finding.examples.iter().any(|example| example.at > at(20)), "{:?}", finding.examples);
}

#[test]
fn examples_are_a_fair_sample() {
    let mut ledger = Ledger::default();
    let mut dice = Dice::new(5);
    let difference = Difference {
        apart: None,
        place: crate::compare::Place::Status,
        pattern: "status".into(),
        kind: Kind::StatusChanged,
        legacy: None,
        new: None,
    };
    let mut early = 0;
    for round in 0..400 {
        let route = format!("/{}", round % 200);
        if round == 200 {
            ledger = Ledger::default();
        }
        for n in 0..50 {
            let request =
                Request { route: &route, method: "GET", id: "i", caller: None, revision: 1, version: None, at: at(n) };
            let found = Found { differences: std::slice::from_ref(&difference), ..Found::default() };
            ledger.record(&request, &found, &mut |bound| dice.below(bound));
        }
        let finding = ledger.findings().iter().find(|finding| finding.route == route).unwrap();
        early += finding.examples.iter().filter(|example| example.at < at(25)).count();
    }
    assert!((900..=1_100).contains(&early), "{early} of 2000 are of the first half");
}

#[test]
fn what_a_hostile_side_says_is_bounded() {
    let mut ledger = Ledger::default();
    let mut dice = Dice::new(5);
    let long = "é".repeat(400);
    for n in 0..30_000u64 {
        let route = format!("/{}/{long}", n % 300);
        let difference = Difference {
            apart: None,
            place: crate::compare::Place::Status,
            pattern: format!("header:{}{long}", n / 10),
            kind: Kind::HeaderChanged,
            legacy: None,
            new: None,
        };
        let (caller, id) = (Some(dice.bits()), long.as_str());
        let version = Some(if n % 3 == 0 { long.as_str() } else { &route });
        let request = Request { route: &route, method: &long, id, caller, revision: n, version, at: at(n as i64) };
        let found = Found { differences: &[difference], own: Some(&[]), ..Found::default() };
        ledger.record(&request, &found, &mut |bound| dice.below(bound));
    }
    let findings = ledger.findings();
    assert!(findings.routes().len() <= ROUTES_MAX + 1 && findings.iter().count() <= FINDINGS_MAX);
    let beyond: u64 = findings.routes().values().map(|route| route.other).sum();
    let found: u64 = findings.iter().map(|finding| finding.raw).sum();
    assert_eq!(beyond + found, 30_000);
    let largest = findings.iter().map(|finding| serde_json::to_string(finding).unwrap().len()).max().unwrap();
    assert!(largest <= 6 * 1024, "{largest}");
    for bytes in [2_000, 64 * 1024] {
        let text = findings.written(bytes);
        assert!(text.len() <= bytes, "{} of {bytes}", text.len());
        let read = Findings::read(&text).unwrap();
        let compared: u64 = read.routes().values().map(|route| route.compared).sum();
        assert_eq!(compared, 30_000, "nothing is lost but what it was");
    }
}

/// The largest that can be: every text as long as it may be, every list full.
#[test]
fn a_migration_has_at_most_24_mib() {
    let text = |n: u64, bytes: usize| format!("{n:04}{}", "x".repeat(bytes - 4));
    let shown = |n: u64| {
        Some(crate::compare::Shown { kind: crate::compare::Type::String, length: 9, form: text(n, 300) + " #01234567" })
    };
    let mut kept = None;
    let info = allocation_counter::measure(|| {
        let mut ledger = Ledger::default();
        for finding in 0..FINDINGS_MAX as u64 + 100 {
            let route = text(finding % 190, 300);
            for n in 0..10u64 {
                let pattern = format!("header:{}", text(finding, 300));
                let place = crate::compare::Place::Status;
                let (legacy, new) = (shown(n), shown(n + 100));
                let difference = Difference { place, pattern, kind: Kind::HeaderChanged, legacy, new, apart: None };
                let (id, version) = (text(n, 64), text(n, 64));
                let (method, caller) = ("OPTIONS", Some(n));
                let version = Some(version.as_str());
                let request =
                    Request { route: &route, method, id: &id, caller, revision: n, version, at: at(n as i64) };
                let own = std::slice::from_ref(&difference);
                let raw = [Some(difference.clone())];
                let found = Found { differences: own, raw: &raw, own: Some(own), ..Found::default() };
                ledger.record(&request, &found, &mut |bound| n % bound);
            }
        }
        kept = Some(ledger);
    });
    let findings = kept.unwrap().findings().iter().count();
    assert_eq!(findings, FINDINGS_MAX);
    assert!(info.bytes_current <= 24 << 20, "{} bytes", info.bytes_current);
}

#[test]
fn a_sum_of_routers_is_what_one_would_have_found() {
    let make = |n| [noisy(n, 1), noisy(n, 2).replace("\"total\":12", "\"total\":13"), noisy(n, 3)];
    let all = mismatches();
    traffic(&all, 0..900, make);
    let mut sum = Findings::default();
    for part in [0..300, 300..600, 600..900] {
        let one = mismatches();
        traffic(&one, part, make);
        sum.merge(&Findings::read(&one.findings(&id()).written(64 * 1024)).unwrap());
    }
    let one = all.findings(&id());
    assert_eq!(sum.routes()[ROUTE].compared, 900);
    assert_eq!(told(&sum, Standing::Counted), told(&one, Standing::Counted));
    assert_eq!(told(&sum, Standing::Noise), told(&one, Standing::Noise));
    for finding in sum.iter() {
        let same = one.get(&finding.fingerprint().to_string()).unwrap();
        assert_eq!((finding.raw, finding.noise, &finding.callers), (same.raw, same.noise, &same.callers));
        assert_eq!((finding.first, finding.latest), (same.first, same.latest));
    }
    for damaged in ["", "{}", "[]", r#"{"v":2,"routes":{},"findings":[]}"#, r#"{"v":1,"routes":{},"findings":[{}]}"#] {
        assert!(Findings::read(damaged).is_none(), "{damaged}");
    }
}

#[test]
fn what_was_not_seen_for_a_week_is_forgotten() {
    let mismatches = mismatches();
    traffic(&mismatches, 0..10, |_| ["1".into(), "2".into(), "1".into()]);
    let mut findings = mismatches.findings(&id());
    findings.forget(at(9) + KEPT_FOR - SignedDuration::from_secs(1));
    assert_eq!(findings.iter().map(|finding| finding.examples.len()).collect::<Vec<_>>(), [1]);
    findings.forget(at(9) + KEPT_FOR);
    assert_eq!(findings.iter().count(), 0);
    assert_eq!(findings.routes()[ROUTE].compared, 10, "what they were shares of stays");
}

#[test]
fn keys_that_are_data_become_one_finding() {
    let mismatches = mismatches();
    let name = |n: u64| format!("{}{}", char::from(b'a' + (n / 26) as u8), char::from(b'a' + (n % 26) as u8));
    traffic(&mismatches, 0..400, |n| {
        let body = |age| format!(r#"{{"by_name":{{"{}":{{"age":{age}}}}}}}"#, name(n % 60));
        [body(1), body(2), body(1)]
    });
    let findings = mismatches.findings(&id());
    let all: Vec<_> = findings.iter().map(|finding| (finding.pattern.as_str(), finding.raw)).collect();
    assert_eq!(all, [("$.by_name.*.age", 400)]);
    assert_eq!(told(&findings, Standing::Counted), ["$.by_name.*.age value_changed"]);
}

#[track_caller]
fn covers(path: &str, kind: serde_json::Value, pattern: &str, of: Kind, expected: bool) {
    let (owner, reason) = ("ann".to_owned(), "r".to_owned());
    let kind: RuleKind = serde_json::from_value(kind).unwrap();
    let rule = RuleEntry { path: path.into(), kind, owner, reason, expires: None, route: Some("/r".into()) };
    assert_eq!(rule.covers("/r", pattern, of), expected, "{path} {pattern}");
    assert!(!rule.covers("/other", pattern, of));
}

#[test]
fn a_rule_covers_what_is_at_and_below_its_path() {
    use Kind::{HeaderChanged, Missing, OrderChanged, StatusChanged, ValueChanged};
    covers("$.a", json!("shape"), "$.a", ValueChanged, true);
    covers("$.a", json!("shape"), "$.a.b[*].c", ValueChanged, true);
    covers("$.a", json!("shape"), "$.a", Missing, false);
    covers("$.a", json!("ignore"), "$.a.b", Missing, true);
    covers("$.a", json!("ignore"), "$.ab", Missing, false);
    covers("$..id", json!("shape"), "$.items[*].id", ValueChanged, true);
    covers("$.*.id", json!("shape"), "$.items.id", ValueChanged, true);
    covers("$.users.*.age", json!({"tolerance": {"absolute": 1}}), "$.users.*.age", ValueChanged, true);
    covers("$.tags", json!("unordered"), "$.tags", OrderChanged, true);
    covers("$.tags", json!("unordered"), "$.tags[*]", ValueChanged, false);
    covers("header:set-cookie", json!("ignore"), "header:set-cookie[sid]", Kind::HeaderAdded, true);
    covers("header:location", json!("shape"), "header:location", HeaderChanged, true);
    covers("status", json!("ignore"), "status", StatusChanged, true);
    covers("$", json!("ignore"), "lines[*]", Kind::TextLine, true);
    covers("$", json!("ignore"), "status", StatusChanged, false);
}
