//! What differs, and rules that people accept: over a fleet, with examples that hold no values.

use std::sync::Arc;

use flags::migration::MigrationId;
use jiff::{SignedDuration, Timestamp};
use metrics::mismatch::Mismatches;
use metrics::observe::Observer;
use serde_json::{Value, json};

use crate::world::World;

const LIST: &str = "/api/v1/migrations/agents/mismatches";
const RULES: &str = "/api/v1/migrations/agents/rules";

/// A time that each answer makes anew, and a total that new has wrong.
fn differing(n: u64) -> [String; 3] {
    let of = |salt: u64, total: u64| {
        let second = (n * 7 + salt * 13) % 60;
        format!(r#"{{"at":"2026-05-04T03:02:{second:02}Z","total":{total},"secret":"hunter2-{n}-{salt}"}}"#)
    };
    [of(1, 12), of(2, 13), of(3, 12)]
}

fn of<'v>(list: &'v Value, pattern: &str) -> &'v Value {
    let all = list["mismatches"].as_array().unwrap();
    all.iter().find(|one| one["pattern"] == pattern).unwrap_or_else(|| panic!("{pattern} is not in {list}"))
}

#[tokio::test]
async fn mismatches_are_told_with_what_speaks_for_them_and_no_values() {
    let world = World::new().await;
    assert_eq!(world.get(LIST).await.json()["mismatches"], json!([]));
    world.compares(&world.mismatches, 0..300, differing);
    let answer = world.get(LIST).await;
    let list = answer.json();
    assert_eq!((list["total"].as_u64(), list["routers"].clone()), (Some(3), json!(["router-1"])), "{list}");
    assert_eq!(list["mismatches"][0]["pattern"], "$.total", "what counts goes first");
    let total = of(&list, "$.total");
    assert_eq!(
        (&total["status"], &total["requests"], &total["compared"], &total["noise"], &total["asked_twice"]),
        (&json!("counted"), &json!(300), &json!(300), &json!(0), &json!(60))
    );
    assert!(total["confidence"].as_f64().unwrap() > 0.9 && total["proposal"].is_null(), "{total}");
    assert!((27..=33).contains(&total["users"].as_u64().unwrap()), "{total}");
    let at = of(&list, "$.at");
    assert_eq!((&at["status"], &at["proposal"]["kind"]), (&json!("noise"), &json!("shape")), "{at}");
    assert_eq!((&list["totals"]["mismatched"], &list["totals"]["coverage"]), (&json!(300), &json!(1.0)));

    let path = format!("{LIST}/{}", at["fingerprint"].as_str().unwrap());
    let detail = world.get(&path).await;
    let one = detail.json();
    assert_eq!(one["examples"].as_array().unwrap().len(), 5);
    let example = &one["examples"][0];
    assert_eq!((&example["legacy"]["form"], &example["legacy"]["raw"]), (&json!("rfc3339"), &json!(false)));
    assert_eq!(example["route"], "/agents/{id}/**");
    let secret = world.get(&format!("{LIST}/{}", of(&list, "$.secret")["fingerprint"].as_str().unwrap())).await;
    for text in [&answer.text, &detail.text, &secret.text] {
        assert!(!text.contains("hunter2") && !text.contains("2026-05-04T03:02"), "{text}");
    }
}

#[tokio::test]
async fn mismatches_are_filtered_and_paged() {
    let world = World::new().await;
    world.compares(&world.mismatches, 0..300, differing);
    for (query, expected) in [
        ("status=counted", 1),
        ("status=noise", 2),
        ("status=insufficient", 0),
        ("kind=value_changed", 3),
        ("kind=missing", 0),
        ("route=%2Fagents%2F%7Bid%7D%2F%2A%2A", 3),
        ("route=%2Fother", 0),
        ("status=noise&limit=1", 2),
    ] {
        assert_eq!(world.get(&format!("{LIST}?{query}")).await.json()["total"], expected, "{query}");
    }
    let (mut next, mut seen) = (format!("{LIST}?kind=value_changed&limit=1"), Vec::new());
    loop {
        let page = world.get(&next).await.json();
        assert_eq!(page["mismatches"].as_array().unwrap().len(), 1);
        seen.push(page["mismatches"][0]["pattern"].as_str().unwrap().to_owned());
        let Some(further) = page["next"].as_str() else { break };
        next = further.to_owned();
    }
    seen.sort();
    assert_eq!(seen, ["$.at", "$.secret", "$.total"]);
    world.get(&format!("{LIST}?status=odd")).await.is_problem(422, "invalid_value");
    world.get(&format!("{LIST}?limit=501")).await.is_problem(422, "invalid_value");
    world.get(&format!("{LIST}/0123456789abcdef")).await.is_problem(404, "unknown_mismatch");
    world.take_the_store_away();
    world.get(LIST).await.is_problem(503, "store_unavailable");
}

#[tokio::test]
async fn a_proposal_is_accepted_by_a_person_and_taken_back() {
    let world = World::new().await;
    world.compares(&world.mismatches, 0..300, differing);
    let list = world.get(LIST).await.json();
    let fingerprint = of(&list, "$.at")["fingerprint"].clone();
    let body = json!({"fingerprint": fingerprint, "reason": "made anew by each"}).to_string();
    let dry = world.call("operator", "POST", &format!("{RULES}?dry_run=true"), &body).await.json();
    assert_eq!(dry["passes"], json!({"mismatches": 1, "requests": 300, "would_pass": 300}), "{dry}");
    assert_eq!((dry["dry_run"].clone(), world.get(RULES).await.json()), (json!(true), json!({"rules": []})));

    let answer = world.call("operator", "POST", RULES, &body).await;
    let done = answer.json();
    assert_eq!((answer.status.as_u16(), answer.header("etag"), &done["kind"]), (200, "\"1\"", &json!("accept_rule")));
    assert_eq!(done["moves"]["direction"], "none");
    let rule = done["rule"]["after"].clone();
    assert_eq!(
        (&rule["path"], &rule["kind"], &rule["route"]),
        (&json!("$.at"), &json!("shape"), &json!("/agents/{id}/**"))
    );
    assert_eq!((&rule["owner"], &rule["reason"]), (&json!("operator"), &json!("made anew by each")));
    let days = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date() + jiff::Span::new().days(30);
    assert_eq!(rule["expires"], days.to_string());
    assert!(!world.call("operator", "POST", RULES, &body).await.json()["changed"].as_bool().unwrap());

    world.mismatches.configure(vec![(MigrationId::new("agents").unwrap(), Default::default())]);
    world.mismatches.follow(&world.watch.current());
    let list = world.get(LIST).await.json();
    assert_eq!(of(&list, "$.at")["status"], "accepted");
    assert_eq!(world.get(&format!("{LIST}?status=accepted")).await.json()["total"], 1);
    world.compares(&world.mismatches, 300..301, |n| {
        let [legacy, new, _] = differing(n).map(|body| body.replace(&format!("hunter2-{n}"), "").replace("13", "12"));
        [legacy.clone(), new.replace("-2", "-1"), legacy]
    });
    assert_eq!(world.get(LIST).await.json()["totals"]["matched"], 1, "the rule holds on this router");

    let history = world.get("/api/v1/migrations/agents/history").await.json();
    assert_eq!((&history["history"][0]["kind"], &history["chain"]), (&json!("accept_rule"), &json!("ok")));
    assert_eq!(history["history"][0]["rule"]["after"]["path"], "$.at");
    let path = format!("{RULES}/{}", rule["id"].as_str().unwrap());
    world.call("operator", "DELETE", &path, "").await.is_problem(400, "reason_required");
    let removed = world.call("operator", "DELETE", &format!("{path}?reason=wrong"), "").await.json();
    assert_eq!((&removed["kind"], &removed["rule"]["after"]), (&json!("remove_rule"), &Value::Null));
    world.call("operator", "DELETE", &format!("{path}?reason=again"), "").await.is_problem(404, "unknown_rule");
    let undone =
        world.call("operator", "POST", "/api/v1/migrations/agents/undo", r#"{"reason":"right after all"}"#).await;
    assert_eq!(undone.json()["rule"]["after"]["path"], "$.at");
    assert_eq!(world.get(RULES).await.json()["rules"][0]["path"], "$.at");
}

#[tokio::test]
async fn a_rule_that_means_nothing_is_refused_before_it_is_written() {
    let world = World::new().await;
    world.compares(&world.mismatches, 0..300, differing);
    let counted = of(&world.get(LIST).await.json(), "$.total")["fingerprint"].clone();
    for (body, code) in [
        (json!({"path": "$.a", "kind": "ignore"}), "reason_required"),
        (json!({"path": "$.a", "reason": "r"}), "invalid_value"),
        (json!({"path": "a", "kind": "ignore", "reason": "r"}), "invalid_value"),
        (json!({"path": "$.a[0]", "kind": "ignore", "reason": "r"}), "invalid_value"),
        (json!({"path": "$.a", "kind": "odd", "reason": "r"}), "invalid_value"),
        (json!({"path": "$.a", "kind": {"tolerance": {}}, "reason": "r"}), "invalid_value"),
        (json!({"path": "status", "kind": "shape", "reason": "r"}), "invalid_value"),
        (json!({"path": "$.a", "kind": "ignore", "reason": "r", "expires": "soon"}), "invalid_value"),
        (json!({"path": "$.a", "kind": "ignore", "reason": "r", "expires": "2020-01-01"}), "invalid_value"),
        (json!({"path": "$.a", "kind": "ignore", "reason": "r", "owner": " "}), "invalid_value"),
        (json!({"fingerprint": counted, "reason": "r"}), "invalid_value"),
        (json!({"fingerprint": "0123456789abcdef", "reason": "r"}), "unknown_mismatch"),
        (json!({"path": "$.a", "kind": "ignore", "reason": "r", "more": 1}), "invalid_json"),
    ] {
        let answer = world.call("operator", "POST", RULES, &body.to_string()).await;
        let status = answer.status.as_u16();
        answer.is_problem(status, code);
    }
    let own = json!({"path": "$.total", "kind": {"tolerance": {"absolute": 1}}, "reason": "r", "owner": "billing"});
    world.call("viewer", "POST", RULES, &own.to_string()).await.is_problem(403, "forbidden");
    assert_eq!(world.stored().await.revision.0, 0, "nothing was written");
    let done = world.call("operator", "POST", RULES, &own.to_string()).await.json();
    assert_eq!(done["passes"], json!({"mismatches": 1, "requests": 300}), "values are not kept");
    assert_eq!(done["rule"]["after"]["kind"], json!({"tolerance": {"absolute": 1}}));
    let chosen = json!({"fingerprint": counted, "kind": "ignore", "reason": "new rounds, as agreed"}).to_string();
    let done = world.call("operator", "POST", RULES, &chosen).await.json();
    assert_eq!(done["passes"]["would_pass"], 300, "{done}");
}

#[tokio::test]
async fn a_fleet_is_summed_and_a_run_that_is_over_is_adopted() {
    let world = World::new().await;
    let (agents, start) = (MigrationId::new("agents").unwrap(), Timestamp::now());
    let run = || {
        let run = Arc::new(Mismatches::new(Observer::new(&[]).unwrap(), [1; 32]));
        run.configure(vec![(agents.clone(), Default::default())]);
        run
    };
    let requests = |list: &Value| of(list, "$.total")["requests"].as_u64().unwrap();
    world.mismatches.configure(vec![(agents.clone(), Default::default())]);
    let (old, other) = (run(), run());
    world.compares(&old, 0..100, differing);
    world.compares(&other, 100..150, differing);
    old.share(&world.control, "old-run", start).await.unwrap();
    other.share(&world.control, "router-2", start).await.unwrap();
    world.another_router_is_at(0).await;
    world.compares(&world.mismatches, 150..160, differing);
    let list = world.get(LIST).await.json();
    assert_eq!((requests(&list), list["routers"].clone()), (160, json!(["old-run", "router-1", "router-2"])));
    assert!(
        (27..=33).contains(&of(&list, "$.total")["users"].as_u64().unwrap()),
        "a caller of two routers counts once"
    );

    // Two looks, further apart than a silent router is remembered.
    let later = start + SignedDuration::from_secs(71);
    world.mismatches.share(&world.control, "router-1", start).await.unwrap();
    assert_eq!(world.control.findings(&agents).await.unwrap().len(), 3);
    world.compares(&world.mismatches, 160..161, differing);
    world.another_router_is_at(0).await;
    world.mismatches.share(&world.control, "router-1", later).await.unwrap();
    let stored = world.control.findings(&agents).await.unwrap();
    assert_eq!(stored.keys().collect::<Vec<_>>(), ["router-1", "router-2"], "what is over is part of who goes on");
    let list = world.get(LIST).await.json();
    assert_eq!((requests(&list), list["routers"].clone()), (161, json!(["router-1", "router-2"])));
    assert!(stored.values().all(|text| !text.contains("hunter2")), "{stored:?}");

    // At rest nobody writes.
    let before = world.control.findings(&agents).await.unwrap();
    world.take_the_store_away();
    world.mismatches.share(&world.control, "router-1", later).await.unwrap();
    world.compares(&world.mismatches, 161..162, differing);
    assert!(world.mismatches.share(&world.control, "router-1", later).await.is_err());
    world.store.gone.store(false, std::sync::atomic::Ordering::SeqCst);
    world.mismatches.share(&world.control, "router-1", later).await.unwrap();
    assert_ne!(world.control.findings(&agents).await.unwrap(), before, "what could not be said is said with the next");
}

#[tokio::test]
async fn the_comparison_counts_by_content_where_answers_were_compared() {
    let world = World::new().await;
    let path = "/api/v1/migrations/agents/comparison";
    let slot = world.watch.store_slot().minus(4);
    world.another_router_counts("router-2", slot, "pair_same=5 pair_new=2").await;
    let seen = world.get(path).await.json();
    assert_eq!((&seen["compared_by"], &seen["mismatched"]), (&json!("outcome"), &json!(2)));
    assert_eq!((&seen["gate"]["result"], &seen["routes"]), (&json!("unknown"), &Value::Null));

    world.compares(&world.mismatches, 0..10, differing);
    let counts = "pair_same=5 cmp_matched=1990 cmp_ignored=7 cmp_mismatched=2 cmp_none=1";
    world.another_router_counts("router-2", slot, counts).await;
    let seen = world.get(path).await.json();
    let totals = ["matched", "ignored", "mismatched", "not_compared"].map(|name| seen[name].as_u64().unwrap());
    assert_eq!((totals, &seen["compared_by"]), ([1_990, 7, 2, 1], &json!("content")));
    assert_eq!(seen["gate"], json!({"result": "failed", "why": seen["gate"]["why"]}));
    assert_eq!(seen["coverage"], 1999.0 / 2000.0);
    assert_eq!(seen["routes"][0]["route"], "/agents/{id}/**");
    assert_eq!(seen["routes"][0]["eligible"], 10);
    world.another_router_counts("router-2", slot, "cmp_matched=1998 cmp_mismatched=1").await;
    assert_eq!(world.get(path).await.json()["gate"], json!({"result": "passed"}));
    world.another_router_counts("router-2", slot, "cmp_matched=1998 cmp_none=200").await;
    let gate = world.get(path).await.json()["gate"].clone();
    assert_eq!(gate["result"], "unknown");
    assert!(gate["why"].as_str().unwrap().contains("90.9 %"), "{gate}");
}
