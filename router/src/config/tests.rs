//! Good files by what they come to mean.

mod bad;
mod issues;
mod oidc;

use std::path::Path;

use flags::bucket::BasisPoints;
use flags::fallback::{Fallback, Repeatable, When};
use flags::guard::{Guard, GuardAction, LegacyWarmth};
use flags::migration::Excuse;
use flags::route::Target;
use flags::{KeySource, Mode, Side};
use metrics::notice::Kind;

use super::*;

fn environment(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("3001".into()),
        "EMPTY" => Some(String::new()),
        "REDIS_URL" => Some("redis://:s3cret@127.0.0.1:6379/1".into()),
        "TRICKY" => Some("a\"b: [c]\nroutes: []".into()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    Config::parse_in("crossfade.yaml", text, Path::new("/etc/crossfade"), &environment)
}

#[track_caller]
fn good(text: &str) -> Config {
    match parse(text) {
        Ok(config) => config,
        Err(errors) => panic!("{}", errors.render(false)),
    }
}

/// The problems of a file, one `line:column message (help)` each.
fn problems(text: &str) -> Vec<String> {
    let errors = parse(text).expect_err("the file is good");
    let line = |finding: Finding| {
        let help = finding.help.map(|help| format!(" ({help})")).unwrap_or_default();
        format!("{}:{} {}{help}", finding.line, finding.column, finding.message)
    };
    errors.findings().map(line).collect()
}

/// A file with one problem, given as the beginning of its line.
#[track_caller]
fn bad(text: &str, expected: &str) {
    let found = problems(text);
    assert!(found.len() == 1 && found[0].contains(expected), "expected {expected:?}, found {found:#?}\nin\n{text}");
}

/// What most files need so that only the line under test is wrong.
const UPSTREAMS: &str =
    "upstreams: {old: {endpoints: [http://127.0.0.1:1]}, fresh: {endpoints: [http://127.0.0.1:2]}}\n";

fn with_upstreams(text: &str) -> String {
    format!("{UPSTREAMS}{text}")
}

fn with_migration(line: &str) -> String {
    with_upstreams(&format!(
        "migrations:\n  - id: m\n    legacy: old\n    new: fresh\n    {line}\nroutes: [{{migration: m, path: /**}}]\n"
    ))
}

fn with_route(line: &str) -> String {
    with_upstreams(&format!("routes:\n  - {{path: /a, upstream: old}}\n  - {line}\n"))
}

#[test]
fn variables_are_filled_in_everywhere_but_in_keys() {
    let file =
        |value: &str| with_upstreams(&format!("routes: [{{path: /a, respond: {{status: 200, body: {value}}}}}]\n"));
    let body = |value: &str| match &good(&file(value)).definitions.routes().iter().next().unwrap().target {
        Target::Respond(respond) => respond.body.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(body("${PORT}"), "3001");
    assert_eq!(body("\"<${PORT}>\""), "<3001>");
    assert_eq!(body("'<${PORT}${PORT}>'"), "<30013001>");
    assert_eq!(body("${UNSET:-fallback}"), "fallback");
    assert_eq!(body("\"${EMPTY:-a b}\""), "a b");
    assert_eq!(body("'${EMPTY}'"), "");
    assert_eq!(body("'$${PORT} and ${PORT}'"), "${PORT} and 3001");
    assert_eq!(body("'$(PORT) and ${PORT}'"), "$(PORT) and 3001");
    assert_eq!(body("'$PORT $'"), "$PORT $");
    assert_eq!(body("'${TRICKY}'"), "a\"b: [c]\nroutes: []");
    assert_eq!(body("'${UNSET:-x)y}'"), "x)y");
    bad(
        &file("'a ${UNSET} b'"),
        "2:53 the environment variable UNSET is not set (set it, or give a default: ${UNSET:-default})",
    );
    bad(&file("'${1X}'"), "`1X` is not the name of a variable");
    bad(&file("'${}'"), "`` is not the name of a variable");
    let config = good("upstreams: {a: {endpoints: [\"http://127.0.0.1:${PORT}\"], queue: ${QUEUE:-7}}}\n");
    assert_eq!(config.upstreams[0].endpoints[0].port, 3001);
    assert_eq!(config.upstreams[0].queue, 7);
}

#[test]
fn an_alias_repeats_a_value() {
    let text = "upstreams:\n  a: &a {endpoints: [http://h:1]}\n  b: *a\n";
    assert_eq!(good(text).upstreams.len(), 2);
    let bomb = "upstreams: {}\nroutes: &r [*r]\n";
    assert!(parse(bomb).is_err());
}

/// The example of the reference, without what this version refuses.
const REFERENCE: &str = r#"
environment: production
snapshot: ./crossfade.snapshot
default_host: localhost
workers: 3
kill_file: /run/crossfade/kill
trusted_proxies: [10.0.0.0/8, 192.0.2.7]
drain: {delay: 5s, timeout: 30s}
log: {format: json, access: {sample: 1%}}
expose: false
listen:
  - address: 127.0.0.1:8080
admin:
  address: 127.0.0.1:9900
  url: https://crossfade.example.com/shop
  tokens: [{name: ci, role: admin, sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]
store:
  redis: ${REDIS_URL}
jwt: {secret: shh}
notify:
  - {webhook: {url: "https://hooks.example.com/s3cret", secret: whsec_czNjcmV0czNjcmV0czNjcmV0czNjcmV0}, on: [rollback, mode_changed]}
  - slack: {url: "https://hooks.slack.com/services/s3cret"}
  - {alertmanager: {url: "http://127.0.0.1:9093/am"}, on: hold}
  - pagerduty: {routing_key: s3cretkey0123456789abcdef0123456}
upstreams:
  typescript: {endpoints: [http://127.0.0.1:3001], timeout: 10s, health: {path: /health, interval: 5s}}
  python:     {endpoints: [http://127.0.0.1:3002, "http://[::1]:3003"]}
migrations:
  - id: sessions
    legacy: typescript
    new: python
    labels: {legacy: TypeScript, new: Python}
    key: [header:x-user-id, cookie:uid, path:id, query:account, json:/issue/number, jwt:sub, client_ip]
    on_missing_key: legacy
    hash: bucket
    program: platform
    initial: {mode: gradual, percent: 12.5}
    rules: [{match: {"header:x-group": [beta, staff], "jwt:role": tester}, serve: new}, {match: {client_ip: 10.0.0.0/8}, serve: legacy}]
    requires: [base]
    methods: {unsafe: legacy_until_new_only}
    fallback: {when: [connect, timeout, 502], methods: [GET, POST]}
    parallel:
      serve: new
      percent: 50
      methods: [GET, OPTIONS]
      writes:
        - {path: "/api/sessions/{id}/**", methods: PUT, dry_run: true}
        - {path: "/api/sessions/{id}/**", methods: [POST, PATCH], override_reason: counted twice is well}
      noise: 2.5%
      request_max: 1MiB
      timeout: 3s
      connect_timeout: 100ms
      budget: {memory: 16MiB, in_flight: 32, age: 1s}
      compare:
        rules:
          - {path: $.at, kind: ignore, owner: ann, reason: a clock, expires: 9999-01-31}
          - {path: $.total, kind: {tolerance: {absolute: 0.01, relative: 1e-3}}, owner: ann, reason: rounding, route: "/api/sessions/{id}/**"}
          - {path: $.rows, kind: {keyed_by: {key: id}}, owner: ann, reason: a set}
          - {path: $.url, kind: {map_host: {legacy: a.example, new: b.example}}, owner: ann, reason: two hosts}
        raw_paths: [$.total, "header:location"]
        version_header: X-Version
    guard: {action: hold, fast_path: false, success_floor: 80%, mean_duration_limit: 300s, margin: 0.5%, alpha: 0.05%, quality_can_rollback: true, legacy: cold}
    plan: []
    mirror_keys: {mode: system_mode, percent: rollout_percentage}
    default: false
    reversible: true
    rollback: {override_pins: false}
  - {id: base, legacy: typescript, new: python, on_missing_key: random}
routes:
  - {migration: sessions, host: api.example.com, path: /api/sessions/{id}/**, methods: [GET, PUT], headers: {X-Beta: "1"}, body_max: 10MB, upgrades: [], half_close: true}
  - {path: /api/old/**, respond: {status: 410, sunset: 2026-12-31, body: "costs ${UNSET:-$5}\n"}}
  - {path: /static/**, upstream: typescript}
  - {migration: base, path: /**, methods: GET}
"#;

/// That of the reference, with nothing at its default.
fn guard() -> Guard {
    let share = |bp| BasisPoints::new(bp).unwrap();
    Guard {
        action: GuardAction::Hold,
        fast_path: false,
        success_floor: share(8_000),
        mean_duration_limit: Duration::from_secs(300),
        margin: share(50),
        alpha: share(5),
        quality_can_rollback: true,
        legacy: LegacyWarmth::Cold,
    }
}

#[test]
fn the_reference_means_what_it_says() {
    let config = good(REFERENCE);
    let sessions = &config.definitions.migrations()[0];
    assert_eq!(config.workers, 3);
    assert_eq!(config.snapshot, Path::new("/etc/crossfade/./crossfade.snapshot"));
    assert_eq!(config.log.access_sample, 42_949_673);
    assert_eq!(config.upstreams[0].first_byte_timeout, Duration::from_secs(10));
    assert_eq!(config.upstreams[1].endpoints[1].host, "::1");
    assert_eq!(sessions.key.last(), Some(&KeySource::ClientIp));
    assert_eq!(sessions.initial.mode, Mode::Gradual);
    assert_eq!(sessions.initial.share.get(), 1_250);
    assert_eq!(sessions.rules[0].serve, Side::New);
    assert_eq!(sessions.labels.new, "Python");
    assert_eq!(sessions.fallback.when, [When::Connect, When::Timeout, When::Status(502)]);
    assert_eq!(sessions.fallback.methods, Repeatable::These(vec!["GET".into(), "POST".into()]));
    assert_eq!(config.definitions.migrations()[1].fallback, Fallback::default());
    assert_eq!(config.routes[0].body_max, Some(10_000_000));
    assert!(config.routes[0].upgrades.is_empty());
    assert!(config.routes[0].half_close && !config.routes[3].half_close);
    assert_eq!(config.routes[2].upstream, Some(0));
    assert_eq!(config.routes[3].upgrades, ["websocket"]);
    let Target::Respond(gone) = &config.definitions.routes().iter().nth(1).unwrap().target else { panic!() };
    assert_eq!(gone.sunset.as_deref(), Some("Thu, 31 Dec 2026 00:00:00 GMT"));
    assert!(config.without_effect.is_empty(), "{:?}", config.without_effect);
    let parallel = &sessions.parallel;
    assert_eq!((parallel.serve, parallel.share.get(), parallel.methods.len()), (Side::New, 5_000, 2));
    assert_eq!(parallel.writes[0].excuse, Excuse::DryRun);
    assert_eq!(parallel.writes[1].methods, ["POST", "PATCH"]);
    assert_eq!(parallel.writes[1].excuse, Excuse::Override("counted twice is well".into()));
    let mirroring = &config.mirroring[0];
    assert_eq!((mirroring.request_max, mirroring.memory, mirroring.in_flight), (1 << 20, 16 << 20, 32));
    assert_eq!((mirroring.timeout.as_millis(), mirroring.connect_timeout.as_millis()), (3_000, 100));
    assert_eq!((mirroring.age.as_millis(), mirroring.noise.get()), (1_000, 250));
    assert_eq!((mirroring.rules.entries().len(), mirroring.raw_paths.len()), (4, 2));
    assert_eq!(mirroring.version_header.as_deref(), Some("x-version"));
    assert_eq!(config.mirroring[1].noise.get(), 500);
    assert_eq!(sessions.guard, guard());
    assert_eq!(config.definitions.migrations()[1].guard, Guard::default());
    let keys = sessions.mirror_keys.as_ref().unwrap();
    assert_eq!((keys.mode.as_str(), keys.percent.as_str()), ("system_mode", "rollout_percentage"));
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("`mirror_keys` and the hash `bucket`"), "{:?}", config.warnings);
    assert_eq!(config.admin.url.as_deref(), Some("https://crossfade.example.com/shop"));
    assert_eq!(notify::names(&config.notify), ["webhook-0", "slack-1", "alertmanager-2", "pagerduty-3"]);
    assert_eq!(config.notify[0].on, [Kind::Rollback, Kind::ModeChanged]);
    assert_eq!(config.notify[1].on.len(), 10, "all but mode_changed");
    assert_eq!(config.notify[3].channel.url().origin(), "https://events.pagerduty.com");
}

#[test]
fn defaults_stand_where_the_file_says_nothing() {
    let config = good("upstreams: {a: {endpoints: [http://h:1]}}\nlisten:\n");
    assert_eq!(config.listen, ["127.0.0.1:8080".parse().unwrap()]);
    assert_eq!(config.admin.address, "127.0.0.1:9900".parse().unwrap());
    assert!(matches!(&config.store, StoreConfig::Embedded(path) if path == Path::new("/etc/crossfade/crossfade.redb")));
    assert_eq!(config.environment, "default");
    assert_eq!(config.limits.head_bytes, 64 << 10);
    assert_eq!(config.timeouts.keep_alive, Duration::from_secs(75));
    assert_eq!(config.upstreams[0].first_byte_timeout, Duration::from_secs(15));
    assert!(config.workers > 0);
}

#[test]
fn the_effective_file_means_the_same() {
    let config = good(REFERENCE);
    let yaml = config.effective_yaml();
    let again = good(&yaml);
    assert_eq!(again.effective_yaml(), yaml);
    assert_eq!(again.definitions.config_hash, config.definitions.config_hash);
    assert_eq!(good(&config.effective().to_string()).effective(), config.effective());
}

#[test]
fn the_effective_file_holds_no_secret() {
    let yaml = good(REFERENCE).effective_yaml();
    assert!(!yaml.contains("s3cret") && !yaml.contains("shh") && !yaml.contains("czNjcmV0"), "{yaml}");
    let debugged = format!("{:?}", good(REFERENCE).notify);
    assert!(!debugged.contains("s3cret") && !debugged.contains("115, 51, 99"), "{debugged}");
    assert!(yaml.contains("redis://:redacted@127.0.0.1:6379/1"), "{yaml}");
}

#[test]
fn the_hash_ignores_layout_and_what_differs_by_host() {
    let hash = |text: &str| good(text).definitions.config_hash;
    let base = with_migration("key: [client_ip]");
    assert_eq!(hash(&base), hash(&format!("# a comment\nworkers: 2\nadmin: {{address: 127.0.0.1:1}}\n{base}")));
    assert_ne!(hash(&base), hash(&base.replace("client_ip", "cookie:uid")));
    assert_ne!(hash(&base), hash(&base.replace("127.0.0.1:2", "127.0.0.1:3")));
    assert_eq!(hash(&base).len(), 64);
}

#[test]
fn a_key_that_is_missing_for_everybody_is_warned_of() {
    let config = good(&with_migration("default: true"));
    assert_eq!(config.warnings.len(), 1);
    assert!(config.warnings[0].starts_with("line 3: m has no `key`"), "{:?}", config.warnings);
}

#[test]
fn files_beside_the_file_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crossfade.yaml");
    std::fs::write(folder.path().join("secret"), "redis://:pw@127.0.0.1\n").unwrap();
    std::fs::write(&path, "store: {redis_file: secret}\nupstreams: {a: {endpoints: [http://h:1]}}\n").unwrap();
    let config = Config::load(&path).unwrap();
    let StoreConfig::Redis { options, .. } = &config.store else { panic!("{:?}", config.store) };
    assert_eq!(options.address.to_string(), "redis://:redacted@127.0.0.1:6379");
    assert!(!format!("{config:?}").contains("pw@"));
    assert!(Config::load(&folder.path().join("missing.yaml")).is_err());
    std::fs::write(&path, "#".repeat(FILE_BYTES_MAX + 1)).unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().contains("larger than 4 MiB"));
}

#[test]
fn a_rule_that_has_ended_is_an_error_to_who_checks_and_a_warning_to_who_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crossfade.yaml");
    let of = |expires: &str| {
        let rule = format!("{{path: $.a, kind: ignore, owner: ann, reason: r, expires: {expires}}}");
        let migration =
            format!("{{id: m, legacy: a, new: b, key: [client_ip], parallel: {{compare: {{rules: [{rule}]}}}}}}");
        let upstreams = "{a: {endpoints: [http://h:1]}, b: {endpoints: [http://h:2]}}";
        format!("upstreams: {upstreams}\nmigrations:\n  - {migration}\n")
    };
    std::fs::write(&path, of("2020-01-31")).unwrap();
    let errors = Config::load_for(Purpose::Check, &path).unwrap_err();
    let found: Vec<_> = errors.findings().map(|finding| (finding.line, finding.message)).collect();
    assert_eq!(found, [(3, "this rule has expired: it held through 2020-01-31".to_owned())]);
    let config = Config::load(&path).unwrap();
    let warning = "line 3: this rule has expired: it held through 2020-01-31, and does not hold any more; remove it";
    assert!(config.warnings.iter().any(|own| own.starts_with(warning)), "{:?}", config.warnings);
    assert_eq!(config.mirroring[0].rules.entries().len(), 1, "it is listed, as one that is over");
    std::fs::write(&path, of("9999-01-31")).unwrap();
    assert!(Config::load_for(Purpose::Check, &path).is_ok());
    std::fs::write(&path, of("soon")).unwrap();
    assert!(Config::load(&path).is_err(), "what cannot be read is wrong for everybody");
}

#[test]
fn secrets_of_targets_may_stand_in_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crossfade.yaml");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("key", "0123456789abcdef0123456789abcdef\n");
    write("url", "https://hooks.slack.com/services/s3cret\n");
    let upstreams = "upstreams: {a: {endpoints: [http://h:1]}}\n";
    let notify = "notify: [{pagerduty: {routing_key_file: key}}, {slack: {url_file: url}}]\n";
    std::fs::write(&path, format!("{upstreams}{notify}")).unwrap();
    let config = Config::load(&path).unwrap();
    let yaml = config.effective_yaml();
    assert!(yaml.contains(&format!("routing_key_file: {}", folder.path().join("key").display())), "{yaml}");
    assert!(yaml.contains("url_file") && !yaml.contains("s3cret"), "{yaml}");
    write("url", "hooks.slack.com/services/s3cret\n");
    let errors = Config::load(&path).unwrap_err();
    assert!(!errors.render(false).contains("s3cret") && !errors.to_string().contains("s3cret"), "{errors}");
}

#[test]
fn notices_in_the_clear_are_warned_of() {
    let config = good("upstreams: {a: {endpoints: [http://h:1]}}\nnotify: [{slack: {url: 'http://h/s3cret'}}]\n");
    assert_eq!(config.warnings, ["line 2: notices go to http://h unencrypted: write https:// if it takes that"]);
}

/// The committed schema is what editors load; `crossfade schema > router/schema.json` renews it.
#[test]
fn the_committed_schema_is_the_generated_one() {
    let committed = include_str!("../../schema.json");
    let same = committed.trim_end() == serde_json::to_string_pretty(&schema()).unwrap();
    assert!(same, "run `crossfade schema > router/schema.json`");
}

proptest::proptest! {
    /// Whatever is in the file, it is good or told why not, with places inside the file.
    #[test]
    fn no_text_is_a_panic(cut in 0..REFERENCE.len(), length in 0..40usize, put in "[ -~\\n\\t{}\\[\\]$&*é]{0,12}") {
        let edge = |at: usize| (0..=at.min(REFERENCE.len())).rev().find(|at| REFERENCE.is_char_boundary(*at)).unwrap_or(0);
        let text = format!("{}{put}{}", &REFERENCE[..edge(cut)], &REFERENCE[edge(cut + length)..]);
        if let Err(errors) = parse(&text) {
            let lines = text.lines().count() + 1;
            proptest::prop_assert!(errors.findings().all(|finding| finding.line <= lines));
            proptest::prop_assert!(!errors.render(false).is_empty());
        }
    }
}
