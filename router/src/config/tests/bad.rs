//! Bad files by the problems that they must report.

use super::*;

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
    for (listen, own) in [
        ("127.0.0.1:81", "127.0.0.1:81"),
        ("0.0.0.0:81", "127.0.0.2:81"),
        ("127.0.0.1:81", "localhost:81"),
        ("[::]:81", "[::1]:81"),
    ] {
        let file = format!("listen: [{{address: '{listen}'}}]\nupstreams: {{u: {{endpoints: ['http://{own}']}}}}\n");
        bad(&file, "is this router itself");
    }
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
fn what_is_copied_and_compared_is_checked_whole() {
    let writes = |line: &str| with_migration(&format!("parallel: {{writes: [{line}]}}"));
    bad(
        &writes("{path: /**, methods: POST}"),
        "6:25 a copy of a write does it a second time (write `dry_run: true` if",
    );
    bad(&writes("{path: /**, methods: POST, dry_run: false}"), "a copy of a write does it a second time");
    bad(&writes("{path: /**, methods: POST, override_reason: ' '}"), "the reason is empty");
    bad(&writes("{path: /x, methods: POST, dry_run: true}"), "no route of m has the path `/x`");
    bad(&writes("{path: /**, methods: GET, dry_run: true}"), "GET changes nothing");
    bad(&writes("{path: /**, methods: post, dry_run: true}"), "(did you mean `POST`?)");
    bad(&writes("{methods: POST, dry_run: true}"), "the key `path` is missing here");
    bad(&writes("{path: /**, dry_run: true}"), "the key `methods` is missing here");
    bad(&with_migration("parallel: {noise: 30%}"), "30 % would burden legacy");
    bad(&with_migration("parallel: {budget: {memory: 1KiB}}"), "1KiB is outside 1MiB to 16GiB");
    bad(&with_migration("parallel: {budget: {in_flight: 0}}"), "0 is outside 1 to 100000");
    bad(&with_migration("parallel: {timeout: 2}"), "`2` is not a duration");
    let rules = |line: &str| with_migration(&format!("parallel: {{compare: {{rules: [{line}]}}}}"));
    let who = "owner: ann, reason: r";
    bad(&rules(&format!("{{path: a.b, kind: ignore, {who}}}")), "a path begins");
    bad(&rules(&format!("{{path: $.a, kind: ignored, {who}}}")), "unknown variant `ignored`");
    bad(&rules("{path: $.a, kind: ignore, owner: ann}"), "this rule has no `reason`");
    bad(
        &rules(&format!("{{path: $.a, kind: ignore, {who}, expires: 2020-01-31}}")),
        "this rule has expired: it held through 2020-01-31 (remove it",
    );
    let twice = format!("{{path: $.a, kind: ignore, {who}}}, {{path: $.a, kind: shape, {who}}}");
    bad(&rules(&twice), "rule 1 is for this path too; keep one of ignore and shape");
    bad(&with_migration("parallel: {compare: {raw_paths: [a.b]}}"), "a path begins");
    bad(&with_migration("parallel: {compare: {version_header: 'a b'}}"), "`a b` is not the name of a field");
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
    bad("upstreams: {b: {endpoints: [http://h:1]}}\nmigrations: [{id: m, legacy: {x: y}, new: b}]\n", "2:30 ");
    bad(&with_migration("requires: [m]"), "3:9 prerequisites form a cycle: m -> m");
    bad(
        &with_migration("parallel: {methods: [POST]}"),
        "6:26 `POST` may change something, which a copy would do twice",
    );
    bad(
        &with_migration("fallback: {when: [conect]}"),
        "6:23 `conect` is not a failure that legacy can answer: use connect,",
    );
    bad(&with_migration("fallback: {when: [conect]}"), "(did you mean `connect`?)");
    bad(&with_migration("fallback: {when: 404}"), "6:22 `404` is not a failure that legacy can answer");
    assert_eq!(problems(&with_migration("fallback: {when: [conect, 404], methods: [get, TRACE]}")).len(), 4);
    bad(&with_migration("fallback: {when: [reset, reset]}"), "6:30 `reset` stands here twice");
    bad(&with_migration("fallback: {methods: sfe}"), "6:25 `sfe` is no method (did you mean `safe`?)");
    bad(&with_migration("fallback: {methods: []}"), "6:25 no method would fall back (write `when: []`");
    bad(&with_migration("fallback: {on: [reset]}"), "the key `on` is not known here");
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
    bad(
        &with_route("{path: /b}"),
        "4:5 this route leads nowhere (add one of `migration`, `upstream`, `respond`, `issues`)",
    );
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
    for host in ["*.a..", ".a", "a..", "*..a"] {
        bad(&with_route(&format!("{{path: /b, host: '{host}', upstream: old}}")), "a host is a name or an address");
    }
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
    bad(
        &with_route("{path: '/{x}', upstream: old}\n  - {path: '/{y}', upstream: old}"),
        "5:12 two routes are equally specific",
    );
}

#[test]
fn what_would_be_unsafe_to_ignore_is_refused() {
    let file = |line: &str| with_route("{path: /b, upstream: old}") + line + "\n";
    bad(
        &file("listen: [{address: 127.0.0.1:9, tls: {certificate: a, key: b}}]"),
        "`tls` is not supported by this version",
    );
    bad(&file("listen: [{address: 127.0.0.1:9, http2: true}]"), "`http2: true` is not supported");
    bad(&file("listen: [{address: 127.0.0.1:9, proxy_protocol: true}]"), "`proxy_protocol: true` is not supported");
    good(&file("listen: [{address: 127.0.0.1:9, http2: false, proxy_protocol: false}]"));
    bad(&file("listen: [{address: localhost:80}]"), "`localhost:80` is not an IP address with a port");
    bad(&file("listen: [{address: 127.0.0.1:9}, {address: 127.0.0.1:9}]"), "127.0.0.1:9 stands here twice");
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
    bad(&file("admin: {url: crossfade}"), "5:14 the address of the dashboard is not a whole address (write it as");
    bad(&file("admin: {tokens: [{role: admin, sha256: abc}]}"), "the key `name` is missing here");
    bad(&file("store: {redis: redis://h/x}"), "the database in the address of a Redis is not a number");
    bad(&file("store: {redis: redis+sentinel://h}"), "ends with the name of its service");
    bad(&file("store: {redis: redis+cluster://h/1}"), "a Cluster has no database but 0");
    bad(&file("store: {redis: redis://h, ca_file: x}"), "does not ask for TLS");
    bad(&file("store: {embedded: x, ca_file: x}"), "speaks no TLS");
    bad(&file("store: {redis: rediss://h, ca_file: missing}"), "/etc/crossfade/missing cannot be read");
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
fn plain_keys_are_checked_whole() {
    let on_redis = |line: &str| {
        format!(
            "store: {{redis: redis://h}}\n{}",
            with_migration(&format!("{line}\n    key: client_ip\n    hash: modulo"))
        )
    };
    let both = "mirror_keys: {mode: system_mode, percent: rollout_percentage}";
    assert!(good(&on_redis(both)).warnings.is_empty());
    bad(
        &with_migration(both),
        "6:18 plain keys are in Redis, and the store of this file is not (write `store: {redis:",
    );
    bad(&on_redis("mirror_keys: {mode: system_mode}"), "the key `percent` is missing here");
    bad(&on_redis("mirror_keys: {percent: x}"), "the key `mode` is missing here");
    bad(&on_redis("mirror_keys: {mode: a, percent: a}"), "the plain key `a` is written twice");
    bad(&on_redis("mirror_keys: {mode: '', percent: a}"), "has 1 to 256 bytes");
    bad(&on_redis("mirror_keys: {mode: 'a{b', percent: a}"), "braces in a key name its slot");
    bad(&on_redis("mirror_keys: {mode: 'crossfade:x', percent: a}"), "are the router's own");
    bad(&on_redis("mirror_keys: {mode: a, percnt: b, percent: c}"), "did you mean `percent`?");
    bad(
        &on_redis(&format!("labels: {{legacy: 'A b', new: a-b}}\n    {both}")),
        "both sides are `a_b_only` in a plain key",
    );
    let two = on_redis(both).replace("routes:", "  - {id: n, legacy: old, new: fresh, hash: modulo, key: client_ip, mirror_keys: {mode: x, percent: system_mode}}\nroutes:");
    bad(&two, "the plain key `system_mode` is written twice, and can hold one value");
}

#[test]
fn plain_keys_of_a_finer_split_are_warned_of() {
    let file = format!(
        "store: {{redis: redis://h}}\n{}",
        with_migration("mirror_keys: {mode: a, percent: b}\n    key: client_ip")
    );
    let config = good(&file);
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(config.warnings[0].contains("12.5 is written as 12"), "{:?}", config.warnings);
}

#[test]
fn a_guard_that_cannot_work_is_refused() {
    let guard = |line: &str| with_migration(&format!("guard: {{{line}}}"));
    bad(&guard("success_floor: 0%"), "6:28 a guard with 0 % here cannot work (success of 0 % is never fallen below");
    bad(&guard("success_floor: 100%"), "6:28 a guard with 100 % here cannot work (");
    bad(&guard("success_floor: 70.001%"), "a guard with 70.001 % here cannot work");
    bad(&guard("margin: 100%"), "6:21 a guard with 100 % here cannot work (more than half of the requests");
    bad(&guard("alpha: 0"), "6:20 a guard with 0 % here cannot work (the guard would roll back at the first failures");
    bad(&guard("alpha: 5%"), "a guard with 5 % here cannot work");
    bad(&guard("mean_duration_limit: 0s"), "6:34 0s is outside 1s to 1h");
    bad(&guard("mean_duration_limit: 600"), "`600` is not a duration");
    bad(&guard("action: rolback"), "`rolback` is not one of rollback, hold, off; did you mean `rollback`?");
    bad(&guard("legacy: lukewarm"), "`lukewarm` is not one of measured, warm, cold");
    bad(&guard("floor: 70%"), "the key `floor` is not known here");
}

#[test]
fn a_target_of_notices_is_checked_whole() {
    let file = |line: &str| format!("upstreams: {{a: {{endpoints: [http://h:1]}}}}\nnotify:\n  - {line}\n");
    let webhook = |url: &str| file(&format!("webhook: {{url: '{url}', secret_file: missing}}"));
    bad(&file("{on: hold}"), "3:5 a target is one of webhook, slack, alertmanager and pagerduty, and here stands none");
    bad(&file("{slack: {}, pagerduty: {}}"), "and here stands slack and pagerduty");
    let unknown = problems(&file("{slak: {url: x}}"));
    assert!(
        unknown.iter().any(|line| line.contains("`slak` is not known here (did you mean `slack`?)")),
        "{unknown:?}"
    );
    bad(&file("slack: {url: hooks.slack.com}"), "3:18 the address of this target is not a whole address");
    bad(&file("slack: {url: 'ftp://h/x'}"), "is neither http nor https (write https://HOST[:PORT]/PATH)");
    bad(&file("slack: {url: 'https://u:p@h/x'}"), "holds a user, which is not supported");
    bad(&file("slack: {}"), "3:12 the key `url` is missing here (or name a file that holds it: `url_file`)");
    bad(&file("slack: {url: 'https://h/', url_file: x}"), "`url` and `url_file` stand here both");
    bad(&file("slack: {url_file: missing}"), "/etc/crossfade/missing cannot be read");
    bad(&webhook("https://h/x"), "/etc/crossfade/missing cannot be read");
    bad(&file("webhook: {url: 'https://h/x'}"), "the key `secret` is missing here");
    for secret in ["whsec_", "whsec_AAAA", "c2l4dGVlbiBhbmQgZWlnaHQgYnl0ZXMu", "whsec_!"] {
        let line = format!("webhook: {{url: 'https://h/x', secret: '{secret}'}}");
        bad(&file(&line), "3:43 this is not the secret of a webhook (write whsec_ and 24 to 64 random bytes");
    }
    bad(&file("alertmanager: {}"), "the key `url` is missing here");
    bad(&file("pagerduty: {routing_key: 'a b'}"), "3:30 this is not a routing key of PagerDuty");
    bad(&file("pagerduty: {}"), "the key `routing_key` is missing here");
    let hold = |on: &str| file(&format!("{{alertmanager: {{url: 'http://127.0.0.1:1'}}, on: {on}}}"));
    bad(&hold("[rolback]"), "`rolback` is not one of hold, release");
    bad(&hold("[test]"), "`test` is not one of hold, release");
    bad(&hold("[hold, hold]"), "`hold` stands here twice");
    bad(&hold("[]"), "a target that is told of nothing needs no entry");
    bad(&hold("[mode_changed]"), "a change of mode is nothing that alertmanager could keep open");
    bad(&file("{alertmanager: {url: 'https://h'}, ca_file: missing}"), "/etc/crossfade/missing cannot be read");
    let many = format!(
        "upstreams: {{a: {{endpoints: [http://h:1]}}}}\nnotify: [{}]\n",
        "{slack: {url: 'https://h/'}},".repeat(17)
    );
    bad(&many, "17 targets of notices are more than the 16 a router takes");
}
