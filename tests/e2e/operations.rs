//! Starting, reloading, stopping, watching: what an operator does to a router.

use harness::backend::response;
use harness::router::{Finished, crossfade, crossfade_in};
use harness::{Setup, Step, wait_for, wait_until};
use serde_json::Value;

use crate::world::World;

/// Runs a command against the admin side of a router, as an admin.
pub(crate) async fn command(world: &World, arguments: &[&str]) -> Finished {
    let environment = [
        ("CROSSFADE_ADMIN".to_owned(), format!("http://{}", world.router.admin)),
        ("CROSSFADE_TOKEN".to_owned(), "admin-secret".to_owned()),
    ];
    crossfade_in(world.router.directory(), arguments, &environment).await
}

#[tokio::test]
async fn a_bad_file_binds_nothing_and_shows_every_error() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = "listen:\n  - address: 127.0.0.1:0\nupstreams:\n  old: {endpoints: [http://127.0.0.1:1]}\nmigrations:\n  - id: Bad Id\n    legacy: old\n    new: nowhere\n    hash: md5\nroutes:\n  - {migration: shop, path: nope}\n";
    std::fs::write(directory.path().join("bad.yaml"), file).unwrap();
    for arguments in [["serve", "-c", "bad.yaml"], ["check", "-c", "bad.yaml"]] {
        let finished = crossfade_in(directory.path(), &arguments, &[]).await;
        assert_eq!(finished.code, Some(3), "{finished:?}");
        for (line, what) in [(6, "Bad Id"), (8, "nowhere"), (9, "md5"), (11, "nope")] {
            assert!(finished.stderr.contains(&format!("bad.yaml:{line}:")), "line {line}: {}", finished.stderr);
            assert!(finished.stderr.contains(what), "{what}: {}", finished.stderr);
        }
        assert!(finished.stderr.contains('^'), "a caret points at it: {}", finished.stderr);
        assert!(!finished.stdout.contains("ready"), "{finished:?}");
    }
    assert!(!directory.path().join("crossfade.redb").exists(), "nothing was created");
    let missing = crossfade_in(directory.path(), &["serve", "-c", "none.yaml"], &[]).await;
    assert_eq!(missing.code, Some(3), "{missing:?}");
    assert!(missing.stderr.contains("none.yaml"), "{missing:?}");
}

#[tokio::test]
async fn the_command_line_has_its_exit_codes() {
    assert_eq!(crossfade(&["--version"]).await.code, Some(0));
    assert_eq!(crossfade(&["no-such-command"]).await.code, Some(2));
    assert_eq!(crossfade(&["mode", "shop"]).await.code, Some(2));
    let unreachable = format!("http://{}", harness::backend::refused_address());
    let status = crossfade(&["status", "--admin", &unreachable, "--token", "x"]).await;
    assert_eq!(status.code, Some(4), "{status:?}");
    assert!(!status.stderr.is_empty() && status.stdout.is_empty(), "{status:?}");
    let schema = crossfade(&["schema"]).await;
    assert_eq!(schema.code, Some(0));
    assert!(serde_json::from_str::<Value>(&schema.stdout).unwrap()["properties"]["migrations"].is_object());
    let completions = crossfade(&["completions", "bash"]).await;
    assert!(completions.code == Some(0) && completions.stdout.contains("crossfade"), "{completions:?}");
    let token = crossfade(&["token", "create", "--name", "ci", "--role", "operator"]).await;
    assert!(token.code == Some(0) && token.stdout.contains("sha256"), "{token:?}");
}

#[tokio::test]
async fn the_commands_drive_a_rollout() {
    let world = World::start().await;
    let ok = |finished: Finished| {
        assert_eq!(finished.code, Some(0), "{finished:?}");
        finished.stdout
    };
    let status = ok(command(&world, &["status"]).await);
    assert!(status.contains("shop") && status.contains("legacy_only"), "{status}");
    let as_json = ok(command(&world, &["status", "-o", "json"]).await);
    assert!(serde_json::from_str::<Value>(&as_json).is_ok(), "{as_json}");

    ok(command(&world, &["mode", "shop", "gradual", "--reason", "start"]).await);
    let said = ok(command(&world, &["rollout", "shop", "100", "--reason", "all in"]).await);
    assert!(said.contains("undo"), "{said}");
    assert_eq!(world.side_of("u").await, "new");
    ok(command(&world, &["rollout", "shop", "0", "--reason", "look", "--dry-run"]).await);
    assert_eq!(world.side_of("u").await, "new");
    let explained = ok(command(&world, &["explain", "shop", "--key", "u"]).await);
    assert!(explained.contains("new") && explained.contains("percent"), "{explained}");
    ok(command(&world, &["pin", "shop", "u", "legacy", "--for", "1h", "--reason", "complaint"]).await);
    assert_eq!(world.side_of("u").await, "legacy");
    ok(command(&world, &["unpin", "shop", "u", "--reason", "solved"]).await);
    assert_eq!(world.side_of("u").await, "new");
    ok(command(&world, &["undo", "shop", "--reason", "again"]).await);
    assert_eq!(world.side_of("u").await, "legacy", "the inverse of the last change is the pin");
    ok(command(&world, &["rollback", "shop", "--reason", "fire"]).await);
    assert_eq!(world.side_of("other").await, "legacy");
    ok(command(&world, &["acknowledge", "shop", "--to", "legacy_only", "--reason", "understood"]).await);
    let history = ok(command(&world, &["history", "shop"]).await);
    assert!(history.contains("fire") && history.contains("understood"), "{history}");

    for (arguments, code) in [
        (&["rollout", "shop", "101", "--reason", "x"][..], 2),
        (&["mode", "shop", "sideways", "--reason", "x"], 2),
        (&["mode", "shop", "gradual", "--reason", "x", "--if-revision", "1"], 5),
        (&["acknowledge", "shop", "--to", "parallel", "--reason", "x"], 6),
        (&["mode", "other", "gradual", "--reason", "x"], 1),
        (&["status", "--token", "wrong"], 4),
    ] {
        let finished = command(&world, arguments).await;
        assert_eq!(finished.code, Some(code), "{arguments:?}: {finished:?}");
    }
}

#[tokio::test]
async fn a_reload_adds_a_route_and_a_bad_file_changes_nothing() {
    let world = World::start().await;
    let directory = world.router.directory().to_owned();
    let setup = Setup::new(world.legacy.address, world.new.address);
    let mut client = world.router.connect().await;
    assert_eq!(client.get("/static/x").await.text(), "legacy");

    world.router.reload("listen: [").await;
    world.router.wait_until_printed("crossfade.yaml").await;
    assert_eq!(client.get("/static/x").await.text(), "legacy");
    assert_eq!(world.router.readiness().await, 200);

    let routes = "- {migration: shop, path: /**}\n- {upstream: fresh, path: /static/**}";
    world.router.reload(&setup.with_routes(routes).file(&directory)).await;
    wait_for("the new route is there", || async {
        let answer = world.get("/static/x").await;
        assert_eq!(answer.status(), 200, "no request fails meanwhile");
        (answer.text() == "new").then_some(())
    })
    .await;
    assert_eq!(client.get("/static/x").await.text(), "new", "an open connection follows too");
    assert_eq!(client.get("/").await.text(), "legacy");
}

#[tokio::test]
async fn term_finishes_what_is_open_and_exits_0() {
    let mut world = World::start().await;
    world.legacy.on("/slow", [Step::ReadBody, Step::AwaitRelease, Step::send(response("200 OK", "finished"))]);
    let mut idle = world.router.connect().await;
    assert_eq!(idle.get("/").await.status(), 200);
    let mut client = world.router.connect().await;
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/slow").await;
    world.router.signal("TERM").await;
    let (data, legacy) = (world.router.data, &world.legacy);
    wait_for("new connections are refused", || async {
        tokio::net::TcpStream::connect(data).await.is_err().then_some(())
    })
    .await;
    legacy.release();
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.value("connection").as_deref()), ("finished", Some("close")));
    assert!(idle.closes().await, "an idle connection is closed");
    assert_eq!(world.router.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let mut world = World::start().await;
    world.legacy.on("/hang", [Step::ReadBody, Step::AwaitClose]);
    let mut client = world.router.connect().await;
    client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/hang").await;
    world.router.signal("INT").await;
    let data = world.router.data;
    wait_for("it drains", || async { tokio::net::TcpStream::connect(data).await.is_err().then_some(()) }).await;
    world.router.signal("INT").await;
    world.router.ended().await;
}

#[tokio::test]
async fn the_kill_file_sends_everything_to_legacy_while_it_exists() {
    let directory = tempfile::TempDir::new().unwrap();
    let kill = directory.path().join("kill");
    let world = World::with(|setup| setup.with_top(&format!("kill_file: {}", kill.display()))).await;
    world.router.mode("new_only").await;
    assert_eq!(world.get("/").await.text(), "new");
    std::fs::write(&kill, "").unwrap();
    wait_for("everything goes to legacy", || async { (world.get("/").await.text() == "legacy").then_some(()) }).await;
    assert_eq!(world.router.migration().await["mode"], "new_only", "the stored mode is as it was");
    std::fs::remove_file(&kill).unwrap();
    wait_for("the stored mode holds again", || async { (world.get("/").await.text() == "new").then_some(()) }).await;
}

#[tokio::test]
async fn the_metrics_are_there_from_the_start_and_count() {
    let world = World::start().await;
    for name in [
        "crossfade_requests_total",
        "crossfade_decisions_total",
        "crossfade_mirrors_total",
        "crossfade_mirrors_dropped_total",
        "crossfade_mode_info",
        "crossfade_rollout_ratio",
        "crossfade_build_info",
        "crossfade_request_duration_seconds_count",
        "crossfade_added_latency_seconds_count",
        "crossfade_store_revision",
    ] {
        assert!(world.router.metric(name, "").await.is_some(), "{name} exists before the first request");
    }
    assert_eq!(world.router.metric("crossfade_requests_total", "").await, Some(0.0));
    let mut client = world.router.connect().await;
    for _ in 0..7 {
        client.get("/").await;
    }
    world.router.mode("new_only").await;
    for _ in 0..3 {
        client.get("/").await;
    }
    wait_for("all are counted", || async {
        let legacy = world.router.metric("crossfade_requests_total", "side=\"legacy\"").await;
        let new = world.router.metric("crossfade_requests_total", "side=\"new\"").await;
        (legacy == Some(7.0) && new == Some(3.0)).then_some(())
    })
    .await;
    let new_only = world.router.metric("crossfade_mode_info", "mode=\"new_only\"").await;
    assert_eq!(new_only, Some(1.0));
    let page = world.router.call("", "GET", "/metrics", "", None).await;
    assert!(page.value("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{:?}", page.head);
}

#[tokio::test]
async fn an_access_line_cannot_be_forged() {
    let world = World::with(|setup| setup.with_top("log: {format: json, access: {sample: 100%}}")).await;
    let mut client = world.router.connect().await;
    client.get_with("/%0aforged", "X-Request-Id: a\" b\\ {}=[31m\r\nUser-Agent: \u{85}x\r\n").await;
    client.get("/seen-in-log").await;
    wait_until("the access line is there", || world.router.printed().contains("seen-in-log")).await;
    for line in world.router.printed().lines().filter(|line| !line.starts_with("ready ")) {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "not JSON: {line:?}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
}
