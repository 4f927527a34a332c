//! Rows 10 to 14: the framing of requests.

use super::{forward, refuse};
use crate::world::World;

/// A POST with these lines behind Host, and what a reader that believes either framing would take for a body.
fn post(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n0\r\n\r\n")
}

/// Row 10.
#[tokio::test]
async fn a_length_and_an_encoding_together_are_refused() {
    let world = World::start().await;
    let both = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nX: 1\r\ncontent-length: 0\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding:\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length:\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
    ];
    refuse(&world, (400, "length_and_encoding"), both.map(post)).await;
}

/// What some reader takes for a number.
const NO_LENGTHS: &[&str] = &[
    "",
    " ",
    "+5",
    "-5",
    "-0",
    "0x5",
    "0X5",
    "5_0",
    "1e1",
    "5, 5",
    "5,5",
    "5,",
    ",5",
    "5 5",
    "5\t5",
    "5;5",
    "5.0",
    "5,6",
    "5h",
    "h5",
    "\"5\"",
    "'5'",
    "five",
    "\u{665}",
    "\u{ff15}",
    "9223372036854775808",
    "9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "18446744073709551621",
    "99999999999999999999",
    "0b101",
    "0o5",
    "1/1",
    "NaN",
    "5%",
    "%35",
    "5\u{a0}",
];

/// Rows 11 and 12.
#[tokio::test]
async fn a_length_is_digits_and_said_once_or_always_the_same() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    for (request, length, body) in [
        ("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "5", "hello"),
        ("Content-Length: 5\r\nX: 1\r\ncontent-length: 5\r\nContent-Length: 5\r\n\r\nhello", "5", "hello"),
        ("Content-Length: 005\r\n\r\nhello", "5", "hello"),
        ("Content-Length:\t 00000000000000000000000005 \t\r\n\r\nhello", "5", "hello"),
        ("Content-Length: 0\r\n\r\n", "0", ""),
        ("Content-Length: 000\r\n\r\n", "0", ""),
    ] {
        let kept = if request.contains("X: 1") { "X: 1\r\n" } else { "" };
        let expected = format!("POST / HTTP/1.1\r\nHost: a\r\n{kept}Content-Length: {length}\r\n\r\n{body}");
        forward(&world, &mut client, format!("POST / HTTP/1.1\r\nHost: a\r\n{request}"), &expected).await;
    }
    let differing = [
        "5\r\nContent-Length: 6",
        "5\r\nContent-Length: 005",
        "5\r\nX: 1\r\ncontent-length: 0",
        "0\r\nContent-Length: 5",
    ];
    refuse(&world, (400, "length_differs"), differing.map(|value| post(&format!("Content-Length: {value}\r\n")))).await;
    let length = |value: &&str| post(&format!("Content-Length: {value}\r\n"));
    refuse(&world, (400, "length_invalid"), NO_LENGTHS.iter().map(length)).await;
    refuse(&world, (400, "bad_field_value"), ["5\u{b}", "\u{c}5", "\u{1}", "5\u{7f}"].iter().map(length)).await;
    let second =
        ["5\r\nContent-Length: +5", "5\r\nContent-Length:", "\r\nContent-Length: 5", "5\r\nContent-Length: 5, 5"];
    refuse(&world, (400, "length_invalid"), second.map(|value| post(&format!("Content-Length: {value}\r\n")))).await;
    let in_1_0 = ["+5", "5, 5", ""].map(|value| format!("POST / HTTP/1.0\r\nContent-Length: {value}\r\n\r\nhello"));
    refuse(&world, (400, "length_invalid"), in_1_0).await;
}

/// Values with a coding that is not `chunked`.
const UNKNOWN_CODINGS: &[&str] = &[
    " gzip, chunked",
    " gzip",
    " identity",
    " xchunked",
    " chunkedx",
    " x-chunked",
    " chunked, gzip",
    " chunked, identity",
    " identity, chunked",
    " \"chunked\"",
    " 'chunked'",
    " gzip\r\nTransfer-Encoding: chunked",
    " chunked\r\nTransfer-Encoding: gzip",
    " chunked-",
    " deflate",
    " trailers",
    " chunk",
    " CHUNKED\r\nTransfer-Encoding: x",
];

/// Values that are `chunked` or nothing, but not just once.
const NOT_ONCE: &[&str] = &[
    " chunked, chunked",
    " chunked;a=1",
    " chunked;",
    "",
    " ",
    " chunked,",
    " ,chunked",
    " ,",
    " , chunked",
    " chunked\r\nTransfer-Encoding: chunked",
    " chunked\r\nTransfer-Encoding:",
    "\r\nTransfer-Encoding: chunked",
    " chunked\r\ntransfer-encoding: Chunked",
    " chunked ;a",
    " chunked,,",
    " chunked gzip",
    " chunked chunked",
];

/// Rows 13 and 14.
#[tokio::test]
async fn the_only_encoding_is_chunked_once_and_not_in_http_1_0() {
    let world = World::start().await;
    let encoded = |values: &[&str]| -> Vec<String> {
        values.iter().map(|value| post(&format!("Transfer-Encoding:{value}\r\n"))).collect()
    };
    refuse(&world, (501, "encoding_unknown"), encoded(UNKNOWN_CODINGS)).await;
    refuse(&world, (400, "encoding_invalid"), encoded(NOT_ONCE)).await;
    for value in [
        " chunk\u{b}ed",
        " \u{b}chunked",
        " chunked\u{b}",
        " chunked\0",
        " \u{1}chunked",
        " chunked\u{7f}",
        " chunked\r",
    ] {
        let mut client = world.router.connect().await;
        client.send(&encoded(&[value])[0]).await;
        let answer = client.answer().await;
        assert!(matches!(answer.status(), 400), "{value:?}: {answer:?}");
        assert!(client.closes_cleanly().await && world.untouched(), "{value:?}");
    }
    let in_1_0 = ["chunked", "identity", "", "gzip", "chunked, chunked"]
        .map(|value| format!("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: {value}\r\n\r\n0\r\n\r\n"));
    refuse(&world, (400, "encoding_in_http10"), in_1_0).await;
    refuse(
        &world,
        (400, "encoding_in_http10"),
        ["POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    )
    .await;
    for spelled in [" chunked", "chunked", " CHUNKED", " \t chunked \t", " Chunked"] {
        world.legacy.forget();
        let mut client = world.router.connect().await;
        client
            .send(format!("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:{spelled}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
            .await;
        assert_eq!(client.answer().await.status(), 200, "{spelled:?}");
        let seen = world.legacy.only("/c").await;
        assert_eq!(seen.head.values("transfer-encoding"), ["chunked"], "{spelled:?}");
        assert_eq!((seen.text().as_str(), seen.whole, seen.head.values("content-length").len()), ("hello", true, 0));
    }
}
