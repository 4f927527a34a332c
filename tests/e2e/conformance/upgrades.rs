//! Rows 23 to 27: upgrades and expectations.

use harness::backend::{answers, refused_address, response};
use harness::{Setup, Step, wait_for, wait_until};

use super::{canonical, refuse};
use crate::world::World;

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn ask(path: &str, lines: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
}

/// Row 23.
#[tokio::test]
async fn an_upgrade_reaches_the_upstream_whole_and_its_bytes_both_ends() {
    let world = World::start().await;
    for lines in [
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
        "Connection: keep-alive, upgrade\r\nupgrade: WebSocket\r\n",
        "Upgrade: websocket\r\nConnection: close\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n",
    ] {
        world.legacy.forget();
        world.legacy.on("/ws", [Step::send(format!("{SWITCH}early")), Step::Echo]);
        let mut client = world.router.connect().await;
        // A frame that comes with the head belongs to the tunnel, once there is one.
        client.send(ask("/ws", lines) + "ahead").await;
        let head = client.head().await.unwrap();
        assert_eq!(head.status(), 101, "{lines:?}: {head:?}");
        assert_eq!(head.text().matches("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=").count(), 1, "{lines:?}");
        assert_eq!((head.values("upgrade").len(), head.values("connection").len()), (1, 1), "{lines:?}");
        assert_eq!(head.values("content-length").len() + head.values("transfer-encoding").len(), 0, "{lines:?}");
        client.until(b"earlyahead").await;
        let asked = canonical(&world.legacy.bytes(), lines);
        assert_eq!(asked.to_lowercase().matches("upgrade: websocket\r\n").count(), 1, "{lines:?}: {asked}");
        assert_eq!(asked.matches("Connection: Upgrade\r\n").count(), 1, "{lines:?}: {asked}");
        client.send(b"\0\xff\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n").await;
        client.until(b"\0\xff\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n").await;
        assert_eq!(world.legacy.count(), 1, "what looks like a request is bytes");
        client.shut_down_writing().await;
        assert!(client.closes().await, "{lines:?}");
        wait_until("both ends are closed", || world.legacy.open() == 0).await;
    }
}

/// Row 24: until the upstream says 101, what was sent ahead stays here.
#[tokio::test]
async fn bytes_ahead_of_an_upgrade_that_is_declined_go_nowhere() {
    let world = World::start().await;
    for status in ["200 OK", "404 Not Found", "426 Upgrade Required", "500 Broken"] {
        world.legacy.forget();
        world.legacy.on("/no", [Step::AwaitRelease, Step::send(response(status, "no"))]);
        let mut client = world.router.connect().await;
        client.send(ask("/no", "Upgrade: websocket\r\nConnection: Upgrade\r\n")).await;
        world.legacy.only("/no").await;
        client.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n").await;
        world.legacy.release();
        let answer = client.answer().await;
        assert_eq!(
            (answer.text().as_str(), answer.value("connection").as_deref()),
            ("no", Some("close")),
            "{answer:?}"
        );
        assert!(client.closes().await, "{status}");
        let bytes = String::from_utf8(world.legacy.bytes()).unwrap();
        assert!(!bytes.contains("smuggled"), "{status}: {bytes}");
    }
    // The same where it is this router that declines.
    let nobody = Setup::new(refused_address(), refused_address()).start().await;
    let mut client = nobody.connect().await;
    client
        .send(ask("/no", "Upgrade: websocket\r\nConnection: Upgrade\r\n") + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.value("connection").as_deref()), (502, Some("close")), "{answer:?}");
    assert!(client.closes().await);
}

/// An answer that demands another protocol says which, and stays an answer of this connection.
#[tokio::test]
async fn the_protocol_that_an_upstream_demands_reaches_the_caller() {
    let world = World::start().await;
    let demand = "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket, TLS/1.3\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno";
    world.legacy.on("/no", [Step::send(demand)]);
    let mut client = world.router.connect().await;
    for _ in 0..2 {
        client.send(ask("/no", "")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.text().as_str()), (426, "no"), "{answer:?}");
        let told = (answer.value("upgrade"), answer.value("connection"));
        assert_eq!(told, (Some("websocket, TLS/1.3".into()), Some("Upgrade".into())), "{answer:?}");
    }
    // With any other status the field is this hop's.
    world.legacy.on("/ok", [Step::send(demand.replacen("426 Upgrade Required", "200 OK", 1))]);
    client.send(ask("/ok", "")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.value("upgrade"), answer.value("connection")), (200, None, None), "{answer:?}");
}

/// Row 25.
#[tokio::test]
async fn an_upgrade_that_is_not_meant_or_not_allowed_is_an_ordinary_request() {
    let world = World::start().await;
    for lines in [
        "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings\r\n",
        "Upgrade: h2c\r\nConnection: Upgrade\r\n",
        "Upgrade: H2C\r\nConnection: upgrade\r\n",
        "Upgrade: h2c, websocket\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: websocket\r\nConnection: keep-alive\r\n",
        "Upgrade: websocket2\r\nConnection: Upgrade\r\n",
        "Upgrade: websocket/13\r\nConnection: Upgrade\r\n",
        "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n",
        "Upgrade:\r\nConnection: Upgrade\r\n",
        "Connection: Upgrade\r\n",
        "Connection: HTTP2-Settings\r\nHTTP2-Settings: x\r\n",
        "HTTP2-Settings: x\r\n",
    ] {
        world.legacy.forget();
        let mut client = world.router.connect().await;
        client.send(ask("/up", lines)).await;
        assert_eq!(client.answer().await.text(), "legacy", "{lines:?}");
        let expected = ask("/up", "");
        assert_eq!(canonical(&world.legacy.bytes(), lines), expected, "{lines:?}");
        // And should the upstream switch all the same, nobody follows.
        world.legacy.once("/up", [Step::send(SWITCH), Step::Echo]);
        client.send(ask("/up", lines)).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.error_code().as_deref()), (502, Some("upstream_bad_answer")), "{lines:?}");
    }
    // With a body, and in HTTP/1.0, there is no upgrade either.
    let both = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    for request in [
        format!("POST /up HTTP/1.1\r\nHost: a\r\n{both}Content-Length: 5\r\n\r\nhello"),
        format!("GET /up HTTP/1.0\r\nHost: a\r\n{both}\r\n"),
    ] {
        world.legacy.forget();
        assert_eq!(world.router.exchange(&request).await.text(), "legacy", "{request:?}");
        let seen = world.legacy.only("/up").await.head;
        assert_eq!((seen.value("upgrade"), seen.value("connection")), (None, None), "{request:?}");
    }
}

/// Row 27.
#[tokio::test]
async fn only_100_continue_is_expected_and_100_comes_once() {
    let world = World::start().await;
    let expect =
        |value: &str| format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: {value}\r\nContent-Length: 5\r\n\r\nhello");
    let unknown = [
        "200-ok",
        "",
        "100",
        "100-continue, x",
        "100-continue, 100-continue",
        "continue",
        "100-continue;a",
        "100-continue\r\nExpect: x",
        "x\r\nExpect: 100-continue",
    ];
    refuse(&world, (417, "expectation_failed"), unknown.map(expect)).await;
    refuse(&world, (417, "expectation_failed"), ["GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n"]).await;

    // The upstream asks for the body itself, or answers without it, or says nothing for a while.
    let go = "HTTP/1.1 100 Continue\r\n\r\n";
    world.legacy.on("/asks", [Step::send(go), Step::ReadBody, Step::send(response("200 OK", "read"))]);
    world.legacy.on("/twice", [Step::send(go.repeat(2)), Step::ReadBody, Step::send(response("200 OK", "read"))]);
    world.legacy.on("/silent", answers(response("200 OK", "read")));
    for path in ["/asks", "/twice", "/silent"] {
        let mut client = world.router.connect().await;
        client
            .send(format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nexpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n"
            ))
            .await;
        assert_eq!(client.head().await.unwrap().text(), "HTTP/1.1 100 Continue", "{path}");
        client.send("5\r\nhello\r\n0\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.text().as_str(), answer.interim.len()), ("read", 0), "{path}: {answer:?}");
        let seen = world.legacy.only(path).await;
        assert_eq!(
            (seen.text().as_str(), seen.head.values("expect")),
            ("hello", vec!["100-continue".to_owned()]),
            "{path}"
        );
        assert_eq!(client.get("/").await.text(), "legacy", "{path}");
    }
    world.legacy.on("/no", [Step::send(response("401 Unauthorized", "who?")), Step::AwaitClose]);
    let mut client = world.router.connect().await;
    client.send("POST /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.interim.len(), answer.text().as_str()), (401, 0, "who?"), "{answer:?}");
    assert_eq!(answer.value("connection").as_deref(), Some("close"), "{answer:?}");
    assert!(client.closes_cleanly().await);
    assert_eq!(world.legacy.only("/no").await.body_bytes, 0, "the body was never asked for");
}

/// Row 27: who has sent its body, or has none, waits for nothing, and is told nothing.
#[tokio::test]
async fn nobody_is_told_to_go_on_who_does_not_wait() {
    let world = World::start().await;
    let expect = |path: &str, length: usize| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut client = world.router.connect().await;
    client.send(expect("/none", 0)).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.interim.len()), ("legacy", 0), "{answer:?}");
    assert_eq!(answer.value("connection"), None, "the connection of a request that is whole is kept");
    assert_eq!(world.legacy.only("/none").await.head.values("expect").len(), 0);

    // A body that comes unasked goes on at once, and 100 would come too late.
    wait_for("an answer without 100", || async {
        world.legacy.forget();
        let mut client = world.router.connect().await;
        client.send(expect("/unasked", 5)).await;
        wait_until("the head has gone on", || world.legacy.count() == 1).await;
        client.send("hello").await;
        let answer = client.answer().await;
        assert_eq!((answer.text().as_str(), world.legacy.only("/unasked").await.text().as_str()), ("legacy", "hello"));
        answer.interim.is_empty().then_some(())
    })
    .await;
}

/// Row 27: a body that is read for a key is asked for by this hop, and one that is too long for that by the upstream alone.
#[tokio::test]
async fn a_body_that_may_hold_the_key_is_asked_for_once() {
    let migration = "key: [json:/user]\non_missing_key: legacy";
    let world = World::with(|setup| setup.with_migration(migration)).await;
    let go = "HTTP/1.1 100 Continue\r\n\r\n";
    world.legacy.on("/asks", [Step::send(go), Step::ReadBody, Step::send(response("200 OK", "read"))]);
    world.legacy.on("/silent", answers(response("200 OK", "read")));
    for (path, length) in [("/asks", 100), ("/asks", 70_000), ("/silent", 100), ("/silent", 70_000)] {
        world.legacy.forget();
        let mut client = world.router.connect().await;
        client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n")).await;
        client.send(format!("Content-Length: {length}\r\n\r\n")).await;
        assert_eq!(client.head().await.unwrap().status(), 100, "{path} {length}");
        client.send("x".repeat(length)).await;
        let answer = client.answer().await;
        assert_eq!((answer.text().as_str(), answer.interim.len()), ("read", 0), "{path} {length}: {answer:?}");
        assert_eq!(world.legacy.only(path).await.body_bytes, length as u64, "{path} {length}");
    }
    world.legacy.on("/no", [Step::send(response("401 Unauthorized", "who?")), Step::AwaitClose]);
    let mut client = world.router.connect().await;
    client.send("POST /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 70000\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.interim.len()), (401, 0), "the upstream did not want it: {answer:?}");
}
