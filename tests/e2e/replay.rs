//! What was counted can be kept, and the guard judges it again as it did.

use harness::router::{Finished, crossfade_in};
use harness::wait_for;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::guard::{Load, failing, gradual, newest, reaches, rolled_back};
use crate::world::World;

const RECORDING: &str = "recorded.json";

async fn command(world: &World, arguments: &[&str]) -> Finished {
    let environment = [
        ("CROSSFADE_ADMIN".to_owned(), format!("http://{}", world.router.admin)),
        ("CROSSFADE_TOKEN".to_owned(), "viewer-secret".to_owned()),
    ];
    crossfade_in(world.router.directory(), arguments, &environment).await
}

async fn replayed(world: &World, options: &[&str]) -> Value {
    let finished = command(world, &[&["replay", RECORDING, "-o", "json"], options].concat()).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    serde_json::from_str(&finished.stdout).unwrap()
}

fn time(value: &Value) -> Timestamp {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no time"))
}

/// Keeps what was counted, once it reaches beyond this moment.
async fn record_beyond(world: &World, moment: Timestamp) {
    let recorded = wait_for("what was counted later is told, too", || async {
        let finished = command(world, &["counts", "shop", "--window", "15m", "-o", "json"]).await;
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let counts: Value = serde_json::from_str(&finished.stdout).unwrap();
        let last = counts["slots"].as_array()?.last()?["time"].clone();
        (time(&last) > moment).then_some(finished.stdout)
    })
    .await;
    std::fs::write(world.router.directory().join(RECORDING), recorded).unwrap();
}

#[tokio::test]
async fn a_rollback_is_made_again_from_the_counts_of_its_time() {
    let world = gradual("fast_path: false", 25.0).await;
    let load = Load::start(&world.router);
    load.more(600).await;
    world.new.on_all(Some(failing()));
    reaches(&world.router, "the rollback", rolled_back).await;
    let entry = newest(&world.router).await;
    record_beyond(&world, time(&entry["time"])).await;
    load.stop().await;
    let again = replayed(&world, &[]).await;
    assert_eq!((&again["outcome"], &again["migration"]), (&json!("rolled_back"), &json!("shop")), "{again}");
    let last = again["decisions"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["does"], &last["record"]["action"]),
        (&json!("rollback"), &entry["evidence"]["action"]),
        "{again}"
    );
    assert!(last["why"].as_str().unwrap().starts_with("rolled back to legacy, because"), "{last}");
    assert!(time(&last["time"]) <= time(&entry["time"]), "not later than it was: {last} {entry}");
    assert_eq!(replayed(&world, &[]).await, again, "the same file gives the same answer");
    // The same counts, had the way back been closed.
    let file = std::fs::read_to_string(world.router.file()).unwrap();
    let closed = file.replace("    guard: {", "    reversible: false\n    guard: {");
    assert_ne!(file, closed);
    std::fs::write(world.router.directory().join("closed.yaml"), closed).unwrap();
    let held = replayed(&world, &["shop", "-c", "closed.yaml"]).await;
    assert_eq!(held["outcome"], "held", "{held}");
    let lines = command(&world, &["replay", RECORDING]).await.stdout;
    assert!(lines.starts_with("shop: rolled back, after") && lines.contains("EVIDENCE AT THE END"), "{lines}");
    let counts = command(&world, &["counts", "shop"]).await.stdout;
    assert!(counts.contains("NEW OK") && counts.lines().count() > 2, "{counts}");
}

#[tokio::test]
async fn what_is_no_recording_is_refused_with_what_to_do() {
    let directory = tempfile::TempDir::new().unwrap();
    for (text, options, code, told) in [
        ("hello", &[][..], 1, "crossfade counts MIGRATION --window 15m -o json"),
        (r#"{"migration": "shop", "seconds": []}"#, &[], 1, "by the second"),
        (r#"{"migration": "shop", "slots": []}"#, &[], 1, "nothing was counted"),
        (r#"{"migration": "shop", "slots": [{"slot": 1}]}"#, &[], 2, "--share 25%"),
        (r#"{"migration": "shop", "slots": [{"slot": 1}]}"#, &["--share", "25%", "-c", "none.yaml"], 3, "none.yaml"),
        (r#"{"migration": "shop", "slots": [{"slot": 1}]}"#, &["--share", "101%"], 2, "from 0% to 100%"),
        (r#"{"migration": "shop", "slots": [{"slot": 1}]}"#, &["--alpha", "5%"], 2, "from 0.01% to 1%"),
    ] {
        std::fs::write(directory.path().join(RECORDING), text).unwrap();
        let finished = crossfade_in(directory.path(), &[&["replay", RECORDING], options].concat(), &[]).await;
        assert_eq!(finished.code, Some(code), "{finished:?}");
        assert!(finished.stderr.contains(told) && finished.stdout.is_empty(), "{finished:?}");
    }
    let missing = crossfade_in(directory.path(), &["replay", "missing.json"], &[]).await;
    assert!(missing.code == Some(1) && missing.stderr.contains("missing.json cannot be opened"), "{missing:?}");
}
