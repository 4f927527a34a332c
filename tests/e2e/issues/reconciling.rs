//! What GitHub could not deliver is asked for again, against a stand-in that speaks its endpoints.

use harness::backend::answers;
use harness::router::crossfade;
use harness::{Backend, RedisServer, Router, wait_until};
use serde_json::{Value, json};

use super::{Hooks, PATH, setup};

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

/// A stand-in with one webhook of ours, of whose deliveries one never arrived.
async fn github_with_one_lost() -> Backend {
    let github = Backend::start("github").await;
    let hooks = json!([{ "id": 7, "active": true, "config": { "url": format!("https://hooks.example.com{PATH}") } }]);
    github.on(&format!("{REPOSITORY}/hooks?"), answers(page(&hooks, "")));
    let deliveries = format!("{REPOSITORY}/hooks/7/deliveries");
    let lost = json!([attempt(70, "lost", 503, "opened")]);
    github.on(&format!("{deliveries}?"), answers(page(&lost, "ETag: \"one\"\r\n")));
    github.on(&format!("{deliveries}/"), answers("HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"));
    github.on(&format!("{REPOSITORY}/issues?"), answers(page(&json!([{ "number": 5 }]), "")));
    github
}

fn asking(github: &Backend, interval: &str) -> String {
    let api = format!("http://{}", github.address);
    format!(", reconcile: {{api: \"{api}\", token: t0ken, repositories: [octo-org/hello-world], interval: {interval}}}")
}

const ASKED: &str = "crossfade_issues_reconciled_total";

async fn asked(router: &Router, result: &str) -> u64 {
    let labels = format!("migration=\"shop\",result=\"{result}\"");
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
    router.metric(ASKED, &labels).await.map_or(0, |count| count as u64)
}

#[tokio::test]
async fn one_router_of_a_fleet_asks_and_another_when_it_is_gone() {
    let Some(redis) = RedisServer::start().await else { return };
    let github = github_with_one_lost().await;
    let members = asking(&github, "1s");
    let mut world = Hooks::on(&redis, &members).await;
    world.router.wait_until_printed("hello-world#5").await;
    let other = setup(&world.legacy, &world.new, &members).with_redis(&redis.url()).start().await;
    // The other one is there for many turns of the first and asks nothing.
    let turns = || github.seen_at(&format!("{REPOSITORY}/hooks?")).len();
    let before = turns();
    wait_until("the first goes on", || turns() > before + 4).await;
    assert_eq!((asked(&other, "unknown").await, other.printed().contains("hello-world#5")), (0, false));
    world.router.kill().await;
    other.wait_until_printed("hello-world#5").await;
    assert!(asked(&other, "asked_for").await >= 1, "it looks at everything anew");
}

#[tokio::test]
async fn a_sender_that_wants_silence_gets_it() {
    let github = github_with_one_lost().await;
    let now = jiff::Timestamp::now().as_second();
    let reset = now + 3;
    let spent = format!(
        "HTTP/1.1 403 Forbidden\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: {reset}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    // It refuses the redelivery, so that the list it has been asked for already must be looked at again.
    let again = format!("{REPOSITORY}/hooks/7/deliveries/70/attempts");
    github.once(&again, answers(spent));
    let world = Hooks::with(&asking(&github, "1s"), |setup| setup).await;
    world.router.wait_until_printed("left alone").await;
    assert_eq!(github.seen_at(&again).len(), 1);
    wait_until("it is asked again", || github.seen_at(&again).len() >= 2).await;
    assert!(jiff::Timestamp::now().as_second() >= reset, "not before it said");
    assert_eq!(asked(&world.router, "silenced").await, 1);

    // Nor does a person get through.
    let long = "HTTP/1.1 429 Too Many\r\nRetry-After: 3000\r\nContent-Length: 2\r\n\r\n{}";
    github.on(&format!("{REPOSITORY}/hooks?"), answers(long));
    wait_until("it is told", || world.router.printed().matches("left alone").count() >= 2).await;
    let refused = reconcile(&world.router, &[]).await;
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("hear nothing for"), "{refused:?}");
}

async fn reconcile(router: &Router, more: &[&str]) -> harness::router::Finished {
    let admin = format!("http://{}", router.admin);
    let mut all = vec!["issues", "reconcile", "--reason", "an outage", "--admin", &admin, "--token", "operator-secret"];
    all.extend_from_slice(more);
    crossfade(&all).await
}

#[tokio::test]
async fn a_person_asks_at_once_and_a_dry_run_asks_for_nothing() {
    let github = github_with_one_lost().await;
    let world = Hooks::with(&asking(&github, "1h"), |setup| setup).await;
    world.router.wait_until_printed("hello-world#5").await;
    let again = format!("{REPOSITORY}/hooks/7/deliveries/70/attempts");
    assert_eq!(github.seen_at(&again).len(), 1);
    let told = reconcile(&world.router, &["--dry-run", "-o", "json"]).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((&told["dry_run"], &told["lost"][0]["delivery"]), (&json!(true), &json!("lost")));
    assert_eq!((&told["lost"][0]["answered"], &told["unknown"]), (&Value::Null, &json!(["octo-org/hello-world#5"])));
    assert_eq!(github.seen_at(&again).len(), 1, "a dry run asks for nothing");
    let told = reconcile(&world.router, &[]).await;
    assert!(told.code == Some(0) && told.stdout.contains("lost") && told.stdout.contains("202"), "{told:?}");
    assert!(told.stderr.contains("hello-world#5"), "{told:?}");
    assert_eq!(github.seen_at(&again).len(), 2);
    world.router.wait_until_printed("asked by hand").await;

    let deaf = Hooks::start().await;
    let refused = reconcile(&deaf.router, &[]).await;
    assert_eq!(refused.code, Some(6), "{refused:?}");
    assert!(refused.stderr.contains("does not say whom to ask"), "{refused:?}");
    drop(github);
    let gone = reconcile(&world.router, &[]).await;
    assert_eq!(gone.code, Some(4), "{gone:?}");
}
