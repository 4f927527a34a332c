//! A frozen environment: nothing moves toward new, and the way back is open.

use harness::router::Finished;
use harness::{RedisServer, Setup, wait_for};
use serde_json::{Value, json};

use crate::operations::command;
use crate::world::World;

#[tokio::test]
async fn a_freeze_by_command_holds_over_a_restart_until_it_is_thawed() {
    let mut world = World::start().await;
    let ok = |finished: Finished| {
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    };
    ok(command(&world, &["mode", "shop", "gradual", "--reason", "start"]).await);
    ok(command(&world, &["rollout", "shop", "50", "--reason", "half"]).await);
    let said = ok(command(&world, &["freeze", "--reason", "release day", "--for", "2h"]).await);
    assert!(said.contains("frozen by ann") && said.contains("crossfade thaw"), "{said}");
    let all_in = ["rollout", "shop", "100", "--reason", "all in"];
    for restarted in [false, true] {
        if restarted {
            world.router = world.router.start_again().await;
        }
        let refused = command(&world, &all_in).await;
        assert_eq!(refused.code, Some(6), "{refused:?}");
        for part in ["\"ann\"", "release day", "until", "crossfade thaw", "force", "[409 frozen]"] {
            assert!(refused.stderr.contains(part), "{part:?} in {refused:?}");
        }
        let status = ok(command(&world, &["status"]).await);
        assert!(status.contains("frozen by ann since") && status.contains("release day"), "{status}");
        let status: Value =
            serde_json::from_str(&ok(command(&world, &["status", "shop", "-o", "json"]).await)).unwrap();
        assert_eq!(status["freeze"]["reason"], "release day", "{status}");
    }
    let forced = command(&world, &["rollout", "shop", "60", "--reason", "must be", "--force"]).await;
    assert!(forced.code == Some(0) && forced.stderr.contains("warning: the environment is frozen"), "{forced:?}");
    ok(command(&world, &["rollout", "shop", "10", "--reason", "less"]).await);
    ok(command(&world, &["rollback", "shop", "--reason", "fire"]).await);
    assert_eq!(world.side_of("u").await, "legacy");
    ok(command(&world, &["acknowledge", "shop", "--to", "legacy_only", "--reason", "understood"]).await);
    assert_eq!(command(&world, &["mode", "shop", "new_only", "--reason", "again"]).await.code, Some(6));

    let thawed = ok(command(&world, &["thaw", "--reason", "over", "-o", "json"]).await);
    assert_eq!(serde_json::from_str::<Value>(&thawed).unwrap()["frozen"], false, "{thawed}");
    ok(command(&world, &["mode", "shop", "new_only", "--reason", "again"]).await);
    assert_eq!(world.side_of("u").await, "new");
    assert!(!ok(command(&world, &["status"]).await).contains("frozen"));
    let freeze = world.router.api("GET", "/freeze", None).await.json();
    let kinds: Vec<_> = freeze["history"].as_array().unwrap().iter().map(|entry| entry["kind"].clone()).collect();
    assert_eq!(kinds, ["thaw", "freeze"], "{freeze}");
    assert!(world.router.printed().contains("the environment is thawed"), "the log tells of it");
}

#[tokio::test]
async fn a_freeze_made_on_one_router_holds_for_all_at_once() {
    let Some(redis) = RedisServer::start().await else { return };
    let world = World::with(|setup| setup.with_redis(&redis.url())).await;
    let second = Setup::new(world.legacy.address, world.new.address).with_redis(&redis.url()).start().await;
    let frozen = world.router.api("PUT", "/freeze", Some(json!({"reason": "holidays"}))).await;
    assert_eq!(frozen.status(), 200, "{frozen:?}");
    let body = json!({"mode": "new_only", "reason": "x"});
    let refused = second.api("PUT", "/migrations/shop/mode", Some(body.clone())).await;
    assert_eq!((refused.status(), &refused.json()["code"]), (409, &json!("frozen")), "{refused:?}");
    wait_for("the other router shows it", || async {
        let all = second.api("GET", "/migrations", None).await.json();
        (all["freeze"]["reason"] == "holidays").then_some(())
    })
    .await;
    let thawed = second.api("DELETE", "/freeze", Some(json!({"reason": "back"}))).await;
    assert_eq!(thawed.status(), 200, "{thawed:?}");
    assert_eq!(world.router.api("PUT", "/migrations/shop/mode?wait=10s", Some(body)).await.status(), 200);
    assert_eq!(world.get("/").await.text(), "new");
}
