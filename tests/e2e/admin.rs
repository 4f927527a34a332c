//! The API: what it changes, what it refuses, and what it remembers.

use harness::{Answer, Client, Router, Setup};
use serde_json::{Value, json};

use crate::world::World;

/// A router whose upstreams are not needed.
async fn router() -> Router {
    Setup::new(harness::backend::refused_address(), harness::backend::refused_address()).start().await
}

#[track_caller]
fn expect_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.value("content-type").as_deref(), Some("application/problem+json"), "{answer:?}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{problem}");
    for member in ["type", "title", "detail", "code"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} of {problem}");
    }
}

#[tokio::test]
async fn a_change_answers_what_it_did_and_how_to_take_it_back() {
    let router = router().await;
    let fresh = router.migration().await;
    assert_eq!((&fresh["id"], &fresh["mode"], &fresh["percent"]), (&json!("shop"), &json!("legacy_only"), &json!(0.0)));
    assert_eq!(fresh["state"], "running");

    let change = router.mode("gradual").await;
    let revision = change["revision"].as_u64().unwrap();
    assert!(change["undo"].to_string().contains("undo"), "{change}");
    assert!(change["applied_by"].as_array().is_some_and(|replicas| replicas.len() == 1), "{change}");
    router.rollout(12.34).await;
    let migration = router.migration().await;
    assert_eq!((&migration["mode"], &migration["percent"]), (&json!("gradual"), &json!(12.34)));
    assert_eq!(migration["revision"], revision + 1);

    let answer = router.api("GET", "/migrations/shop", None).await;
    assert_eq!(answer.value("etag").as_deref(), Some(format!("\"{}\"", revision + 1).as_str()));
    let all = router.api("GET", "/migrations", None).await.json();
    assert_eq!(all["migrations"].as_array().map(Vec::len), Some(1));

    router.change("POST", "/undo", json!({"reason": "not yet"})).await;
    assert_eq!(router.migration().await["percent"], 0.0);
}

#[tokio::test]
async fn a_bad_change_is_a_problem_and_writes_nothing() {
    let router = router().await;
    router.mode("gradual").await;
    let before = router.migration().await;
    let stale = "If-Match: \"999\"\r\n";
    for (name, method, path, lines, body, status) in [
        ("a percentage above 100", "PUT", "/rollout", "", json!({"percent": 101, "reason": "x"}), &[400, 422][..]),
        ("a percentage below 0", "PUT", "/rollout", "", json!({"percent": -1, "reason": "x"}), &[400, 422]),
        ("three decimals", "PUT", "/rollout", "", json!({"percent": 1.234, "reason": "x"}), &[400, 422]),
        ("a percentage as text", "PUT", "/rollout", "", json!({"percent": "many", "reason": "x"}), &[400, 422]),
        ("no percentage", "PUT", "/rollout", "", json!({"reason": "x"}), &[400, 422]),
        ("an unknown mode", "PUT", "/mode", "", json!({"mode": "sideways", "reason": "x"}), &[400, 422]),
        ("no reason", "PUT", "/mode", "", json!({"mode": "new_only"}), &[400, 422]),
        ("a blank reason", "PUT", "/mode", "", json!({"mode": "new_only", "reason": "  "}), &[400, 422]),
        ("a reason of two lines", "PUT", "/mode", "", json!({"mode": "new_only", "reason": "a\nb"}), &[400, 422]),
        ("an unknown member", "PUT", "/mode", "", json!({"mode": "new_only", "reason": "x", "percnt": 1}), &[400, 422]),
        ("a stale revision", "PUT", "/mode", stale, json!({"mode": "new_only", "reason": "x"}), &[412]),
        (
            "a revision that is no tag",
            "PUT",
            "/mode",
            "If-Match: 1\r\n",
            json!({"mode": "new_only", "reason": "x"}),
            &[400, 412],
        ),
        ("a rollback as a mode", "PUT", "/mode", "", json!({"mode": "emergency_rollback", "reason": "x"}), &[409]),
        ("nothing to acknowledge", "POST", "/acknowledge", "", json!({"to": "parallel", "reason": "x"}), &[409]),
        ("a side that is none", "PUT", "/pins/k", "", json!({"side": "left", "reason": "x"}), &[400, 422]),
        ("a pin for no time", "PUT", "/pins/k", "", json!({"side": "new", "for": "0s", "reason": "x"}), &[400, 422]),
        ("a pin that is not there", "DELETE", "/pins/k", "", json!({"reason": "x"}), &[404]),
    ] {
        let answer =
            router.call("admin-secret", method, &format!("/api/v1/migrations/shop{path}"), lines, Some(&body)).await;
        assert!(status.contains(&answer.status()), "{name}: {answer:?}");
        expect_problem(&answer, answer.status());
    }
    let unknown = json!({"mode": "parallel", "reason": "x"});
    expect_problem(&router.api("PUT", "/migrations/other/mode", Some(unknown.clone())).await, 404);
    expect_problem(&router.api("PATCH", "/migrations/shop/mode", Some(unknown)).await, 405);
    expect_problem(&router.api("GET", "/nothing", None).await, 404);
    let mut client = Client::connect(router.admin).await;
    client.host = router.admin.to_string();
    let lines = "Authorization: Bearer admin-secret\r\nContent-Type: application/json\r\n";
    let not_json = client.request("PUT", "/api/v1/migrations/shop/mode", lines, "{").await;
    expect_problem(&not_json, 400);
    assert_eq!(router.migration().await, before, "nothing was written");
}

#[tokio::test]
async fn a_token_may_do_what_its_role_says() {
    let router = router().await;
    let mode = json!({"mode": "parallel", "reason": "x"});
    let change = "/api/v1/migrations/shop/mode";
    for (secret, method, path, body, status) in [
        ("", "GET", "/api/v1/migrations", None, 401),
        ("wrong", "GET", "/api/v1/migrations", None, 401),
        ("", "PUT", change, Some(&mode), 401),
        ("viewer-secret", "GET", "/api/v1/migrations", None, 200),
        ("viewer-secret", "PUT", change, Some(&mode), 403),
        ("reporter-secret", "PUT", change, Some(&mode), 403),
        ("operator-secret", "PUT", change, Some(&mode), 200),
        ("", "GET", "/livez", None, 200),
        ("", "GET", "/readyz", None, 200),
        ("", "GET", "/metrics", None, 200),
        ("", "GET", "/", None, 200),
        ("", "GET", "/api/v1/openapi.json", None, 200),
    ] {
        let answer = router.call(secret, method, path, "", body).await;
        assert_eq!(answer.status(), status, "{secret:?} {method} {path}: {answer:?}");
        assert_eq!(answer.value("www-authenticate").is_some(), status == 401, "{answer:?}");
    }
    let history = router.api("GET", "/migrations/shop/history", None).await.json();
    assert_eq!(history["history"][0]["actor"], "operator", "{history}");
}

#[tokio::test]
async fn a_dry_run_tells_and_writes_nothing() {
    let router = router().await;
    let body = json!({"mode": "new_only", "reason": "what if"});
    let answer = router.api("PUT", "/migrations/shop/mode?dry_run=true", Some(body)).await.json();
    assert_eq!((&answer["after"]["mode"], &answer["dry_run"]), (&json!("new_only"), &json!(true)), "{answer}");
    assert_eq!(router.migration().await["mode"], "legacy_only");
    assert_eq!(router.api("GET", "/migrations/shop/history", None).await.json()["history"], json!([]));
}

#[tokio::test]
async fn a_matching_revision_lets_one_of_two_operators_win() {
    let router = router().await;
    router.mode("gradual").await;
    let tag = router.api("GET", "/migrations/shop", None).await.value("etag").unwrap();
    let condition = format!("If-Match: {tag}\r\n");
    let body = |percent: u32| json!({"percent": percent, "reason": "x"});
    let path = "/api/v1/migrations/shop/rollout?wait=10s";
    assert_eq!(router.call("admin-secret", "PUT", path, &condition, Some(&body(5))).await.status(), 200);
    expect_problem(&router.call("admin-secret", "PUT", path, &condition, Some(&body(50))).await, 412);
    assert_eq!(router.migration().await["percent"], 5.0);
}

#[tokio::test]
async fn the_history_is_a_chain_of_who_did_what_and_why() {
    let router = router().await;
    router.mode("gradual").await;
    router.rollout(10.0).await;
    router.pin("ann", "new").await;
    router.roll_back().await;
    let page = router.api("GET", "/migrations/shop/history", None).await.json();
    let history = page["history"].as_array().unwrap();
    let kinds: Vec<&str> = history.iter().filter_map(|entry| entry["kind"].as_str()).collect();
    assert_eq!(kinds, ["rollback", "pin", "rollout", "mode"], "the newest comes first");
    for (newer, older) in history.iter().zip(&history[1..]) {
        assert_eq!(newer["previous_hash"], older["hash"]);
        assert!(newer["revision"].as_u64() > older["revision"].as_u64());
    }
    for entry in history {
        assert_eq!((&entry["actor"], &entry["reason"]), (&json!("ann"), &json!("test")), "{entry}");
    }
    assert_eq!((&history[2]["before"]["percent"], &history[2]["after"]["percent"]), (&json!(0.0), &json!(10.0)));
}

#[tokio::test]
async fn a_pin_ends_when_it_was_meant_to() {
    let world = World::start().await;
    let body = json!({"side": "new", "for": "2s", "reason": "a short look"});
    world.router.change("PUT", "/pins/ann", body).await;
    assert_eq!(world.side_of("ann").await, "new");
    let pins = world.router.api("GET", "/migrations/shop/pins", None).await.json();
    assert_eq!((&pins["pins"][0]["key"], &pins["pins"][0]["side"]), (&json!("ann"), &json!("new")), "{pins}");
    harness::wait_for("the pin has expired", || async { (world.side_of("ann").await == "legacy").then_some(()) }).await;
}

#[tokio::test]
async fn replicas_and_decisions_are_told() {
    let router = router().await;
    let replicas = harness::wait_for("the router has said that it lives", || async {
        let replicas = router.api("GET", "/replicas", None).await.json();
        replicas["replicas"].as_array().is_some_and(|list| list.len() == 1).then_some(replicas)
    })
    .await;
    assert_eq!(replicas["replicas"][0]["live"], true, "{replicas}");
    for (query, reason, serve) in
        [("", "mode", "legacy"), ("?key=a", "mode", "legacy"), ("?path=/x&method=POST", "mode", "legacy")]
    {
        let decision = router.api("GET", &format!("/migrations/shop/decision{query}"), None).await.json();
        assert_eq!((&decision["reason"], &decision["serve"]), (&json!(reason), &json!(serve)), "{decision}");
    }
    router.pin("a", "new").await;
    let decision = router.api("GET", "/migrations/shop/decision?key=a", None).await.json();
    assert_eq!((&decision["reason"], &decision["serve"]), (&json!("pin"), &json!("new")), "{decision}");
}

#[tokio::test]
async fn the_routes_of_the_story_act_on_the_default_migration() {
    let world = World::start().await;
    let call = |method: &'static str, path: &'static str| world.router.call("admin-secret", method, path, "", None);
    let answer = call("POST", "/migration/mode/python_only?reason=go").await;
    assert_eq!((answer.status(), &answer.json()["success"]), (200, &Value::Bool(true)), "{answer:?}");
    assert_eq!(world.router.migration().await["mode"], "new_only");
    assert_eq!(world.get("/").await.text(), "new");
    assert_eq!(call("POST", "/migration/mode/typescript_only?reason=back").await.status(), 200);
    assert_eq!(world.router.migration().await["mode"], "legacy_only");
    assert_eq!(call("POST", "/migration/mode/gradual?reason=go").await.json()["success"], true);
    assert_eq!(call("GET", "/migration/dashboard").await.status(), 200);
    let rolled_back = call("POST", "/migration/rollback?reason=stop").await;
    assert_eq!((rolled_back.status(), &rolled_back.json()["success"]), (200, &Value::Bool(true)), "{rolled_back:?}");
    assert_eq!(world.router.migration().await["mode"], "emergency_rollback");
    for bad in ["/migration/mode/sideways?reason=x", "/migration/mode/gradual", "/migration/mode/gradual?reason=x"] {
        let answer = call("POST", bad).await;
        assert!((400..500).contains(&answer.status()), "{bad}: {answer:?}");
        assert_eq!(answer.json()["success"], false, "{bad}: {answer:?}");
    }
}

#[tokio::test]
async fn everything_can_be_rolled_back_in_one_call() {
    let world = World::start().await;
    world.router.mode("new_only").await;
    let answer = world.router.api("POST", "/rollback?wait=10s", Some(json!({"reason": "fire"}))).await;
    assert_eq!(answer.status(), 200, "{answer:?}");
    assert_eq!(world.get("/").await.text(), "legacy");
}

#[tokio::test]
async fn a_token_is_made_and_printed_once_when_the_file_has_none() {
    let (old, new) = (harness::backend::refused_address(), harness::backend::refused_address());
    let router = Setup::new(old, new).without_tokens().start().await;
    assert_eq!(router.call("", "GET", "/api/v1/migrations", "", None).await.status(), 401);
    let printed = router.printed();
    let words: Vec<&str> = printed.split_whitespace().map(|word| word.trim_matches(['"', '\'', ',', '.'])).collect();
    let candidates: Vec<&str> = words.into_iter().filter(|word| word.len() >= 32 && !word.contains('/')).collect();
    let mut works = Vec::new();
    for word in candidates {
        let secret = word.rsplit('=').next().unwrap_or(word);
        if router.call(secret, "GET", "/api/v1/migrations", "", None).await.status() == 200 {
            works.push(secret);
        }
    }
    assert_eq!(works.len(), 1, "one token is printed, once:\n{printed}");
}

#[tokio::test]
async fn the_data_side_never_serves_the_admin_side() {
    let world = World::start().await;
    for path in ["/api/v1/migrations", "/metrics", "/readyz"] {
        assert_eq!(world.get(path).await.text(), "legacy", "{path} belongs to the upstream");
    }
}
