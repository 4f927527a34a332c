//! `crossfade issues …` against a router that has what each is about.

use harness::backend::{answers, response};
use harness::router::{Finished, crossfade};
use harness::wait_for;
use serde_json::{Value, json};

use super::hook::Hook;
use super::{Hooks, PATH};

const ISSUE: &str = "octo-org/hello-world#1";

async fn run(hooks: &Hooks, arguments: &[&str]) -> Finished {
    let admin = format!("http://{}", hooks.router.admin);
    let mut all = vec!["issues"];
    all.extend_from_slice(arguments);
    all.extend(["--admin", &admin, "--token", "operator-secret"]);
    crossfade(&all).await
}

async fn ok(hooks: &Hooks, arguments: &[&str]) -> String {
    let finished = run(hooks, arguments).await;
    assert_eq!(finished.code, Some(0), "{arguments:?}: {finished:?}");
    finished.stdout
}

async fn as_json(hooks: &Hooks, arguments: &[&str]) -> Value {
    let mut all = arguments.to_vec();
    all.extend(["-o", "json"]);
    serde_json::from_str(&ok(hooks, &all).await).unwrap()
}

/// Legacy refuses the first event of the first issue, which waits for a person.
async fn with_a_dead_letter() -> Hooks {
    let hooks = Hooks::start().await;
    hooks.legacy.once(PATH, answers(response("422 No", "")));
    hooks.route(&Hook::new("d-1", "opened", 1)).await;
    hooks.router.wait_until_printed("event parked").await;
    hooks
}

#[tokio::test]
async fn what_waits_for_a_person_is_listed_shown_and_replayed() {
    let hooks = with_a_dead_letter().await;
    let listed = ok(&hooks, &["list", "--state", "parked", "--owner", "legacy", "--prefix", "octo-org/"]).await;
    assert!(listed.contains(ISSUE) && listed.contains("parked"), "{listed}");
    assert_eq!(as_json(&hooks, &["list", "--owner", "new"]).await["issues"], json!([]));
    let letters = as_json(&hooks, &["list", "--dead"]).await;
    assert_eq!(letters["dead_letters"][0]["delivery"], "d-1", "{letters}");
    let shown = ok(&hooks, &["show", ISSUE]).await;
    assert!(shown.contains("parked, legacy's") && shown.contains("answered 422"), "{shown}");
    let replay = ["replay", ISSUE, "--reason", "mended"];
    let would = as_json(&hooks, &[&replay[..], &["--dry-run"]].concat()).await;
    assert_eq!(would["events"][0]["delivery"], "d-1", "{would}");
    assert_eq!(Hooks::got(&hooks.legacy), ["d-1"], "a dry run changes nothing");
    let done = ok(&hooks, &replay).await;
    assert!(done.contains("d-1"), "{done}");
    Hooks::arrives(&hooks.legacy, &["d-1", "d-1"]).await;
    let shown = as_json(&hooks, &["show", ISSUE]).await;
    let told = shown["events"].as_array().unwrap().iter().any(|event| event["reason"] == "mended");
    assert!(told, "{shown}");
}

#[tokio::test]
async fn what_was_delivered_is_sent_once_more_to_whoever_had_it() {
    let hooks = Hooks::start().await;
    hooks.router.rollout(50.0).await;
    hooks.router.mode("gradual").await;
    for (delivery, number) in [("d-1", 1), ("d-2", 1), ("d-9", 99)] {
        hooks.route(&Hook::new(delivery, "edited", number)).await;
    }
    Hooks::arrives(&hooks.new, &["d-1", "d-2"]).await;
    Hooks::arrives(&hooks.legacy, &["d-9"]).await;
    let settled = || async {
        let shown = as_json(&hooks, &["show", ISSUE]).await;
        (shown["records"][0]["waiting"] == 0).then_some(())
    };
    wait_for("new has both", settled).await;
    let one = ["replay", "--delivery", "d-1", "--reason", "new lost its disk"];
    let would = as_json(&hooks, &[&one[..], &["--dry-run"]].concat()).await;
    assert_eq!((&would["events"][0]["resent"], &would["events"][0]["side"]), (&json!("again"), &json!("new")));
    assert_eq!(Hooks::got(&hooks.new).len(), 2, "a dry run sends nothing");
    ok(&hooks, &one).await;
    Hooks::arrives(&hooks.new, &["d-1", "d-2", "d-1"]).await;
    let seen = hooks.new.seen_at(PATH);
    assert_eq!(
        (&seen[0].body, seen[0].head.value("crossfade-fence")),
        (&seen[2].body, seen[2].head.value("crossfade-fence"))
    );
    wait_for("new has it again", settled).await;
    let of_issue = ["replay", ISSUE, "--delivered", "--since", "10m", "--reason", "all of it"];
    ok(&hooks, &of_issue).await;
    Hooks::arrives(&hooks.new, &["d-1", "d-2", "d-1", "d-1", "d-2"]).await;
    let all =
        as_json(&hooks, &["replay", "--all", "--delivered", "--since", "10m", "--reason", "why", "--dry-run"]).await;
    assert_eq!(all["events"].as_array().unwrap().len(), 3, "{all}");
    // The other system does not do again what this one has done.
    wait_for("new has them again", settled).await;
    ok(&hooks, &["handoff", ISSUE, "legacy", "--force", "--reason", "why"]).await;
    let refused = run(&hooks, &one).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(6), ""), "{refused:?}");
    assert!(refused.stderr.contains("the other system's by now"), "{refused:?}");
    let unknown = run(&hooks, &["replay", "--delivery", "none", "--reason", "why"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
    let unbounded = run(&hooks, &["replay", "--all", "--delivered", "--reason", "why"]).await;
    assert_eq!(unbounded.code, Some(2), "{unbounded:?}");
    let audit = hooks.router.api("GET", "/issues/audit", None).await.text();
    assert!(audit.contains("\"resent\"") && audit.contains("new lost its disk"), "{audit}");
    assert_eq!(Hooks::got(&hooks.legacy), ["d-9"]);
}

#[tokio::test]
async fn what_nobody_wants_is_discarded_with_its_reason() {
    let hooks = with_a_dead_letter().await;
    hooks.route(&Hook::new("d-2", "edited", 1)).await;
    let discard = ["discard", "--all", "--why", "rejected", "--reason", "done by hand"];
    assert_eq!(as_json(&hooks, &[&discard[..], &["--dry-run"]].concat()).await["events"][0]["delivery"], "d-1");
    ok(&hooks, &discard).await;
    // The next event of the issue follows.
    Hooks::arrives(&hooks.legacy, &["d-1", "d-2"]).await;
    assert_eq!(as_json(&hooks, &["list", "--dead"]).await["dead_letters"], json!([]));
    let none = run(&hooks, &["replay", "octo-org/hello-world#99", "--reason", "why"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(1), ""), "{none:?}");
    assert!(none.stderr.contains("hello-world#99"), "{none:?}");
    assert_eq!(run(&hooks, &["discard", ISSUE]).await.code, Some(2), "a change needs a reason");
}

#[tokio::test]
async fn an_issue_is_handed_over_as_soon_as_that_is_safe_or_by_force() {
    let hooks = Hooks::start().await;
    hooks.route(&Hook::new("d-1", "opened", 1)).await;
    let running = || async {
        let shown = as_json(&hooks, &["show", ISSUE]).await;
        (shown["records"][0]["state"] == "running").then_some(())
    };
    wait_for("legacy works on it", running).await;
    let handoff = ["handoff", ISSUE, "new", "--reason", "new knows it"];
    let would = as_json(&hooks, &[&handoff[..], &["--force", "--dry-run"]].concat()).await;
    assert_eq!((&would["status"], &would["epoch"]), (&json!("handed_over"), &json!(2)), "{would}");
    assert!(ok(&hooks, &handoff).await.contains("goes to new when its owner reports the end"));
    let stale = run(&hooks, &[&handoff[..], &["--epoch", "7", "--force"]].concat()).await;
    assert_eq!(stale.code, Some(5), "{stale:?}");
    assert!(ok(&hooks, &[&handoff[..], &["--force"]].concat()).await.contains("new's now, epoch 2"));
    assert!(ok(&hooks, &handoff).await.contains("new's already"));
    hooks.route(&Hook::new("d-2", "edited", 1)).await;
    Hooks::arrives(&hooks.new, &["d-2"]).await;
}

#[tokio::test]
async fn what_could_not_become_an_event_is_in_quarantine() {
    let hooks = Hooks::start().await;
    let bad = hooks.send(&Hook::of("d-1", "{\"action\": \"opened\"")).await;
    assert_eq!(bad.status(), 422);
    let told = ok(&hooks, &["quarantine"]).await;
    assert!(told.contains("d-1") && told.contains("not_json"), "{told}");
    let found = as_json(&hooks, &["quarantine", "--migration", "shop"]).await;
    assert_eq!(found["quarantined"][0]["body_bytes"], 19, "{found}");
    let unknown = run(&hooks, &["quarantine", "--migration", "none"]).await;
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
}
