//! Webhooks as GitHub sends them, by the fields that its documentation names, and everything that is not one.

use flags::bucket::HashKind::{self, Bucket, Modulo};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::config::Config;

/// The route of the story, with these members besides.
pub(crate) fn route(members: &str) -> IssueRoute {
    let text = format!(
        "upstreams: {{typescript: {{endpoints: [http://127.0.0.1:1]}}, python: {{endpoints: [http://127.0.0.1:2]}}}}\n\
         migrations: [{{id: agents, legacy: typescript, new: python, key: json:/issue/number, hash: modulo}}]\n\
         routes: [{{path: /webhooks/github, issues: {{migration: agents, {members}}}}}]\n"
    );
    let config = Config::parse("crossfade.yaml", &text, std::path::Path::new("/tmp")).unwrap();
    config.routes[0].issues.as_deref().unwrap().clone()
}

const STORY: &str = "secret: 0123456789, actions: [opened, edited, labeled, assigned]";

/// An event of GitHub about the issue `octo-org/hello-world#1347`.
fn github(action: &str, more: &Value) -> Vec<u8> {
    let user = json!({ "login": "octocat", "id": 1, "node_id": "MDQ6VXNlcjE=", "type": "User", "site_admin": false });
    let mut body = json!({
        "action": action,
        "issue": {
            "url": "https://api.github.com/repos/octo-org/hello-world/issues/1347",
            "id": 1, "node_id": "MDU6SXNzdWUx", "number": 1347, "title": "Found a bug \"here\"", "user": user,
            "labels": [{ "id": 208_045_946, "name": "bug", "color": "f29513", "default": true }],
            "state": "open", "locked": false, "assignee": null, "assignees": [], "comments": 0,
            "created_at": "2026-11-20T18:02:45Z", "updated_at": "2026-11-20T18:02:45Z", "closed_at": null,
            "author_association": "NONE", "body": "I'm having a problem with this. \u{1f41b}",
        },
        "repository": {
            "id": 1_296_269, "node_id": "MDEwOlJlcG9zaXRvcnkxMjk2MjY5", "name": "hello-world",
            "full_name": "octo-org/hello-world", "private": false, "owner": user,
        },
        "organization": { "login": "octo-org", "id": 7 },
        "sender": user,
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    serde_json::to_vec_pretty(&body).unwrap()
}

fn fields(event: &str, kind: &str) -> Fields {
    Fields::of(&[
        ("Accept", "*/*"),
        ("User-Agent", "GitHub-Hookshot/044aadd"),
        ("Content-Type", kind),
        ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("X-GitHub-Event", event),
        ("X-GitHub-Hook-ID", "292430182"),
    ])
}

fn read_json(route: &IssueRoute, hash: HashKind, event: &str, body: &[u8]) -> Result<Read, Unreadable> {
    read(route, hash, &fields(event, "application/json"), body)
}

fn event(action: &str, key: &str) -> Result<Read, Unreadable> {
    Ok(Read::Event(Event {
        delivery: DeliveryId::new("72d3162e-cc78-11e3-81ab-4c9367dc0958").unwrap(),
        issue: IssueId::new("octo-org/hello-world#1347").unwrap(),
        key: key.into(),
        action: action.into(),
        changed: Some("2026-11-20T18:02:45Z".into()),
    }))
}

#[test]
fn what_github_sends_about_an_issue_is_read() {
    let route = route(STORY);
    let label = json!({ "id": 208_045_946, "name": "agent", "color": "f29513", "default": false });
    let who = json!({ "login": "hubot", "id": 2, "type": "Bot" });
    for (action, more) in [
        ("opened", json!({})),
        ("edited", json!({ "changes": { "title": { "from": "Found a bug" }, "body": { "from": "" } } })),
        ("labeled", json!({ "label": label })),
        ("assigned", json!({ "assignee": who })),
    ] {
        let body = github(action, &more);
        assert_eq!(read_json(&route, Modulo, "issues", &body), event(action, "1347"));
        assert_eq!(read_json(&route, Bucket, "issues", &body), event(action, "octo-org/hello-world#1347"));
    }
}

#[test]
fn what_does_not_count_is_ignored_by_name() {
    let route = route(STORY);
    for action in ["closed", "reopened", "unlabeled", "unassigned", "deleted", "Opened", "opened "] {
        let ignored = Ok(Read::Ignored { action: Some(action.into()) });
        assert_eq!(read_json(&route, Modulo, "issues", &github(action, &json!({}))), ignored);
    }
    assert_eq!(read_json(&route, Modulo, "push", br#"{"ref":"refs/heads/main"}"#), Ok(Read::Ignored { action: None }));
    assert_eq!(
        read_json(&route, Modulo, "ping", br#"{"zen":"Keep it logically awesome.","hook_id":1}"#),
        Ok(Read::Ping)
    );
    let every = super::tests::route("secret: 0123456789");
    assert_eq!(read_json(&every, Modulo, "issues", &github("closed", &json!({}))), event("closed", "1347"));
}

#[test]
fn a_form_holds_the_same() {
    let json = github("opened", &json!({}));
    let form = format!("a=1&payload={}", percent_encoding::percent_encode(&json, percent_encoding::NON_ALPHANUMERIC));
    let kind = "application/x-www-form-urlencoded; charset=utf-8";
    assert_eq!(
        read(&route(STORY), Modulo, &fields("issues", kind), form.replace("%20", "+").as_bytes()),
        event("opened", "1347")
    );
    let Err(Unreadable::NotJson(words)) = read(&route(STORY), Modulo, &fields("issues", kind), b"pay=1") else {
        panic!()
    };
    assert!(words.contains("set the content type of the webhook to application/json"), "{words}");
}

#[track_caller]
fn refused(route: &IssueRoute, hash: HashKind, fields: &Fields, body: &str, name: &str, words: &str) {
    let error = read(route, hash, fields, body.as_bytes()).unwrap_err();
    assert_eq!(error.name(), name, "{error:?}");
    assert!(error.words().contains(words), "{error:?}");
}

#[test]
fn what_cannot_be_read_says_why() {
    let (own, plain) = (route(STORY), fields("issues", "application/json"));
    for body in ["", "{", "opened", "{\"action\":\"opened\"} x", "\u{0}"] {
        refused(&own, Modulo, &plain, body, "not_json", "the body is not JSON");
    }
    let repository = r#""repository":{"full_name":"a/b"}"#;
    refused(&own, Modulo, &plain, r#"{"action":"opened"}"#, "no_key", "/repository/full_name");
    for number in ["null", "[]", "{}", "true", "\"\""] {
        let body = format!(r#"{{"action":"opened",{repository},"issue":{{"number":{number}}}}}"#);
        refused(&own, Modulo, &plain, &body, "no_key", "/issue/number is neither text nor a number");
    }
    for number in ["-1", "1.5", "\"seven\"", "1e3"] {
        let body = format!(r#"{{"action":"opened",{repository},"issue":{{"number":{number}}}}}"#);
        refused(&own, Modulo, &plain, &body, "not_a_number", "/issue/number is no whole number");
        assert!(read(&own, Bucket, &plain, body.as_bytes()).is_ok());
    }
    let long =
        format!(r#"{{"action":"opened","repository":{{"full_name":"{}"}},"issue":{{"number":1}}}}"#, "x".repeat(300));
    refused(&own, Modulo, &plain, &long, "no_key", "256 bytes");
    let none = Fields::of(&[("X-GitHub-Event", "issues")]);
    let body = String::from_utf8(github("opened", &json!({}))).unwrap();
    refused(&own, Modulo, &none, &body, "no_delivery_id", "header:x-github-delivery is not there");
    let long = Fields::of(&[("X-GitHub-Delivery", &"x".repeat(129))]);
    refused(&own, Modulo, &long, &body, "no_delivery_id", "128 bytes");
}

#[test]
fn any_json_is_read_as_the_file_says() {
    let members = "preset: json, secret: 0123456789, signature: {scheme: hmac_sha256_hex, header: X-Sign}, \
                   delivery_id: json:/id, key: [/team, /ticket], action: header:X-Event";
    let route = route(members);
    let read = |body: &str| read(&route, Bucket, &Fields::of(&[("x-event", "made")]), body.as_bytes());
    let Ok(Read::Event(event)) = read(r#"{"id":17,"team":"a#b","ticket":"c#1"}"#) else { panic!() };
    assert_eq!((event.delivery.as_str(), event.issue.as_str()), ("17", "a%23b#c#1"));
    assert_eq!((event.action.as_str(), event.key.as_str()), ("made", "a%23b#c#1"));
}

#[test]
fn fields_of_one_hop_stay_here() {
    let all: [(&[u8], &[u8]); 9] = [
        (b"Host", b"a"),
        (b"Content-Length", b"7"),
        (b"X-GitHub-Event", b"issues"),
        (b"Connection", b"close"),
        (b"Crossfade-Fence", b"1.1"),
        (b"Idempotency-Key", b"x"),
        (b"X-Hub-Signature-256", b"sha256=00"),
        (b"X-Odd", b"\xff"),
        (b"x-forwarded-for", b"1.1.1.1"),
    ];
    let kept = Fields::collect(all).into_list();
    let names: Vec<&str> = kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["X-GitHub-Event", "X-Hub-Signature-256"]);
    let bounded = |list: &[(&str, &str)]| Fields::of(list).bounded(&route(STORY));
    let few = [("X-GitHub-Event", "issues"), ("A", "b")];
    assert_eq!(bounded(&few), Fields::of(&few));
    let long = "x".repeat(HEADER_BYTES_MAX);
    assert_eq!(bounded(&[("A", long.as_str()), few[0], few[1]]), Fields::of(&few[..1]));
    assert_eq!(bounded(&[few[0], ("X-GitHub-A", &long)]), Fields::of(&few[..1]));
}

proptest! {
    /// No body is a panic, and none makes a name that the ledger would not take.
    #[test]
    fn any_body_is_read_or_refused(body: Vec<u8>, form: bool) {
        let kind = if form { "application/x-www-form-urlencoded" } else { "application/json" };
        let _ = read(&route(STORY), Modulo, &fields("issues", kind), &body);
    }
}
