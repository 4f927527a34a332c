//! The rules for Prometheus and the dashboard for Grafana ask for what a router really writes, and Prometheus answers.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use harness::{Backend, Client, DEADLINE, Router, Setup, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::world::World;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the workspace").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
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

/// A router with a target of notices and a route for issues, so that every family has series.
async fn router(backend: &Backend) -> Router {
    let notify = format!("notify: [{{slack: {{url: \"http://{}/slack\"}}}}]", backend.address);
    let routes =
        "- {migration: shop, path: /**}\n- {path: /hooks, issues: {migration: shop, secret: a-secret-of-the-sender}}";
    let setup = Setup::new(backend.address, backend.address).with_top(&notify).with_routes(routes);
    let router = setup.start().await;
    // How the ledger stands is asked for every few seconds.
    let told = || async { router.metric("crossfade_issues_events_waiting", "").await };
    wait_for("the ledger was looked at", told).await;
    router
}

#[tokio::test]
async fn rules_dashboard_and_pages_name_only_what_a_router_writes() {
    let backend = Backend::start("backend").await;
    let page = router(&backend).await.call("", "GET", "/metrics", "", None).await.text();
    let written = written(&page);
    let types: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut findings = Vec::new();
    let panels = dashboard_expressions().into_iter().map(|(_, expression)| expression).collect::<Vec<_>>().join("\n");
    let asked = [
        panels,
        expressions_of_rules("dashboards/prometheus/recording_rules.yaml"),
        expressions_of_rules("dashboards/prometheus/alert_rules.yaml"),
    ];
    for selector in asked.iter().flat_map(|text| selectors(text)) {
        findings.extend(lacking(&selector, &written));
    }
    for path in ["docs/runbook.md", "README.md"] {
        let named = selectors(&read(path)).into_iter().map(|own| own.name);
        let unknown = named.filter(|name| !types.contains(name.as_str()));
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

fn dashboard() -> Value {
    serde_json::from_str(&read("dashboards/grafana/crossfade.json")).expect("the dashboard is JSON")
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

/// The expressions of the panels, by the panels' titles, and those of annotations and variables.
fn dashboard_expressions() -> Vec<(String, String)> {
    let dashboard = dashboard();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let targets = list(&dashboard, "panels").iter().flat_map(|panel| {
        list(panel, "targets").iter().map(move |target| (text(&panel["title"]), text(&target["expr"])))
    });
    let annotations =
        list(&dashboard["annotations"], "list").iter().map(|own| ("annotation".into(), text(&own["expr"])));
    let found: Vec<_> = targets.chain(annotations).collect();
    assert!(found.len() > 40 && found.iter().all(|(_, expression)| !expression.is_empty()), "{found:?}");
    found
}

/// As Grafana fills an expression in for one fleet and one migration.
fn filled(expression: &str) -> String {
    let filled = expression.replace("$job", "crossfade").replace("$migration", "shop");
    let filled = filled.replace("$__rate_interval", "10s").replace("$__interval", "10s");
    assert!(!filled.contains('$'), "a variable that the dashboard does not have: {filled}");
    filled
}

#[test]
fn every_panel_says_what_it_shows_and_none_hides_another() {
    let dashboard = dashboard();
    let panels = list(&dashboard, "panels");
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().unwrap_or_default();
        assert!(!title.is_empty() && ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        let (x, y, width, height) = (place("x"), place("y"), place("w"), place("h"));
        assert!(x + width <= 24, "{title} is too wide");
        let cells = (x..x + width).flat_map(|column| (y..y + height).map(move |line| (column, line)));
        for cell in cells {
            assert!(taken.insert(cell), "{title} hides another panel");
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{title} is not described");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
            let named = |target: &Value| target["legendFormat"].as_str().is_some_and(|text| !text.is_empty());
            assert!(!list(panel, "targets").is_empty() && list(panel, "targets").iter().all(named), "{title}");
        }
    }
    let variables: Vec<&str> =
        list(&dashboard["templating"], "list").iter().filter_map(|variable| variable["name"].as_str()).collect();
    assert_eq!(variables, ["datasource", "job", "migration"]);
}

#[tokio::test]
async fn promtool_has_nothing_to_say_about_rules_and_expressions() {
    let directory = TempDir::new().unwrap();
    let rules: Vec<Value> = (0..)
        .zip(dashboard_expressions())
        .map(|(number, (_, expression))| json!({ "record": format!("panel:{number}"), "expr": filled(&expression) }))
        .collect();
    let file = json!({ "groups": [{ "name": "dashboard", "rules": rules }] });
    let panels = directory.path().join("panels.json");
    fs::write(&panels, file.to_string()).unwrap();
    let own = ["recording_rules.yaml", "alert_rules.yaml"].map(|name| root().join("dashboards/prometheus").join(name));
    let mut command = Command::new("promtool");
    command.args(["check", "rules", "--lint=all", "--lint-fatal"]).arg(panels).args(own);
    let Ok(output) = command.output().await else {
        eprintln!("SKIPPED: promtool is not installed, so no expression is read by it (apt-get install prometheus)");
        return;
    };
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

/// A Prometheus that scrapes one router each second and evaluates our recording rules.
struct Prometheus {
    address: SocketAddr,
    _directory: TempDir,
    child: Child,
}

impl Prometheus {
    /// None, with a line that says so, where it is not installed.
    async fn start(router: &Router) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let address = harness::backend::refused_address();
        // As often as they are scraped, so that the test need not wait for a later round.
        let rules = read("dashboards/prometheus/recording_rules.yaml").replace("interval: 15s", "interval: 1s");
        fs::write(directory.path().join("rules.yaml"), rules).unwrap();
        let configuration = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [directory.path().join("rules.yaml")],
            "scrape_configs": [{ "job_name": "crossfade", "static_configs": [{ "targets": [router.admin.to_string()] }] }],
        });
        let file = directory.path().join("prometheus.json");
        fs::write(&file, configuration.to_string()).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}")).kill_on_drop(true);
        let Ok(mut child) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            eprintln!(
                "SKIPPED: no prometheus on this machine, so no panel is answered by it (apt-get install prometheus)"
            );
            return None;
        };
        wait_for("Prometheus is ready", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "Prometheus ended with {ended:?}");
            async {
                let mut client = Client::try_connect(address).await.ok()?;
                (client.get("/-/ready").await.status() == 200).then_some(())
            }
        })
        .await;
        Some(Self { address, _directory: directory, child })
    }

    /// How many series answer an expression, or what Prometheus has against it.
    async fn count(&self, expression: &str) -> Result<usize, String> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let answer = Client::connect(self.address).await.get(&format!("/api/v1/query?query={encoded}")).await.json();
        match answer["data"]["result"].as_array() {
            Some(result) if answer["status"] == "success" => Ok(result.len()),
            _ => Err(answer.to_string()),
        }
    }
}

/// What a router answers only now and then.
fn may_be_empty(title: &str) -> bool {
    title == "annotation"
}

#[tokio::test]
async fn prometheus_answers_every_panel_and_recorded_series() {
    let (legacy, new) = (Backend::start("legacy").await, Backend::start("new").await);
    let notify = format!("notify: [{{slack: {{url: \"http://{}/slack\"}}}}]", legacy.address);
    let router = Setup::new(legacy.address, new.address).with_top(&notify).start().await;
    let world = World { legacy, new, router };
    let Some(mut prometheus) = Prometheus::start(&world.router).await else { return };
    world.router.mode("gradual").await;
    world.router.rollout(50.0).await;
    let records = read("dashboards/prometheus/recording_rules.yaml");
    let rules = records.split("- record: ").skip(1).map(|rule| rule.lines().next().unwrap_or_default());
    let panels = dashboard_expressions();
    let panels = panels.iter().map(|(title, own)| (title.as_str(), filled(own), may_be_empty(title)));
    let mut open: Vec<(&str, String, bool)> = panels.chain(rules.map(|name| (name, name.to_owned(), false))).collect();
    let deadline = tokio::time::Instant::now() + DEADLINE;
    for user in 0_u32.. {
        world.side_of(&format!("user-{}", user % 20)).await;
        let mut left = Vec::new();
        for (title, expression, may_be_empty) in open {
            match prometheus.count(&expression).await {
                Ok(series) if series > 0 || may_be_empty => {}
                Ok(_) => left.push((title, expression, may_be_empty)),
                Err(problem) => panic!("{title}: {expression}\n{problem}"),
            }
        }
        open = left;
        if open.is_empty() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "without an answer: {open:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    prometheus.child.kill().await.unwrap();
}
