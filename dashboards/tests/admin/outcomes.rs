//! Work that ended later: reported once, refused where it is impossible, and compared.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::world::{Answer, World};

const PATH: &str = "/api/v1/migrations/agents/outcomes";

async fn report(world: &World, body: &Value) -> Answer {
    world.call("reporter", "POST", PATH, &body.to_string()).await
}

fn job(id: &str, side: &str, success: bool, seconds: f64) -> Value {
    json!({ "id": id, "key": "42", "side": side, "success": success, "duration_seconds": seconds })
}

#[tokio::test]
async fn each_part_of_a_job_counts_once() {
    let world = World::new().await;
    let first = report(&world, &job("wf-81", "new", true, 81.5)).await;
    assert_eq!((first.status.as_u16(), &first.json()["counted"]), (200, &json!(["job", "work"])));
    let again = report(&world, &job("wf-81", "new", false, 3.0)).await;
    again.is_problem(409, "duplicate_outcome");
    let later = json!({ "id": "wf-81", "side": "new", "quality": { "pr_accepted": true, "score": 0.9 } });
    assert_eq!(report(&world, &later).await.json()["counted"], json!(["pr_accepted", "score"]));
    let more = json!({ "id": "wf-81", "side": "new", "quality": { "pr_accepted": false, "build_passed": true } });
    assert_eq!(report(&world, &more).await.json()["counted"], json!(["build_passed"]), "the first word stands");
    report(&world, &job("wf-81", "legacy", true, 1.0)).await.is_problem(409, "side_differs");
    let metrics = world.observer.gather().unwrap();
    for (result, count) in [("success", 1), ("failure", 0), ("duplicate", 1), ("refused", 1)] {
        let line = format!("crossfade_outcomes_total{{migration=\"agents\",result=\"{result}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}");
    }
}

#[tokio::test]
async fn what_is_impossible_is_refused_and_counts_nothing() {
    let world = World::new().await;
    let later = |seconds| Timestamp::now().checked_add(SignedDuration::from_secs(seconds)).unwrap().to_string();
    let with = |name: &str, value: Value| {
        let mut body = job("a", "new", true, 1.0);
        body[name] = value;
        body
    };
    let without = |name: &str| {
        let mut body = job("a", "new", true, 1.0);
        body.as_object_mut().unwrap().remove(name);
        body
    };
    for body in [
        with("id", json!("")),
        with("id", json!("x".repeat(129))),
        with("key", json!("")),
        with("key", json!("x".repeat(513))),
        with("side", json!("python")),
        with("duration_seconds", json!(-1.0)),
        with("duration_seconds", json!(1e300)),
        with("routed_at", json!(later(3_600))),
        with("routed_at", json!(later(-31 * 86_400))),
        with("quality", json!({ "score": 1.1 })),
        with("quality", json!({ "score": -0.1 })),
        without("success"),
        without("duration_seconds"),
    ] {
        report(&world, &body).await.is_problem(422, "invalid_value");
    }
    for text in [
        r#"{"id":"a","side":"new","success":true,"duration_seconds":NaN}"#,
        r#"{"id":"a","side":"new","success":true,"duration_seconds":1e999}"#,
        r#"{"id":"a","side":"new","success":true,"duration_seconds":"1"}"#,
        r#"{"id":"a","side":"new","succes":true}"#,
        r#"{"id":"a","side":"new","quality":{"stars":5}}"#,
        r#"{"side":"new"}"#,
    ] {
        world.call("reporter", "POST", PATH, text).await.is_problem(400, "invalid_json");
    }
    let elsewhere = PATH.replace("agents", "none");
    world
        .call("reporter", "POST", &elsewhere, &job("a", "new", true, 1.0).to_string())
        .await
        .is_problem(404, "unknown_migration");
    world.call("viewer", "POST", PATH, &job("a", "new", true, 1.0).to_string()).await.is_problem(403, "forbidden");
    let seen = world.call("viewer", "GET", "/api/v1/migrations/agents/comparison", "").await.json();
    assert_eq!((&seen["new"]["work"]["total"], &seen["new"]["quality"]["jobs"]), (&json!(0), &json!(0)));
    let known = report(&world, &job("a", "new", true, 1.0)).await;
    assert_eq!(known.status, 200, "the id is still free: {known:?}");
}

#[tokio::test]
async fn both_sides_are_compared_as_in_the_story() {
    let world = World::new().await;
    for at in 0..10 {
        let legacy = job(&format!("l{at}"), "legacy", at >= 4, 90.0);
        let new = job(&format!("n{at}"), "new", at >= 1, 60.0);
        for (mut body, score) in [(legacy, 0.5), (new, 0.8)] {
            body["quality"] = json!({ "score": score });
            assert_eq!(report(&world, &body).await.status, 200);
        }
    }
    let path = "/api/v1/migrations/agents/comparison?window=10m";
    // The slot in which they were reported has to end before it is among those that are over.
    let seen = world.read_until(path, |seen| seen["new"]["work"]["total"] == 10).await;
    let close = |of: &Value, name: &str, expected: f64, within: f64| {
        let found = of[name].as_f64().unwrap();
        assert!((found - expected).abs() <= within, "{name} of {of}, not {expected}");
        let [low, high] = ["low", "high"].map(|end| of[format!("{name}_interval")][end].as_f64().unwrap());
        assert!(low <= found && found <= high, "{name} of {of}");
    };
    let comparison = &seen["comparison"];
    assert_eq!(comparison["basis"], "work");
    close(comparison, "success_rate_improvement", 0.3, 1e-9);
    close(comparison, "duration_improvement", 30.0, 5.0);
    close(comparison, "quality_improvement", 0.3, 1e-9);
    close(&seen["legacy"]["work"], "success_rate", 0.6, 1e-9);
    assert_eq!((&seen["new"]["label"], &seen["new"]["quality"]["reported"]), (&json!("Python <3>"), &json!(10)));
    assert!(seen["new"]["work"]["p95_seconds"].as_f64().unwrap() >= 60.0);
    let long = world.call("viewer", "GET", &path.replace("10m", "1d"), "").await;
    assert_eq!(long.json()["new"]["work"]["total"], 0, "no minute was made yet");
    world.call("viewer", "GET", &path.replace("10m", "31d"), "").await.is_problem(422, "invalid_value");
}

#[tokio::test]
async fn without_the_store_a_report_is_not_taken() {
    let world = World::new().await;
    world.store.gone.store(true, std::sync::atomic::Ordering::SeqCst);
    report(&world, &job("a", "new", true, 1.0)).await.is_problem(503, "store_unavailable");
}
