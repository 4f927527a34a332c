//! Rows 26 and 28 to 34: what comes back from upstreams that follow the rules, bend them or break them.

use harness::backend::{answers, response};
use harness::{Step, wait_until};

use super::local_answer;
use crate::world::World;

/// What the caller gets of this answer, as raw bytes up to `end`; the connection stays in step.
async fn relay(world: &World, method: &str, answer: &str, expected: &str) {
    world.legacy.on("/x", answers(answer));
    let mut client = world.router.connect().await;
    client
        .send(format!(
            "{method} /x HTTP/1.1\r\nHost: a\r\n\r\nGET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        ))
        .await;
    let got = client.rest().await;
    let got: String = got.iter().map(|byte| char::from(*byte)).collect();
    let after = "HTTP/1.1 200 OK\r\nX-Backend: legacy\r\nContent-Length: 6\r\nConnection: close\r\n\r\nlegacy";
    assert_eq!(got, format!("{expected}{after}"), "{method}: {answer:?}");
}

/// Rows 28, 29 and 32: what is good, or clear enough, to the byte.
#[tokio::test]
async fn an_answer_is_relayed_to_the_byte_and_framed_anew() {
    let world = World::start().await;
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: 1\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 5\r\n\r\nhello",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 005\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"),
        (
            "HTTP/1.1 404 Weg damit\r\nx-One:1\r\nX-One: \t2 \r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 404 Weg damit\r\nx-One: 1\r\nX-One: 2\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nConnection: keep-alive, X-B\r\nX-B: 1\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nFoo : 123\r\nBar\t :1\r\nConnection : Bar\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nFoo: 123\r\nContent-Length: 2\r\n\r\nok",
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;a=b\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n2\t; a = b ; c = \"d\" \r\nay\r\n0 \r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n2\r\nay\r\n0\r\n\r\n",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\nSet-Cookie: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n",
        ),
        ("HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n", "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n"),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: \"1\"\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 9\r\n\r\n",
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 3\r\nConnection: Link2\r\nLink2: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ),
        (
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
    ] {
        relay(&world, "GET", answer, expected).await;
    }
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 42\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
        ("HTTP/1.1 404 Not Found\r\n\r\n", "HTTP/1.1 404 Not Found\r\n\r\n"),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
    ] {
        relay(&world, "HEAD", answer, expected).await;
    }
}

/// Row 28: an upload of any length is told how far it has come.
#[tokio::test]
async fn an_upload_may_be_told_how_far_it_has_come_as_often_as_it_goes_on() {
    let world = World::start().await;
    let progress = "HTTP/1.1 104 Upload Resumption Supported\r\nUpload-Offset: 1\r\n\r\n";
    let rounds = 200;
    let told = (1..=rounds).flat_map(|bytes| [Step::ReadSome(bytes), Step::send(progress)]);
    world.legacy.on("/up", told.chain(answers(response("200 OK", "all"))).collect::<Vec<_>>());
    let mut client = world.router.connect().await;
    client.send(format!("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: {rounds}\r\n\r\n")).await;
    for round in 0..rounds {
        client.send("x").await;
        let told = client.head().await.unwrap();
        assert_eq!((told.status(), told.value("upload-offset").as_deref()), (104, Some("1")), "{round}: {told:?}");
    }
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text().as_str(), answer.whole), (200, "all", true), "{answer:?}");
    assert_eq!(world.legacy.only("/up").await.body_bytes, rounds);
}

/// Fields of an answer that break the rules.
const BAD_LINES: &[&str] = &[
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding:",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked;a",
    "Transfer-Encoding: chunked,",
    "Transfer-Encoding: \"chunked\"",
    "Content-Length: +5",
    "Content-Length: -5",
    "Content-Length: 0x5",
    "Content-Length: 5_0",
    "Content-Length: 1e1",
    "Content-Length:",
    "Content-Length: 5,",
    "Content-Length: 5, 6",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 9223372036854775808",
    "Content-Length: 99999999999999999999",
    "Content-Length: 5 5",
    "X: 1\r\n 2",
    "X: 1\r\n\t2",
    " X: 1",
    "X Y: 1",
    " : 1",
    ": 1",
    "X",
    "X(: 1",
    "X: \0",
    "X\0: 1",
    "X: \u{1}",
    "X: a\rb",
    "X: \u{7f}",
    "GET / HTTP/1.1",
    "Content-Length: 5\r\nContent-Length: x\r\nTransfer-Encoding: chunked",
];

/// First lines that are no status line.
const BAD_STATUS_LINES: &[&str] = &[
    "nonsense",
    "HTTP/1.1",
    "HTTP/1.1 ",
    "HTTP/1.1 OK",
    "HTTP/1.1 20 OK",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 099 OK",
    "HTTP/1.1 000 OK",
    "HTTP/1.1 +20 OK",
    "HTTP/1.1  200 OK",
    "HTTP/1.2 200 OK",
    "HTTP/2.0 200 OK",
    "http/1.1 200 OK",
    "HTTP/1.10 200 OK",
    "ICY 200 OK",
    " HTTP/1.1 200 OK",
    "HTTP/1.1 200 O\0K",
    "HTTP/1.1 200 O\rK",
    "GET / HTTP/1.1",
    "{\"status\":200}",
    "HTTP/1.1\t200 OK",
];

/// Rows 26, 31 and 32.
#[tokio::test]
async fn an_answer_that_breaks_the_rules_is_502_and_its_connection_goes() {
    let world = World::start().await;
    let ok = |lines: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\nhello");
    let mut bad: Vec<Vec<u8>> = Vec::new();
    for lines in BAD_LINES {
        bad.push(ok(lines).into_bytes());
    }
    for line in BAD_STATUS_LINES {
        bad.push(format!("{line}\r\nContent-Length: 0\r\n\r\n").into_bytes());
    }
    bad.push(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec());
    bad.push(ok(&format!("X: {}", "x".repeat(70_000))).into_bytes());
    bad.push(ok(&"X: 1\r\n".repeat(150)).into_bytes());
    for switch in ["Upgrade: websocket\r\nConnection: upgrade", "Upgrade: x", "X: 1", "Content-Length: 0"] {
        bad.push(format!("HTTP/1.1 101 Switching Protocols\r\n{switch}\r\n\r\nbytes").into_bytes());
    }
    for answer in bad {
        let name = super::shown(&answer);
        for request in
            ["GET /bad HTTP/1.1\r\nHost: a\r\n\r\n", "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"]
        {
            world.legacy.forget();
            world.legacy.on("/bad", [Step::ReadBody, Step::Send(answer.clone()), Step::AwaitClose]);
            let mut client = world.router.connect().await;
            client.send(request).await;
            local_answer(&mut client, "GET", (502, "upstream_bad_answer"), &name).await;
            let seen = || world.legacy.seen_at("/bad");
            wait_until("the upstream's connection is closed", || seen().iter().all(|seen| seen.closed)).await;
            assert_eq!(seen().len(), 1, "{name}: asked once");
            assert_eq!(client.get("/after").await.text(), "legacy", "{name}: the caller's connection is in step");
        }
    }
}

/// Row 30, and the rest of what ends where two readers might not agree: neither connection is used again.
#[tokio::test]
async fn what_is_ambiguous_is_the_last_on_both_connections() {
    let world = World::start().await;
    for lines in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 99",
        "Transfer-Encoding : chunked",
        "Content-Length : 3\r\nTransfer-Encoding: chunked",
    ] {
        world.legacy.on(
            "/both",
            [
                Step::ReadBody,
                Step::send(format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n3\r\nabc\r\n0\r\n\r\n")),
                Step::AwaitClose,
            ],
        );
        let mut client = world.router.connect().await;
        client.send("GET /both HTTP/1.1\r\nHost: a\r\n\r\nGET /after HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let got = String::from_utf8(client.rest().await).unwrap();
        assert_eq!(
            got, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "{lines}"
        );
        wait_until("the upstream's connection is closed", || world.legacy.open() == 0).await;
        assert_eq!(world.legacy.seen_at("/after").len(), 0, "{lines}");
        let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n");
        world.legacy.on("/both", [Step::ReadBody, Step::send(head), Step::AwaitClose]);
        let mut client = world.router.connect().await;
        client.send("HEAD /both HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let got = String::from_utf8(client.rest().await).unwrap();
        assert_eq!(got, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "HEAD: {lines}");
    }
}

/// Row 29: bytes behind an answer that has no body are nobody's, least of all the next caller's.
#[tokio::test]
async fn bytes_behind_an_answer_reach_nobody() {
    let world = World::start().await;
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 51\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 51\r\n\r\n"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        ("GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
    ] {
        world.legacy.on("/poison", answers(format!("{answer}{poison}")));
        let mut client = world.router.connect().await;
        let first = client.request(method, "/poison", "", "").await;
        assert!(first.whole && !first.text().contains("poison"), "{method} {answer:?}: {first:?}");
        for _ in 0..3 {
            assert_eq!(client.get("/mine").await.text(), "legacy", "{method} {answer:?}");
            assert_eq!(world.get("/other").await.text(), "legacy", "{method} {answer:?}");
        }
    }
}

/// Row 34.
#[tokio::test]
async fn an_answer_that_breaks_off_never_ends_cleanly_and_is_told() {
    let world = World::with(|setup| setup.with_top("log: {format: json}")).await;
    let starts = [
        "Content-Length: 100\r\n\r\nshort",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        "Transfer-Encoding: chunked\r\n\r\n64\r\nshort",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\nX: 1\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nxyz\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n0\r\nX : 1\r\n\r\n",
        "Content-Length: 6\r\n\r\nshort",
    ];
    for start in starts {
        world.legacy.on("/cut", [Step::ReadBody, Step::send(format!("HTTP/1.1 200 OK\r\n{start}")), Step::Close]);
        let mut client = world.router.connect().await;
        client.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\nGET /after HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let got = String::from_utf8(client.rest().await).unwrap();
        let got = got.split_once("\r\n\r\n").unwrap().1;
        assert!(got.contains("short") && !got.contains("0\r\n\r\n") && !got.contains("legacy"), "{start:?}: {got:?}");
        assert!(!got.contains("0\r\nX"), "{start:?}: {got:?}");
    }
    let told = || world.router.printed().matches("upstream_truncated").count();
    wait_until("each is told in the log", || told() >= starts.len()).await;
    assert_eq!(told(), starts.len());
    // An upstream that only ever announces its answer is given up.
    world
        .legacy
        .on("/soon", [Step::ReadBody, Step::send("HTTP/1.1 102 Processing\r\n\r\n".repeat(500)), Step::AwaitClose]);
    let answer = world.get("/soon").await;
    assert_eq!((answer.status(), answer.error_code().as_deref()), (502, Some("upstream_bad_answer")), "{answer:?}");
}
