use std::io::Write as _;
use std::process::{Command, Stdio};

use flags::bucket::BasisPoints;
use flags::snapshot::{Definitions, Local};
use flags::state::Position;
use flags::store::Loaded;
use flags::watch::Counts;
use flags::{Migration, Mode, Reason, Revision};

use super::*;
use crate::events::MigrationChanged;
use crate::outcome::Outcome;
use crate::outcome::{CodeClass, Failure};

const CODES: &[&str] = &["no_route", "upstream_timeout"];

fn id(text: &str) -> MigrationId {
    MigrationId::new(text).unwrap()
}

fn snapshot(mode: Mode, percent: f64) -> Snapshot {
    let mut migration = Migration::new(id("sessions"), "typescript", "python");
    migration.initial.mode = mode;
    migration.initial.share = BasisPoints::from_percent(percent).unwrap();
    let definitions = Definitions::build(vec![migration], vec![], None, "hash".into()).unwrap();
    Snapshot::build(Arc::new(definitions), &Loaded::default(), Local::default(), None)
}

/// An observer as it is right after the start, before the first request.
fn fresh() -> Arc<Observer> {
    let observer = Observer::new(CODES).unwrap();
    observer.declare_migrations(&[id("sessions")]);
    observer.declare_upstreams(&[("python".into(), "127.0.0.1:3002".into())]);
    observer.declare_notifications(&["slack-0".into()]);
    observer.declare_webhooks(&id("sessions"));
    observer.issues().declare(&[id("sessions")].into());
    observer.issues().stands(&id("sessions"), &flags::ledger::view::Totals::default());
    observer.snapshot_swapped(&snapshot(Mode::Gradual, 25.0));
    // A router has at least one worker.
    observer.shard();
    observer
}

/// The value of one series, as it is written.
fn value(observer: &Observer, series: &str) -> Option<String> {
    let text = observer.gather().unwrap();
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(String::from))
}

#[track_caller]
fn check(observer: &Observer, series: &str, expected: &str) {
    assert_eq!(value(observer, series).as_deref(), Some(expected), "{series}");
}

/// The interface of operators' dashboards and alerts. On purpose changed:
/// `UPDATE_GOLDEN=1 cargo test -p crossfade-metrics`.
#[test]
fn the_exposition_is_pinned() {
    let text = fresh().gather().unwrap();
    // Series of the process collector, the clock and the version are not ours to pin.
    let ours = |line: &&str| {
        line.contains("crossfade_")
            && !line.starts_with("crossfade_store_staleness")
            && !line.starts_with("crossfade_build")
    };
    let found: String = text.lines().filter(ours).map(|line| format!("{line}\n")).collect();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/golden/exposition.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &found).unwrap();
    }
    let pinned = std::fs::read_to_string(path).unwrap();
    for (found, pinned) in found.lines().zip(pinned.lines()) {
        assert_eq!(found, pinned);
    }
    assert_eq!(found.lines().count(), pinned.lines().count());
}

#[test]
fn every_family_is_there_from_the_start() {
    let text = fresh().gather().unwrap();
    for family in crate::families::ALL {
        assert!(text.contains(&format!("# TYPE {} ", family.name)), "{}", family.name);
    }
    assert!(text.contains("process_resident_memory_bytes "));
}

#[test]
fn promtool_has_nothing_to_say() {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = spawned else {
        eprintln!("SKIPPED: promtool is not installed (apt-get install prometheus)");
        return;
    };
    let text = fresh().gather().unwrap();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn shards_are_summed() {
    let observer = fresh();
    for _ in 0..2 {
        let shard = observer.shard();
        let cells = shard.migration(&id("sessions"));
        cells.decided(Side::New, Reason::Percent, None);
        cells.failed(Side::New, Failure::Timeout);
        cells.fallback(Fallback::Answered);
        cells.answered(Side::Legacy, 200, Duration::from_millis(3), Duration::from_micros(40));
        cells.attempted(Side::Legacy, group(), &Outcome { latency: Duration::from_millis(2), answer: Ok(200) });
        shard.worker().connection_opened();
        shard.worker().refused(1);
        shard.worker().refused(99);
    }
    check(&observer, r#"crossfade_decisions_total{migration="sessions",side="new",reason="percent"}"#, "2");
    check(&observer, r#"crossfade_failures_total{migration="sessions",side="new",failure="timeout"}"#, "2");
    check(&observer, r#"crossfade_fallbacks_total{migration="sessions",result="answered"}"#, "2");
    check(&observer, r#"crossfade_requests_total{migration="sessions",side="legacy",code_class="2xx"}"#, "2");
    let duration = |suffix: &str| format!(r#"crossfade_request_duration_seconds_{suffix}"#);
    check(&observer, &duration(r#"bucket{migration="sessions",side="legacy",le="0.0025"}"#), "0");
    check(&observer, &duration(r#"bucket{migration="sessions",side="legacy",le="0.005"}"#), "2");
    check(&observer, &duration(r#"bucket{migration="sessions",side="legacy",le="+Inf"}"#), "2");
    check(&observer, &duration(r#"count{migration="sessions",side="legacy"}"#), "2");
    check(&observer, &duration(r#"sum{migration="sessions",side="legacy"}"#), "0.006");
    check(&observer, r#"crossfade_added_latency_seconds_sum{migration="sessions",side="legacy"}"#, "0.00008");
    check(&observer, "crossfade_connections", "2");
    check(&observer, r#"crossfade_refused_requests_total{code="upstream_timeout"}"#, "2");

    let totals = &observer.totals()[&id("sessions")];
    assert_eq!(totals.side(Side::New).decided(), 2);
    assert_eq!(totals.side(Side::New).failures(Failure::Timeout), 2);
    assert_eq!(totals.side(Side::Legacy).requests(CodeClass::Success), 2);
    let durations = observer.durations(&id("sessions"), Side::Legacy);
    assert_eq!(durations.count(), 2);
    assert!((2..3).contains(&durations.quantile(0.5).unwrap().as_millis()), "the attempt's time and not the caller's");
    assert_eq!(observer.durations(&id("sessions"), Side::New).count(), 0);
}

fn group() -> Group {
    Group::of(None, Some(b"ann"), 0)
}

#[test]
fn an_attempt_is_counted_once_by_what_the_side_did() {
    let observer = fresh();
    let (one, other) = (observer.shard(), observer.shard());
    let attempt = |shard: &Shard, key: &str, answer| {
        let group = Group::of(None, Some(key.as_bytes()), 0);
        let outcome = Outcome { latency: Duration::from_millis(2), answer };
        shard.migration(&id("sessions")).attempted(Side::New, group, &outcome);
    };
    attempt(&one, "ann", Ok(204));
    attempt(&other, "ann", Ok(404));
    attempt(&one, "ann", Ok(503));
    attempt(&other, "bob", Err(Failure::Connect));
    attempt(&other, "eve", Err(Failure::AbortedByClient));
    let series =
        |result: &str| format!(r#"crossfade_attempts_total{{migration="sessions",side="new",result="{result}"}}"#);
    for (result, expected) in [("ok", "1"), ("refused", "1"), ("failed", "2")] {
        check(&observer, &series(result), expected);
    }
    let bit = |key: &str| 1_u64 << Group::of(None, Some(key.as_bytes()), 0).index();
    let mut by_group = Box::new([0; GROUPS]);
    ["ann", "bob"].iter().for_each(|key| by_group[bit(key).trailing_zeros() as usize] += 1);
    let failing = bit("ann") | bit("bob");
    let expected = SideAttempts { ok: 1, refused: 1, failed: 2, failing, failed_by_group: Some(by_group) };
    assert_eq!(observer.attempts()[&id("sessions")], [SideAttempts::default(), expected]);
    assert_eq!(observer.attempts()[&id("sessions")][1].failing, 0, "asked for once, then only what is new");
    let totals = observer.totals();
    let attempts = totals[&id("sessions")].side(Side::New).attempts();
    let ann = Group::of(None, Some(b"ann"), 0).index();
    assert_eq!((attempts.seen[ann], attempts.refused[ann], attempts.failed[ann]), (3, 1, 1));
    assert_eq!((attempts.durations().count(), attempts.seen.iter().sum::<u64>()), (4, 4));
}

#[test]
fn what_is_in_flight_moves_from_age_to_age() {
    let observer = fresh();
    let cells = observer.shard().migration(&id("sessions"));
    let age = |millis| Age::of(Duration::from_millis(millis));
    cells.aged(Side::New, None, age(100));
    cells.aged(Side::New, age(100), age(100));
    cells.aged(Side::New, age(100), age(900));
    cells.aged(Side::New, age(900), None);
    let totals = observer.totals();
    let attempts = totals[&id("sessions")].side(Side::New).attempts();
    assert_eq!((attempts.aged_to.count(), attempts.aged_from.count()), (2, 2));
    assert_eq!(attempts.aged_to, attempts.aged_from, "what has ended is of no age");
}

#[test]
fn failures_of_one_caller_scatter_more_than_chance() {
    let observer = fresh();
    let cells = observer.shard().migration(&id("sessions"));
    let start = Instant::now();
    observer.tick(start);
    for key in ["ann", "bob"] {
        let answer = Ok(if key == "ann" { 500 } else { 200 });
        for _ in 0..10 {
            let group = Group::of(None, Some(key.as_bytes()), 0);
            cells.attempted(Side::New, group, &Outcome { latency: Duration::ZERO, answer });
        }
    }
    let scatter = |second| {
        observer.tick(start + Duration::from_secs(second));
        let totals = observer.totals();
        let attempts = totals[&id("sessions")].side(Side::New).attempts();
        (attempts.chi_milli, attempts.chi_freedom)
    };
    assert_eq!(scatter(59), (0, 0), "the window is not over");
    assert_eq!(scatter(60), (20_000, 1));
    assert_eq!(scatter(120), (20_000, 1), "nothing happened meanwhile");
}

#[test]
fn an_endpoint_is_up_only_while_no_worker_holds_it_out() {
    let observer = fresh();
    let (one, other) = (observer.shard(), observer.shard());
    let series = r#"crossfade_upstream_up{upstream="python",endpoint="127.0.0.1:3002"}"#;
    let cells = one.upstream("python", "127.0.0.1:3002");
    other.upstream("python", "127.0.0.1:3002").up(true);
    check(&observer, series, "1");
    cells.up(false);
    check(&observer, series, "0");
    cells.up(true);
    check(&observer, series, "1");
    cells.started();
    check(&observer, r#"crossfade_upstream_in_flight{upstream="python",endpoint="127.0.0.1:3002"}"#, "1");
    cells.finished();
    check(&observer, r#"crossfade_upstream_in_flight{upstream="python",endpoint="127.0.0.1:3002"}"#, "0");
}

#[test]
fn the_observed_share_is_that_of_the_last_minute() {
    let observer = fresh();
    let cells = observer.shard().migration(&id("sessions"));
    let start = Instant::now();
    let at = |second: u64| start + Duration::from_secs(second);
    observer.tick(at(0));
    assert_eq!(observer.observed_ratio(&id("sessions")), None);
    check(&observer, r#"crossfade_observed_ratio{migration="sessions"}"#, "NaN");
    for second in 1..=300 {
        // For four minutes everything goes to legacy, then every fourth request to new.
        for request in 0..4 {
            let new = second > 240 && request == 0;
            cells.decided(if new { Side::New } else { Side::Legacy }, Reason::Percent, None);
        }
        observer.tick(at(second));
        if second == 240 {
            assert_eq!(observer.observed_ratio(&id("sessions")), Some(0.0));
        }
    }
    assert_eq!(observer.observed_ratio(&id("sessions")), Some(0.25));
    check(&observer, r#"crossfade_observed_ratio{migration="sessions"}"#, "0.25");
    assert_eq!(observer.observed_ratio(&id("unknown")), None);
}

#[test]
fn ticks_are_bounded() {
    let observer = fresh();
    let now = Instant::now();
    for _ in 0..1_000 {
        observer.tick(now);
    }
    assert_eq!(lock(&observer.ticks).len(), TICKS_MAX);
}

#[test]
fn what_the_file_no_longer_names_is_forgotten_once_no_worker_holds_it() {
    let observer = fresh();
    let shard = observer.shard();
    let cells = shard.migration(&id("sessions"));
    let endpoint = shard.upstream("python", "127.0.0.1:3002");
    let series = r#"crossfade_fallbacks_total{migration="sessions",result="answered"}"#;
    cells.fallback(Fallback::Answered);
    observer.declare_migrations(&[id("orders")]);
    observer.declare_upstreams(&[]);
    observer.tick(Instant::now());
    check(&observer, series, "1");
    drop((cells, endpoint));
    observer.tick(Instant::now());
    assert_eq!(value(&observer, series), None);
    assert!(!observer.gather().unwrap().contains("127.0.0.1:3002"));
    check(&observer, r#"crossfade_fallbacks_total{migration="orders",result="answered"}"#, "0");
}

#[test]
fn webhooks_without_a_good_signature_and_the_journal_are_told() {
    let observer = fresh();
    let cells = observer.declare_webhooks(&id("sessions"));
    cells.unsigned(Unsigned::Wrong);
    cells.journal(17, true);
    cells.held(true);
    check(&observer, r#"crossfade_issues_unsigned_total{migration="sessions",reason="wrong"}"#, "1");
    check(&observer, r#"crossfade_issues_unsigned_total{migration="sessions",reason="stale"}"#, "0");
    check(&observer, r#"crossfade_issues_journal_bytes{migration="sessions"}"#, "17");
    check(&observer, r#"crossfade_issues_journal_alone{migration="sessions"}"#, "1");
    check(&observer, r#"crossfade_issues_held{migration="sessions"}"#, "1");
    check(&observer, r#"crossfade_issues_journal_failures_total{migration="sessions"}"#, "0");
    check(&observer, r#"crossfade_issues_reconciled_total{migration="sessions",result="silenced"}"#, "0");
}

#[test]
fn notices_are_counted_by_target_while_the_file_names_it() {
    let observer = fresh();
    let cells = observer.declare_notifications(&["slack-0".into(), "webhook-1".into()]);
    cells[0].count(Delivery::Failed);
    check(&observer, r#"crossfade_notifications_total{target="slack-0",result="failed"}"#, "1");
    check(&observer, r#"crossfade_notifications_total{target="webhook-1",result="sent"}"#, "0");
    observer.declare_notifications(&["slack-0".into()]);
    check(&observer, r#"crossfade_notifications_total{target="slack-0",result="failed"}"#, "1");
    assert!(!observer.gather().unwrap().contains("webhook-1"));
}

#[test]
fn a_snapshot_sets_modes_and_shares() {
    let observer = fresh();
    check(&observer, r#"crossfade_mode_info{migration="sessions",mode="gradual"}"#, "1");
    check(&observer, r#"crossfade_mode_info{migration="sessions",mode="new_only"}"#, "0");
    check(&observer, r#"crossfade_rollout_ratio{migration="sessions"}"#, "0.25");
    observer.snapshot_swapped(&snapshot(Mode::NewOnly, 100.0));
    check(&observer, r#"crossfade_mode_info{migration="sessions",mode="gradual"}"#, "0");
    check(&observer, r#"crossfade_mode_info{migration="sessions",mode="new_only"}"#, "1");
    check(&observer, r#"crossfade_rollout_ratio{migration="sessions"}"#, "1");
}

#[test]
fn a_rollback_is_counted_when_it_is_entered() {
    let observer = fresh();
    let position = |mode| Position { mode, share: BasisPoints::ZERO };
    let moves = [
        (Mode::Gradual, Mode::EmergencyRollback),
        (Mode::EmergencyRollback, Mode::EmergencyRollback),
        (Mode::EmergencyRollback, Mode::LegacyOnly),
    ];
    for (from, to) in moves {
        let migration = &id("sessions");
        let (from, to, revision) = (position(from), position(to), Revision(7));
        MigrationChanged { migration, from, to, revision, actor: "ci", reason: "test" }.emit(&observer);
    }
    check(&observer, r#"crossfade_rollbacks_total{migration="sessions"}"#, "1");
}

#[test]
fn the_store_is_seen_through_its_calls() {
    let observer = fresh();
    observer.process().store_answered(Revision(42), Instant::now());
    check(&observer, "crossfade_store_up", "1");
    check(&observer, "crossfade_store_revision", "42");
    observer.process().store_failed();
    observer.process().store_counts(Counts {
        store_errors: 1,
        writes_lost: 2,
        documents_refused: 3,
        ..Counts::default()
    });
    observer.process().store_believed(false);
    observer.process().counts_lost(4);
    check(&observer, "crossfade_store_up", "0");
    check(&observer, "crossfade_store_errors_total", "1");
    check(&observer, "crossfade_store_writes_lost_total", "2");
    check(&observer, "crossfade_store_documents_refused_total", "3");
    check(&observer, "crossfade_store_state_lost", "1");
    check(&observer, "crossfade_store_counts_lost_total", "4");
}
