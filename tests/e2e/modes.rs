//! Who serves: modes, shares, pins, rules and the copy that parallel mode makes.

use std::collections::BTreeSet;

use harness::backend::{BlackHole, answers, response};
use harness::{Backend, Client, Setup, Step, wait_until};
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_fixed_mode_serves_one_side() {
    let world = World::start().await;
    assert_eq!(world.get("/").await.text(), "legacy", "the initial mode is legacy_only");
    for (mode, side) in [("new_only", "new"), ("legacy_only", "legacy"), ("new_only", "new"), ("parallel", "legacy")] {
        world.router.mode(mode).await;
        assert_eq!(world.get("/").await.text(), side, "{mode} without a key");
        assert_eq!(world.side_of("u1").await, side, "{mode} with a key");
    }
}

#[tokio::test]
async fn at_25_percent_the_issues_below_25_of_each_hundred_go_to_new() {
    let world = World::with(|setup| {
        setup
            .with_migration("key: [path:number]\nhash: modulo")
            .with_routes("- {migration: shop, path: '/issues/{number}'}")
    })
    .await;
    world.router.mode("gradual").await;
    world.router.rollout(25.0).await;
    let mut client = world.router.connect().await;
    for issue in 1..=124 {
        let side = if issue % 100 < 25 { "new" } else { "legacy" };
        assert_eq!(client.get(&format!("/issues/{issue}")).await.text(), side, "issue {issue}");
    }
    // A key that is not a number counts as missing.
    assert_eq!(client.get("/issues/abc").await.text(), "legacy");
}

#[tokio::test]
async fn nobody_at_0_percent_and_everybody_at_100() {
    let world = World::start().await;
    world.router.mode("gradual").await;
    for (percent, side) in [(0.0, "legacy"), (100.0, "new"), (0.0, "legacy")] {
        world.router.rollout(percent).await;
        let mut client = world.router.connect().await;
        for user in 0..50 {
            let answer = client.get_with("/", &format!("X-User-Id: u{user}\r\n")).await;
            assert_eq!(answer.text(), side, "u{user} at {percent} %");
        }
        assert_eq!(client.get("/").await.text(), side, "without a key at {percent} %");
    }
}

/// The users of `0..200` whom new serves.
async fn users_on_new(client: &mut Client) -> BTreeSet<u32> {
    let mut users = BTreeSet::new();
    for user in 0..200 {
        let answer = client.get_with("/", &format!("X-User-Id: user-{user}\r\n")).await;
        if answer.text() == "new" {
            users.insert(user);
        }
    }
    users
}

#[tokio::test]
async fn a_user_keeps_the_side_over_connections_and_a_crash() {
    let mut world = World::start().await;
    world.router.mode("gradual").await;
    world.router.rollout(30.0).await;
    let before = users_on_new(&mut world.router.connect().await).await;
    assert!((30..=90).contains(&before.len()), "about 60 of 200 users, not {}", before.len());
    assert_eq!(users_on_new(&mut world.router.connect().await).await, before, "another connection");

    world.router = world.router.start_again().await;
    assert_eq!(users_on_new(&mut world.router.connect().await).await, before, "after kill -9 and a start");

    world.router.rollout(60.0).await;
    let after = users_on_new(&mut world.router.connect().await).await;
    assert!(after.is_superset(&before) && after.len() > before.len(), "a larger share takes nobody back");
}

#[tokio::test]
async fn the_explained_decision_is_the_one_that_serves() {
    let world = World::start().await;
    world.router.mode("gradual").await;
    world.router.rollout(50.0).await;
    let mut client = world.router.connect().await;
    for user in 0..20 {
        let decided = world.router.api("GET", &format!("/migrations/shop/decision?key=user-{user}"), None).await.json();
        let served = client.get_with("/", &format!("X-User-Id: user-{user}\r\n")).await.text();
        assert_eq!(decided["serve"], served, "{decided}");
        assert_eq!(decided["reason"], "percent", "{decided}");
    }
}

#[tokio::test]
async fn an_emergency_rollback_latches_until_an_admin_acknowledges() {
    let world = World::start().await;
    world.router.mode("new_only").await;
    world.router.pin("vip", "new").await;
    world.router.roll_back().await;
    assert_eq!(world.get("/").await.text(), "legacy");
    assert_eq!(world.side_of("vip").await, "legacy", "a pin does not hold against a rollback");
    world.router.roll_back().await;

    let to = json!({"mode": "gradual", "reason": "too early"});
    let refused = world.router.api("PUT", "/migrations/shop/mode", Some(to)).await;
    assert_eq!(refused.status(), 409, "{refused:?}");
    let to = json!({"to": "new_only", "reason": "too early"});
    let refused = world.router.api("POST", "/migrations/shop/acknowledge", Some(to)).await;
    assert!((400..500).contains(&refused.status()), "{refused:?}");
    let to = json!({"to": "legacy_only", "reason": "not mine to say"});
    let operator =
        world.router.call("operator-secret", "POST", "/api/v1/migrations/shop/acknowledge", "", Some(&to)).await;
    assert_eq!(operator.status(), 403, "{operator:?}");
    assert_eq!(world.router.migration().await["mode"], "emergency_rollback");

    world.router.acknowledge("legacy_only").await;
    assert_eq!(world.router.migration().await["mode"], "legacy_only");
    assert_eq!(world.side_of("vip").await, "new", "the pin holds again");
    world.router.mode("gradual").await;
}

#[tokio::test]
async fn a_keep_alive_connection_follows_a_flip_on_its_next_request() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    for round in 0..6 {
        let (mode, side) = if round % 2 == 0 { ("new_only", "new") } else { ("legacy_only", "legacy") };
        world.router.mode(mode).await;
        assert_eq!(client.get("/").await.text(), side, "round {round}");
    }
}

#[tokio::test]
async fn a_request_in_flight_finishes_where_it_started() {
    let world = World::start().await;
    world.legacy.on("/slow", [Step::AwaitRelease, Step::send(response("200 OK", "from legacy"))]);
    let mut client = world.router.connect().await;
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/slow").await;
    world.router.mode("new_only").await;
    world.legacy.release();
    assert_eq!(client.answer().await.text(), "from legacy");
    assert_eq!(client.get("/slow").await.text(), "new");
}

#[tokio::test]
async fn a_pin_and_a_rule_beat_the_mode() {
    let world = World::with(|setup| {
        setup.with_migration(
            "key: [header:x-user-id]\nrules: [{match: {\"header:x-group\": [beta, staff]}, serve: new}]",
        )
    })
    .await;
    let mut client = world.router.connect().await;
    assert_eq!(client.get_with("/", "X-Group: staff\r\n").await.text(), "new");
    assert_eq!(client.get_with("/", "X-Group: other\r\n").await.text(), "legacy");

    world.router.pin("ann", "new").await;
    world.router.pin("bob", "legacy").await;
    assert_eq!(client.get_with("/", "X-User-Id: ann\r\n").await.text(), "new");
    assert_eq!(client.get_with("/", "X-User-Id: Ann\r\n").await.text(), "legacy", "keys are compared as they are");
    assert_eq!(client.get_with("/", "X-User-Id: bob\r\nX-Group: beta\r\n").await.text(), "legacy");
    world.router.mode("new_only").await;
    assert_eq!(client.get_with("/", "X-User-Id: bob\r\n").await.text(), "legacy");
    world.router.unpin("bob").await;
    assert_eq!(client.get_with("/", "X-User-Id: bob\r\n").await.text(), "new");
}

#[tokio::test]
async fn a_key_is_read_from_every_source_in_their_order() {
    let sources = "key: [header:x-user-id, cookie:uid, path:id, query:account, json:/issue/number, jwt:sub, client_ip]";
    let routes = "- {migration: shop, path: '/of/{id}'}\n- {migration: shop, path: /**}";
    let world = World::with(|setup| setup.with_migration(sources).with_routes(routes)).await;
    world.router.pin("42", "new").await;
    let mut client = world.router.connect().await;
    // {"alg":"none"} . {"sub":"42"}
    let jwt = "Authorization: Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiI0MiJ9.\r\n";
    for (path, lines, side) in [
        ("/", "X-User-Id: 42\r\n", "new"),
        ("/", "x-user-id: 43\r\nCookie: uid=42\r\n", "legacy"),
        ("/", "Cookie: a=b; uid=42\r\n", "new"),
        ("/of/42", "", "new"),
        ("/of/43", "", "legacy"),
        ("/?a=b&account=42", "", "new"),
        ("/?account=%342", "", "new"),
        ("/", jwt, "new"),
        ("/", "", "legacy"),
    ] {
        assert_eq!(client.get_with(path, lines).await.text(), side, "{path} {lines:?}");
    }
    let body = r#"{"issue":{"number":42,"title":"x"}}"#;
    assert_eq!(client.request("POST", "/hook", "", body).await.text(), "new");
    let seen = world.new.only("/hook").await;
    assert_eq!((seen.text().as_str(), seen.whole), (body, true), "a body that was read goes on unchanged");

    world.router.pin("127.0.0.1", "new").await;
    assert_eq!(client.get("/").await.text(), "new", "the address of the client is the last resort");
}

#[tokio::test]
async fn a_chunked_body_that_holds_the_key_goes_on_whole() {
    let world = World::with(|setup| setup.with_migration("key: [json:/id]")).await;
    world.router.pin("7", "new").await;
    let mut client = world.router.connect().await;
    client
        .send("POST /h HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"id\"\r\n4\r\n:7 }\r\n0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.text(), "new");
    let seen = world.new.only("/h").await;
    assert_eq!((seen.text().as_str(), seen.whole), ("{\"id\":7 }", true));

    // A body longer than what is read for the key streams on, and counts as having no key.
    let long = "x".repeat(200_000);
    assert_eq!(client.request("POST", "/long", "", &long).await.text(), "legacy");
    let seen = world.legacy.only("/long").await;
    assert_eq!((seen.body_bytes, seen.whole), (200_000, true));
}

#[tokio::test]
async fn parallel_copies_what_is_safe_to_repeat_and_answers_from_legacy() {
    let world = World::start().await;
    world.router.mode("parallel").await;
    let mut client = world.router.connect().await;
    assert_eq!(client.get_with("/item?q=1", "X-Thing: a\r\nCrossfade-Mirror: 1\r\n").await.text(), "legacy");
    let copy = world.new.only("/item").await;
    assert_eq!(copy.head.first_line(), "GET /item?q=1 HTTP/1.1");
    assert_eq!(copy.head.values("crossfade-mirror"), ["1"]);
    assert_eq!(copy.head.values("x-thing"), ["a"]);
    assert!(copy.head.value("idempotency-key").is_some(), "{copy:?}");
    let primary = world.legacy.only("/item").await;
    assert_eq!(primary.head.value("crossfade-mirror"), None, "the primary is no copy, whatever the client says");

    assert_eq!(client.request("HEAD", "/head", "", "").await.status(), 200);
    assert_eq!(world.new.only("/head").await.head.method(), "HEAD");
    assert_eq!(client.request("POST", "/order", "", "x=1").await.text(), "legacy");
    // The mirror of a later request has arrived, so one of the POST would have.
    assert_eq!(client.get("/later").await.text(), "legacy");
    world.new.only("/later").await;
    assert_eq!(world.new.seen_at("/order").len(), 0, "a POST is not repeated");
}

#[tokio::test]
async fn a_black_hole_behind_the_mirror_delays_nobody() {
    let (legacy, hole) = (Backend::start("legacy").await, BlackHole::new());
    let router = Setup::new(legacy.address, hole.address).start().await;
    router.mode("parallel").await;
    let mut client = router.connect().await;
    // Each would take the first-byte time-out of 15 s if it waited for its copy.
    for round in 0..300 {
        assert_eq!(client.get("/").await.text(), "legacy", "round {round}");
    }
}

#[tokio::test]
async fn a_failing_mirror_changes_nothing_for_the_caller() {
    let mut world = World::start().await;
    world.router.mode("parallel").await;
    let mut client = world.router.connect().await;
    for steps in [
        answers(response("500 Internal Server Error", "broken")),
        answers("garbage\r\n\r\n"),
        vec![Step::Reset],
        answers("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort"),
    ] {
        world.new.on_all(Some(steps));
        for _ in 0..10 {
            let answer = client.get("/").await;
            assert_eq!((answer.status(), answer.text().as_str()), (200, "legacy"));
        }
    }
    wait_until("copies reached new", || world.new.count() > 0).await;
    world.new.stop().await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.text(), "legacy");
    }
}

#[tokio::test]
async fn the_missing_key_goes_where_the_file_says() {
    let world = World::with(|setup| setup.with_migration("key: [header:x-user-id]\non_missing_key: new")).await;
    world.router.mode("gradual").await;
    world.router.rollout(1.0).await;
    assert_eq!(world.get("/").await.text(), "new");
    world.router.rollout(0.0).await;
    assert_eq!(world.get("/").await.text(), "legacy", "0 % is nobody, also without a key");
}

#[tokio::test]
async fn writes_stay_on_legacy_until_new_only_where_the_file_says_so() {
    let world =
        World::with(|setup| setup.with_migration("key: [header:x-user-id]\nmethods: {unsafe: legacy_until_new_only}"))
            .await;
    world.router.mode("gradual").await;
    world.router.rollout(100.0).await;
    let mut client = world.router.connect().await;
    assert_eq!(client.get("/").await.text(), "new");
    assert_eq!(client.request("POST", "/", "", "x").await.text(), "legacy");
    world.router.mode("new_only").await;
    assert_eq!(client.request("POST", "/", "", "x").await.text(), "new");
}
