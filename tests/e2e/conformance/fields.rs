//! Rows 18 to 22: fields, sizes and targets, and what goes on of them.

use harness::backend::response;
use harness::{Step, wait_for, wait_until};

use super::{canonical, forward, local_answer, refuse};
use crate::world::World;

/// A GET with this line behind Host.
fn with_line(line: &[u8]) -> Vec<u8> {
    [b"GET / HTTP/1.1\r\nHost: a\r\n", line, b"\r\n\r\n"].concat()
}

/// Lines that are no field.
const NO_FIELDS: &[&str] = &[
    " folded",
    "\tfolded",
    ": 1",
    ":",
    "X",
    "X Y",
    " ",
    "X : 1",
    "X\t: 1",
    "X\u{a0}: 1",
    "Content-Length : 5",
    "Transfer-Encoding : chunked",
    "Content-Length\u{b}: 5",
    "Host : b",
    "X: 1\r\n 2",
    "X: 1\r\n\t2",
    "X: 1\r\n ",
    "Transfer-Encoding:\r\n chunked",
    "Content-Length:\r\n 5",
    "GET /smuggled HTTP/1.1",
    "X\r\nY: 1",
    "X\0Y: 1",
    "\u{e9}: 1",
];

/// Heads with a line that does not end with CRLF.
const BARE_ENDS: &[&str] = &[
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET / HTTP/1.1\r\nHost: a\n\n",
    "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: 1\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\nhello",
    "GET / HTTP/1.1\rHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
];

/// Row 18.
#[tokio::test]
async fn a_field_is_a_token_a_colon_and_a_value_without_controls() {
    let world = World::start().await;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let bytes = || (0..=0xff_u8).filter(|byte| !matches!(byte, b'\r' | b'\n'));
    let bad_names = bytes().filter(|byte| !is_token(*byte) && *byte != b':');
    let bad_names = bad_names.flat_map(|byte| {
        [[b"X", &[byte][..], b"Y: 1"].concat(), [&[byte][..], b"Y: 1"].concat(), [b"X", &[byte][..], b": 1"].concat()]
    });
    refuse(&world, (400, "bad_field_name"), bad_names.map(|line| with_line(&line))).await;
    refuse(&world, (400, "bad_field_name"), NO_FIELDS.iter().map(|line| with_line(line.as_bytes()))).await;
    refuse(
        &world,
        (400, "bad_field_name"),
        ["GET / HTTP/1.1\r\n Host: a\r\n\r\n", "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"],
    )
    .await;
    let controls = bytes().filter(|byte| byte.is_ascii_control() && *byte != b'\t');
    let controls = controls.flat_map(|byte| {
        [[b"X: a", &[byte][..], b"b"].concat(), [b"X: ", &[byte][..]].concat(), [b"X: a", &[byte][..]].concat()]
    });
    refuse(&world, (400, "bad_field_value"), controls.map(|line| with_line(&line))).await;
    refuse(&world, (400, "bad_line_end"), BARE_ENDS).await;
    for line in ["X: a\rb", "X: a\r", "X: \ra", "X: 1\rContent-Length: 5", "\rX: 1", "X\r: 1", "X:\r1", "X: 1\r\r"] {
        let mut client = world.router.connect().await;
        client.send(with_line(line.as_bytes())).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status(), answer.value("connection").as_deref()),
            (400, Some("close")),
            "{line:?}: {answer:?}"
        );
        assert!(client.closes_cleanly().await && world.untouched(), "{line:?}");
    }
    // What is allowed goes on as it came, white space around values apart.
    let mut client = world.router.connect().await;
    let names: String = (0x21..0x7f_u8).filter(|byte| is_token(*byte)).map(char::from).collect();
    let values: Vec<u8> = (0x20..=0xff_u8).filter(|byte| *byte != 0x7f).collect();
    let request = [
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        names.as_bytes(),
        b": x",
        &values,
        b"\ty\r\nx-Empty:\r\nX-No-Space:1\r\nX-Spaces: \t 2 \t\r\n\r\n",
    ]
    .concat();
    let shown: String = values.iter().map(|byte| char::from(*byte)).collect();
    let expected = format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{names}: x{shown}\ty\r\nx-Empty: \r\nX-No-Space: 1\r\nX-Spaces: 2\r\n\r\n"
    );
    forward(&world, &mut client, request, &expected).await;
}

/// Row 19.
#[tokio::test]
async fn sizes_are_allowed_up_to_their_limit_and_refused_beyond() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 1));
    forward(&world, &mut client, target(8_192), &target(8_192)).await;
    let beyond = [target(8_193), target(9_000), target(70_000), target(8_300).replace("\r\n\r\n", "\r\n")];
    refuse(&world, (414, "target_too_long"), beyond).await;
    refuse(
        &world,
        (414, "target_too_long"),
        ["x".repeat(9_000), format!("GET /{}", "x".repeat(9_000)), format!("{} / HTTP/1.1\r\n", "M".repeat(9_000))],
    )
    .await;
    let query = format!("GET /?{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(8_200));
    refuse(&world, (414, "target_too_long"), [query]).await;
    let fields = |count: usize| {
        let more: String = (1..count).map(|n| format!("X-{n}: 1\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: a\r\n{more}\r\n")
    };
    forward(&world, &mut client, fields(100), &fields(100)).await;
    refuse(&world, (431, "head_too_large"), [fields(101), fields(150), fields(2_000)]).await;
    let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    let head = |length: usize| format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4));
    forward(&world, &mut client, head(65_536), &head(65_536)).await;
    let endless = format!("{start}{}", "x".repeat(70_000));
    let name = format!("GET / HTTP/1.1\r\nHost: a\r\n{}: 1\r\n\r\n", "x".repeat(70_000));
    refuse(&world, (431, "head_too_large"), [head(65_537), head(70_000), endless, name]).await;
}

/// Row 20.
#[tokio::test]
async fn a_target_is_plain_ascii_and_goes_on_byte_for_byte() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    let all: String = (0x21..0x7f_u8).filter(|byte| *byte != b'#').map(char::from).collect();
    for target in [
        all.as_str(),
        "a/../b",
        "/b",
        "a//b",
        "%2f",
        "%2F..%2f",
        "./a/.",
        "..;/a",
        "a?b=/../c",
        "?",
        "a?",
        "??",
        "%",
        "%zz",
        "%0",
        "%0a%0d",
        "%2e%2e/",
        "a;b=c",
        "caf%C3%A9",
        "a%20b",
        "a+b",
        "~a",
        "{a}",
        "<a>",
        "\\..\\a",
        "a?x=%2500",
        "%u0041",
    ] {
        let request = format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n");
        forward(&world, &mut client, &request, &request).await;
    }
    let target = |bytes: &[u8]| [b"GET /a", bytes, b"b HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
    let bad = (0..=0xff_u8).filter(|byte| !(0x20..0x7f).contains(byte) && !b"\t\r\n".contains(byte));
    refuse(&world, (400, "bad_target_character"), bad.map(|byte| target(&[byte]))).await;
    let texts = ["#", "%00", "?x=%00", "\u{e9}", "\u{2028}", "?\u{e9}", "%00%00", "?#"];
    refuse(&world, (400, "bad_target_character"), texts.map(|text| target(text.as_bytes()))).await;
    refuse(
        &world,
        (400, "bad_target_character"),
        ["GET http://a/b#c HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a/%00 HTTP/1.1\r\nHost: a\r\n\r\n"],
    )
    .await;
    // A disguised framing field is dropped, or refused where a reader could take it for the real one.
    forward(
        &world,
        &mut client,
        "GET / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .await;
}

/// Row 20: a path that routes would understand in two ways; dots and slashes that change nothing go on as they are.
#[tokio::test]
async fn a_path_that_leads_to_two_routes_is_refused() {
    let world = World::with(|setup| {
        setup.with_routes("- {migration: shop, path: /api/**}\n- {upstream: fresh, path: /admin/**}")
    })
    .await;
    let ambiguous = [
        "/api/../admin/x",
        "/api%2f..%2fadmin/x",
        "/%61dmin/x",
        "//admin/x",
        "/api/%2e%2e/admin/x",
        "/api/..%2fadmin/x",
        "/./admin/x",
        "/api/x/../../admin",
        "/api/%2E./admin/",
        "/%2fadmin/x",
        "/api/..;/admin/x",
        "/api/..;a=b/admin/x",
        "/api/%2e%2e;/admin/x",
        "/api\\..\\admin\\x",
        "/api/..%5cadmin/x",
        "/\\admin\\x",
    ];
    for target in ambiguous {
        let mut client = world.router.connect().await;
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        local_answer(&mut client, "GET", (400, "path_ambiguous"), target).await;
        assert!(client.closes_cleanly().await && world.untouched(), "{target}");
    }
    let mut client = world.router.connect().await;
    for target in ["/api/a/../b", "/api//b", "/api/./b", "/api/%2f", "/api/a;b=c/..;d/e", "/api/a\\b"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        forward(&world, &mut client, &request, &request).await;
    }
}

/// Row 21.
#[tokio::test]
async fn nominated_fields_go_and_ours_are_set_last() {
    let world = World::start().await;
    let ours = super::OURS.join(", ");
    let spoofed: String = super::OURS.iter().map(|name| format!("{name}: spoofed\r\n")).collect();
    for connection in [
        "close, X-Forwarded-For, X-A",
        "x-a, close",
        ",, X-A ,,close",
        "close\r\nConnection: X-A",
        &format!("close, x-A, {ours}"),
    ] {
        world.legacy.forget();
        let mut client = world.router.connect().await;
        client
            .send(format!("GET / HTTP/1.1\r\nHost: a\r\n{spoofed}X-A: 1\r\nConnection: {connection}\r\nX-B: 2\r\n\r\n"))
            .await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.value("connection").as_deref()), (200, Some("close")), "{connection:?}");
        assert!(client.closes_cleanly().await, "{connection:?}");
        let bytes = world.legacy.bytes();
        assert_eq!(canonical(&bytes, connection), "GET / HTTP/1.1\r\nHost: a\r\nX-B: 2\r\n\r\n");
        let text = String::from_utf8(bytes).unwrap();
        // An id of the caller's is kept, unless it is nominated.
        let kept = text.matches("spoofed").count();
        assert!(kept == 0 || (kept == 1 && text.contains("X-Request-Id: spoofed")), "{connection:?}: {text}");
    }
}

/// Row 36: what is read of an upload that nobody wants.
#[tokio::test]
async fn an_early_answer_is_whole_and_ends_the_connection_soon() {
    let world = World::with(|setup| setup.with_top("timeouts: {body_idle: 1s}")).await;
    world.legacy.on("/up", [Step::ReadSome(10), Step::send(response("413 Content Too Large", "no")), Step::AwaitClose]);
    for framing in ["Content-Length: 1000000000", "Transfer-Encoding: chunked"] {
        let mut client = world.router.connect().await;
        client
            .send(format!(
                "POST /up HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n20\r\n0123456789012345678901234567890\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.text().as_str(), answer.whole), (413, "no", true), "{framing}");
        assert_eq!(answer.value("connection").as_deref(), Some("close"), "{framing}");
        // Whoever never stops is cut all the same.
        client.send_until_refused(&[b'x'; 16 * 1024]).await;
        wait_until("the upstream's connection is not kept", || world.legacy.open() == 0).await;
    }
}

/// Row 36: who neither sends nor closes behind its last answer is let go.
#[tokio::test]
async fn a_caller_that_is_silent_behind_its_last_answer_holds_no_connection() {
    let world = World::with(|setup| setup.with_top("timeouts: {body_idle: 1s}")).await;
    let mut client = world.router.connect().await;
    assert_eq!(client.get_with("/", "Connection: close\r\n").await.text(), "legacy");
    let open = || world.router.metric("crossfade_connections", "");
    wait_for("its connection is closed", || async { (open().await == Some(0.0)).then_some(()) }).await;
    drop(client);
}

/// Row 36: an answer is not lost with what its caller still sends, however much that is, and however late it is read.
#[tokio::test]
async fn an_early_answer_reaches_who_goes_on_sending() {
    let world = World::start().await;
    let refusal = response("413 Content Too Large", &"no".repeat(100_000));
    world.legacy.on("/up", [Step::ReadSome(10), Step::Send(refusal), Step::AwaitClose]);
    let mut client = world.router.connect().await;
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n").await;
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..32 {
        client.send(&piece).await;
    }
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.text().len(), answer.whole), (413, 200_000, true));
    assert!(client.closes().await);
}
