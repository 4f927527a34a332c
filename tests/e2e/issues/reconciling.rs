//! What GitHub could not deliver is asked for again, against a stand-in that speaks its endpoints.

use harness::backend::answers;
use harness::{Backend, wait_until};
use serde_json::{Value, json};

use super::{Hooks, PATH};

const REPOSITORY: &str = "/repos/octo-org/hello-world";

fn page(value: &Value, fields: &str) -> Vec<u8> {
    let body = value.to_string();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn attempt(id: u64, guid: &str, status: u16, action: &str) -> Value {
    let now = jiff::Timestamp::now().to_string();
    json!({ "id": id, "guid": guid, "delivered_at": now, "redelivery": false, "duration": 0.3, "status": "x",
            "status_code": status, "event": "issues", "action": action })
}

#[tokio::test]
async fn what_never_arrived_is_delivered_again_and_what_is_unknown_is_told() {
    let github = Backend::start("github").await;
    let api = format!("http://{}", github.address);
    let hooks = json!([
        { "id": 7, "active": true, "config": { "url": format!("https://hooks.example.com{PATH}") } },
        { "id": 8, "active": true, "config": { "url": "https://elsewhere.example.com/" } },
    ]);
    let deliveries = format!("{REPOSITORY}/hooks/7/deliveries");
    let second = format!("{deliveries}?per_page=100&cursor=2");
    let link = format!("Link: <{api}{second}>; rel=\"next\"\r\nETag: \"one\"\r\n");
    let first = json!([attempt(70, "lost", 503, "opened"), attempt(71, "late", 202, "edited")]);
    let rest = json!([
        attempt(69, "late", 502, "edited"),
        attempt(68, "silent", 0, "labeled"),
        attempt(67, "no", 500, "closed")
    ]);
    github.on(&format!("{REPOSITORY}/hooks?"), answers(page(&hooks, "")));
    github.on(&format!("{deliveries}?per_page=100"), answers(page(&first, &link)));
    github.on(&second, answers(page(&rest, "")));
    github.on(&format!("{deliveries}/"), answers("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"));
    let issues = json!([{ "number": 5 }, { "number": 6, "pull_request": { "url": "x" } }]);
    github.on(&format!("{REPOSITORY}/issues?"), answers(page(&issues, "")));
    let members =
        format!(", reconcile: {{api: \"{api}\", token: t0ken, repositories: [octo-org/hello-world], interval: 1s}}");
    let world = Hooks::with(&members, |setup| setup).await;
    let again = format!("{deliveries}/");
    wait_until("both are asked for", || github.seen_at(&again).len() >= 2).await;
    let mut asked: Vec<String> = github.seen_at(&again).iter().map(|seen| seen.head.target()).collect();
    asked.truncate(2);
    asked.sort();
    assert_eq!(asked, [format!("{deliveries}/68/attempts"), format!("{deliveries}/70/attempts")]);
    let seen = &github.seen_at(&again)[0];
    assert_eq!(
        (seen.head.method(), seen.head.value("authorization").as_deref()),
        ("POST".into(), Some("Bearer t0ken"))
    );
    world.router.wait_until_printed("octo-org/hello-world#5").await;
    assert!(!world.router.printed().contains("hello-world#6"));
    // The next turn asks whether anything has changed.
    let tagged = || {
        github.seen_at(&deliveries).iter().any(|seen| seen.head.value("if-none-match").as_deref() == Some("\"one\""))
    };
    wait_until("the page is asked for by its tag", tagged).await;
    assert!(!world.router.printed().contains("t0ken"));
}
