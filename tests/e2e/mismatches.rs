//! What may differ, as an operator decides it on a running router: accepted, listed, undone, and there after a restart.

use harness::router::Finished;
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
