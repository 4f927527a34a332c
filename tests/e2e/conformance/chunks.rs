//! Rows 15 to 17: chunks, their extensions and trailers.

use harness::backend::answers;
use harness::wait_until;

use super::{forward, local_answer};
use crate::world::World;

/// Sends the start of a chunked body, and this behind it once the upstream has the start: refused with this code, and the
/// upstream never sees an end or another request.
async fn break_off(world: &World, code: &str, piece: &[u8]) {
    let name = super::shown(piece);
    world.legacy.forget();
    let mut client = world.router.connect().await;
    client.send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n").await;
    wait_until("the first chunk is there", || {
        world.legacy.seen_at("/c").first().is_some_and(|seen| seen.body == b"ok")
    })
    .await;
    client.send(piece).await;
    local_answer(&mut client, "POST", (400, code), &name).await;
    assert!(client.closes_cleanly().await, "{name}");
    wait_until("the upstream's connection is closed", || world.legacy.open() == 0).await;
    let seen = world.legacy.only("/c").await;
    let bytes = world.legacy.bytes();
    assert!(
        !seen.whole && seen.body.starts_with(b"ok") && !bytes.ends_with(b"0\r\n\r\n"),
        "{name}: {}",
        super::shown(&bytes)
    );
    // The same at once with the head: refused as well, whatever has gone on by then.
    let whole =
        [b"POST /d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", piece, b"\r\n0\r\n\r\n"].concat();
    let mut client = world.router.connect().await;
    client.send(whole).await;
    local_answer(&mut client, "POST", (400, code), &name).await;
    assert!(client.closes_cleanly().await, "{name}");
    assert!(world.legacy.seen_at("/d").iter().all(|seen| !seen.whole), "{name}");
}

/// No size of a chunk, or too large a one.
const SIZES: &[&[u8]] = &[
    b"\r\n",
    b"xyz\r\n",
    b"g\r\nx\r\n",
    b"+3\r\nabc\r\n",
    b"-3\r\nabc\r\n",
    b"-0\r\n\r\n",
    b"0x3\r\nabc\r\n",
    b"x3\r\nabc\r\n",
    b"3h\r\nabc\r\n",
    b"1_0\r\nabcdefghijklmnop\r\n",
    b" 3\r\nabc\r\n",
    b"3 \r\nabc\r\n",
    b"\t3\r\nabc\r\n",
    b"3\t\r\nabc\r\n",
    b"3.0\r\nabc\r\n",
    b"3,3\r\nabc\r\n",
    b"\"3\"\r\nabc\r\n",
    b"\r\n3\r\nabc\r\n",
    b"3\x0b\r\nabc\r\n",
    b"\x003\r\nabc\r\n",
    b"3\x00\r\nabc\r\n",
    b"\xef\xbc\x93\r\nabc\r\n",
    b"fffffffffffffffff\r\n",
    b"10000000000000000\r\n",
    b"10000000000000003\r\nabc\r\n",
    b"8000000000000000\r\n",
    b"ffffffffffffffff\r\n",
    b"0000000000000000000000ffffffffffffffff1\r\n",
];

/// Chunks that end otherwise than they should.
const ENDS: &[&[u8]] = &[
    b"3\nabc\r\n",
    b"3\rabc\r\n",
    b"3\r\r\nabc\r\n",
    b"3\n\nabc\r\n",
    b"3\r\nabcd\r\n",
    b"3\r\nabc\n",
    b"3\r\nabc\rX",
    b"3\r\nabc0\r\n\r\n",
    b"3\r\nabc\n0\r\n\r\n",
    b"3\r\nabcX\r\n",
    b"0\n\r\n",
    b"3\r\nabc\r\r\n",
    b"3\r\nabc \r\n",
];

/// Extensions that two readers could end in two places.
const EXTENSIONS: &[&[u8]] = &[
    b"3;\r\nabc\r\n",
    b"3; \r\nabc\r\n",
    b"3;a\nb\r\nabc\r\n",
    b"3;a\n\nabc\r\n",
    b"3;\nabc\r\n",
    b"3;a\rb\r\nabc\r\n",
    b"3;a\x00\r\nabc\r\n",
    b"3;;\r\nabc\r\n",
    b"3;=b\r\nabc\r\n",
    b"3;a=\r\nabc\r\n",
    b"3;a=b c\r\nabc\r\n",
    b"3;a b\r\nabc\r\n",
    b"3;a=\"b\r\nabc\r\n",
    b"3;a=\"b\"c\r\nabc\r\n",
    b"3;a=\"\x01\"\r\nabc\r\n",
    b"3;a\x7f\r\nabc\r\n",
    b"3 ;a\r\nabc\r\n",
    b"3;a=b=c\r\nabc\r\n",
    b"0;\r\n\r\n",
    b"0;a\n\r\n",
];

/// Rows 15 and 16.
#[tokio::test]
async fn a_malformed_chunk_ends_both_connections() {
    let world = World::start().await;
    for piece in [SIZES, ENDS, EXTENSIONS].concat() {
        break_off(&world, "bad_chunk", piece).await;
    }
    let zeros = format!("{}3\r\nabc\r\n", "0".repeat(17 * 1024));
    break_off(&world, "bad_chunk", zeros.as_bytes()).await;
    let long = format!("3;{}\r\nabc\r\n", "a".repeat(17 * 1024));
    break_off(&world, "bad_chunk", long.as_bytes()).await;
    break_off(&world, "bad_chunk", format!("1;{}\r\nx\r\n", "a".repeat(30)).repeat(2_500).as_bytes()).await;
}

/// Row 16.
#[tokio::test]
async fn what_is_valid_in_a_chunk_is_dropped_and_the_body_intact() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    for (chunks, body) in [
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;a\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5;a=b;c=d\r\nhello\r\n0;last\r\n\r\n", "hello"),
        ("5;a=\"x;y\\\" \\\\ z\"\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5; a=b\r\nhello\r\n0\r\n\r\n", "hello"),
        ("00000000000000000005\r\nhello\r\n0000\r\n\r\n", "hello"),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
        ("0\r\n\r\n", ""),
    ] {
        world.legacy.forget();
        client.send(format!("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")).await;
        assert_eq!(client.answer().await.status(), 200, "{chunks:?}");
        let seen = world.legacy.only("/c").await;
        assert_eq!((seen.text().as_str(), seen.whole, seen.trailers.len()), (body, true, 0), "{chunks:?}");
        let sent = String::from_utf8(world.legacy.bytes()).unwrap();
        let sent = sent.split_once("\r\n\r\n").unwrap().1;
        assert!(!sent.contains(';') && !sent.contains("00000"), "{chunks:?} left as {sent:?}");
    }
}

/// Row 16: sizes of a fixed width, and a signature on each chunk.
#[tokio::test]
async fn what_each_chunk_may_say_does_not_add_up() {
    let world = World::start().await;
    for (chunk, times) in
        [("0001\r\na\r\n".to_owned(), 8_000), (format!("400;sig={}\r\n{}\r\n", "f".repeat(64), "x".repeat(1024)), 400)]
    {
        world.legacy.forget();
        let data = chunk.split("\r\n").nth(1).unwrap().repeat(times);
        let chunks = chunk.repeat(times) + "0\r\n\r\n";
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        world.legacy.on("/long", answers(answer));
        let mut client = world.router.connect().await;
        client.send(format!("POST /long HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.whole, answer.text() == data), (200, true, true), "{chunk:?}");
        let seen = world.legacy.only("/long").await;
        assert_eq!((seen.whole, seen.text() == data), (true, true), "{chunk:?}");
    }
}

/// Row 17.
#[tokio::test]
async fn who_takes_trailers_is_told_to_the_upstream() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    let request = |version: &str, lines: &str| format!("GET /t HTTP/{version}\r\nHost: a\r\n{lines}\r\n");
    let told = request("1.1", "Connection: TE\r\nTE: trailers\r\n");
    for lines in [
        "TE: trailers\r\nConnection: TE\r\n",
        "TE: trailers\r\n",
        "te: Trailers\r\nConnection: te, keep-alive\r\n",
        "TE: gzip;q=0.5 ,\ttrailers \r\n",
        "TE: gzip\r\nTE: trailers, deflate\r\n",
    ] {
        forward(&world, &mut client, request("1.1", lines), &told).await;
    }
    for lines in
        ["TE: gzip\r\nConnection: TE\r\n", "TE: trailers;q=0\r\n", "TE: xtrailers\r\n", "TE:\r\n", "TE: chunked\r\n"]
    {
        forward(&world, &mut client, request("1.1", lines), &request("1.1", "")).await;
    }
    let trailers = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n";
    world.legacy.on("/trailers", answers(trailers));
    client.send("GET /trailers HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n").await;
    assert_eq!(client.until(b"1\r\n\r\n").await, trailers.as_bytes());
    // Nobody can relay trailers to HTTP/1.0.
    let mut client = world.router.connect().await;
    forward(&world, &mut client, request("1.0", "TE: trailers\r\nConnection: TE\r\n"), &request("1.1", "")).await;
}

/// Row 17.
#[tokio::test]
async fn trailers_go_on_but_for_those_that_frame_route_or_grant() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    let forbidden = [
        "Host: b",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "TE: trailers",
        "Authorization: x",
        "Connection: close",
        "Cookie: a=b",
        "Set-Cookie: a=b",
        "Proxy-Authorization: x",
        "Upgrade: websocket",
        "Expect: 100-continue",
        "Trailer: X",
        "X-Forwarded-For: 6.6.6.6",
        "Forwarded: for=6.6.6.6",
        "X-Request-Id: x",
        "Crossfade-Side: new",
        "Content_Length: 5",
        "Content-Type: a/b",
        "Content-Encoding: gzip",
        "Content-Range: bytes 0-1/2",
        "Keep-Alive: 5",
        "Proxy-Connection: x",
        "HTTP2-Settings: x",
        "traceparent: x",
    ];
    for line in forbidden {
        world.legacy.forget();
        let chunks = format!("2\r\nok\r\n0\r\nX-Sum: 1\r\n{line}\r\nx-Two:\t2 \r\n\r\n");
        client.send(format!("POST /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")).await;
        assert_eq!(client.answer().await.status(), 200, "{line}");
        let seen = world.legacy.only("/t").await;
        assert_eq!(
            (seen.trailers.as_slice(), seen.whole),
            (&["X-Sum: 1".into(), "x-Two: 2".into()][..], true),
            "{line}"
        );
    }
    let malformed: &[&[u8]] = &[
        b"0\r\nX: a\n\r\n",
        b"0\r\n\n",
        b"0\r\nX : a\r\n\r\n",
        b"0\r\n X: a\r\n\r\n",
        b"0\r\nX: a\r\n b\r\n\r\n",
        b"0\r\nX\r\n\r\n",
        b"0\r\n: a\r\n\r\n",
        b"0\r\nX(: a\r\n\r\n",
        b"0\r\nX: a\0\r\n\r\n",
        b"0\r\nX: a\rb\r\n\r\n",
        b"0\r\nX: \x01\r\n\r\n",
        b"0\r\nX\0: a\r\n\r\n",
        b"0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ];
    for piece in malformed {
        break_off(&world, "bad_trailer", piece).await;
    }
    break_off(&world, "bad_trailer", format!("0\r\nX: {}\r\n\r\n", "a".repeat(17 * 1024)).as_bytes()).await;
    break_off(&world, "bad_trailer", format!("0\r\n{}\r\n", "X: a\r\n".repeat(100)).as_bytes()).await;
}
