//! What can be read: shapes, conditions, pages, decisions.

use axum::body::Body;
use flags::control::{Ask, Change};
use flags::tally::Slot;
use flags::{BasisPoints, MigrationId, Mode, Side};
use jiff::Timestamp;
use metrics::judge::Recording;
use serde_json::{Value, json};

use crate::world::{World, request};

#[tokio::test]
async fn a_migration_shows_where_it_stands_and_what_it_is() {
    let world = World::new().await;
    let list = world.get("/api/v1/migrations").await.json();
    assert_eq!(list["revision"], 0);
    let agents = &list["migrations"][0];
    for (member, expected) in [
        ("id", json!("agents")),
        ("mode", json!("legacy_only")),
        ("effective_mode", json!("legacy_only")),
        ("percent", json!(0.0)),
        ("revision", json!(0)),
        ("state", json!("running")),
        ("labels", json!({ "legacy": "TypeScript", "new": "Python <3>" })),
        ("key", json!(["header:x-user-id", "path:id", "query:account"])),
        ("hash", json!("bucket")),
        ("program", json!(null)),
        ("requires", json!([])),
        ("pins", json!(0)),
        ("default", json!(true)),
        ("reversible", json!(true)),
        ("observed", json!({ "window_seconds": 60, "legacy": 3, "new": 1, "percent": 25.0 })),
    ] {
        assert_eq!(agents[member], expected, "{member}");
    }
    assert_eq!(agents["legacy"]["healthy"], true);
    assert_eq!(agents["new"]["endpoints"][0]["healthy"], false);
    assert_eq!(agents.get("last_change"), None);
    assert_eq!(list["migrations"][1]["id"], "reports");
    let one = world.get("/api/v1/migrations/agents").await;
    assert_eq!((&one.json(), one.header("etag"), one.header("cache-control")), (agents, "\"0\"", "no-store"));
}

#[tokio::test]
async fn a_copy_that_is_still_right_is_not_sent_again() {
    let world = World::new().await;
    world.given(Ask::Mode(Mode::Gradual)).await;
    let send = async |tag: &str| {
        let request = request("viewer", "GET", "/api/v1/migrations/agents", "").header("if-none-match", tag);
        world.send(request.body(Body::empty()).unwrap()).await
    };
    let same = send("\"1\"").await;
    assert_eq!((same.status.as_u16(), same.text.as_str(), same.header("etag")), (304, "", "\"1\""));
    assert_eq!(send("\"0\"").await.status, 200);
    world.watch.set_killed(true);
    let killed = send("\"1\"").await;
    assert_eq!(killed.status, 200, "what the kill file does must not hide behind the tag");
    assert_eq!(killed.json()["effective_mode"], "emergency_rollback");
}

#[tokio::test]
async fn the_history_is_paged_and_its_chain_is_checked() {
    let world = World::new().await;
    for percent in [100, 200, 300] {
        world.given(Ask::Rollout(BasisPoints::new(percent).unwrap())).await;
    }
    let first = world.get("/api/v1/migrations/agents/history?limit=2").await.json();
    let revisions = |page: &Value| -> Vec<u64> {
        page["history"].as_array().unwrap().iter().map(|entry| entry["revision"].as_u64().unwrap()).collect()
    };
    assert_eq!((revisions(&first), &first["chain"]), (vec![3, 2], &json!("ok")), "{first}");
    let second = world.get(first["next"].as_str().unwrap()).await.json();
    assert_eq!((revisions(&second), second.get("next"), &second["chain"]), (vec![1], None, &json!("ok")), "{second}");
    let entry = &first["history"][0];
    assert_eq!(entry["before"], json!({ "mode": "legacy_only", "percent": 2.0 }));
    assert_eq!(entry["after"], json!({ "mode": "legacy_only", "percent": 3.0 }));
    assert_eq!(
        (&entry["actor"], &entry["reason"], &entry["kind"]),
        (&json!("given"), &json!("given"), &json!("rollout"))
    );
    assert_eq!(entry["previous_hash"], first["history"][1]["hash"]);
    assert_eq!(world.get("/api/v1/migrations/reports/history").await.json()["history"], json!([]));
}

#[tokio::test]
async fn a_decision_is_explained_as_traffic_would_be_decided() {
    let world = World::new().await;
    world.given(Ask::Mode(Mode::Gradual)).await;
    world.given(Ask::Rollout(BasisPoints::new(5_000).unwrap())).await;
    world.given(Ask::Pin { key: "pinned".into(), side: Side::New, until: None }).await;
    let ask = async |query: &str| world.get(&format!("/api/v1/migrations/agents/decision?{query}")).await.json();

    let pinned = ask("key=pinned").await;
    assert_eq!((&pinned["serve"], &pinned["reason"]), (&json!("new"), &json!("pin")), "{pinned}");
    let placed = ask("key=u1").await;
    let bucket = flags::HashKind::Bucket.place("agents", b"u1").unwrap().get();
    let side = if bucket < 5_000 { "new" } else { "legacy" };
    assert_eq!(
        (&placed["bucket"], &placed["serve"], &placed["reason"]),
        (&json!(bucket), &json!(side), &json!("percent"))
    );
    assert_eq!((&placed["revision"], &placed["mirror"]), (&json!(3), &json!(null)));

    for (query, key, route) in [
        ("path=/agents/u1/x", json!("u1"), json!("/agents/{id}/**")),
        ("path=/agents/a%2520b/log%3Faccount=z", json!("a b"), json!("/agents/{id}/**")),
        ("path=/solo/u9", json!("u9"), json!("/solo/{id}")),
        ("path=/agents/u1/log&host=api.example.com:8080", json!("u1"), json!("/agents/{id}/log")),
        ("header=X-User-Id:%20h&path=/agents/u1/x", json!("h"), json!("/agents/{id}/**")),
        ("path=/agents/u1&header=a:1&header=b:2&ip=10.0.0.7&method=POST", json!("u1"), json!("/agents/{id}/**")),
        ("", json!(null), json!(null)),
    ] {
        let decision = ask(query).await;
        assert_eq!((&decision["key"], &decision["route"]), (&key, &route), "{query}: {decision}");
    }
    let missing = ask("").await;
    assert_eq!(missing["reason"], "missing_key");
    assert!(ask("path=/reports/1").await["note"].as_str().unwrap().contains("elsewhere"));
    assert!(ask("path=/nowhere").await["note"].as_str().unwrap().contains("404"));
    assert!(ask("path=/agents/../reports/1").await["note"].as_str().unwrap().contains("refused"));
}

#[tokio::test]
async fn replicas_are_listed_by_their_own_word() {
    let world = World::new().await;
    world.another_router_is_at(7).await;
    let list = world.get("/api/v1/replicas").await.json();
    let other = list["replicas"].as_array().unwrap().iter().find(|replica| replica["name"] == "router-2").unwrap();
    assert_eq!(
        (&other["revision"], &other["live"], &other["this"]),
        (&json!(7), &json!(true), &json!(false)),
        "{list}"
    );
}

#[tokio::test]
async fn the_document_of_the_api_needs_no_token() {
    let world = World::new().await;
    let answer = world.call("", "GET", "/api/v1/openapi.json", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    assert!(answer.json()["paths"]["/api/v1/migrations/{id}/mode"]["put"].is_object());
}

#[tokio::test]
async fn every_answer_is_hardened() {
    let world = World::new().await;
    for path in ["/", "/api/v1/migrations", "/nothing", "/metrics"] {
        let answer = world.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        // The page is kept, and asked for again with its hash.
        let kept = if path == "/" { "no-cache" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), kept, "{path}");
        let policy = answer.header("content-security-policy");
        for part in [
            "script-src 'self'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn counts_are_summed_over_routers_by_second_and_side() {
    let world = World::new().await;
    let none = world.get("/api/v1/migrations/agents/counts").await.json();
    assert_eq!((&none["window_seconds"], &none["seconds"]), (&json!(60), &json!([])), "{none}");
    let now = Slot::of(Timestamp::now()).second();
    let (first, second) = (Slot::of_second(now - 5), Slot::of_second(now - 5).next());
    // Both halves of a second, on two routers.
    for (replica, slot, text) in [
        ("a", first, "2xx=1 5xx=1 timeout=1 d2=4 duration_us=12000"),
        ("a", second, "2xx=2"),
        ("b", second, "2xx=2 aborted_by_client=1 fallbacks=2"),
    ] {
        world.another_router_counts(replica, slot, text).await;
    }
    world.another_router_counts("a", Slot::of_second(now - 800), "2xx=9").await;
    let counts = world.get("/api/v1/migrations/agents/counts?window=10s").await.json();
    assert_eq!(counts["seconds"].as_array().map(Vec::len), Some(1), "{counts}");
    let new = &counts["seconds"][0]["new"];
    assert_eq!((&new["requests"], &new["failures"]), (&json!({"2xx": 5, "5xx": 1}), &json!({"timeout": 1})), "{new}");
    assert_eq!((&new["client_aborts"], &new["fallbacks"]), (&json!(1), &json!(2)), "{new}");
    assert_eq!((&new["durations"][2], &new["duration_seconds"]), (&json!(4), &json!(0.012)), "{new}");
    assert_eq!(
        new["durations"].as_array().map(Vec::len),
        counts["duration_bounds_ms"].as_array().map(|all| all.len() + 1)
    );
    assert_eq!((&counts["total"]["new"], &counts["total"]["legacy"]["requests"]), (new, &json!({})));
    let all = world.get("/api/v1/migrations/agents/counts?window=15m").await.json();
    assert_eq!(all["total"]["new"]["requests"]["2xx"], 14);
    for window in ["0s", "16m", "500ms", "x"] {
        world.get(&format!("/api/v1/migrations/agents/counts?window={window}")).await.is_problem(422, "invalid_value");
    }
}

#[tokio::test]
async fn counts_in_slots_are_what_a_replay_plays() {
    let world = World::new().await;
    let path = "/api/v1/migrations/agents/counts?form=slots&window=60s";
    let none = world.get(path).await.json();
    assert_eq!((&none["slots"], &none["positions"][0]["mode"]), (&json!([]), &json!("legacy_only")), "{none}");
    let ask = |ask, reason| Change::new(ask, "ann", reason);
    let agents = MigrationId::new("agents").unwrap();
    let share = BasisPoints::from_percent(12.5).unwrap();
    world.control.apply(&agents, ask(Ask::Rollout(share), "a share")).await.unwrap();
    world.control.apply(&agents, ask(Ask::Mode(Mode::Gradual), "go")).await.unwrap();
    let slot = Slot::of_second(Slot::of(Timestamp::now()).second() - 5);
    for replica in ["a", "b"] {
        world.another_router_counts(replica, slot, "ok=2 h10=2 kmany=1").await;
    }
    let answer = world.get(path).await;
    let seen = answer.json();
    assert_eq!(seen["slots"].as_array().map(Vec::len), Some(1), "{seen}");
    let counted = &seen["slots"][0];
    assert_eq!(
        (&counted["slot"], &counted["new"]),
        (&json!(slot.0), &json!({"ok": 4, "h10": 4, "kmany": 2})),
        "{seen}"
    );
    let stood =
        seen["positions"].as_array().unwrap().iter().map(|stood| (stood["mode"].clone(), stood["percent"].clone()));
    assert_eq!(
        stood.collect::<Vec<_>>(),
        [(json!("legacy_only"), json!(0.0)), (json!("legacy_only"), json!(12.5)), (json!("gradual"), json!(12.5))]
    );
    assert_eq!((&seen["guard"]["alpha"], &seen["guard"]["action"]), (&json!(0.1), &json!("rollback")));
    let recording = Recording::parse(&answer.text).unwrap();
    assert_eq!((recording.first(), recording.has_positions()), (slot, true));
    assert_eq!(recording.definition().unwrap().guard, flags::Guard::default());
    world.get("/api/v1/migrations/agents/counts?form=rows").await.is_problem(400, "bad_query");
}
