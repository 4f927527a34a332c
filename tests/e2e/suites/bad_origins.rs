//! Origins that lie about where their answer ends, slip in another, or split one in two.
//!
//! # What is held against each
//!
//! A caller gets at most one answer to a request, and one that is whole only if every reader would end it there. The
//! planted answer reaches nobody: not the caller, not the next request on their connection, not another user who shares the
//! upstream connection.

use std::time::Duration;

use harness::backend::{answers, response};
use harness::{Answer, Client, Step, wait_until};

use super::data;
use super::mutations::{bodies, spellings};
use crate::world::World;

/// The answer that nobody asked for.
const PLANTED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nplanted";

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[derive(Clone, Copy, Debug)]
enum Expected<'a> {
    /// 502, or broken off before its end.
    Broken,
    /// Whole, with this status and body.
    Whole(u16, &'a str),
}

/// One worker before one backend, so that all share its connections.
struct Arena {
    world: World,
    canary: Client,
    replayed: usize,
    findings: Vec<String>,
}

impl Arena {
    async fn start() -> Self {
        let world = World::with(|setup| {
            setup.with_workers(1).with_upstreams("timeout: 2s").with_top("timeouts: {body_idle: 200ms}")
        })
        .await;
        world.legacy.on("/follow-up", answers(response("200 OK", "follow-up")));
        world.legacy.on("/canary", answers(response("200 OK", "canary")));
        let canary = world.router.connect().await;
        Self { world, canary, replayed: 0, findings: Vec::new() }
    }

    /// The answer once with the planted one behind it in one piece, once with it later, once with a close.
    async fn check(&mut self, method: &str, answer: &str, expected: Expected<'_>) {
        let bytes = data::latin(answer);
        let with_planted = [&bytes[..], PLANTED.as_bytes()].concat();
        // What ends with its connection has nothing behind it.
        if !matches!(expected, Expected::Whole(_, body) if body.ends_with("to the end")) {
            self.replay(method, answer, vec![Step::ReadBody, Step::send(with_planted)], expected).await;
            let late = Step::Wait(Duration::from_millis(2));
            let steps = vec![Step::ReadBody, Step::send(bytes.clone()), late, Step::send(PLANTED), Step::Close];
            self.replay(method, answer, steps, expected).await;
        }
        self.replay(method, answer, vec![Step::ReadBody, Step::send(bytes), Step::Close], expected).await;
    }

    async fn replay(&mut self, method: &str, name: &str, steps: Vec<Step>, expected: Expected<'_>) {
        self.replayed += 1;
        let closes = matches!(steps.last(), Some(Step::Close | Step::Reset));
        let closed = || self.world.legacy.accepted() - self.world.legacy.open();
        let closed_before = closed();
        self.world.legacy.on("/bad", steps);
        let mut client = self.world.router.connect().await;
        client.send(format!("{method} /bad HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let answer = client.answer_or_end(method).await;
        if closes {
            // Nobody can tell what comes later than the next request from an answer to it.
            wait_until("everything was sent", || closed() > closed_before).await;
        }
        let told = answer.as_ref().map(|answer| (answer.status(), answer.whole, answer.text()));
        let is_broken = answer.as_ref().is_none_or(|answer| answer.status() == 502 || !answer.whole);
        let as_expected = match expected {
            Expected::Broken => is_broken,
            Expected::Whole(status, body) => told == Some((status, true, body.to_owned())),
        };
        self.note(as_expected, &format!("{method} {name:?}: {expected:?}, but {told:?}"));
        let fault = answer.as_ref().and_then(fault_of);
        self.note(fault.is_none(), &format!("{method} {name:?}: {fault:?} in {answer:?}"));
        client.send("GET /follow-up HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let rest = String::from_utf8_lossy(&client.rest().await).into_owned();
        let is_own = rest.is_empty() || rest.ends_with("\r\n\r\nfollow-up") && rest.matches("HTTP/1.1 ").count() == 1;
        self.note(is_own, &format!("{method} {name:?}: behind it came {rest:?}"));
        let other = self.canary.get("/canary").await.text();
        self.note(other == "canary", &format!("{method} {name:?}: another user got {other:?}"));
    }

    fn note(&mut self, holds: bool, finding: &str) {
        if !holds {
            self.findings.push(finding.to_owned());
        }
    }

    fn finish(self, what: &str) {
        eprintln!("bad origins: {what}: {} answers", self.replayed);
        let findings = &self.findings;
        assert!(findings.is_empty(), "{} of {}:\n{}", findings.len(), self.replayed, findings.join("\n"));
    }
}

/// What of an answer that was passed on is not canonical.
fn fault_of(answer: &Answer) -> Option<&'static str> {
    let head = &answer.head;
    let count = |name: &str| head.values(name).len();
    let ends = head.bytes().windows(2).filter(|window| window == b"\r\n").count();
    let controls = head.bytes().iter().filter(|byte| matches!(byte, b'\r' | b'\n' | b'\0')).count();
    let bodiless = matches!(answer.status(), 100..=199 | 204);
    let forbidden = ["content-length", "transfer-encoding", "host", "connection", "set-cookie", "authorization"];
    let may_trail =
        |line: &String| !forbidden.contains(&line.split(':').next().unwrap_or_default().to_lowercase().as_str());
    [
        (count("content-length") + count("transfer-encoding") <= 1, "one framing"),
        (!bodiless || count("content-length") + count("transfer-encoding") == 0, "no framing without a body"),
        (controls == 2 * ends, "lines end with CRLF, and nowhere else"),
        (answer.trailers.iter().all(may_trail), "no framing and nothing that grants in trailers"),
        (!answer.text().contains("planted"), "nothing planted"),
    ]
    .into_iter()
    .find_map(|(holds, expected)| (!holds).then_some(expected))
}

#[tokio::test]
async fn an_answer_ends_where_its_framing_says_or_is_broken() {
    use Expected::{Broken, Whole};
    let mut arena = Arena::start().await;
    let ok = |lines: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}");
    for coding in spellings::CODINGS {
        let line = format!("Transfer-Encoding: {coding}\r\n");
        arena.check("GET", &ok(&line, "5\r\nhello\r\n0\r\n\r\n"), Broken).await;
        arena.check("GET", &ok(&format!("{line}Content-Length: 5\r\n"), "hello"), Broken).await;
    }
    // A bare line feed ends a line of an answer, and so the head.
    for number in spellings::NUMBERS.iter().filter(|number| **number != "5\n") {
        // Lists of one length are known from old servers; row 32.
        let expected = if matches!(*number, "5, 5" | "5,5" | "5 , 5") { Whole(200, "hello") } else { Broken };
        arena.check("GET", &ok(&format!("Content-Length: {number}\r\n"), "hello"), expected).await;
        let both = format!("Content-Length: 5\r\nContent-Length: {number}\r\n");
        arena.check("GET", &ok(&both, "hello"), expected).await;
    }
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    for (lines, body, expected) in [
        ("Content-Length: 5\r\n", "hello", Whole(200, "hello")),
        ("Content-Length: 005\r\n", "hello", Whole(200, "hello")),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", "hello", Whole(200, "hello")),
        ("Content-Length: 5\r\nConnection: Content-Length\r\n", "hello", Whole(200, "hello")),
        ("Content-Length: 5\r\nConnection: close\r\n", "hello", Whole(200, "hello")),
        ("Transfer-Encoding: chunked\r\n", chunked, Whole(200, "hello")),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", chunked, Whole(200, "hello")),
        ("Content-Length: 300\r\nTransfer-Encoding: CHUNKED\r\n", chunked, Whole(200, "hello")),
        ("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", chunked, Whole(200, "hello")),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunked, Broken),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunked, Broken),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello", Broken),
        ("", "to the end", Whole(200, "to the end")),
        ("Connection: close\r\n", "to the end", Whole(200, "to the end")),
        ("Connection: keep-alive\r\n", "to the end", Whole(200, "to the end")),
        ("X-Content-Length: 2\r\n", "to the end", Whole(200, "to the end")),
    ] {
        arena.check("GET", &ok(lines, body), expected).await;
    }
    let cut = ok("Content-Length: 50\r\n", "hello");
    arena.replay("GET", &cut, vec![Step::ReadBody, Step::send(cut.as_str()), Step::Close], Broken).await;
    arena.replay("GET", &cut, vec![Step::ReadBody, Step::send(cut.as_str()), Step::Reset], Broken).await;
    let open = ok("", "hello");
    arena.replay("GET", &open, vec![Step::ReadBody, Step::send(open.as_str()), Step::Reset], Broken).await;
    let chunked_in_1_0 = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    arena.check("GET", chunked_in_1_0, Broken).await;
    arena.finish("framing");
}

#[tokio::test]
async fn a_chunked_answer_that_breaks_the_rules_never_looks_whole() {
    use Expected::{Broken, Whole};
    let mut arena = Arena::start().await;
    for size in bodies::BAD_SIZES {
        arena.check("GET", &format!("{CHUNKED}{size}\r\nhello\r\n0\r\n\r\n"), Broken).await;
        arena.check("GET", &format!("{CHUNKED}3\r\nabc\r\n{size}\r\nhello\r\n0\r\n\r\n"), Broken).await;
    }
    for size in bodies::PADDED_SIZES {
        arena.check("GET", &format!("{CHUNKED}{size}\r\nhello\r\n0\r\n\r\n"), Whole(200, "hello")).await;
    }
    for end in bodies::BAD_ENDS {
        arena.check("GET", &format!("{CHUNKED}5\r\nhello{end}0\r\n\r\n"), Broken).await;
    }
    for last in bodies::BAD_LASTS {
        let expected = if *last == "0 \r\n\r\n" { Whole(200, "hello") } else { Broken };
        arena.check("GET", &format!("{CHUNKED}5\r\nhello\r\n{last}"), expected).await;
    }
    for body in bodies::FUNKY {
        arena.check("GET", &format!("{CHUNKED}{body}"), Broken).await;
    }
    for line in bodies::BAD_TRAILERS {
        arena.check("GET", &format!("{CHUNKED}5\r\nhello\r\n0\r\n{line}\r\n\r\n"), Broken).await;
    }
    for line in bodies::TRAILERS {
        arena.check("GET", &format!("{CHUNKED}5\r\nhello\r\n0\r\n{line}\r\n\r\n"), Whole(200, "hello")).await;
    }
    arena.finish("chunks");
}

#[tokio::test]
async fn an_answer_without_a_body_has_none_whatever_follows() {
    use Expected::{Broken, Whole};
    let mut arena = Arena::start().await;
    let fields = [
        "",
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ];
    for lines in fields {
        for body in ["", "hello", "5\r\nhello\r\n0\r\n\r\n", "0\r\n\r\n", "\r\n", "\0", "HTTP/1.1 500 X\r\n\r\n"] {
            arena.check("HEAD", &format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}"), Whole(200, "")).await;
            arena.check("GET", &format!("HTTP/1.1 204 No Content\r\n{lines}\r\n{body}"), Whole(204, "")).await;
            arena.check("GET", &format!("HTTP/1.1 304 Not Modified\r\n{lines}\r\n{body}"), Whole(304, "")).await;
        }
    }
    for status in ["100 Continue", "102 Processing", "103 Early Hints", "150 X", "199 X"] {
        let good = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        for lines in
            ["", "Link: </a>\r\n", "Content-Length: 0\r\n", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"]
        {
            let interim = format!("HTTP/1.1 {status}\r\n{lines}\r\n");
            arena.check("GET", &format!("{interim}{good}"), Whole(200, "hello")).await;
            arena
                .check("HEAD", &format!("{interim}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), Whole(200, ""))
                .await;
            arena.check("GET", &format!("{interim}hello{good}"), Broken).await;
            arena.check("GET", &format!("{interim}5\r\nhello\r\n0\r\n\r\n{good}"), Broken).await;
            arena.check("GET", &format!("{}{good}", interim.repeat(17)), Whole(200, "hello")).await;
            arena.check("GET", &format!("{}{good}", interim.repeat(200)), Broken).await;
        }
        arena.check("GET", &format!("HTTP/1.1 {status}\r\nTransfer-Encoding: x\r\n\r\n{good}"), Broken).await;
    }
    for lines in ["", "Upgrade: websocket\r\nConnection: Upgrade\r\n", "Content-Length: 5\r\n"] {
        arena.check("GET", &format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n"), Broken).await;
        arena.check("HEAD", &format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n"), Broken).await;
    }
    arena.finish("without a body");
}

const BAD_STATUS_LINES: &[&str] = &[
    "",
    "200 OK",
    "HTTP/1.1",
    "HTTP/1.1 ",
    "HTTP/1.1 OK",
    "HTTP/1.1 20 OK",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 099 X",
    "HTTP/1.1 000 X",
    "HTTP/1.1 -200 OK",
    "HTTP/1.1 +20 OK",
    "HTTP/1.1 2x0 OK",
    "HTTP/1.1  200 OK",
    "HTTP/1.1\t200 OK",
    "HTTP/1.1200 OK",
    "HTTP/1.2 200 OK",
    "HTTP/2.0 200 OK",
    "HTTP/2 200 OK",
    "HTTP/0.9 200 OK",
    "http/1.1 200 OK",
    "HTTP/11 200 OK",
    "ICY 200 OK",
    " HTTP/1.1 200 OK",
    "\0HTTP/1.1 200 OK",
    "X HTTP/1.1 200 OK",
    "HTTP/1.1 200 O\0K",
    "HTTP/1.1 200 O\x0bK",
    "HTTP/1.1 200 OK\r X: y",
    "GET / HTTP/1.1",
];

/// Lines that are no field, or that hide another.
const BAD_FIELDS: &[&str] = &[
    " X: y",
    "X y: z",
    " : y",
    "X: y\r\n z",
    "X: y\r\n\tz",
    "X: y\r\n ",
    ": y",
    "X",
    "X Y: z",
    "X(: y",
    "X\u{e9}: y",
    "X: a\rSet-Cookie: b",
    "X: a\r\rSet-Cookie: b",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "Content-Length : 3",
    "X: y\r\n Transfer-Encoding: chunked",
    "X: y\rTransfer-Encoding: chunked",
    "Transfer-Encoding\0: chunked",
];

#[tokio::test]
async fn a_malformed_head_of_an_answer_is_not_mended_into_another() {
    use Expected::{Broken, Whole};
    let mut arena = Arena::start().await;
    let rest = "Content-Length: 5\r\n\r\nhello";
    for line in BAD_STATUS_LINES {
        arena.check("GET", &format!("{line}\r\n{rest}"), Broken).await;
    }
    for char in (0..=0x20_u8).chain([0x7f]).map(char::from).filter(|char| !matches!(char, '\t' | ' ')) {
        // A bare line feed ends a line, as it does in most servers; what leaves ends with CRLF, and as two fields.
        let is_line_end = char == '\n';
        for (text, is_fine) in [
            (format!("HTTP/1.1 200 OK\r\nX: y{char}Z: 1\r\n{rest}"), is_line_end),
            (format!("HTTP/1.1 200 OK\r\nX{char}: y\r\n{rest}"), false),
            (format!("HTTP/1.1 200 OK\r\nX{char}Y: y\r\n{rest}"), false),
            (format!("HTTP/1.1 200 OK\r\n{char}X: y\r\n{rest}"), false),
        ] {
            if is_line_end && !is_fine {
                continue;
            }
            arena.check("GET", &text, if is_fine { Whole(200, "hello") } else { Broken }).await;
        }
    }
    for line in BAD_FIELDS {
        arena.check("GET", &format!("HTTP/1.1 200 OK\r\n{line}\r\n{rest}"), Broken).await;
    }
    // A proxy leaves out white space before a colon.
    for line in ["X : y", "X\t: y", "X \t : y"] {
        arena.check("GET", &format!("HTTP/1.1 200 OK\r\n{line}\r\n{rest}"), Whole(200, "hello")).await;
    }
    for line in ["Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked\r\nContent-Length: 5"] {
        let text = format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        arena.check("GET", &text, Whole(200, "hello")).await;
    }
    arena.check("GET", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello", Whole(200, "hello")).await;
    let many: String = (0..1_100).map(|n| format!("X{n}: y\r\n")).collect();
    arena.check("GET", &format!("HTTP/1.1 200 OK\r\n{many}{rest}"), Broken).await;
    arena.check("GET", &format!("HTTP/1.1 200 OK\r\nX: {}\r\n{rest}", "y".repeat(70_000)), Broken).await;
    arena.finish("heads");
}

/// An answer that comes before the request was read belongs to it; the connection then serves nobody else.
#[tokio::test]
async fn an_early_answer_leaves_no_rest_of_a_request_behind() {
    let mut arena = Arena::start().await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = hidden.repeat(2_000);
    let early = response("200 OK", "early");
    for steps in [
        vec![Step::send(early.clone())],
        vec![Step::send(early.clone()), Step::ReadBody],
        vec![Step::ReadSome(10), Step::send(early.clone()), Step::ReadBody],
        vec![Step::send(early.clone()), Step::Close],
        vec![Step::send(response("413 Content Too Large", "early")), Step::ReadBody],
        vec![Step::send(format!("HTTP/1.1 100 Continue\r\n\r\n{}", String::from_utf8_lossy(&early)))],
    ] {
        for (lines, is_chunked, expects) in [
            (format!("Content-Length: {}\r\n", body.len()), false, false),
            ("Transfer-Encoding: chunked\r\n".to_owned(), true, false),
            (format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len()), false, true),
        ] {
            // Who waits for a part of the body and does not ask for it gets none.
            if expects && matches!(steps[0], Step::ReadSome(_)) {
                continue;
            }
            arena.replayed += 1;
            arena.world.legacy.on("/early", steps.clone());
            let mut client = arena.world.router.connect().await;
            client.send(format!("POST /early HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).await;
            // Half of the body first, the rest when the answer is there, if anybody still takes it.
            let whole = if is_chunked { format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()) } else { body.clone() };
            let (half, rest) = whole.split_at(if expects { 0 } else { whole.len() / 2 });
            client.send(half).await;
            let answer = client.answer_or_end("POST").await.map(|answer| answer.text());
            arena.note(answer.as_deref().is_none_or(|text| text == "early"), &format!("{steps:?}: {answer:?}"));
            client.send(rest).await;
            client.send("GET /follow-up HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let behind = client.answer_or_end("GET").await.map(|answer| answer.text());
            arena.note(behind.as_deref().is_none_or(|text| text == "follow-up"), &format!("{steps:?}: {behind:?}"));
            let other = arena.canary.get("/canary").await.text();
            arena.note(other == "canary", &format!("{steps:?}: another user got {other:?}"));
        }
    }
    let found = arena
        .world
        .legacy
        .seen()
        .iter()
        .filter(|seen| seen.head.target() == "/canary" || seen.head.target() == "/follow-up")
        .count();
    arena.note(found >= arena.replayed, "everybody was served by the backend");
    arena.finish("early");
}
