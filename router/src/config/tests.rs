//! Bad files by the problems they must report, good files by what they come to mean.

use std::path::Path;

use flags::route::Target;
use flags::{KeySource, Mode, Side};

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
fn an_upstream_is_checked_whole() {
    let upstream = |line: &str| format!("upstreams:\n  a: {line}\n");
    bad(&upstream("{endpoints: []}"), "2:18 an upstream needs at least one endpoint");
    bad(&upstream("{}"), "2:3 the key `endpoints` is missing here");
    bad(
        &upstream("{endpoint: [http://h:1]}").replace("{endpoint", "{endpoints: [http://h:1], endpoint"),
        "the key `endpoint` is not known here (did you mean `endpoints`?)",
    );
    bad(&upstream("{endpoints: [https://h:1]}"), "2:19 TLS to upstreams comes in a later version");
    bad(&upstream("{endpoints: [http://h]}"), "`http://h` has no port (write http://h:80 if 80 is meant)");
    bad(
        &upstream("{endpoints: [http://h:1/x]}"),
        "an endpoint has no path and no query: requests keep their own (write http://h:1)",
    );
    bad(&upstream("{endpoints: [http://h:1?x]}"), "no path and no query");
    bad(&upstream("{endpoints: [http://u:p@h:1]}"), "an endpoint has no user");
    bad(&upstream("{endpoints: [http://h:0]}"), "`0` is not a port");
    bad(&upstream("{endpoints: [http://h:99999]}"), "`99999` is not a port");
    bad(&upstream("{endpoints: [http://h h:1]}"), "`h h` is not a host");
    bad(&upstream("{endpoints: ['http://[::x]:1']}"), "`::x` is not a host");
    bad(&upstream("{endpoints: [h:1]}"), "`h:1` is not an endpoint");
    bad(&upstream("{endpoints: [http://h:1, http://H:1]}"), "2:31 the endpoint `http://H:1` stands here twice");
    bad(&upstream("{endpoints: http://h:1}"), "`http://h:1` stands here where a list belongs");
    bad(&upstream("{endpoints: [http://h:1], timeout: 10}"), "2:41 `10` is not a duration");
    bad(&upstream("{endpoints: [http://h:1], timeout: 0s}"), "0s is outside 1ms to 1d");
    bad(&upstream("{endpoints: [http://h:1], queue: -1}"), "`-1` stands here where a whole number belongs");
    bad(&upstream("{endpoints: [http://h:1], health: {}}"), "the key `path` is missing here");
    bad(&upstream("{endpoints: [http://h:1], health: {path: health}}"), "`health` is not a path");
    bad(&upstream("{endpoints: [http://h:1], health: {path: /, fall: 0}}"), "0 is outside 1 to 1000");
    bad("upstreams:\n  'a b': {endpoints: [http://h:1]}\n", "2:3 `a b` is not a name for an upstream");
}

#[test]
fn a_migration_is_checked_whole() {
    bad(&with_migration("key: [headr:x]"), "6:11 \"headr:x\" is not a key source");
    bad(&with_migration("key: [headr:x]"), "(did you mean `header`?)");
    bad(&with_migration("key: [client_ip, client_ip]"), "6:22 the key source `client_ip` stands here twice");
    bad(&with_migration("key: [path:id]"), "6:11 no route of m has the variable of `path:id` (name it in a path");
    bad(&with_migration("hash: modul"), "6:11 `modul` is not one of bucket, modulo; did you mean `modulo`?");
    bad(&with_migration("initial: {percent: 101}"), "`101` is not a share");
    bad(&with_migration("initial: {percent: 12.345}"), "12.345 is not a share");
    bad(
        &with_migration("{hash: modulo}").replace("{hash: modulo}", "hash: modulo\n    initial: {percent: 12.5}"),
        "7:24 the hash `modulo` knows whole percents only",
    );
    bad(&with_migration("initial: {mode: grdual}"), "`grdual` is not one of");
    bad(&with_migration("requires: [other]"), "6:16 the migration `other` is not defined");
    bad(&with_migration("requires: [m]"), "3:9 prerequisites form a cycle: m -> m");
    bad(&with_migration("parallel: {methods: [POST]}"), "`POST` is not copied by this version");
    bad(&with_migration("labels: {legacy: A, new: A}"), "both sides have the same label");
    bad(&with_migration("labels: {legacy: ''}"), "`` is not a label");
    bad(&with_migration("program: A B"), "`A B` is not the name of a program");
    bad(&with_migration("reversible: yes"), "`yes` stands here where `true` or `false` belongs");
    bad(&with_migration("requres: []"), "6:5 the key `requres` is not known here (did you mean `requires`?)");
    bad(&with_migration("rules: [{match: {}, serve: new}]"), "a rule without conditions would place everybody");
    bad(
        &with_migration("rules: [{match: {client_ip: 10.0.0}, serve: new}]"),
        "`10.0.0` is neither an address nor a network",
    );
    bad(
        &with_migration("rules: [{match: {'jwt:role': admin}, serve: new}]"),
        "a rule on a claim needs verified tokens",
    );
    bad(&with_migration("rules: [{match: {'header:a': []}, serve: new}]"), "a condition without values never holds");
    bad(&with_migration("rules: [{match: {'header:a': b}}]"), "the key `serve` is missing here");
    bad(&with_migration("rules: [{serve: new}]"), "the key `match` is missing here");
    bad(
        &with_migration("default: true").replace("id: m", "id: M").replace("migration: m", "migration: M"),
        "is not a migration id",
    );
    bad(&with_migration("default: true").replace("new: fresh", "new: old"), "5:10 legacy and new are both `old`");
    bad(&with_migration("default: true").replace("new: fresh", "new: frsh"), "(did you mean `fresh`?)");
    bad(&with_migration("default: true").replace("    new: fresh\n", ""), "3:5 the key `new` is missing here");
}

#[test]
fn migrations_are_checked_against_each_other() {
    let one = "  - {id: a, legacy: old, new: fresh, default: true}\n";
    let file = |two: &str| with_upstreams(&format!("migrations:\n{one}  - {two}\n"));
    bad(&file("{id: a, legacy: old, new: fresh}"), "4:10 migration \"a\" is defined twice");
    bad(&file("{id: b, legacy: old, new: fresh, default: true}"), "4:10 two migrations are marked default");
}

#[test]
fn a_route_is_checked_whole() {
    bad(&with_route("{path: /b}"), "4:5 this route leads nowhere (add one of `migration`, `upstream`, `respond`)");
    bad(
        &with_route("{path: /b, upstream: old, respond: {status: 410}}"),
        "one target, and this one has `upstream` and `respond`",
    );
    bad(&with_route("{path: /b, upstream: od}"), "the upstream `od` is not defined (did you mean `old`?)");
    bad(&with_route("{path: /b, migration: m}"), "the migration `m` is not defined");
    bad(&with_route("{path: b, upstream: old}"), "4:12 a path starts with '/'");
    bad(&with_route("{path: /b/**/c, upstream: old}"), "'**' stands only at the end");
    bad(&with_route("{upstream: old}"), "4:5 the key `path` is missing here");
    bad(&with_route("{path: /b, host: 'h:80', upstream: old}"), "a host is a name or an address without port");
    bad(
        &with_route("{path: /b, methods: [get], upstream: old}"),
        "`get` would match no request: methods are compared byte for byte (did you mean `GET`?)",
    );
    bad(&with_route("{path: /b, methods: [CONNECT], upstream: old}"), "CONNECT is answered with 405");
    bad(&with_route("{path: /b, methods: [], upstream: old}"), "no method would match");
    bad(&with_route("{path: /b, headers: {'a b': c}, upstream: old}"), "`a b` is not the name of a field");
    bad(&with_route("{path: /b, headers: {a: ' c'}, upstream: old}"), "cannot be the value of a field");
    bad(&with_route("{path: /b, body_max: 10, upstream: old}"), "`10` is not a size");
    bad(&with_route("{path: /b, upgrades: [h2c], upstream: old}"), "an upgrade to h2c");
    bad(&with_route("{path: /b, respond: {status: 100}}"), "100 is not a final status");
    bad(&with_route("{path: /b, respond: {}}"), "the key `status` is missing here");
    bad(&with_route("{path: /b, respond: {status: 410, sunset: soon}}"), "`soon` is not a date");
    bad(&with_route("{path: /b, respond: {status: 410, sunset: 2026-02-30}}"), "`2026-02-30` is not a date");
    bad(&with_route("{path: /b, respond: {status: 302, location: 'a b'}}"), "`a b` is not a location");
    bad(&with_route("{path: /b, issues: {}}"), "routes that receive issues are not supported");
    bad(
        &with_route("{path: '/{x}', upstream: old}\n  - {path: '/{y}', upstream: old}"),
        "5:12 two routes are equally specific",
    );
}

#[test]
fn what_would_be_unsafe_to_ignore_is_refused() {
    let file = |line: &str| with_route("{path: /b, upstream: old}") + line + "\n";
    bad(
        &file("listen: [{address: 127.0.0.1:1, tls: {certificate: a, key: b}}]"),
        "`tls` is not supported by this version",
    );
    bad(&file("listen: [{address: 127.0.0.1:1, http2: true}]"), "`http2: true` is not supported");
    bad(&file("listen: [{address: 127.0.0.1:1, proxy_protocol: true}]"), "`proxy_protocol: true` is not supported");
    good(&file("listen: [{address: 127.0.0.1:1, http2: false, proxy_protocol: false}]"));
    bad(&file("listen: [{address: localhost:80}]"), "`localhost:80` is not an IP address with a port");
    bad(&file("listen: [{address: 127.0.0.1:1}, {address: 127.0.0.1:1}]"), "127.0.0.1:1 stands here twice");
    good(&file("listen: [{address: 127.0.0.1:0}, {address: 127.0.0.1:0}]"));
    bad(&file("listen: []"), "a router without a listener");
    bad(
        &file("listen: [{address: 127.0.0.1:9900}]\nadmin: {address: 127.0.0.1:9900}"),
        "127.0.0.1:9900 is also a listener for traffic",
    );
    bad(
        &file("admin: {address: 0.0.0.0:9900}"),
        "5:18 the admin side would be open to the network at 0.0.0.0:9900 without tokens",
    );
    let hash = "0123456789abcdef".repeat(4);
    good(&file(&format!("admin: {{address: 0.0.0.0:9900, tokens: [{{name: ci, role: admin, sha256: {hash}}}]}}")));
    bad(&file("admin: {tokens: [{name: ci, role: admin, sha256: abc}]}"), "this is not a SHA-256");
    bad(
        &file(&format!("admin: {{tokens: [{{name: ci, role: root, sha256: {hash}}}]}}")),
        "`root` is not one of viewer, reporter, operator, admin",
    );
    bad(&file("admin: {tokens: [{role: admin, sha256: abc}]}"), "the key `name` is missing here");
    bad(&file("store: {redis: rediss://h}"), "rediss:// is not supported by this version");
    bad(&file("store: {redis: 'http://h'}"), "this is not the address of a Redis");
    bad(&file("store: {redis: redis://h, embedded: x}"), "and here are 2");
    bad(&file("store: {redis_file: missing}"), "/etc/crossfade/missing cannot be read");
    bad(&file("jwt: {}"), "and here are 0");
    bad(&file("jwt: {secret: ''}"), "no token can be verified by this: the secret is empty");
    bad(&file("environment: A"), "`A` is not the name of an environment");
    bad(&file("workers: 0"), "`0` is not a number of workers");
    bad(&file("trusted_proxies: [10.0.0.0/40]"), "neither an address nor a network");
    bad(&file("log: {format: xml}"), "`xml` is not one of text, json");
    bad(&file("log: {access: {sample: 200%}}"), "`200%` is not a share");
    bad(&file("limits: {head_size: 1B}"), "1B is outside 1KiB to 1MiB");
    bad(&file("upstream: {}"), "5:1 the key `upstream` is not known here (did you mean `upstreams`?)");
}

#[test]
fn what_is_not_yaml_is_told_with_its_place() {
    bad("upstreams: {a: [}\n", "1:16 this is not YAML");
    bad("upstreams:\n\ta: 1\n", "2:");
    bad("a: 1\n---\nb: 2\n", "2:1 a second document starts here");
    bad("", "the file defines no upstreams and no routes");
    bad("- a\n", "1:1 a list stands here where a map with the keys environment");
    bad(&with_route("{path: /b, upstream: old, path: /c}"), "4:31 the key `path` stands here twice");
    bad(&with_route("{path: !!str /b, upstream: old}"), "tags (`!...`) are not supported");
    bad(&with_route("{<<: {}, path: /b, upstream: old}"), "merge keys (`<<`) are not supported");
    bad(&with_route("{[a]: b, path: /b, upstream: old}"), "a key is a single word");
    let nested = format!("{}{}", "[".repeat(80), "]".repeat(80));
    bad(&with_route(&nested), "nested more than");
}

#[test]
fn every_problem_of_a_file_is_told_at_once() {
    let text = "\
enviroment: production
upstreams:
  ts: {endpoint: [http://127.0.0.1:1], timeout: 10}
  py: {endpoints: [https://127.0.0.1:2]}
migrations:
  - {id: Sessions, legacy: ts, new: pyy, key: [cokie:uid], initial: {percent: 120}}
  - {id: ok, legacy: ts, new: py, hash: crc}
routes:
  - {migration: sesions, path: api}
  - {migration: ok, path: /x, methods: [get], body_max: 1}
  - {path: /y}
listen: [{address: nowhere}]
admin: {address: 0.0.0.0:1}
snapshot: ${UNSET}
";
    let found = problems(text);
    let places: Vec<&str> = found.iter().filter_map(|line| line.split(' ').next()).collect();
    let expected = [
        "1:1", "3:3", "3:8", "3:49", "4:20", "6:10", "6:37", "6:48", "6:79", "7:41", "9:17", "9:32", "10:41", "10:57",
        "11:5", "12:20", "13:18", "14:11",
    ];
    assert_eq!(places, expected, "{found:#?}");
}

#[test]
fn a_mistake_is_not_told_again_by_what_refers_to_it() {
    let text = "\
upstreams: {a: {endpoints: [x]}, b: {endpoints: [http://h:1]}}
migrations: [{id: m, legacy: a, new: b, hash: x}]
routes: [{migration: m, path: /a}, {upstream: a, path: /b}]
";
    let found = problems(text);
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn a_rendered_problem_shows_line_caret_and_suggestion() {
    let errors =
        parse("upstreams:\n  ts: {endpoint: [http://127.0.0.1:1], endpoints: [http://127.0.0.1:2]}\n").unwrap_err();
    let expected = "\
error: the key `endpoint` is not known here
 --> crossfade.yaml:2:8
  |
2 |   ts: {endpoint: [http://127.0.0.1:1], endpoints: [http://127.0.0.1:2]}
  |        ^^^^^^^^
  |
  = help: did you mean `endpoints`?

error: 1 problem in crossfade.yaml";
    assert_eq!(errors.render(false), expected);
    assert_eq!(
        errors.to_string(),
        "crossfade.yaml:2:8: the key `endpoint` is not known here (did you mean `endpoints`?)"
    );
    assert!(errors.render(true).contains("\u{1b}["));
}

#[test]
fn control_characters_of_a_file_do_not_reach_the_terminal() {
    let errors = parse("upstreams:\n  \"a\\e[31m\": {endpoints: [http://h:1]}\n").unwrap_err();
    assert!(!errors.render(false).contains('\u{1b}') && !errors.to_string().contains('\u{1b}'));
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
  tokens: [{name: ci, role: admin, sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]
store:
  redis: ${REDIS_URL}
jwt: {secret: shh}
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
    fallback: {when: [connect, timeout, reset, 5xx], methods: safe}
    parallel: {serve: legacy, percent: 100, methods: [GET, HEAD, OPTIONS], compare: {ignore: [/time]}}
    guard: {success_floor: 70%, mean_duration_limit: 600s, margin: 0.2%}
    plan: []
    mirror_keys: {mode: system_mode, percent: rollout_percentage}
    default: false
    reversible: true
    rollback: {override_pins: false}
  - {id: base, legacy: typescript, new: python, on_missing_key: random}
routes:
  - {migration: sessions, host: api.example.com, path: /api/sessions/{id}/**, methods: [GET, PUT], headers: {X-Beta: "1"}, body_max: 10MB, upgrades: []}
  - {path: /api/old/**, respond: {status: 410, sunset: 2026-12-31, body: "costs ${UNSET:-$5}\n"}}
  - {path: /static/**, upstream: typescript}
  - {migration: base, path: /**, methods: GET}
"#;

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
    assert_eq!(config.routes[0].body_max, Some(10_000_000));
    assert!(config.routes[0].upgrades.is_empty());
    assert_eq!(config.routes[2].upstream, Some(0));
    assert_eq!(config.routes[3].upgrades, ["websocket"]);
    let Target::Respond(gone) = &config.definitions.routes().iter().nth(1).unwrap().target else { panic!() };
    assert_eq!(gone.sunset.as_deref(), Some("Thu, 31 Dec 2026 00:00:00 GMT"));
    let ignored =
        ["guard", "mirror_keys", "fallback", "parallel.compare"].map(|key| format!("migrations.sessions.{key}"));
    assert_eq!(config.without_effect, ignored);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
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
    assert!(!yaml.contains("s3cret") && !yaml.contains("shh"), "{yaml}");
    assert!(yaml.contains("redis://:redacted@127.0.0.1:6379/1"), "{yaml}");
    assert_eq!(without_password("redis://u:p@ss@h:1/2"), "redis://u:redacted@h:1/2");
    assert_eq!(without_password("redis://h"), "redis://h");
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
    assert!(matches!(&config.store, StoreConfig::Redis(address) if address == "redis://:pw@127.0.0.1"));
    assert!(Config::load(&folder.path().join("missing.yaml")).is_err());
    std::fs::write(&path, "#".repeat(FILE_BYTES_MAX + 1)).unwrap();
    assert!(Config::load(&path).unwrap_err().to_string().contains("larger than 4 MiB"));
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
