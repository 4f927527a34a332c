//! One caller who fails is no reason to move everybody, unless there is nobody else.

use std::time::Duration;

use super::load::{Load, Manner};
use super::{evidence, failing, gradual, reaches, rolled_back};
use harness::backend::{answers, response};

/// As fast as answers come, always the same user.
fn abuser() -> Manner {
    Manner { callers: 4, pace: Duration::from_millis(2), user: |_, _| 9_999, path: |_| "/mine", ..Manner::default() }
}

/// One in fifty of everybody's requests fails, on either side.
fn everybody() -> Manner {
    Manner { path: |nth| if nth.is_multiple_of(50) { "/unlucky" } else { "/" }, ..Manner::default() }
}

#[tokio::test]
async fn a_caller_whom_new_alone_fails_beside_others_who_fail_now_and_then_moves_nobody() {
    for status in ["500 Internal Server Error", "404 Not Found"] {
        let world = gradual("", 50.0).await;
        [&world.legacy, &world.new]
            .into_iter()
            .for_each(|side| side.on("/unlucky", answers(response(status, "unlucky"))));
        world.new.on("/mine", answers(response(status, "mine")));
        world.router.pin("user-9999", "new").await;
        let load = Load::with(&world.router, everybody());
        load.more(500).await;
        let abuse = Load::with(&world.router, abuser());
        abuse.more(2_000).await;
        reaches(&world.router, "people are told", |seen| seen["state"] == "braked" || seen["state"] == "held").await;
        load.more(800).await;
        let seen = world.router.migration().await;
        assert_eq!(seen["mode"], "gradual", "{seen}");
        let found = evidence(&world.router).await;
        assert_eq!(found["rollbacks"], serde_json::json!([]), "{found}");
        abuse.stop().await;
        load.stop().await;
    }
}

#[tokio::test]
async fn the_only_caller_there_is_goes_back_when_new_fails_it() {
    let world = gradual("", 50.0).await;
    world.router.pin("user-7", "new").await;
    let few = |user: fn(usize, usize) -> usize| Manner { callers: 2, user, ..Manner::default() };
    // Two that legacy serves, so that there is something to compare with.
    for user in [1, 2] {
        world.router.pin(&format!("user-{user}"), "legacy").await;
    }
    let legacy = Load::with(&world.router, few(|caller, _| caller + 1));
    let only = Load::with(&world.router, few(|_, _| 7));
    legacy.more(300).await;
    world.new.on_all(Some(failing()));
    reaches(&world.router, "the rollback", rolled_back).await;
    only.more(50).await;
    legacy.stop().await;
    only.stop().await;
}
