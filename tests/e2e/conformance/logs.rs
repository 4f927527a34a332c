//! What hostile callers can make of the log: nothing but lines that say what they did.

use harness::{Setup, wait_for};
use serde_json::Value;

use crate::world::World;

/// A line of the router's own that somebody might want to forge.
const FORGED: &str = "2026-01-01T00:00:00.000000Z  INFO access: method=GET host=bank path=/ status=200 error=\"none\"";

/// Requests with hostile bytes in method, target and fields, accepted and refused ones. The forged line stands at the end
/// of each where it would begin a line of its own.
fn hostile() -> Vec<Vec<u8>> {
    let forged = FORGED.as_bytes();
    let controls: &[&[u8]] = &[
        b"\n",
        b"\r\n",
        b"\r",
        b"\x1b[2J\x1b[31m",
        b"\x1b]0;title\x07",
        b"\"",
        b"'",
        b"\\",
        b"\\n",
        b"\xe2\x80\xa8",
        b"\xe2\x80\xa9",
        b"\xc2\x85",
        b"\x85",
        b"\x9b31m",
        b"\xff\xfe",
        b"\xc0\x8a",
        b"\0",
        b"\t",
        b"\x08\x08\x08",
        b"\x7f",
        b"{\"error\":1}",
        b"%0a",
        b"%0d%0a",
        b"%1b[31m",
        b"${jndi:x}",
        b"\xe2\x80\xae",
    ];
    let mut all = Vec::new();
    for bytes in controls {
        let and_forged = [bytes, forged].concat();
        all.push([b"GET", *bytes, b"X / HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        all.push([b"GET /a", *bytes, b"b HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        all.push([b"GET /a", &and_forged[..], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        all.push([b"GET /a?", *bytes, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        all.push([b"GET / HTTP/1.1\r\nHost: a", &and_forged[..], b"\r\n\r\n"].concat());
        all.push([b"GET /x HTTP/1.1\r\nHost: a\r\nX-Request-Id: ", &and_forged[..], b"\r\n\r\n"].concat());
        all.push(
            [b"GET /x HTTP/1.1\r\nHost: a\r\nUser-Agent: ", &and_forged[..], b"\r\nX-User-Id: ", bytes, b"\r\n\r\n"]
                .concat(),
        );
        all.push([b"GET /x HTTP/1.1\r\nHost: a\r\nX", *bytes, b": 1\r\nCookie: password\r\n\r\n"].concat());
        all.push(
            [b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;", &and_forged[..], b"\r\nabc\r\n"]
                .concat(),
        );
    }
    all.push([b"GET /", "x\"\u{2028}".repeat(2_000).as_bytes(), b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    all.push([b"GET /", "y".repeat(8_191).as_bytes(), b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    all.push([b"GET /", "\"'\\".repeat(2_700).as_bytes(), b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
    all.push(b"GET http://user:password@a/ HTTP/1.1\r\nHost: a\r\n\r\n".to_vec());
    all.push(b"GET /?password=1 HTTP/1.1\r\nHost: a\r\nAuthorization: password\r\nX: \0\r\n\r\n".to_vec());
    all
}

/// The lines of a router that everything hostile was sent to, and how many events they must be at most.
async fn provoked(format: &str) -> (Vec<String>, usize) {
    let timeouts = "timeouts: {head: 200ms, body_idle: 200ms}";
    let log = format!("log: {{format: {format}, access: {{sample: 100%}}}}");
    let world = World::with(|setup: Setup| setup.with_top(&log).with_top(timeouts)).await;
    let requests = hostile();
    for request in &requests {
        let mut client = world.router.connect().await;
        client.send(request).await;
        client.shut_down_writing().await;
        let _ = client.rest().await;
    }
    world.get("/the-last-of-all").await;
    wait_for("the last line is there", || async { world.router.printed().contains("the-last-of-all").then_some(()) })
        .await;
    let printed = world.router.printed();
    let lines = printed.lines().filter(|line| !line.starts_with("ready ")).map(str::to_owned).collect();
    (lines, requests.len() + 1)
}

#[track_caller]
fn check_line(line: &str) {
    let odd = line.chars().find(|character| character.is_control() || !character.is_ascii());
    assert_eq!(odd, None, "{line:?}");
    assert!(!line.contains("password"), "{line:?}");
}

#[tokio::test]
async fn no_request_can_forge_a_line_of_text() {
    let (lines, requests) = provoked("text").await;
    let mut events = 0;
    for line in &lines {
        check_line(line);
        let (time, rest) = line.split_once(' ').unwrap_or_default();
        assert!(
            time.ends_with('Z') && time.starts_with("20") && !line.starts_with("2026-01-01T"),
            "no event of ours: {line:?}"
        );
        let Some(fields) = rest.trim_start().strip_prefix("INFO access: ") else { continue };
        events += 1;
        // Whoever splits the line at its spaces finds each field once, and no word that is not one.
        let words: Vec<&str> = fields.split(' ').collect();
        let mut names: Vec<&str> =
            words.iter().map(|word| word.split_once('=').unwrap_or_else(|| panic!("{word:?} in {line:?}")).0).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "a field twice: {line:?}");
        for name in names {
            assert!(FIELDS.contains(&name), "{name:?} in {line:?}");
        }
    }
    assert!(events > 100 && events <= requests, "{events} events of {requests} requests");
}

const FIELDS: &[&str] = &[
    "method",
    "host",
    "path",
    "status",
    "duration_ms",
    "bytes",
    "client",
    "request_id",
    "migration",
    "side",
    "reason",
    "error",
];

#[tokio::test]
async fn no_request_can_forge_a_line_of_json() {
    let (lines, requests) = provoked("json").await;
    let mut events = 0;
    for line in &lines {
        check_line(line);
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        let event = event.as_object().unwrap();
        assert!(event.contains_key("timestamp") && event.contains_key("level"), "{line:?}");
        if event["target"] == "access" {
            events += 1;
            let names = event.keys().filter(|name| !["timestamp", "level", "target"].contains(&name.as_str()));
            for name in names {
                assert!(FIELDS.contains(&name.as_str()), "{name:?} in {line:?}");
            }
            assert_eq!(line.matches("\"status\":").count(), 1, "{line:?}");
        }
    }
    assert!(events > 100 && events <= requests, "{events} events of {requests} requests");
}
