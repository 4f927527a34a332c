//! Bodies that flow: both ways, in constant memory, with upgrades and ends of every kind.

use harness::backend::{answers, refused_address, response};
use harness::{Setup, Step, wait_until};

use crate::world::World;

/// Large enough that collecting it anywhere would show.
const LARGE: u64 = 64 << 20;

/// What the router's peak memory may grow by while [`LARGE`] flows through it.
const GROWTH_KIB_MAX: u64 = 24 * 1024;

#[tokio::test]
async fn a_large_body_flows_both_ways_in_constant_memory() {
    let world = World::start().await;
    assert_eq!(world.get("/").await.status(), 200);
    let before = world.router.peak_memory_kib();

    let mut client = world.router.connect().await;
    client.send(format!("PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    let piece = vec![b'u'; 1 << 20];
    for _ in 0..LARGE >> 20 {
        client.send(&piece).await;
    }
    assert_eq!(client.answer().await.text(), "legacy");
    let seen = world.legacy.only("/up").await;
    assert_eq!((seen.body_bytes, seen.whole), (LARGE, true));

    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    world.legacy.on("/down", [Step::ReadBody, Step::send(head), Step::SendFiller(LARGE)]);
    client.send("GET /down HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.unwrap();
    assert!(client.discard(LARGE).await);

    let grown = world.router.peak_memory_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "memory grew by {grown} KiB");
    assert_eq!(client.get("/").await.text(), "legacy", "and the connection is in step");
}

#[tokio::test]
async fn a_reader_that_stalls_holds_the_sender_back() {
    let world = World::start().await;
    world
        .legacy
        .on("/stall", [Step::ReadSome(1), Step::AwaitRelease, Step::ReadBody, Step::send(response("200 OK", "read"))]);
    assert_eq!(world.get("/").await.status(), 200);
    let before = world.router.peak_memory_kib();
    let mut client = world.router.connect().await;
    client.send(format!("PUT /stall HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    let piece = vec![b'u'; 1 << 20];
    let sent = std::sync::atomic::AtomicU64::new(0);
    let sending = async {
        for _ in 0..LARGE >> 20 {
            client.send(&piece).await;
            sent.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
        client.answer().await
    };
    let releasing = async {
        world.legacy.only("/stall").await;
        // What the sockets and the router hold fits well below the whole.
        wait_until("some of it is on the way", || sent.load(std::sync::atomic::Ordering::SeqCst) >= 2).await;
        world.legacy.release();
    };
    let (answer, ()) = tokio::join!(sending, releasing);
    assert_eq!(answer.text(), "read");
    let grown = world.router.peak_memory_kib().saturating_sub(before);
    assert!(grown < GROWTH_KIB_MAX, "memory grew by {grown} KiB");
}

#[tokio::test]
async fn chunks_and_trailers_arrive_both_ways() {
    let world = World::start().await;
    let answer = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;ext=\"a\"\r\n!\r\n0\r\nX-Sum: 9\r\n\r\n";
    world.legacy.on("/echo", answers(answer));
    let mut client = world.router.connect().await;
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("3\r\nabc\r\n").await;
    wait_until("the first chunk is there before the last is sent", || {
        world.legacy.seen_at("/echo").first().is_some_and(|seen| seen.body == b"abc")
    })
    .await;
    client.send("2;x=y\r\nde\r\n0\r\nX-End: 1\r\nContent-Length: 3\r\nAuthorization: x\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.trailers.as_slice()), ("hello!", &["X-Sum: 9".to_owned()][..]));
    let seen = world.legacy.only("/echo").await;
    assert_eq!((seen.text().as_str(), seen.whole), ("abcde", true));
    assert_eq!(seen.trailers, ["X-End: 1"], "fields that frame or authorise are no trailers");
    assert!(!String::from_utf8_lossy(&world.legacy.bytes()).contains("x=y"), "chunk extensions are for one hop");
    assert_eq!(client.get("/").await.text(), "legacy");
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let world = World::start().await;
    world.legacy.on(
        "/events",
        [
            Step::send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"),
            Step::send("data: 1\n\n"),
            Step::AwaitRelease,
            Step::send("data: 2\n\n"),
            Step::Close,
        ],
    );
    let mut client = world.router.connect().await;
    client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.until(b"data: 1\n\n").await;
    world.legacy.release();
    client.until(b"data: 2\n\n").await;
}

/// A request for a WebSocket.
fn ask_to_upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

#[tokio::test]
async fn a_websocket_is_a_tunnel_after_101() {
    let world = World::start().await;
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    world.legacy.on("/ws", [Step::send(switch), Step::Echo]);
    let mut client = world.router.connect().await;
    client.send(ask_to_upgrade("/ws")).await;
    let head = client.head().await.unwrap();
    assert_eq!(head.status(), 101, "{head:?}");
    assert_eq!(head.values("sec-websocket-accept"), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
    assert!(head.value("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")), "{head:?}");
    assert!(head.value("connection").is_some_and(|value| value.eq_ignore_ascii_case("upgrade")), "{head:?}");
    let asked = world.legacy.only("/ws").await.head;
    assert_eq!(asked.value("upgrade").as_deref(), Some("websocket"));
    assert!(asked.value("connection").is_some_and(|value| value.to_ascii_lowercase().contains("upgrade")), "{asked:?}");
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    client.send(&bytes).await;
    assert_eq!(client.until(&bytes[bytes.len() - 600..]).await.len() % 256, bytes.len() % 256);
    drop(client);
    wait_until("the upstream's side of the tunnel is closed", || world.legacy.open() == 0).await;
}

#[tokio::test]
async fn bytes_sent_ahead_of_a_refused_upgrade_belong_to_nobody() {
    let world = World::start().await;
    world.legacy.on("/no", answers(response("200 OK", "no")));
    let mut client = world.router.connect().await;
    client.send(ask_to_upgrade("/no") + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text().as_str()), (200, "no"));
    assert!(client.closes().await);
    assert_eq!(world.legacy.seen_at("/smuggled").len(), 0);
}

#[tokio::test]
async fn other_upgrades_are_ordinary_requests() {
    let world = World::start().await;
    for lines in [
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: thing/1\r\nConnection: upgrade\r\n",
    ] {
        world.legacy.forget();
        let mut client = world.router.connect().await;
        assert_eq!(client.get_with("/up", lines).await.text(), "legacy", "{lines:?}");
        let head = world.legacy.only("/up").await.head;
        assert_eq!((head.value("upgrade"), head.value("http2-settings")), (None, None), "{lines:?}");
        assert_eq!(client.get("/").await.text(), "legacy", "the connection of an ordinary request is kept: {lines:?}");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_gets_it_only_when_somebody_will_read() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    client.send("PUT /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), 100);
    client.send("hello").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.interim.len()), (200, 0), "100 comes once: {answer:?}");
    assert_eq!(world.legacy.only("/e").await.text(), "hello");

    let refused = client.request("PUT", "/f", "Expect: 200-maybe\r\n", "x").await;
    assert_eq!(refused.status(), 417);
    assert_eq!(world.legacy.seen_at("/f").len(), 0);

    let router = Setup::new(refused_address(), refused_address()).start().await;
    let mut client = router.connect().await;
    client.send("PUT /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.interim.len()), (502, 0), "{answer:?}");
    assert!(client.closes().await, "the body was never asked for");
}

#[tokio::test]
async fn early_hints_come_before_the_answer() {
    let world = World::start().await;
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    world
        .legacy
        .on("/hints", [Step::ReadBody, Step::send(hints), Step::AwaitRelease, Step::send(response("200 OK", "page"))]);
    let mut client = world.router.connect().await;
    client.send("GET /hints HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let early = client.head().await.unwrap();
    assert_eq!((early.status(), early.value("link").as_deref()), (103, Some("</a.css>")));
    world.legacy.release();
    assert_eq!(client.answer().await.text(), "page");
    assert_eq!(client.get("/").await.text(), "legacy");
}

#[tokio::test]
async fn a_refusal_during_an_upload_reaches_the_client_whole() {
    let world = World::start().await;
    let refusal = response("413 Content Too Large", "too much");
    world.legacy.on("/upload", [Step::ReadSome(1000), Step::send(refusal), Step::AwaitClose]);
    let mut client = world.router.connect().await;
    client.send("PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n").await;
    client.send(vec![b'x'; 10_000]).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text().as_str(), answer.whole), (413, "too much", true));
    wait_until("the upstream's connection is not kept", || world.legacy.open() == 0).await;
    assert!(client.closes().await);
}

#[tokio::test]
async fn a_client_that_leaves_takes_its_request_along() {
    let world = World::start().await;
    world.legacy.on("/hang", [Step::ReadBody, Step::AwaitClose]);
    let mut client = world.router.connect().await;
    client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
    world.legacy.only("/hang").await;
    drop(client);
    wait_until("the upstream's connection is closed", || world.legacy.open() == 0).await;

    // In the middle of an upload, and in the middle of a download.
    let mut client = world.router.connect().await;
    client.send("PUT /half HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf").await;
    world.legacy.only("/half").await;
    drop(client);
    wait_until("the upload is cut", || world.legacy.open() == 0).await;
    assert!(!world.legacy.only("/half").await.whole);

    world.legacy.on("/down", [Step::send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), Step::AwaitClose]);
    let mut client = world.router.connect().await;
    client.send("GET /down HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.until(b"half").await;
    drop(client);
    wait_until("the download is cut", || world.legacy.open() == 0).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_looks_broken_off() {
    let world = World::start().await;
    for (name, start) in [
        ("length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
        ("chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"),
        ("inside a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nshort"),
        ("bad chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nxyz\r\n"),
    ] {
        world.legacy.on("/cut", [Step::ReadBody, Step::send(start), Step::Close]);
        let mut client = world.router.connect().await;
        client.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.text().as_str(), answer.whole), (200, "short", false), "{name}");
    }
}

#[tokio::test]
async fn a_body_without_framing_ends_with_its_connection() {
    let world = World::start().await;
    world.legacy.on("/old", [Step::ReadBody, Step::send("HTTP/1.0 200 OK\r\n\r\nuntil the end"), Step::Close]);
    let mut client = world.router.connect().await;
    client.send("GET /old HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.whole), ("until the end", true));
}

#[tokio::test]
async fn a_slow_head_gets_408_and_a_silent_connection_is_closed() {
    let world = World::with(|setup| setup.with_top("timeouts: {head: 300ms, keep_alive: 300ms}")).await;
    let mut client = world.router.connect().await;
    client.send("GET /slow HTTP/1.1\r\nHost:").await;
    let answer = client.answer().await;
    assert_eq!(answer.status(), 408, "{answer:?}");
    assert!(client.closes().await);
    let mut client = world.router.connect().await;
    assert_eq!(client.get("/").await.status(), 200);
    assert!(client.closes().await, "an idle connection is closed in silence");
    let mut client = world.router.connect().await;
    client.send("POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b\r\n").await;
    assert_eq!(client.answer().await.status(), 200);
    assert_eq!(client.rest().await, b"", "an empty line behind a body is not answered");
    assert_eq!(world.legacy.seen_at("/slow").len(), 0);
}

#[tokio::test]
async fn http_1_0_gets_no_interim_answer() {
    let world = World::start().await;
    let answers = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    world.legacy.on("/hints", [Step::ReadBody, Step::send(answers)]);
    let mut client = world.router.connect().await;
    client.send("GET /hints HTTP/1.0\r\n\r\n").await;
    let received = String::from_utf8(client.rest().await).unwrap();
    assert!(received.starts_with("HTTP/1.1 200 "), "{received}");
    assert!(received.ends_with("ok"), "{received}");
}

#[tokio::test]
async fn a_switch_to_a_protocol_that_nobody_asked_for_is_a_bad_answer() {
    let world = World::start().await;
    for upgrade in ["", "Upgrade: h2c\r\n", "Upgrade: websocket\r\nUpgrade: h2c\r\n", "Upgrade: websocket, h2c\r\n"] {
        let switch = format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade}Connection: Upgrade\r\n\r\n");
        world.legacy.on("/ws", [Step::send(switch), Step::Echo]);
        let mut client = world.router.connect().await;
        client.send(ask_to_upgrade("/ws")).await;
        let head = client.head().await.unwrap();
        assert_eq!(head.status(), 502, "{upgrade:?}: {head:?}");
        wait_until("the upstream's connection is not kept", || world.legacy.open() == 0).await;
    }
}

/// It is told to both sides, and once to the log and the counter, under the rule that it broke.
#[tokio::test]
async fn a_body_that_breaks_the_rules_ends_the_answer_that_had_begun() {
    let world = World::with(|setup| setup.with_top("log: {format: json}")).await;
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf";
    world.legacy.on("/echo", [Step::ReadSome(3), Step::send(begun), Step::AwaitClose]);
    let mut client = world.router.connect().await;
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
    client.until(b"half").await;
    client.send("xyz\r\n").await;
    assert!(client.closes().await);
    wait_until("the upstream's connection is not kept", || world.legacy.open() == 0).await;
    assert!(!world.legacy.only("/echo").await.whole);
    wait_until("it is logged", || world.router.printed().contains("\"error\":\"bad_chunk\"")).await;
    assert_eq!(world.router.printed().matches("bad_chunk").count(), 1);
    assert_eq!(world.router.metric("crossfade_refused_requests_total", "code=\"bad_chunk\"").await, Some(1.0));
}

#[tokio::test]
async fn a_body_that_becomes_too_long_ends_the_answer_that_had_begun() {
    let world = World::with(|setup| setup.with_routes("- {migration: shop, path: /**, body_max: 1KB}")).await;
    for framing in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        let start = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n4\r\nhalf\r\n");
        world.legacy.on("/echo", [Step::ReadSome(3), Step::send(start), Step::AwaitClose]);
        world.legacy.forget();
        let mut client = world.router.connect().await;
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        client.until(b"half\r\n").await;
        client.send(format!("800\r\n{}\r\n0\r\n\r\n", "x".repeat(0x800))).await;
        assert!(client.closes().await, "and no last chunk");
        wait_until("the upstream's connection is not kept", || world.legacy.open() == 0).await;
        assert!(!world.legacy.only("/echo").await.whole);
    }
}
