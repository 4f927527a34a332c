//! Public suites of hostile messages, replayed from both sides.
//!
//! # Why an oracle and not only verdicts
//!
//! Suites disagree on what to accept, but nobody may lose step. So every message, whatever its verdict, is held to the same:
//! no more answers than requests, what reaches the upstream is canonical and answered to whom it belongs, a request behind
//! it on the same connection gets its own answer or an end, and another user never sees any of it.

mod data;

use harness::backend::{answers, response};
use harness::{Answer, Client, Seen, Step};

use crate::world::World;

/// What became of one message.
struct Replayed {
    name: String,
    /// The answers but that of the request behind it.
    answers: Vec<Answer>,
    /// What the upstream got, but that request.
    seen: Vec<Seen>,
    closed: bool,
    untouched: bool,
}

impl Replayed {
    fn statuses(&self) -> Vec<u16> {
        self.answers.iter().map(Answer::status).collect()
    }

    /// Refused before anything went on, and hung up.
    fn is_refused(&self) -> bool {
        matches!(self.statuses()[..], [400..=417 | 431 | 501 | 505]) && self.closed && self.untouched
    }

    fn is_forwarded(&self) -> bool {
        self.statuses() == [200]
    }

    #[track_caller]
    fn check(&self, holds: bool, expected: &str) {
        let requests: Vec<String> = self.seen.iter().map(|seen| seen.head.first_line()).collect();
        let statuses = self.statuses();
        assert!(holds, "{}: {expected}, but {statuses:?}, closed: {}, upstream: {requests:?}", self.name, self.closed);
    }
}

/// A world in which waiting for the rest of a message does not take long.
async fn world() -> World {
    let timeouts = "timeouts: {head: 150ms, body_idle: 150ms}";
    let world = World::with(|setup| setup.with_top(timeouts)).await;
    world.legacy.on("/follow-up", answers(response("200 OK", "follow-up")));
    world.legacy.on("/canary", answers(response("200 OK", "canary")));
    world
}

/// Sends a message and a request behind it, and reads to the answer of that or to the end.
async fn replay(world: &World, canary: &mut Client, name: String, message: &[u8]) -> Replayed {
    world.legacy.forget();
    let mut client = world.router.connect().await;
    client.send(message).await;
    client.send("GET /follow-up HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let first = if message.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
    let (mut answers, mut closed) = (Vec::new(), false);
    loop {
        let Some(answer) = client.answer_or_end(if answers.is_empty() { first } else { "GET" }).await else {
            closed = true;
            break;
        };
        if answer.body == b"follow-up" {
            break;
        }
        answers.push(answer);
    }
    let untouched = world.untouched();
    let seen = world.legacy.seen().into_iter().filter(|seen| seen.head.target() != "/follow-up").collect();
    let replayed = Replayed { name, answers, seen, closed, untouched };
    check_steps(&replayed);
    let other = canary.get("/canary").await;
    replayed.check(other.text() == "canary", "another user gets their own answer");
    replayed
}

/// The part of the oracle that does not depend on the verdict.
#[track_caller]
fn check_steps(replayed: &Replayed) {
    let served = replayed.answers.iter().filter(|answer| answer.error_code().is_none()).count();
    replayed.check(served <= replayed.seen.len(), "no more answers than requests went on");
    let errors = replayed.answers.iter().skip_while(|answer| answer.error_code().is_none());
    replayed.check(errors.count() <= 1, "a refusal is the last answer");
    for seen in &replayed.seen {
        check_canonical(replayed, seen);
    }
}

#[track_caller]
fn check_canonical(replayed: &Replayed, seen: &Seen) {
    let count = |name: &str| seen.head.values(name).len();
    replayed.check(count("host") == 1, "one Host");
    replayed.check(count("content-length") + count("transfer-encoding") <= 1, "one framing");
    let coding = seen.head.value("transfer-encoding");
    replayed.check(coding.is_none_or(|coding| coding == "chunked"), "no coding but chunked");
    let length = seen.head.value("content-length");
    let is_canonical = |text: String| text.parse::<u64>().is_ok_and(|length| length.to_string() == text);
    replayed.check(length.is_none_or(is_canonical), "a plain length");
    for name in ["te", "keep-alive", "proxy-connection", "http2-settings", "transfer_encoding", "content_length"] {
        replayed.check(count(name) == 0, "no field of another hop");
    }
    let lines = seen.head.bytes().split(|byte| *byte == b'\n').count();
    replayed.check(lines == seen.head.text().split("\r\n").count(), "lines end with CRLF");
    replayed.check(seen.head.first_line().ends_with(" HTTP/1.1"), "the request line is whole");
}

/// Spellings of chunked that every reader takes alike, and an expectation that is met.
const ONE_FRAMING: &[&str] = &[
    "vanilla",
    "valueprefix1",
    "nospace1",
    "multiCase",
    "UPPERCASE",
    "spacefix1:9",
    "prefix1:9",
    "suffix1:9",
    "tabsuffix",
    "CL-pad",
    "CL-bigpad",
];

#[tokio::test]
async fn disguised_framing_desynchronises_nobody() {
    let Some(text) = data::text("portswigger/permutations.json") else { return };
    let permutations: serde_json::Value = serde_json::from_str(&text).unwrap();
    let world = world().await;
    let mut canary = world.router.connect().await;
    let mut replayed = 0;
    for (name, permutation) in permutations.as_object().unwrap() {
        if permutation["proto"] != "h1" {
            continue;
        }
        let is_length = name.starts_with("CL-");
        let body = if is_length { "hello" } else { "5\r\nhello\r\n0\r\n\r\n" };
        let length = format!("Content-Length: {}\r\n", body.len());
        let lines = permutation["header_lines"].as_str().unwrap();
        let lines = if is_length { lines.replace('N', &body.len().to_string()) } else { lines.to_owned() };
        let version = if name == "http1.0" { "HTTP/1.0" } else { "HTTP/1.1" };
        for (with, before, after) in [("alone", "", ""), ("behind", &*length, ""), ("before", "", &*length)] {
            let request = format!("POST /p {version}\r\nHost: a\r\n{before}{lines}\r\n{after}\r\n{body}");
            let bytes: Vec<u8> = request.chars().map(|char| u8::try_from(char).unwrap()).collect();
            let outcome = replay(&world, &mut canary, format!("{name} {with}"), &bytes).await;
            let name = name.as_str();
            if name == "CL-expect" || (ONE_FRAMING.contains(&name) && with == "alone") {
                outcome.check(outcome.is_forwarded() && outcome.seen[0].body == b"hello", "forwarded");
            } else {
                outcome.check(outcome.is_refused(), "refused");
            }
            replayed += 1;
        }
    }
    assert!(replayed > 200, "only {replayed}");
}

/// What RFC 9112 allows and no reader has to do: codings beside chunked, parameters, and a URI with a fragment or none.
const VALID_AND_REFUSED: &[&str] = &[
    "Correct TE OK",
    "Transfer-Encoding: identity and chunked OK",
    "Multiple transfer encoding headers in a single request OK",
    "TE with custom parameters OK",
    "Different Transfer-Encoding headers",
    "Different Transfer-Encoding headers combined",
    "Transfer-Encoding with a param: chunked;custom_param",
    "Compliant URL",
    "Empty URI",
];

#[tokio::test]
async fn classified_requests_are_refused_when_severe_and_forwarded_when_compliant() {
    let world = world().await;
    let mut canary = world.router.connect().await;
    let mut replayed = 0;
    for file in [
        "acceptable",
        "ambiguous",
        "bad-header-characters",
        "edge-cases",
        "more-compliant-tests",
        "real-life-test-cases",
        "rfc-compliant",
        "severe",
        "single-case",
        "uri-specific-test-cases",
    ] {
        let Some(yaml) = data::text(&format!("http-desync-guardian/tests/{file}.yaml")) else { return };
        for request in data::classified(&yaml) {
            let outcome = replay(&world, &mut canary, format!("{file}: {}", request.name), &request.bytes()).await;
            let is_served = outcome.answers.first().is_some_and(|answer| matches!(answer.status(), 200 | 408));
            let may_be_refused = VALID_AND_REFUSED.contains(&request.name.as_str());
            match request.tier.as_str() {
                "Severe" => outcome.check(outcome.is_refused(), "severe, so refused"),
                "Compliant" if !may_be_refused => outcome.check(is_served, "compliant, so forwarded"),
                _ => outcome.check(is_served || outcome.is_refused(), "refused or served"),
            }
            replayed += 1;
        }
    }
    assert!(replayed > 150, "only {replayed}");
}

/// llhttp knows a list of methods, and reads on behind a request that ends its connection; this router does neither.
const ACCEPTED_BEYOND_LLHTTP: &[&str] = &[
    "connection.md: No restart when keep-alive is off (1.0)",
    "connection.md: CRLF between requests, explicit `close`",
    "connection.md: CRLF between requests, explicit `close` followed by tab",
    "invalid.md: HTTP protocol and ANNOUNCE method",
    "invalid.md: Invalid method",
];

#[tokio::test]
async fn requests_that_a_strict_parser_refuses_are_refused() {
    let world = world().await;
    let mut canary = world.router.connect().await;
    let (mut refused, mut forwarded) = (0, 0);
    for file in [
        "connection",
        "content-length",
        "finish",
        "invalid",
        "lenient-header-value-relaxed",
        "lenient-headers",
        "lenient-version",
        "method",
        "pausing",
        "pipelining",
        "sample",
        "transfer-encoding",
        "uri",
    ] {
        let Some(markdown) = data::text(&format!("llhttp/test/request/{file}.md")) else { return };
        for message in data::llhttp(&format!("{file}.md"), &markdown) {
            let bytes = with_host(&message.bytes);
            let outcome = replay(&world, &mut canary, message.name.clone(), &bytes).await;
            let must = message.is_error && !message.is_lenient;
            if must && !ACCEPTED_BEYOND_LLHTTP.contains(&message.name.as_str()) {
                outcome.check(!outcome.statuses().contains(&200), "an error to llhttp, so not served");
                refused += 1;
            } else if outcome.is_forwarded() {
                forwarded += 1;
            }
        }
    }
    assert!(refused >= 40 && forwarded >= 40, "{refused} refused, {forwarded} forwarded");
}

/// llhttp's messages mostly have no Host; they get one, so that what they are about decides.
fn with_host(message: &[u8]) -> Vec<u8> {
    let is_named = message.windows(5).any(|window| window.eq_ignore_ascii_case(b"host:"));
    let line = message.windows(2).enumerate().position(|(at, window)| at > 1 && window == b"\r\n");
    let Some(end) = line.filter(|_| !is_named) else { return message.to_vec() };
    let mut with = message[..end + 2].to_vec();
    with.extend_from_slice(b"Host: a\r\n");
    with.extend_from_slice(&message[end + 2..]);
    with
}

/// Answers that are rewritten: bytes behind their end go nowhere, and a bare line feed ends a line as it does in httparse.
const REPAIRED: &[&str] = &[
    "connection.md: HTTP/1.1 with keep-alive disabled and 204 status",
    "connection.md: HTTP/1.1 with keep-alive disabled, content-length",
    "invalid.md: Only LFs present and no body",
    "invalid.md: Only LFs present",
    "sample.md: No carriage ret",
];

#[tokio::test]
async fn answers_that_a_strict_parser_refuses_are_not_passed_on() {
    let world = world().await;
    let mut canary = world.router.connect().await;
    let (mut bad, mut good) = (0, 0);
    for file in [
        "connection",
        "content-length",
        "finish",
        "invalid",
        "lenient-version",
        "pausing",
        "pipelining",
        "sample",
        "transfer-encoding",
    ] {
        let Some(markdown) = data::text(&format!("llhttp/test/response/{file}.md")) else { return };
        for message in data::llhttp(&format!("{file}.md"), &markdown) {
            world.legacy.on("/bad", [Step::ReadBody, Step::send(message.bytes), Step::Close]);
            let mut client = world.router.connect().await;
            client.send("GET /bad HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let answer = client.answer().await;
            let is_passed_on = answer.error_code().is_none() && answer.whole;
            if message.is_error && !message.is_lenient && !REPAIRED.contains(&message.name.as_str()) {
                assert!(!is_passed_on, "{}: {answer:?}", message.name);
                bad += 1;
            } else if is_passed_on {
                good += 1;
            }
            if answer.whole {
                client.send("GET /follow-up HTTP/1.1\r\nHost: a\r\n\r\n").await;
                let next = client.answer_or_end("GET").await.map(|next| next.text());
                assert!(next.is_none_or(|text| text == "follow-up"), "{}", message.name);
            }
            assert_eq!(canary.get("/canary").await.text(), "canary", "{}", message.name);
        }
    }
    assert!(bad >= 15 && good >= 30, "{bad} bad, {good} good");
}
