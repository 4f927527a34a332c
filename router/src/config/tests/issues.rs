//! Routes that receive issues, good and bad.

use flags::KeySource;

use super::*;
use crate::config::issues::{IssueRoute, Preset, Scheme};

fn with_issues(members: &str) -> String {
    with_upstreams(&format!(
        "migrations: [{{id: agents, legacy: old, new: fresh, key: json:/issue/number}}]\nroutes:\n  - path: /hooks\n    issues: {{migration: agents, {members}}}\n"
    ))
}

#[track_caller]
fn issues(text: &str) -> IssueRoute {
    good(text).routes[0].issues.as_deref().expect("a route that receives issues").clone()
}

#[test]
fn github_needs_a_secret_and_no_more() {
    let own = issues(&with_issues("secret: 0123456789"));
    assert_eq!((own.preset, own.signature.scheme), (Preset::Github, Scheme::HmacSha256Hex));
    assert_eq!((own.signature.header.as_str(), own.signature.prefix.as_str()), ("x-hub-signature-256", "sha256="));
    assert_eq!(own.delivery_id, KeySource::Header("x-github-delivery".into()));
    assert_eq!(own.key.iter().map(ToString::to_string).collect::<Vec<_>>(), ["/repository/full_name", "/issue/number"]);
    assert_eq!(own.action, Some(KeySource::Json("/action".into())));
    assert_eq!((own.body_max, own.rollback_after, own.lease), (25_000_000, 5, Duration::from_secs(60)));
    assert_eq!(own.journal, Path::new("/etc/crossfade/issues-agents.journal"));
    assert_eq!((own.legacy.path.as_str(), own.new.timeout), ("/hooks", Duration::from_secs(10)));
    assert!(own.rate.is_none() && own.reconcile.is_none() && !own.new.dry_run);
}

/// Each router has its own, and a fleet whose files are in different folders runs one and the same all the same.
#[test]
fn where_the_journal_is_makes_no_other_file() {
    let hash = |members: &str| good(&with_issues(members)).definitions.config_hash;
    assert_eq!(hash("secret: 0123456789, journal: /here"), hash("secret: 0123456789, journal: /there"));
    assert_ne!(hash("secret: 0123456789"), hash("secret: 0123456789, lease: 90s"));
}

/// Everything that can be said, with nothing at its default.
const WHOLE: &str = "preset: json, secret: [0123456789, 9876543210], signature: {scheme: hmac_sha256_hex, header: X-Sign, prefix: 'v1='}, \
    delivery_id: json:/id, key: [/ticket/id], action: header:X-Event, actions: [opened], order_by: /at, body_max: 1MB, \
    rate: {per_source: 100/s, burst: 7}, legacy: {path: /a, timeout: 2s, max_duration: 2h}, new: {path: /b, dry_run: true}, \
    lease: 90s, rollback_after: 1, journal: j, journal_max: 8MiB";

#[test]
fn any_json_webhook_can_be_described() {
    let own = issues(&with_issues(WHOLE));
    assert_eq!((own.signature.header.as_str(), own.signature.secrets.len()), ("x-sign", 2));
    assert_eq!(own.action, Some(KeySource::Header("x-event".into())));
    assert_eq!(own.legacy.max_duration, Some(Duration::from_secs(7_200)));
    let rate = own.rate.unwrap();
    assert_eq!((rate.per_source.to_string().as_str(), rate.burst.get()), ("100/s", 7));
    let standard = "preset: json, signature: {scheme: standard_webhooks}, secret: whsec_czNjcmV0czNjcmV0czNjcmV0czNjcmV0, key: /id";
    assert_eq!(issues(&with_issues(standard)).delivery_id, KeySource::Header("webhook-id".into()));
    let open = "preset: json, signature: {scheme: none_the_network_is_trusted}, delivery_id: header:X-Id, key: /id";
    assert!(issues(&with_issues(open)).signature.secrets.is_empty());
}

#[test]
fn what_is_effective_reads_back_without_secrets() {
    let reconcile = "secret: 0123456789, reconcile: {token: t0ps3cret, repositories: [octo/hello], interval: 1m, api: 'http://127.0.0.1:1/api'}";
    for members in ["secret: 0123456789", WHOLE, reconcile] {
        let config = good(&with_issues(members));
        let text = config.effective_yaml();
        for secret in ["0123456789", "9876543210", "t0ps3cret"] {
            assert!(!text.contains(secret), "{text}");
        }
        let again = good(&text);
        assert_eq!(again.effective_yaml(), text);
        assert_eq!(again.definitions.config_hash, config.definitions.config_hash);
    }
}

#[test]
fn a_route_for_issues_is_checked_whole() {
    bad(
        &with_issues("actions: [opened]"),
        "5:13 nothing proves who sends these webhooks: the key `secret` is missing here",
    );
    bad(&with_issues("secret: short"), "5:41 a secret of fewer than 8 characters is guessed");
    bad(
        &with_issues("secret: 0123456789").replace("migration: agents", "migration: agent"),
        "(did you mean `agents`?)",
    );
    bad(&with_issues("secret: 0123456789, key: issue"), "`issue` is not a JSON Pointer");
    bad(&with_issues("secret: 0123456789, key: [/a~2]"), "`/a~2` is not a JSON Pointer");
    bad(&with_issues("secret: 0123456789, key: []"), "no place in the body would name the issue");
    bad(&with_issues("secret: 0123456789, action: action"), "`action` is neither a field nor a place in the body");
    bad(&with_issues("secret: 0123456789, action: cookie:a"), "`cookie:a` is neither a field nor a place");
    bad(&with_issues("secret: 0123456789, actions: []"), "every webhook would be ignored");
    bad(&with_issues("secret: 0123456789, actions: [a, a]"), "the action `a` stands here twice");
    bad(&with_issues("secret: 0123456789, rate: {per_source: 100}"), "`100` is not a rate");
    bad(&with_issues("secret: 0123456789, rate: {}"), "the key `per_source` is missing here");
    bad(&with_issues("secret: 0123456789, rate: {per_source: 1/s, burst: 0}"), "a burst of 0 lets nothing through");
    bad(&with_issues("secret: 0123456789, new: {path: hooks}"), "`hooks` is not a path");
    bad(&with_issues("secret: 0123456789, lease: 0s"), "0s is outside 1m to 1d");
    bad(&with_issues("secret: 0123456789, body_max: 1B"), "1B is outside 1KiB to");
    bad(&with_issues("secret: 0123456789, preset: gitlab"), "`gitlab` is not one of github, json");
    bad(&with_issues("secret: 0123456789, secrte: a"), "(did you mean `secret`?)");
    bad(
        &with_issues("secret: 0123456789, signature: {scheme: standard_webhooks}"),
        "this is not the secret of a webhook",
    );
    bad(
        &with_issues("secret: 0123456789, signature: {scheme: none_the_network_is_trusted}"),
        "a secret stands here, and the scheme says that nothing is signed",
    );
    bad(
        &with_issues("preset: json, secret: 0123456789, key: /a, delivery_id: header:a"),
        "nothing here says how these webhooks are signed",
    );
    let json = "preset: json, secret: 0123456789, signature: {scheme: hmac_sha256_hex, header: X-Sign}";
    bad(&with_issues(&format!("{json}, key: /a")), "the key `delivery_id` is missing here");
    bad(&with_issues(&format!("{json}, delivery_id: header:a")), "the key `key` is missing here");
    bad(
        &with_issues(&format!("{json}, delivery_id: header:a, key: /a, actions: [b]")),
        "nothing says where an action is found",
    );
    bad(
        &with_issues("secret: 0123456789")
            .replace("path: /hooks", "path: '/hooks/{id}'")
            .replace("secret:", "legacy: {path: /a}, secret:"),
        "the path `/hooks/{id}` of this route has parts that vary (say where new takes",
    );
    bad(&with_issues("secret: 0123456789, reconcile: {token: t, repositories: [octo]}"), "`octo` is not a repository");
    bad(&with_issues("secret: 0123456789, reconcile: {repositories: [octo/a]}"), "the key `token` is missing here");
    bad(&(with_issues("secret: 0123456789") + "    body_max: 1MB\n"), "has its limit under `issues`");
}

#[test]
fn both_systems_act_on_an_issue_only_where_one_merely_watches() {
    let parallel = |members: &str| with_issues(members).replace("key: json", "initial: {mode: parallel}, key: json");
    bad(&parallel("secret: 0123456789"), "agents begins in mode parallel, where both systems would act on every issue");
    bad(
        &parallel("secret: 0123456789, legacy: {dry_run: true}"),
        "nothing says that fresh only watches (write `new: {dry_run: true}`",
    );
    good(&parallel("secret: 0123456789, new: {dry_run: true}"));
}

#[test]
fn a_migration_has_one_route_for_issues() {
    let second = "  - {path: /b, issues: {migration: agents, secret: 0123456789}}\n";
    bad(&(with_issues("secret: 0123456789") + second), "a second route receives the issues of agents");
}
