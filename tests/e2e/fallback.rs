//! What new fails legacy answers, within the same request: when, for whom, and never twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use harness::backend::{answers, response};
use harness::{Answer, Client, Step, wait_for, wait_until};

use crate::world::World;

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

/// A world that serves by new, with what the file says of the fallback and of both upstreams.
async fn on_new(fallback: &str, upstreams: &str) -> World {
    let world = World::with(|setup| {
        setup
            .with_migration(&format!("key: [header:x-user-id]\n{fallback}"))
            .with_routes("- {migration: shop, path: /**}\n- {upstream: old, path: /plain}")
            .with_top("expose: true\nlog: {format: json, access: {sample: 0%}}")
            .with_upstreams(upstreams)
    })
    .await;
    world.router.mode("new_only").await;
    world
}

async fn count(world: &World, name: &str, labels: &str) -> u64 {
    let value = world.router.metric(name, labels).await.unwrap_or(0.0);
    format!("{value:.0}").parse().unwrap()
}

async fn fallbacks(world: &World) -> [u64; 3] {
    let mut counts = [0; 3];
    for (at, result) in ["answered", "failed", "refused"].into_iter().enumerate() {
        counts[at] = count(world, "crossfade_fallbacks_total", &format!("result=\"{result}\"")).await;
    }
    counts
}

fn met(answer: &Answer) -> (u16, String) {
    (answer.status(), answer.text())
}

fn from_legacy() -> (u16, String) {
    (200, "legacy".into())
}

fn failing(status: &str) -> Vec<Step> {
    answers(response(status, "of new"))
}

#[tokio::test]
async fn by_default_every_failure_of_new_is_answered_by_legacy() {
    let mut world = on_new("", "timeout: 300ms").await;
    let mut client = world.router.connect().await;
    for steps in [
        failing("500 Internal Server Error"),
        failing("503 Service Unavailable"),
        vec![Step::ReadBody, Step::AwaitClose],
        vec![Step::ReadBody, Step::Reset],
        vec![Step::ReadBody, Step::Close],
        answers("garbage\r\n\r\n"),
        answers("HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ] {
        world.new.on_all(Some(steps.clone()));
        assert_eq!(met(&client.get("/").await), from_legacy(), "{steps:?}");
    }
    world.new.on_all(Some(failing("404 Not Found")));
    assert_eq!(met(&client.get("/").await), (404, "of new".into()), "what the caller did wrong is no failure");
    world.new.stop().await;
    assert_eq!(met(&client.get("/").await), from_legacy());
    assert_eq!(fallbacks(&world).await, [8, 0, 0]);
}

#[tokio::test]
async fn only_what_the_file_names_falls_back() {
    for (when, expected) in [
        ("[502]", [true, false, false]),
        ("[5xx]", [true, true, false]),
        ("[reset]", [false, false, true]),
        ("[]", [false; 3]),
    ] {
        let world = on_new(&format!("fallback: {{when: {when}}}"), "").await;
        let mut client = world.router.connect().await;
        let scripts =
            [failing("502 Bad Gateway"), failing("500 Internal Server Error"), vec![Step::ReadBody, Step::Reset]];
        for (steps, expected) in scripts.into_iter().zip(expected) {
            world.new.on_all(Some(steps.clone()));
            let answer = client.get("/").await;
            assert_eq!(met(&answer) == from_legacy(), expected, "{when} {steps:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn nothing_falls_back_to_a_legacy_that_new_has_left_behind() {
    let mut world = on_new("reversible: false", "").await;
    world.new.on_all(Some(failing("500 Internal Server Error")));
    assert_eq!(met(&world.get("/").await), (500, "of new".into()));
    world.new.stop().await;
    assert_eq!(world.get("/").await.status(), 502);
    assert_eq!((fallbacks(&world).await, world.legacy.count()), ([0; 3], 0));
}

#[tokio::test]
async fn what_may_have_been_done_is_not_done_twice() {
    let world = on_new("fallback: {methods: idempotent}", "").await;
    world.new.on_all(Some(vec![Step::ReadBody, Step::Reset]));
    for (method, body, expected) in [
        ("GET", "", 200),
        ("OPTIONS", "", 200),
        ("DELETE", "", 200),
        ("POST", "", 502),
        ("PATCH", "", 502),
        ("PUT", "x=1", 502),
    ] {
        let answer = world.router.connect().await.request(method, "/", "", body).await;
        assert_eq!(answer.status(), expected, "{method} with {body:?}");
    }
    assert_eq!(world.legacy.count(), 3, "a body that was taken is not sent again");
}

#[tokio::test]
async fn what_never_reached_new_falls_back_whatever_it_is() {
    let mut world = on_new("", "").await;
    world.new.stop().await;
    let mut client = world.router.connect().await;
    assert_eq!(met(&client.request("POST", "/order", "", "x=1").await), from_legacy());
    let seen = world.legacy.only("/order").await;
    assert_eq!((seen.text().as_str(), seen.whole), ("x=1", true));
    client
        .send("PATCH /chunks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        .await;
    assert_eq!(met(&client.answer().await), from_legacy());
    assert_eq!(world.legacy.only("/chunks").await.text(), "abcde");
    assert_eq!(met(&client.get("/").await), from_legacy(), "the connection is in step");
}

/// New says no before it takes the body: the caller is then told to send it, once.
#[tokio::test]
async fn a_body_that_was_held_back_goes_to_legacy_whole() {
    let world = on_new("fallback: {methods: [PUT]}", "").await;
    world.new.on_all(Some(vec![Step::send(response("503 Service Unavailable", "full")), Step::AwaitClose]));
    world.legacy.on(
        "/up",
        [Step::send("HTTP/1.1 100 Continue\r\n\r\n"), Step::ReadBody, Step::send(response("200 OK", "taken"))],
    );
    let mut client = world.router.connect().await;
    client.send("PUT /up HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 100);
    client.send("hello").await;
    assert_eq!(met(&client.answer().await), (200, "taken".into()));
    let seen = world.legacy.only("/up").await;
    assert_eq!((seen.text().as_str(), seen.whole), ("hello", true));
}

#[tokio::test]
async fn a_caller_that_has_seen_something_of_new_stays_with_it() {
    let world = on_new("", "").await;
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n";
    world.new.on("/hints", [Step::ReadBody, Step::send(hints), Step::Reset]);
    let answer = world.get("/hints").await;
    assert_eq!((answer.status(), answer.interim.len()), (502, 1));
    world
        .new
        .on("/cut", [Step::ReadBody, Step::send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"), Step::Close]);
    assert!(!world.get("/cut").await.whole);
    assert_eq!(world.legacy.count(), 0);
    assert_eq!(fallbacks(&world).await, [0; 3]);
}

#[tokio::test]
async fn a_head_falls_back_without_a_body_and_the_connection_stays_in_step() {
    let world = on_new("", "").await;
    world.new.on_all(Some(vec![
        Step::ReadBody,
        Step::send("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 6\r\n\r\n"),
    ]));
    let mut client = world.router.connect().await;
    let answer = client.request("HEAD", "/", "", "").await;
    assert_eq!((answer.status(), answer.value("content-length").as_deref()), (200, Some("6")));
    world.new.on_all(None);
    assert_eq!(met(&client.get("/").await), (200, "new".into()));
}

#[tokio::test]
async fn requests_that_were_sent_ahead_are_answered_in_their_order() {
    let world = on_new("", "").await;
    world.new.once("/a", failing("500 Internal Server Error"));
    world.new.once("/c", failing("502 Bad Gateway"));
    let mut client = world.router.connect().await;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(["/a", "/b", "/c", "/d"].map(request).concat()).await;
    for expected in ["legacy", "new", "legacy", "new"] {
        assert_eq!(client.answer().await.text(), expected);
    }
}

#[tokio::test]
async fn a_tunnel_falls_back_only_where_new_was_not_reached() {
    let mut world = on_new("", "").await;
    let request = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
    world.legacy.on("/ws", [Step::send(SWITCH), Step::Echo]);
    world.new.on("/ws", failing("503 Service Unavailable"));
    let mut client = world.router.connect().await;
    client.send(request).await;
    assert_eq!(met(&client.answer().await), (503, "of new".into()));
    world.new.stop().await;
    let mut client = world.router.connect().await;
    client.send(request).await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status(), head.value("crossfade-side").as_deref()), (101, Some("legacy")));
    client.send("still there?").await;
    client.until(b"still there?").await;
    world.router.roll_back().await;
    client.send("and now?").await;
    client.until(b"and now?").await;
}

#[tokio::test]
async fn a_full_legacy_is_not_asked_and_the_caller_meets_new() {
    let world = on_new("", "in_flight: 1, queue: 8, queue_timeout: 20s").await;
    world.legacy.on("/plain", [Step::ReadBody, Step::AwaitRelease, Step::send(response("200 OK", "late"))]);
    let mut busy = world.router.connect().await;
    busy.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/plain").await;
    world.new.on_all(Some(failing("503 Service Unavailable")));
    let mut client = world.router.connect().await;
    assert_eq!(met(&client.get("/").await), (503, "of new".into()), "its answer was kept until legacy had said yes");
    world.new.on_all(Some(vec![Step::ReadBody, Step::Reset]));
    assert_eq!(client.get("/").await.value("crossfade-error").as_deref(), Some("upstream_reset"));
    assert_eq!(fallbacks(&world).await, [0, 0, 2]);
    world.legacy.release();
    assert_eq!(busy.answer().await.text(), "late");
    assert_eq!(met(&client.get("/").await), from_legacy(), "there is a place again");
}

#[tokio::test]
async fn what_new_has_no_place_for_goes_to_legacy() {
    let world = on_new("", "in_flight: 1, queue: 0").await;
    world.new.on("/hang", [Step::ReadBody, Step::AwaitRelease, Step::send(response("200 OK", "late"))]);
    let mut busy = world.router.connect().await;
    busy.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.new.only("/hang").await;
    assert_eq!(met(&world.get("/").await), from_legacy());
    assert_eq!(count(&world, "crossfade_failures_total", "side=\"new\",failure=\"shed\"").await, 1);
    world.new.release();
    assert_eq!(busy.answer().await.text(), "late");
}

#[tokio::test]
async fn while_checks_hold_new_out_legacy_answers_and_new_is_left_alone() {
    let world = on_new("", "health: {path: /health, interval: 100ms, fall: 1, rise: 1}").await;
    world.new.on("/health", failing("503 Service Unavailable"));
    wait_for("the checks hold new out", || async {
        let up = world.router.metric("crossfade_upstream_up", "upstream=\"fresh\"").await;
        up.filter(|up| *up < 1.0)
    })
    .await;
    assert_eq!(met(&world.get("/thing").await), from_legacy());
    assert_eq!(world.new.seen_at("/thing").len(), 0);
    assert_eq!(count(&world, "crossfade_failures_total", "side=\"new\",failure=\"no_endpoint\"").await, 1);
}

#[tokio::test]
async fn a_timeout_of_new_leaves_legacy_its_own() {
    let world = on_new("", "timeout: 2s").await;
    world.new.on("/slow", [Step::ReadBody, Step::AwaitClose]);
    let late = Step::Wait(std::time::Duration::from_millis(100));
    world.legacy.on("/slow", [Step::ReadBody, late, Step::send(response("200 OK", "late"))]);
    assert_eq!(met(&world.get("/slow").await), (200, "late".into()), "what is left of new's would be nothing");
}

#[tokio::test]
async fn with_both_sides_down_the_caller_meets_legacy_and_each_is_counted_once() {
    let mut world = on_new("", "").await;
    world.new.stop().await;
    world.legacy.on_all(Some(failing("503 Service Unavailable")));
    assert_eq!(met(&world.get("/").await), (503, "of new".into()), "legacy's script says so here");
    world.legacy.stop().await;
    let answer = world.get("/").await;
    assert_eq!((answer.status(), answer.value("crossfade-error").as_deref()), (502, Some("upstream_unreachable")));
    assert_eq!(fallbacks(&world).await, [0, 2, 0]);
    assert_eq!(count(&world, "crossfade_attempts_total", "side=\"new\",result=\"failed\"").await, 2);
    assert_eq!(count(&world, "crossfade_attempts_total", "side=\"legacy\"").await, 0, "legacy was not asked first");
    assert_eq!(count(&world, "crossfade_requests_total", "side=\"legacy\",code_class=\"5xx\"").await, 2);
    assert_eq!(count(&world, "crossfade_requests_total", "side=\"new\"").await, 0);
    assert_eq!(count(&world, "crossfade_failures_total", "side=\"legacy\",failure=\"connect\"").await, 1);
    assert_eq!(count(&world, "crossfade_failures_total", "side=\"new\",failure=\"connect\"").await, 2);
}

#[tokio::test]
async fn the_second_attempt_says_what_it_is_and_keeps_the_request_id() {
    let world = on_new("", "").await;
    world.new.on_all(Some(failing("500 Internal Server Error")));
    let answer = world.get("/thing?q=1").await;
    assert_eq!(answer.value("crossfade-side").as_deref(), Some("legacy"));
    assert_eq!(answer.value("crossfade-fallback").as_deref(), Some("1"));
    let (first, second) = (world.new.only("/thing").await, world.legacy.only("/thing").await);
    assert_eq!(
        (first.head.values("crossfade-side"), second.head.values("crossfade-side")),
        (vec!["new".to_owned()], vec!["legacy".to_owned()])
    );
    assert_eq!(first.head.first_line(), second.head.first_line());
    let id = |seen: &harness::Seen| seen.head.value("x-request-id");
    assert!(id(&first).is_some() && id(&first) == id(&second), "{first:?} {second:?}");
    world.router.wait_until_printed("\"fallback\":\"5xx\"").await;
    world.new.on_all(None);
    assert_eq!(world.get("/").await.value("crossfade-fallback"), None);
}

#[tokio::test]
async fn a_failure_that_is_answered_whole_keeps_its_connection() {
    let world = on_new("", "").await;
    world.new.on_all(Some(failing("500 Internal Server Error")));
    let mut client = world.router.connect().await;
    for _ in 0..20 {
        assert_eq!(met(&client.get("/").await), from_legacy());
    }
    assert_eq!((world.new.count(), world.new.accepted()), (20, 1));
    world.new.on_all(Some(vec![
        Step::ReadBody,
        Step::send("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 10\r\n\r\n"),
        Step::AwaitClose,
    ]));
    assert_eq!(met(&client.get("/").await), from_legacy());
    wait_until("an answer that does not end is let go", || world.new.open() == 0).await;
}

const CALLERS: usize = 8;

/// Requests that are certainly made in each state.
const REQUESTS: usize = 400;

#[tokio::test]
async fn with_new_entirely_down_no_safe_request_fails() {
    // Without a guard, which would roll back and leave the fallback nothing to do.
    let mut world = World::with(|setup| setup.with_migration("key: [header:x-user-id]\nguard: {action: off}")).await;
    let (done, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (done, failed, stop) = (Arc::clone(&done), Arc::clone(&failed), Arc::clone(&stop));
            let data = world.router.data;
            tokio::spawn(async move {
                let mut client = Client::connect(data).await;
                let mut user = caller;
                while !stop.load(Ordering::SeqCst) {
                    user += CALLERS;
                    let answer = client.get_with("/", &format!("X-User-Id: u{user}\r\n")).await;
                    let served = answer.status() == 200 && answer.whole;
                    failed.fetch_add(usize::from(!served), Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let more = async || {
        let enough = done.load(Ordering::SeqCst) + REQUESTS;
        wait_until("the load goes on", || done.load(Ordering::SeqCst) >= enough).await;
    };
    world.router.rollout(50.0).await;
    for mode in ["gradual", "new_only"] {
        world.router.mode(mode).await;
        more().await;
        world.new.stop().await;
        more().await;
        world.new.restart().await;
        world.new.on_all(Some(failing("503 Service Unavailable")));
        more().await;
        world.new.on_all(None);
        more().await;
    }
    stop.store(true, Ordering::SeqCst);
    for task in load {
        task.await.unwrap();
    }
    assert_eq!(failed.load(Ordering::SeqCst), 0, "of {} requests", done.load(Ordering::SeqCst));
    let [answered, unanswered, refused] = fallbacks(&world).await;
    assert!(answered as usize >= REQUESTS && unanswered + refused == 0, "{answered} {unanswered} {refused}");
}

#[tokio::test]
async fn what_new_may_have_done_before_it_went_away_is_not_done_by_legacy_too() {
    let mut world = on_new("", "").await;
    let mut client = world.router.connect().await;
    assert_eq!(client.get("/").await.status(), 200, "its connection to new is kept");
    world.new.on("/once", [Step::ReadBody, Step::AwaitClose]);
    client.send("DELETE /once HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.new.only("/once").await;
    // The try is repeated, as an idempotent request on a reused connection may be, and meets nobody.
    world.new.stop().await;
    assert_eq!(client.answer().await.status(), 502);
    assert_eq!(world.legacy.seen_at("/once").len(), 0);
    assert_eq!(fallbacks(&world).await, [0, 0, 0]);
}
