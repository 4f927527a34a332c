//! The rules for Prometheus and the dashboard for Grafana ask for what a router really writes, and Prometheus answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use harness::{Backend, Router, Setup};

/// Metrics that rules and panels ask for and that not every router writes yet. Once `families.rs` names one, it must be
/// there as any other.
const COMING: [&str; 7] = [
    "crossfade_attempts_total",
    "crossfade_guard_actions_total",
    "crossfade_guard_evidence",
    "crossfade_guard_judged_seconds",
    "crossfade_guard_state",
    "crossfade_guard_threshold",
    "crossfade_outcomes_total",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the workspace").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Whether a metric is announced and no router of this version writes it.
fn is_coming(name: &str) -> bool {
    COMING.contains(&name) && !read("metrics/src/families.rs").contains(&format!("\"{name}\""))
}

/// One metric as an expression asks for it, with what it says of the labels.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Selector {
    name: String,
    /// Labels and the values one of which is asked for; none where any is, or where a variable chooses.
    labels: Vec<(String, Vec<String>)>,
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':')
}

/// What an expression or a page names; series of recording rules, which hold a colon, are not metrics of a router.
fn selectors(text: &str) -> Vec<Selector> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crossfade_") {
        let before = text[..at].bytes().next_back();
        let length = text[at..].bytes().position(|byte| !is_name_byte(byte)).unwrap_or(text.len() - at);
        let name = &text[at..at + length];
        if before.is_some_and(is_name_byte) || name.contains(':') || name.ends_with('_') {
            continue;
        }
        let rest = &text[at + length..];
        let matchers = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(inside, _)| inside);
        found.push(Selector { name: name.into(), labels: matchers.split(',').filter_map(matcher).collect() });
    }
    found
}

fn matcher(text: &str) -> Option<(String, Vec<String>)> {
    let (label, value) = text.split_once('=')?;
    let value = value.trim_start_matches('~').trim().replace(['"', '\\'], "");
    let values = if value.contains('$') { Vec::new() } else { value.split('|').map(String::from).collect() };
    Some((label.trim().to_owned(), values))
}

/// The metrics of a page of `/metrics`, with their labels and the values these have.
fn written(page: &str) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let mut written = BTreeMap::<String, BTreeMap<String, BTreeSet<String>>>::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once(['{', ' ']).unwrap_or((line, ""));
        let labels = written.entry(name.to_owned()).or_default();
        let Some((inside, _)) = rest.rsplit_once('}') else { continue };
        for (label, value) in inside.split("\",").filter_map(|pair| pair.split_once("=\"")) {
            labels.entry(label.to_owned()).or_default().insert(value.trim_end_matches('"').to_owned());
        }
    }
    written
}

/// What of a selector a router does not write. What Prometheus itself adds is there.
fn lacking(selector: &Selector, written: &BTreeMap<String, BTreeMap<String, BTreeSet<String>>>) -> Option<String> {
    let Some(labels) = written.get(&selector.name) else { return Some(format!("{} is not written", selector.name)) };
    for (label, values) in selector.labels.iter().filter(|(label, _)| !matches!(label.as_str(), "job" | "instance")) {
        let Some(known) = labels.get(label) else { return Some(format!("{} has no label {label}", selector.name)) };
        if let Some(value) = values.iter().find(|value| !known.contains(*value)) {
            return Some(format!("{} never has {label}=\"{value}\"", selector.name));
        }
    }
    None
}

/// Lines of a rules file that hold expressions.
fn expressions_of_rules(path: &str) -> String {
    let text = read(path);
    let described = ["summary:", "description:", "runbook_url:", "#", "- record:", "- alert:"];
    let is_expression = |line: &&str| !described.iter().any(|start| line.trim_start().starts_with(start));
    text.lines().filter(is_expression).collect::<Vec<_>>().join("\n")
}

/// A router with a target of notices, so that every family has series.
async fn router(backend: &Backend) -> Router {
    let notify = format!("notify: [{{slack: {{url: \"http://{}/slack\"}}}}]", backend.address);
    Setup::new(backend.address, backend.address).with_top(&notify).start().await
}

#[tokio::test]
async fn rules_dashboard_and_pages_name_only_what_a_router_writes() {
    let backend = Backend::start("backend").await;
    let page = router(&backend).await.call("", "GET", "/metrics", "", None).await.text();
    let written = written(&page);
    let types: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut findings = Vec::new();
    let asked = [
        expressions_of_rules("dashboards/prometheus/recording_rules.yaml"),
        expressions_of_rules("dashboards/prometheus/alert_rules.yaml"),
    ];
    for selector in asked.iter().flat_map(|text| selectors(text)).filter(|own| !is_coming(&own.name)) {
        findings.extend(lacking(&selector, &written));
    }
    for path in ["docs/runbook.md", "README.md"] {
        let named = selectors(&read(path)).into_iter().map(|own| own.name);
        let unknown = named.filter(|name| !types.contains(name.as_str()) && !is_coming(name));
        findings.extend(unknown.map(|name| format!("{path}: {name} is not written")));
    }
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn every_alert_is_tested_firing_and_silent() {
    let rules = read("dashboards/prometheus/alert_rules.yaml");
    let tests = read("dashboards/prometheus/alert_rules_test.yaml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 20, "{alerts:?}");
    for alert in alerts {
        assert!(tests.contains(&format!("alertname: {alert}, exp_alerts: []}}")), "{alert} is never seen silent");
        assert!(
            tests.contains(&format!("alertname: {alert}\n        exp_alerts:\n          - ")),
            "{alert} is never seen firing"
        );
    }
}

#[test]
fn selectors_are_found_in_expressions() {
    let text =
        r#"sum(rate(crossfade_a_total{job=~"$job", side="new", r=~"x|y"}[5m])) > job:crossfade_b:rate5m + crossfade_c"#;
    let label = |name: &str, values: &[&str]| (name.to_owned(), values.iter().map(|own| (*own).to_owned()).collect());
    let labels = vec![label("job", &[]), label("side", &["new"]), label("r", &["x", "y"])];
    let expected = [
        Selector { name: "crossfade_a_total".into(), labels },
        Selector { name: "crossfade_c".into(), labels: vec![] },
    ];
    assert_eq!(selectors(text), expected);
    let written =
        written("# TYPE crossfade_a_total counter\ncrossfade_a_total{side=\"new\",r=\"x\"} 1\ncrossfade_d 2\n");
    assert_eq!(lacking(&selectors(text)[0], &written).unwrap(), "crossfade_a_total never has r=\"y\"");
    assert_eq!(lacking(&selectors(text)[1], &written).unwrap(), "crossfade_c is not written");
    assert_eq!(lacking(&selectors("crossfade_d")[0], &written), None);
}
