//! What may differ, as an operator decides it on a running router: accepted, listed, undone, and there after a restart.

use std::sync::atomic::{AtomicU64, Ordering};

use harness::router::Finished;
use harness::{RedisServer, Router, Setup, Step, wait_for};
use serde_json::{Value, json};

use crate::operations::command;
use crate::world::World;

fn ok(finished: Finished) -> String {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished.stdout
}

async fn rules(world: &World) -> Vec<String> {
    let answer: Value =
        serde_json::from_str(&ok(command(world, &["rule", "list", "shop", "-o", "json"]).await)).unwrap();
    let rules = answer["rules"].as_array().unwrap().iter();
    rules.map(|rule| format!("{} {} {}", rule["path"].as_str().unwrap(), rule["kind"], rule["owner"])).collect()
}

#[tokio::test]
async fn rules_are_added_listed_taken_back_and_outlive_the_router() {
    let mut world = World::start().await;
    assert!(ok(command(&world, &["mismatches", "shop"]).await).contains("no mismatch is known"));
    let tolerance = r#"{"tolerance": {"absolute": 0.01}}"#;
    let add = ["rule", "add", "shop", "$.total", tolerance, "--owner", "billing", "--reason", "rounds half up"];
    let dry = ok(command(&world, &[&add[..], &["--dry-run"]].concat()).await);
    assert!(dry.contains("of 0 requests in 0 mismatches") && dry.contains("nothing was changed"), "{dry}");
    assert!(rules(&world).await.is_empty());
    let said = ok(command(&world, &add).await);
    assert!(said.contains("on $.total until") && said.contains("undo: crossfade undo shop"), "{said}");
    ok(command(&world, &["rule", "add", "shop", "$.id", "shape", "--reason", "made anew"]).await);
    let total = r#"$.total {"tolerance":{"absolute":0.01}} "billing""#;
    let mut both = rules(&world).await;
    both.sort();
    assert_eq!(both, [r#"$.id "shape" "ann""#, total]);

    let refused = command(&world, &["rule", "add", "shop", "$.a[0]", "ignore", "--reason", "no"]).await;
    assert!(refused.code != Some(0) && refused.stderr.contains("positions in arrays move"), "{refused:?}");
    let unknown = command(&world, &["mismatches", "shop", "0123456789abcdef"]).await;
    assert!(unknown.code != Some(0) && unknown.stderr.contains("unknown_mismatch"), "{unknown:?}");
    ok(command(&world, &["undo", "shop", "--reason", "not yet"]).await);
    assert_eq!(rules(&world).await, [total]);
    let history = ok(command(&world, &["history", "shop"]).await);
    assert!(history.contains("accept_rule") && history.contains("on $.total"), "{history}");

    world.router = world.router.start_again().await;
    assert_eq!(rules(&world).await, [total]);
    let answer = world.router.api("GET", "/migrations/shop/rules", None).await;
    let rule: Value = serde_json::from_slice(&answer.body).unwrap();
    let id = rule["rules"][0]["id"].as_str().unwrap().to_owned();
    let removed = ok(command(&world, &["rule", "remove", "shop", &id, "--reason", "fixed in new"]).await);
    assert!(removed.contains("taken back"), "{removed}");
    assert!(rules(&world).await.is_empty());
    let comparison = world.router.api("GET", "/migrations/shop/comparison", None).await;
    let comparison: Value = serde_json::from_slice(&comparison.body).unwrap();
    assert_eq!((&comparison["compared_by"], &comparison["gate"]["result"]), (&json!("outcome"), &json!("unknown")));
}

/// An order as a system answers it that makes its id and its time anew and has no order of keys.
fn order(target: &str, total: &str) -> Vec<u8> {
    static MADE: AtomicU64 = AtomicU64::new(1);
    let made = MADE.fetch_add(1, Ordering::Relaxed);
    let mixed = made.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let (id, second) = (format!("{mixed:016x}"), made % 60);
    let volatile = format!(r#""request_id":"{id}","at":"2026-05-04T03:02:{second:02}Z""#);
    let stable = format!(r#""order":"{target}","total":{total},"tags":["a","b"]"#);
    let body =
        if made.is_multiple_of(2) { format!("{{{volatile},{stable}}}") } else { format!("{{{stable},{volatile}}}") };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    (head + &body).into_bytes()
}

fn sound() -> Vec<Step> {
    vec![Step::ReadBody, Step::Answer(|_, head| order(&head.target(), "12.5"))]
}

fn broken() -> Vec<Step> {
    vec![Step::ReadBody, Step::Answer(|_, head| order(&head.target(), "12.6"))]
}

const COMPARED: &str = "parallel: {noise: 20%}";

/// Few enough that a machine without a free core still has room for what is compared later.
const AT_ONCE_MAX: u32 = 25;

/// Sends by this router, each by another user of 50, until so many are compared.
async fn traffic(router: &Router, requests: u32) {
    let before = compared(router).await;
    let mut client = router.connect().await;
    let (mut sent, mut left) = (0, requests);
    while left > 0 {
        let done = all(router).await;
        let piece = left.min(AT_ONCE_MAX);
        for n in sent..sent + piece {
            let user = format!("X-User-Id: user-{}\r\n", n % 50);
            assert_eq!(client.get_with(&format!("/orders/{n}"), &user).await.status(), 200);
        }
        sent += piece;
        let ends = || async { (all(router).await == done + f64::from(piece)).then_some(()) };
        wait_for("each of them is compared, or not", ends).await;
        assert!(sent < 2 * requests + AT_ONCE_MAX, "of {sent} requests hardly one half is compared");
        left = requests - (compared(router).await - before) as u32;
    }
}

async fn ended(router: &Router, result: &str) -> f64 {
    router.metric("crossfade_comparisons_total", &format!("result=\"{result}\"")).await.unwrap()
}

async fn compared(router: &Router) -> f64 {
    ended(router, "matched").await + ended(router, "mismatched").await + ended(router, "ignored").await
}

async fn all(router: &Router) -> f64 {
    compared(router).await + ended(router, "not_compared").await
}

/// Patterns, kinds and fingerprints of a status.
async fn of_status(router: &Router, status: &str) -> Vec<[String; 3]> {
    let answer = router.api("GET", &format!("/migrations/shop/mismatches?status={status}"), None).await.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mismatches = answer["mismatches"].as_array().unwrap().iter();
    mismatches.map(|own| [text(&own["pattern"]), text(&own["kind"]), text(&own["fingerprint"])]).collect()
}

#[tokio::test]
async fn what_is_made_anew_is_noise_and_what_is_broken_is_found_and_accepted_on_every_router() {
    let Some(redis) = RedisServer::start().await else { return };
    let migration = format!("key: [header:x-user-id]\n{COMPARED}");
    let setup = |setup: Setup| setup.with_redis(&redis.url()).with_migration(&migration);
    let world = World::with(setup).await;
    let other = setup(Setup::new(world.legacy.address, world.new.address)).start().await;
    world.router.mode("parallel").await;
    world.legacy.on_all(Some(sound()));
    world.new.on_all(Some(sound()));
    traffic(&world.router, 400).await;
    assert_eq!(of_status(&world.router, "counted").await, [[""; 3]; 0], "two sound systems do not differ");
    let mut noise = of_status(&world.router, "noise").await;
    noise.sort();
    let patterns: Vec<_> = noise.iter().map(|[pattern, kind, _]| (pattern.as_str(), kind.as_str())).collect();
    assert_eq!(patterns, [("$.at", "value_changed"), ("$.request_id", "value_changed")]);

    world.new.on_all(Some(broken()));
    traffic(&world.router, 250).await;
    let counted = of_status(&world.router, "counted").await;
    let [[pattern, kind, fingerprint]] = counted.as_slice() else { panic!("{counted:?}") };
    assert_eq!((pattern.as_str(), kind.as_str()), ("$.total", "value_changed"));
    assert!(noise.iter().all(|[_, _, own]| own != fingerprint), "it has its own fingerprint");

    let accept = |path: &str, kind: &str| {
        let world = &world;
        let path = path.to_owned();
        let kind = kind.to_owned();
        async move {
            ok(command(world, &["rule", "add", "shop", &path, &kind, "--reason", "agreed"]).await);
        }
    };
    accept("$.at", "shape").await;
    accept("$.request_id", "shape").await;
    accept("$.total", r#"{"tolerance": {"absolute": 0.2}}"#).await;
    for router in [&world.router, &other] {
        let before = ended(router, "mismatched").await;
        traffic(router, 60).await;
        assert_eq!(ended(router, "mismatched").await, before, "what was accepted passes on {}", router.data);
    }
    assert!(ended(&other, "matched").await >= 60.0);
    // A rule lets pass what it is for, and nothing else.
    world.new.on_all(Some(vec![Step::ReadBody, Step::Answer(|_, head| order(&head.target(), "\"12.5\""))]));
    traffic(&other, 5).await;
    assert_eq!(ended(&other, "mismatched").await, 5.0);
}

#[tokio::test]
async fn a_rule_of_the_file_that_has_ended_keeps_nobody_from_starting_and_does_not_hold() {
    let of = |expires: &str| {
        let rule = format!("{{path: $.total, kind: ignore, owner: ann, reason: r, expires: {expires}}}");
        format!("key: [header:x-user-id]\nparallel: {{noise: 0%, compare: {{rules: [{rule}]}}}}")
    };
    let total = |total: u32| {
        let body = format!(r#"{{"total":{total}}}"#);
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
        vec![Step::ReadBody, Step::send(head + &body)]
    };
    let mut world = World::with(|setup| setup.with_migration(&of("2020-01-31"))).await;
    world.legacy.on_all(Some(total(1)));
    world.new.on_all(Some(total(2)));
    let warning = "this rule has expired: it held through 2020-01-31, and does not hold any more";
    world.router.wait_until_printed(warning).await;
    let file = world.router.file();
    let checked = harness::router::crossfade(&["check", "-c", file.to_str().unwrap()]).await;
    assert_eq!(checked.code, Some(3), "{checked:?}");
    let span = checked.stderr.contains("expires: 2020-01-31") && checked.stderr.contains("^^^^^^^^^^");
    assert!(span && checked.stderr.contains("this rule has expired"), "{}", checked.stderr);
    world.router.mode("parallel").await;
    traffic(&world.router, 1).await;
    assert_eq!((ended(&world.router, "mismatched").await, ended(&world.router, "ignored").await), (1.0, 0.0));

    let setup = Setup::new(world.legacy.address, world.new.address);
    let written = |expires: &str| setup.clone().with_migration(&of(expires)).file(world.router.directory());
    world.router.reload(&written("9999-01-31")).await;
    wait_for("the rule holds", || async {
        traffic(&world.router, 1).await;
        (ended(&world.router, "ignored").await > 0.0).then_some(())
    })
    .await;
    let warnings = |world: &World| world.router.printed().matches(warning).count();
    assert_eq!(warnings(&world), 1);
    let before = ended(&world.router, "ignored").await;
    world.router.reload(&written("2020-01-31")).await;
    wait_for("it is told again", || std::future::ready((warnings(&world) == 2).then_some(()))).await;
    wait_for("the rule holds no longer", || async {
        let before = ended(&world.router, "mismatched").await;
        traffic(&world.router, 1).await;
        (ended(&world.router, "mismatched").await > before).then_some(())
    })
    .await;
    assert!(ended(&world.router, "ignored").await >= before);
    world.router = world.router.start_again().await;
    assert_eq!(world.router.readiness().await, 200, "a restart on the day after");
}
