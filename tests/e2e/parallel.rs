//! What parallel mode copies, when, and what it leaves alone.

use harness::backend::{answers, response};
use harness::{Step, wait_for, wait_until};

use crate::world::{World, patient};

/// A world in mode parallel, with what the file says of it.
async fn in_parallel(parallel: &str, upstreams: &str) -> World {
    let parallel = patient(parallel);
    let world = World::with(|setup| {
        let setup = setup.with_migration(&format!("key: [header:x-user-id]\nparallel: {{{parallel}}}"));
        let setup = if upstreams.is_empty() { setup } else { setup.with_upstreams(upstreams) };
        setup.with_routes("- {migration: shop, path: '/orders/{id}'}\n- {migration: shop, path: /**}")
    })
    .await;
    world.router.mode("parallel").await;
    world
}

async fn count(world: &World, name: &str, labels: &str) -> u64 {
    let value = world.router.metric(name, labels).await.unwrap_or(0.0);
    format!("{value:.0}").parse().unwrap()
}

async fn dropped(world: &World, reason: &str) -> u64 {
    count(world, "crossfade_mirrors_dropped_total", &format!("reason=\"{reason}\"")).await
}

async fn wait_for_dropped(world: &World, reason: &str, expected: u64) {
    wait_for(&format!("{expected} copies are dropped for {reason}"), || async {
        (dropped(world, reason).await == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_body_is_copied_whole_or_not_at_all() {
    let world = in_parallel("noise: 0%, request_max: 1KiB", "").await;
    let mut client = world.router.connect().await;
    client.send("GET /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    // Half of it has been there for as long as a whole one takes.
    client.send("2\r\nde\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "legacy");
    let copy = world.new.only("/chunked").await;
    assert_eq!((copy.text().as_str(), copy.whole), ("abcde", true));
    assert_eq!(copy.head.values("content-length"), ["5"]);

    let body = "x".repeat(1_024);
    assert_eq!(client.request("GET", "/most", "", &body).await.text(), "legacy");
    assert_eq!(world.new.only("/most").await.body_bytes, 1_024);
    assert_eq!(client.request("GET", "/more", "", &(body + "x")).await.text(), "legacy");
    wait_for_dropped(&world, "body_too_large", 1).await;

    let mut leaves = world.router.connect().await;
    leaves.send("GET /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await;
    wait_until("legacy has the beginning", || !world.legacy.seen_at("/cut").is_empty()).await;
    drop(leaves);
    wait_for_dropped(&world, "cancelled", 1).await;
    // A copy of a later request is there, so one of these would be.
    client.get("/later").await;
    world.new.only("/later").await;
    assert!(world.new.seen_at("/more").is_empty() && world.new.seen_at("/cut").is_empty());
}

#[tokio::test]
async fn a_request_that_was_answered_before_it_was_whole_is_not_copied() {
    let world = in_parallel("noise: 0%", "").await;
    world
        .legacy
        .on("/early", [Step::send("HTTP/1.1 413 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), Step::Close]);
    let mut client = world.router.connect().await;
    client.send("GET /early HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc").await;
    assert_eq!(client.answer().await.status(), 413);
    drop(client);
    wait_for_dropped(&world, "refused", 1).await;
    assert!(world.new.seen().is_empty());
}

#[tokio::test]
async fn a_write_is_copied_by_opt_in_after_a_2xx_and_never_twice() {
    let writes = "writes: [{path: '/orders/{id}', methods: [POST], dry_run: true}], noise: 20%";
    let world = in_parallel(writes, "").await;
    world.legacy.on("/orders/wrong", answers(response("409 Conflict", "no")));
    let mut client = world.router.connect().await;
    for round in 0..40 {
        let path = format!("/orders/no-{round}-");
        assert_eq!(client.request("POST", &path, "", "x=1").await.text(), "legacy");
        let (primary, copy) = (world.legacy.only(&path).await, world.new.only(&path).await);
        assert_eq!((copy.text().as_str(), copy.head.method().as_str()), ("x=1", "POST"));
        assert_eq!(copy.head.values("crossfade-mirror"), ["1"]);
        let id = primary.head.value("x-request-id").unwrap();
        assert_eq!(copy.head.value("x-request-id"), Some(id.clone()));
        assert_eq!(copy.head.value("idempotency-key"), Some(id), "it is made of the request id");
    }
    assert_eq!(world.legacy.count(), 40, "no write is a noise request");
    client.request("POST", "/orders/key", "Idempotency-Key: mine\r\n", "x=1").await;
    assert_eq!(world.new.only("/orders/key").await.head.values("idempotency-key"), ["mine"]);
    assert_eq!(client.request("POST", "/orders/wrong", "", "x=1").await.status(), 409);
    assert_eq!(client.request("PUT", "/orders/put", "", "x=1").await.text(), "legacy");
    assert_eq!(client.request("POST", "/other", "", "x=1").await.text(), "legacy");
    client.request("POST", "/orders/later", "", "").await;
    world.new.only("/orders/later").await;
    for path in ["/orders/wrong", "/orders/put", "/other"] {
        assert!(world.new.seen_at(path).is_empty(), "{path}");
    }
}

#[tokio::test]
async fn conditions_stay_with_the_caller_and_conversations_are_not_copied() {
    let world = in_parallel("noise: 0%", "").await;
    let mut client = world.router.connect().await;
    let conditions = "If-None-Match: \"a\"\r\nIF-Modified-Since: x\r\nIf-Other: y\r\nRange: bytes=0-1\r\n";
    assert_eq!(client.get_with("/conditional", conditions).await.text(), "legacy");
    let (primary, copy) = (world.legacy.only("/conditional").await, world.new.only("/conditional").await);
    for name in ["if-none-match", "if-modified-since"] {
        assert!(primary.head.value(name).is_some() && copy.head.value(name).is_none(), "{name}: {copy:?}");
    }
    assert!(copy.head.value("if-other").is_some() && copy.head.value("range").is_some(), "{copy:?}");
    assert_eq!(copy.head.value("host"), primary.head.value("host"));

    assert_eq!(client.get_with("/events", "Accept: a/b, text/event-stream\r\n").await.text(), "legacy");
    assert_eq!(client.get_with("/upgrade", "Upgrade: websocket\r\nConnection: upgrade\r\n").await.status(), 200);
    let mut client = world.router.connect().await;
    client.send("GET /expect HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx").await;
    wait_until("legacy sees it", || !world.legacy.seen_at("/expect").is_empty()).await;
    let mut client = world.router.connect().await;
    client.get("/later").await;
    world.new.only("/later").await;
    assert_eq!(world.new.count(), 2, "{:?}", world.new.seen());
}

#[tokio::test]
async fn where_new_serves_legacy_gets_the_copies_and_stays_fit_to_serve() {
    let mut world = in_parallel("serve: new, noise: 0%, timeout: 300ms", "").await;
    let mut client = world.router.connect().await;
    assert_eq!(client.get("/warm").await.text(), "new");
    let copy = world.legacy.only("/warm").await;
    assert_eq!(copy.head.values("crossfade-mirror"), ["1"]);
    assert_eq!(copy.head.values("crossfade-side"), ["legacy"]);
    world.legacy.on_all(Some(vec![Step::ReadBody, Step::AwaitClose]));
    for round in 0..60 {
        assert_eq!(client.get("/").await.text(), "new", "round {round}");
    }
    wait_for("the breaker opens", || async {
        assert_eq!(world.get("/").await.text(), "new");
        (dropped(&world, "breaker").await > 0).then_some(())
    })
    .await;
    world.legacy.stop().await;
    for round in 0..20 {
        assert_eq!(client.get("/").await.text(), "new", "round {round}");
    }
    // What legacy did to copies is not held against it when it serves.
    world.legacy.on_all(None);
    world.legacy.restart().await;
    world.router.mode("legacy_only").await;
    for round in 0..20 {
        assert_eq!(client.get("/").await.text(), "legacy", "round {round}");
    }
    assert_eq!(count(&world, "crossfade_upstream_ejections_total", "").await, 0);
}

#[tokio::test]
async fn some_of_what_is_copied_legacy_is_asked_again() {
    let world = in_parallel("noise: 20%", "").await;
    let mut client = world.router.connect().await;
    for _ in 0..200 {
        assert_eq!(client.get("/").await.text(), "legacy");
    }
    let noise = wait_for("the second requests have ended", || async {
        let sent = count(&world, "crossfade_mirrors_total", "side=\"legacy\"").await;
        let ended = count(&world, "crossfade_mirrors_finished_total", "side=\"legacy\",result=\"answered\"").await;
        (sent > 0 && sent == ended).then_some(sent)
    })
    .await;
    assert!((10..90).contains(&noise), "about 40 of 200, not {noise}");
    wait_until("legacy has seen them", || world.legacy.count() as u64 == 200 + noise).await;
    // They say nothing of legacy to the guard: each request is one attempt of either side.
    wait_for("attempts are counted", || async {
        let of = async |side: &str| count(&world, "crossfade_attempts_total", &format!("side=\"{side}\"")).await;
        (of("legacy").await == 200 && of("new").await == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_side_that_answers_no_copies_is_left_alone_and_tried_again() {
    let mut world = in_parallel("noise: 0%", "").await;
    let mut client = world.router.connect().await;
    client.get("/").await;
    world.new.stop().await;
    wait_for("copies stop", || async {
        assert_eq!(world.get("/").await.text(), "legacy");
        (dropped(&world, "breaker").await > 0).then_some(())
    })
    .await;
    assert_eq!(count(&world, "crossfade_mirror_breaker_opened_total", "").await, 1);
    world.router.wait_until_printed("more than half of the last copies got no answer").await;
    world.new.restart().await;
    world.new.forget();
    wait_for("copies come again", || async {
        assert_eq!(world.get("/").await.text(), "legacy");
        (world.new.count() > 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_copy_whose_own_time_is_over_says_nothing_of_its_side() {
    let failed =
        |world: World| async move { count(&world, "crossfade_attempts_total", "side=\"new\",result=\"failed\"").await };
    for (parallel, upstreams, blamed) in
        [("noise: 0%, timeout: 200ms", "", 0), ("noise: 0%, timeout: 3s", "timeout: 200ms", 1)]
    {
        let world = in_parallel(parallel, upstreams).await;
        world.new.on_all(Some(vec![Step::ReadBody, Step::AwaitClose]));
        assert_eq!(world.get("/").await.text(), "legacy");
        wait_for("the copy has ended", || async {
            let ended = count(&world, "crossfade_mirrors_finished_total", "side=\"new\",result=\"failed\"").await;
            (ended == 1).then_some(())
        })
        .await;
        assert_eq!(failed(world).await, blamed, "{parallel} {upstreams}");
    }
}

#[tokio::test]
async fn what_has_no_place_is_dropped_and_counted() {
    let world = in_parallel("noise: 0%, timeout: 20s, budget: {in_flight: 2}", "").await;
    world.new.on_all(Some(vec![Step::ReadBody, Step::AwaitRelease, Step::send(response("200 OK", "late"))]));
    let mut client = world.router.connect().await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.text(), "legacy");
    }
    wait_for_dropped(&world, "busy", 8).await;
    wait_until("two copies are under way", || world.new.count() == 2).await;
    (0..2).for_each(|_| world.new.release());
    wait_for("their places are free", || async {
        world.get("/").await;
        (world.new.count() > 2).then_some(())
    })
    .await;
}

fn answer(lines: &str, body: impl AsRef<[u8]>) -> Vec<Step> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    answers(bytes)
}

/// The four ends of what was to be compared: matched, ignored, mismatched, not compared.
async fn ends(world: &World) -> [u64; 4] {
    let mut ends = [0; 4];
    for (at, result) in ["matched", "ignored", "mismatched", "not_compared"].into_iter().enumerate() {
        ends[at] = count(world, "crossfade_comparisons_total", &format!("result=\"{result}\"")).await;
    }
    ends
}

/// One request to which both sides answer so ends like this, for this reason if it is not compared.
async fn check_end(world: &World, request: (&str, &str), sides: [Vec<Step>; 2], end: usize, reason: &str) {
    let [legacy, new] = sides;
    world.legacy.on("/pair", legacy);
    world.new.on("/pair", new);
    let mut expected = ends(world).await;
    expected[end] += 1;
    let of_reason = || count(world, "crossfade_comparisons_not_made_total", reason);
    let before = of_reason().await;
    let (method, lines) = request;
    let met = world.router.connect().await.request(method, "/pair", lines, "").await;
    assert!(met.whole, "{request:?}: {met:?}");
    wait_for(&format!("{request:?} ends as {expected:?}, not {:?}", ends(world).await), || async {
        (ends(world).await == expected).then_some(())
    })
    .await;
    if !reason.is_empty() {
        assert_eq!(of_reason().await, before + 1, "{request:?} was not compared for another reason");
    }
}

const MATCHED: usize = 0;
const IGNORED: usize = 1;
const MISMATCHED: usize = 2;
const NOT_COMPARED: usize = 3;

#[tokio::test]
async fn each_request_that_is_copied_ends_in_one_of_four_counts() {
    let rules = "rules: [{path: $.at, kind: ignore, owner: ann, reason: a clock}]";
    let world = in_parallel(&format!("noise: 0%, compare: {{{rules}}}"), "").await;
    let get = ("GET", "");
    let json = |body: &str| answer("Content-Type: application/json\r\n", body);
    check_end(&world, get, [json(r#"{"a":1,"b":[2]}"#), json(r#"{"b":[2],"a":1.0}"#)], MATCHED, "").await;
    check_end(&world, get, [json(r#"{"at":1}"#), json(r#"{"at":2}"#)], IGNORED, "").await;
    check_end(&world, get, [json(r#"{"a":1}"#), json(r#"{"a":2}"#)], MISMATCHED, "").await;
    check_end(&world, get, [json("{}"), answers(response("500 No", "no"))], MISMATCHED, "").await;
    // Brotli, and the same in the clear.
    let packed = answer("Content-Type: application/json\r\nContent-Encoding: br\r\n", b"\x0b\x01\x80[2]\x03");
    check_end(&world, get, [json("[2]"), packed], MATCHED, "").await;
    let head = answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n");
    check_end(&world, ("HEAD", ""), [head.clone(), head], MATCHED, "").await;
    let empty = answers("HTTP/1.1 204 No Content\r\n\r\n");
    check_end(&world, get, [empty.clone(), empty.clone()], MATCHED, "").await;
    check_end(&world, get, [empty, json("{}")], MISMATCHED, "").await;
    // In pieces, with a field behind the body.
    let pieces = |last: u8| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum";
        answers(format!("{head}\r\n\r\n3\r\n[1,\r\n2\r\n{last}]\r\n0\r\nX-Sum: {last}\r\n\r\n"))
    };
    check_end(&world, get, [json("[1,2]"), pieces(2)], MATCHED, "").await;
    check_end(&world, get, [json("[1,2]"), pieces(3)], MISMATCHED, "").await;
    check_end(&world, get, [pieces(2), json("[1,2]")], MATCHED, "").await;
    // A list that packs 37 times.
    let orders = include_bytes!("../../metrics/src/compare/tests/orders.br");
    let orders = answer("Content-Type: application/json\r\nContent-Encoding: br\r\n", orders);
    check_end(&world, get, [orders, json("[]")], MISMATCHED, "").await;

    let conditional = ("GET", "If-None-Match: \"a\"\r\n");
    let not_modified = answers("HTTP/1.1 304 Not Modified\r\n\r\n");
    check_end(&world, conditional, [not_modified, json("{}")], NOT_COMPARED, "reason=\"not_modified\"").await;
    let failed = answers(response("412 Precondition Failed", ""));
    check_end(&world, ("GET", "If-Match: \"a\"\r\n"), [failed, json("{}")], NOT_COMPARED, "reason=\"precondition\"")
        .await;
    let part = answers("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\n\r\nx");
    let ranged = ("GET", "Range: bytes=0-0\r\n");
    check_end(&world, ranged, [part.clone(), part], NOT_COMPARED, "reason=\"range\"").await;
    let events = answers("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\nx\n");
    check_end(&world, get, [events.clone(), events], NOT_COMPARED, "reason=\"event_stream\"").await;
    check_end(&world, get, [json("{}"), vec![Step::ReadBody, Step::Reset]], NOT_COMPARED, "reason=\"new_failed\"")
        .await;
    check_end(&world, get, [vec![Step::ReadBody, Step::Reset], json("{}")], NOT_COMPARED, "reason=\"legacy_failed\"")
        .await;
}

#[tokio::test]
async fn what_is_too_long_to_be_kept_is_known_by_its_digest() {
    let world = in_parallel("noise: 0%, timeout: 20s", "").await;
    let get = ("GET", "");
    let image = |length: usize, last: u8| {
        let mut body = vec![b'x'; length];
        body[length - 1] = last;
        answer("Content-Type: image/png\r\n", body)
    };
    let chunked = |length: usize| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (start, end) = (format!("{head}{length:x}\r\n"), "\r\n0\r\n\r\n");
        answers([start.as_bytes(), &vec![b'x'; length], end.as_bytes()].concat())
    };
    // Hardly longer than is kept: the comparing thread steps back behind whoever else wants a core.
    let (long, longer) = ((1 << 20) + 1, 17 << 20);
    check_end(&world, get, [image(long, b'x'), image(long, b'x')], MATCHED, "").await;
    check_end(&world, get, [image(long, b'x'), chunked(long)], MATCHED, "").await;
    check_end(&world, get, [image(long, b'x'), image(long, b'y')], MISMATCHED, "").await;
    check_end(&world, get, [image(long, b'x'), image(9, b'x')], MISMATCHED, "").await;
    // Of documents what they have at each place.
    let orders = |members: &str| {
        let text = "x".repeat(1_000);
        let list = (0..1_050).map(|n| format!("{{\"n\":{n},\"text\":\"{text}\",{members}}}"));
        let list = list.collect::<Vec<_>>().join(",");
        answer("Content-Type: application/json\r\n", format!("[{list}]"))
    };
    let (legacy, reordered) = (orders(r#""price":1.5,"city":"Ulm""#), orders(r#""city":"Ulm","price":1.50"#));
    check_end(&world, get, [legacy.clone(), reordered], MATCHED, "").await;
    check_end(&world, get, [legacy, orders(r#""price":2.5,"city":"Ulm""#)], MISMATCHED, "").await;
    let mismatches = world.router.api("GET", "/migrations/shop/mismatches", None).await;
    assert!(mismatches.text().contains("$[*].price"), "{mismatches:?}");
    check_end(&world, get, [chunked(longer), image(longer, b'x')], NOT_COMPARED, "reason=\"truncated\"").await;
    check_end(&world, get, [image(longer, b'x'), image(longer, b'x')], NOT_COMPARED, "reason=\"truncated\"").await;
}

#[tokio::test]
async fn a_cursor_that_one_side_issued_is_no_ground_to_compare_on() {
    let world = in_parallel("noise: 0%", "").await;
    let page = |cursor: &str| {
        answer("Content-Type: application/json\r\n", format!("{{\"items\":[1],\"next_cursor\":\"{cursor}\"}}"))
    };
    world.legacy.on_all(Some(page("legacy-0001")));
    world.new.on_all(Some(page("new-000001")));
    assert_eq!(world.get("/list?limit=1").await.status(), 200);
    wait_for("the first page is compared", || async { (ends(&world).await == [0, 0, 1, 0]).then_some(()) }).await;
    assert_eq!(world.get("/list?limit=1&cursor=legacy-0001").await.status(), 200);
    wait_for("the page behind it is not", || async {
        (count(&world, "crossfade_comparisons_not_made_total", "reason=\"one_sided\"").await == 1).then_some(())
    })
    .await;
    assert_eq!(ends(&world).await, [0, 0, 1, 1]);
}

#[tokio::test]
async fn an_answer_that_is_many_times_as_long_is_a_mismatch_and_is_not_read_to_its_end() {
    let world = in_parallel("noise: 0%, timeout: 20s", "").await;
    let get = ("GET", "");
    let json = |length: usize| answer("Content-Type: application/json\r\n", format!("[{}1]", "1,".repeat(length / 2)));
    // Neither has an end that the other side's caller would wait for.
    let endless = |announced: &str| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{announced}\r\n\r\n");
        vec![Step::ReadBody, Step::Send(head.into_bytes()), Step::Send(vec![b' '; 64 << 10]), Step::AwaitClose]
    };
    // Long enough to be left unread, and no longer: the comparing thread steps back behind whoever else wants a core.
    let long = 128 << 10;
    check_end(&world, get, [json(200), json(long)], MISMATCHED, "").await;
    check_end(&world, get, [json(200), endless("Content-Length: 10000000000")], MISMATCHED, "").await;
    check_end(&world, get, [json(200), endless("Connection: close")], MISMATCHED, "").await;
    check_end(&world, get, [json(long), json(200)], MISMATCHED, "").await;
    let gzip = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n";
    check_end(&world, get, [json(200), answer(gzip, vec![b'x'; long])], NOT_COMPARED, "reason=\"truncated\"").await;
    let mismatches = world.router.api("GET", "/migrations/shop/mismatches", None).await;
    assert!(mismatches.text().contains("body_length"), "{mismatches:?}");
}
