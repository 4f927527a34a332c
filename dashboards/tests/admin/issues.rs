//! The ledger of issues through the API: read by anybody, told by systems, changed by people with a reason.

use flags::ledger::{Answer as SystemAnswer, Claimed, Delivery, DeliveryId, IssueId, Placed, Placement};
use flags::store::ledger::Taking;
use flags::{BasisPoints, MigrationId, Mode, Side};
use serde_json::{Value, json};

use crate::world::{Answer, World};

const ISSUE: &str = "/api/v1/issues/owner%2Frepo%237";

fn agents() -> MigrationId {
    MigrationId::new("agents").unwrap()
}

/// An event of `owner/repo#7` that was accepted for new.
async fn accept(world: &World, event: &str, to: Placed) {
    let mut body_sha256 = [0; 32];
    body_sha256[..event.len()].copy_from_slice(event.as_bytes());
    let delivery = Delivery {
        id: DeliveryId::new(event).unwrap(),
        issue: IssueId::of("owner/repo", "7").unwrap(),
        action: "opened".into(),
        body_sha256,
        headers: Vec::new(),
        body: b"{}".to_vec(),
    };
    let mode = if to == Placed::Both { Mode::Parallel } else { Mode::Gradual };
    let placement = Placement { to, mode, share: BasisPoints::ALL, bucket: None, revision: 1 };
    world.control.ledger(&agents()).unwrap().accept(&agents(), &delivery, &placement).await.unwrap();
}

async fn claim(world: &World) -> Claimed {
    let taking = world.control.ledger(&agents()).unwrap().claim(&agents(), u64::MAX, Side::New, 1).await.unwrap();
    let Taking::Taken { mut claims, .. } = taking else { panic!("{taking:?}") };
    claims.remove(0)
}

async fn answered(world: &World, answer: SystemAnswer) -> String {
    let claimed = claim(world).await;
    world.control.ledger(&agents()).unwrap().settle(&agents(), &claimed.claim, answer, "422").await.unwrap();
    claimed.fence.to_string()
}

async fn post(world: &World, role: &str, path: &str, body: &Value) -> Answer {
    world.call(role, "POST", path, &body.to_string()).await
}

fn because() -> Value {
    json!({ "reason": "the system was mended" })
}

#[tokio::test]
async fn what_is_where_and_why_is_told() {
    let world = World::new().await;
    world.call("viewer", "GET", ISSUE, "").await.is_problem(404, "unknown_issue");
    accept(&world, "d1", Placed::One(Side::New)).await;
    let fence = answered(&world, SystemAnswer::Accepted).await;
    accept(&world, "d2", Placed::One(Side::New)).await;
    let listed = world.call("viewer", "GET", "/api/v1/issues?owner=new&prefix=owner", "").await.json();
    let issue = &listed["issues"][0];
    assert_eq!(
        (&issue["id"], &issue["state"], &issue["waiting"]),
        (&json!("owner/repo#7"), &json!("waiting"), &json!(1))
    );
    assert_eq!((&issue["repository"], &issue["number"]), (&json!("owner/repo"), &json!("7")));
    let none = world.call("viewer", "GET", "/api/v1/issues?owner=legacy", "").await.json();
    assert_eq!(none["issues"], json!([]));
    let shown = world.call("viewer", "GET", ISSUE, "").await.json();
    assert_eq!(shown["records"][0]["fence"], json!(fence));
    assert_eq!(shown["records"][0]["deliveries"], json!(["d2"]));
    assert!(shown["records"][0]["why"].as_str().unwrap().contains("pinned in gradual at 100 %"), "{shown}");
    assert_eq!(shown["events"][0]["what"], "received");
    let totals = world.call("viewer", "GET", "/api/v1/issues/totals", "").await.json();
    assert_eq!((&totals["waiting"], &totals["issues"]["waiting"]["new"]), (&json!(1), &json!(1)));
    let other = world.call("viewer", "GET", "/api/v1/issues/totals?migration=reports", "").await.json();
    assert_eq!(other["waiting"], 0);
    for bad in ["?state=lost", "?owner=python", "?limit=0", "?limit=201"] {
        world.call("viewer", "GET", &format!("/api/v1/issues{bad}"), "").await.is_problem(422, "invalid_value");
    }
    world.call("viewer", "GET", "/api/v1/issues?migration=none", "").await.is_problem(404, "unknown_migration");
    world
        .call("viewer", "GET", &format!("/api/v1/issues/{}", "x".repeat(257)), "")
        .await
        .is_problem(422, "invalid_value");
}

#[tokio::test]
async fn events_that_wait_are_replayed_and_discarded_with_a_reason_and_a_dry_run_first() {
    let world = World::new().await;
    accept(&world, "d1", Placed::One(Side::New)).await;
    let (replay, discard) = (format!("{ISSUE}/replay"), format!("{ISSUE}/discard"));
    post(&world, "operator", &replay, &because()).await.is_problem(409, "nothing_waits");
    answered(&world, SystemAnswer::Rejected).await;
    let letters = world.call("viewer", "GET", "/api/v1/issues/dead-letters", "").await.json();
    let letter = &letters["dead_letters"][0];
    assert_eq!(
        (&letter["delivery"], &letter["why"], &letter["owner"]),
        (&json!("d1"), &json!("rejected"), &json!("new"))
    );
    post(&world, "viewer", &replay, &because()).await.is_problem(403, "forbidden");
    post(&world, "operator", &replay, &json!({})).await.is_problem(400, "reason_required");
    post(&world, "operator", &replay, &json!({ "reason": "a\nb" })).await.is_problem(422, "invalid_value");
    let dry = post(&world, "operator", &format!("{replay}?dry_run=true"), &because()).await.json();
    assert_eq!((&dry["dry_run"], &dry["events"][0]["delivery"]), (&json!(true), &json!("d1")));
    let many = post(&world, "operator", "/api/v1/issues/replay?dry_run=true", &because()).await.json();
    assert_eq!(many["events"].as_array().unwrap().len(), 1);
    let none = json!({ "reason": "r", "why": "dead" });
    assert_eq!(post(&world, "operator", "/api/v1/issues/replay", &none).await.json()["events"], json!([]));
    let wrong = json!({ "reason": "r", "why": "bored" });
    post(&world, "operator", "/api/v1/issues/replay", &wrong).await.is_problem(422, "invalid_value");
    assert_eq!(post(&world, "operator", &replay, &because()).await.status.as_u16(), 200);
    answered(&world, SystemAnswer::Rejected).await;
    assert_eq!(post(&world, "operator", &discard, &because()).await.json()["events"][0]["delivery"], "d1");
    let audit = world.call("viewer", "GET", "/api/v1/issues/audit", "").await.json();
    let told = |at: usize| (audit["events"][at]["what"].clone(), audit["events"][at]["actor"].clone());
    assert_eq!((told(0), told(1)), ((json!("discarded"), json!("operator")), (json!("replayed"), json!("operator"))));
    let metrics = world.observer.gather().unwrap();
    for line in [
        "crossfade_issues_replayed_total{migration=\"agents\",side=\"new\"} 1\n",
        "crossfade_issues_discarded_total{migration=\"agents\",side=\"new\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

#[tokio::test]
async fn a_system_that_does_not_own_an_issue_is_fenced_and_a_split_brain_is_counted() {
    let world = World::new().await;
    accept(&world, "d1", Placed::One(Side::New)).await;
    let fence = answered(&world, SystemAnswer::Accepted).await;
    let (beat, finish) = (format!("{ISSUE}/heartbeat"), format!("{ISSUE}/finish"));
    let of = |side: &str, fence: &str| json!({ "side": side, "fence": fence, "workflow": "wf-1" });
    let renewed = post(&world, "reporter", &beat, &of("new", &fence)).await.json();
    assert_eq!(renewed["status"], "renewed");
    post(&world, "viewer", &beat, &of("new", &fence)).await.is_problem(403, "forbidden");
    post(&world, "reporter", &beat, &of("legacy", &fence)).await.is_problem(409, "fenced");
    let later = format!("{}9", &fence);
    post(&world, "reporter", &beat, &of("new", &later)).await.is_problem(409, "fenced");
    post(&world, "reporter", &beat, &of("new", "1.1")).await.is_problem(409, "fenced");
    for bad in ["", "1", "1.", "a.b", "1.-1", "1.1.1"] {
        post(&world, "reporter", &beat, &of("new", bad)).await.is_problem(422, "invalid_value");
    }
    let long = json!({ "side": "new", "fence": fence, "silent_seconds": 1e9 });
    post(&world, "reporter", &beat, &long).await.is_problem(422, "invalid_value");
    let metrics = world.observer.gather().unwrap();
    assert!(metrics.contains("crossfade_issues_split_brain_total{migration=\"agents\",side=\"legacy\"} 1\n"));
    assert!(metrics.contains("crossfade_issues_fenced_total{migration=\"agents\",side=\"new\"} 1\n"));
    let holds = post(&world, "reporter", &format!("{ISSUE}/fence"), &json!({ "side": "new", "fence": fence })).await;
    assert_eq!(holds.json()["holds"], true);
    let read = world.call("reporter", "GET", &format!("{ISSUE}/fence"), "").await.json();
    assert_eq!(read["owners"][0]["fence"], json!(fence));
    let shown = world.call("viewer", "GET", ISSUE, "").await.json();
    assert_eq!(
        (&shown["records"][0]["workflow"], &shown["events"][0]["what"]),
        (&json!("wf-1"), &json!("split_brain"))
    );

    // A move waits for the end of the work, and is made with it.
    let asked = json!({ "to": "legacy", "epoch": 1, "reason": "r" });
    let handoff = format!("{ISSUE}/handoff");
    post(&world, "reporter", &handoff, &asked).await.is_problem(403, "forbidden");
    let dry = post(&world, "operator", &format!("{handoff}?dry_run=true"), &asked).await.json();
    assert_eq!(dry["status"], "waiting");
    let waiting = post(&world, "operator", &handoff, &asked).await.json();
    assert!(waiting["lease_until"].is_string(), "{waiting}");
    assert_eq!(post(&world, "reporter", &finish, &of("new", &fence)).await.json()["status"], "handed_over");
    post(&world, "operator", &handoff, &asked).await.is_problem(409, "fenced");
    let holds = post(&world, "reporter", &format!("{ISSUE}/fence"), &json!({ "side": "new", "fence": fence })).await;
    assert_eq!(holds.json()["holds"], false);
    let back = json!({ "to": "new", "epoch": 2, "reason": "r", "force": true });
    assert_eq!(post(&world, "operator", &handoff, &back).await.json()["epoch"], 3);
}

#[tokio::test]
async fn an_outcome_that_names_an_issue_ends_its_lease() {
    let world = World::new().await;
    accept(&world, "d1", Placed::One(Side::New)).await;
    answered(&world, SystemAnswer::Accepted).await;
    let outcomes = "/api/v1/migrations/agents/outcomes";
    let of = |side: &str, epoch: u64, issue: Value| {
        let mut issue = issue;
        issue["epoch"] = json!(epoch);
        json!({ "id": "wf-1", "side": side, "issue": issue })
    };
    let named = json!({ "repository": "owner/repo", "number": 7 });
    let known = post(&world, "reporter", outcomes, &of("new", 1, named.clone())).await;
    assert_eq!(known.json()["counted"], json!(["job"]));
    let mut ended = of("new", 1, json!({ "key": "owner/repo#7", "delivery": "d1" }));
    (ended["success"], ended["duration_seconds"]) = (json!(true), json!(3.5));
    assert_eq!(post(&world, "reporter", outcomes, &ended).await.json()["counted"], json!(["work"]));
    let shown = world.call("viewer", "GET", ISSUE, "").await.json();
    assert_eq!((&shown["records"][0]["state"], &shown["records"][0]["success"]), (&json!("ended"), &json!(true)));
    // One of the other system is a split brain, and counts nothing.
    let mut other = of("legacy", 1, named.clone());
    (other["id"], other["success"], other["duration_seconds"]) = (json!("wf-2"), json!(true), json!(1.0));
    post(&world, "reporter", outcomes, &other).await.is_problem(409, "fenced");
    let metrics = world.observer.gather().unwrap();
    assert!(metrics.contains("crossfade_issues_split_brain_total{migration=\"agents\",side=\"legacy\"} 1\n"));
    assert!(metrics.contains("crossfade_outcomes_total{migration=\"agents\",result=\"success\"} 1\n"));
    // How good the work was is told later, and says nothing about whose the issue is.
    let mut later = of("new", 1, named);
    later["quality"] = json!({ "score": 0.5 });
    assert_eq!(post(&world, "reporter", outcomes, &later).await.json()["counted"], json!(["score"]));
    let nameless = of("new", 1, json!({ "repository": "owner/repo" }));
    post(&world, "reporter", outcomes, &nameless).await.is_problem(422, "invalid_value");
    let unheard = of("new", 1, json!({ "key": "nobody" }));
    post(&world, "reporter", outcomes, &unheard).await.is_problem(404, "unknown_issue");
}

#[tokio::test]
async fn parallel_parts_are_told_apart_and_stay() {
    let world = World::new().await;
    accept(&world, "d1", Placed::Both).await;
    let shown = world.call("viewer", "GET", ISSUE, "").await.json();
    let lanes: Vec<_> = shown["records"].as_array().unwrap().iter().map(|record| record["lane"].clone()).collect();
    assert_eq!(lanes, [json!("legacy"), json!("new")]);
    let asked = json!({ "to": "legacy", "epoch": 1, "reason": "r" });
    post(&world, "operator", &format!("{ISSUE}/handoff"), &asked).await.is_problem(409, "refused");
}

#[tokio::test]
async fn a_sender_is_asked_by_an_operator_with_a_reason() {
    let world = World::new().await;
    let path = "/api/v1/issues/reconcile";
    post(&world, "viewer", path, &because()).await.is_problem(403, "forbidden");
    post(&world, "operator", path, &json!({})).await.is_problem(400, "reason_required");
    let would = post(&world, "operator", &format!("{path}?dry_run=true"), &because()).await.json();
    assert_eq!((&would["dry_run"], &would["lost"][0]["answered"]), (&json!(true), &Value::Null));
    let told = post(&world, "operator", path, &because()).await.json();
    assert_eq!((&told["lost"][0]["answered"], &told["unknown"]), (&json!(202), &json!(["octo/hello#7"])));
}

#[tokio::test]
async fn which_delivered_events_are_meant_is_said_whole() {
    let world = World::new().await;
    let path = "/api/v1/issues/replay-delivered";
    let with = |members: Value| {
        let mut body = members;
        body["reason"] = json!("why");
        body
    };
    post(&world, "viewer", path, &with(json!({ "delivery": "d" }))).await.is_problem(403, "forbidden");
    post(&world, "operator", path, &json!({ "delivery": "d" })).await.is_problem(400, "reason_required");
    for bad in [
        json!({}),
        json!({ "until": "2026-01-01T00:00:00Z" }),
        json!({ "delivery": "d", "issue": "a#1" }),
        json!({ "delivery": "" }),
        json!({ "issue": "a#1", "since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z" }),
    ] {
        post(&world, "operator", path, &with(bad)).await.is_problem(422, "invalid_value");
    }
    post(&world, "operator", path, &with(json!({ "delivery": "d" }))).await.is_problem(404, "unknown_delivery");
    let none = post(&world, "operator", path, &with(json!({ "issue": "a#1" }))).await.json();
    assert_eq!(none["events"], json!([]));
}
