//! Public suites of hostile messages, replayed from both sides.
//!
//! # Why an oracle and not only verdicts
//!
//! Suites disagree on what to accept, but nobody may lose step. So every message, whatever its verdict, is held to the
//! universal oracle ([`oracle`]) before three origins that read each in their own way. Where this router decides otherwise than
//! a suite wishes, a list with the reasons says so.

mod answers;
mod bad_origins;
mod data;
mod mutations;
mod oracle;

use harness::Step;
use harness::backend::response;
use harness::origins::Kind;

use crate::world::World;
use oracle::Arena;

/// One test for each suite and origin.
macro_rules! before_every_origin {
    ($($suite:ident),*) => {$(
        mod $suite {
            use super::Kind;

            #[tokio::test]
            async fn leaves_everybody_in_step_before_a_lenient_origin() {
                super::$suite(Kind::Lenient).await;
            }

            #[tokio::test]
            async fn leaves_everybody_in_step_before_node() {
                super::$suite(Kind::Node).await;
            }

            #[tokio::test]
            async fn leaves_everybody_in_step_before_nginx() {
                super::$suite(Kind::Nginx).await;
            }
        }
    )*};
}

before_every_origin!(portswigger, http_desync_guardian, llhttp, mutated);

/// What a run comes to, for `--nocapture` and the documentation.
fn tell(suite: &str, kind: Kind, counts: &[(&str, usize)]) {
    let counts: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    eprintln!("{suite} before {kind:?}: {}", counts.join(", "));
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

async fn portswigger(kind: Kind) {
    let Some(text) = data::text("portswigger/permutations.json") else { return };
    let Some(mut arena) = Arena::start(kind).await else { return };
    let permutations: serde_json::Value = serde_json::from_str(&text).unwrap();
    let (mut refused, mut forwarded) = (0, 0);
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
        let lines = lines.trim_start_matches("(request line HTTP/1.0) ");
        for (with, before, after) in [("alone", "", ""), ("behind", &*length, ""), ("before", "", &*length)] {
            let request = format!("POST /p {version}\r\nHost: a\r\n{before}{lines}\r\n{after}\r\n{body}");
            let outcome = arena.replay(format!("{name} {with}"), &data::latin(&request)).await;
            let name = name.as_str();
            if name == "CL-expect" || (ONE_FRAMING.contains(&name) && with == "alone") {
                arena.check(&outcome, outcome.has_forwarded(b"hello"), "forwarded");
                forwarded += 1;
            } else {
                arena.check(&outcome, outcome.is_refused(), "refused");
                refused += 1;
            }
        }
    }
    arena.finish().await;
    tell("portswigger", kind, &[("refused", refused), ("forwarded", forwarded)]);
    assert!(refused + forwarded > 200, "only {refused} and {forwarded}");
}

/// Compliant or acceptable to the suite, and refused all the same.
const VALID_AND_REFUSED: &[(&str, &str)] = &[
    ("No TE/CL headers, some others are non-compliant", "no white space or control character around a name: row 18"),
    ("TE and some others are non-compliant", "no white space or control character around a name: row 18"),
    (
        "A non-essential header with a non-printable character (x01)",
        "no white space or control character around a name: row 18",
    ),
    ("CL and some others are non-compliant", "no white space or control character around a name: row 18"),
    ("Some-Header\\x01", "no white space or control character around a name: row 18"),
    ("\\x01Some-Header", "no white space or control character around a name: row 18"),
    ("Some-Header: \\x01value", "no control character in a value: row 18"),
    ("Some-Header: value\\x01", "no control character in a value: row 18"),
    ("Non-RFC, but OK HTTP/0.9", "only HTTP/1.0 and HTTP/1.1 are spoken: row 9"),
    ("Empty version, which means HTTP/0.9", "only HTTP/1.0 and HTTP/1.1 are spoken: row 9"),
    ("Unknown but OK HTTP/1.2", "only HTTP/1.0 and HTTP/1.1 are spoken: row 9"),
    ("Extra spaces in version", "a request line is three words: row 9"),
    ("[space] in URI", "a request line is three words: row 9"),
    ("Correct TE OK", "no coding but chunked, once and without parameters: row 13"),
    ("Transfer-Encoding: identity and chunked OK", "no coding but chunked, once and without parameters: row 13"),
    (
        "Multiple transfer encoding headers in a single request OK",
        "no coding but chunked, once and without parameters: row 13",
    ),
    ("TE with custom parameters OK", "no coding but chunked, once and without parameters: row 13"),
    ("Different Transfer-Encoding headers", "no coding but chunked, once and without parameters: row 13"),
    ("Different Transfer-Encoding headers combined", "no coding but chunked, once and without parameters: row 13"),
    (
        "Transfer-Encoding with a param: chunked;custom_param",
        "no coding but chunked, once and without parameters: row 13",
    ),
    ("Compliant URL", "no fragment in a target: row 20"),
    ("Empty URI", "a request line is three words: row 9"),
];

/// Ambiguous to the suite, and forwarded all the same.
const AMBIGUOUS_AND_FORWARDED: &[(&str, &str)] = &[
    ("Content_Length with underscore.", "the field is dropped: row 20 of the conformance table"),
    ("Duplicate Content-Length", "equal lengths are one: row 11 of the conformance table"),
    ("Two Identical Fields - CL", "equal lengths are one: row 11 of the conformance table"),
    ("Get with a body and Content-Length", "search clients send it; the upstream connection is not used again"),
    ("Get with a body and Transfer-Encoding", "search clients send it; the upstream connection is not used again"),
    ("Has a CL in GET", "search clients send it; the upstream connection is not used again"),
    ("Has a TE in GET", "search clients send it; the upstream connection is not used again"),
];

async fn http_desync_guardian(kind: Kind) {
    let Some(mut arena) = Arena::start(kind).await else { return };
    let mut counts = [("Severe", 0, 0), ("Ambiguous", 0, 0), ("Acceptable", 0, 0), ("Compliant", 0, 0)];
    for file in data::CLASSIFIED {
        let Some(yaml) = data::text(&format!("http-desync-guardian/tests/{file}.yaml")) else { return };
        for request in data::classified(&yaml) {
            let outcome = arena.replay(format!("{file}: {}", request.name), &request.bytes()).await;
            let is_served = outcome.is_forwarded() || outcome.is_incomplete();
            let is_listed = |list: &[(&str, &str)]| list.iter().any(|(name, _)| *name == request.name);
            match request.tier.as_str() {
                "Severe" => arena.check(&outcome, outcome.is_refused(), "severe, so refused"),
                "Ambiguous" if is_listed(AMBIGUOUS_AND_FORWARDED) => arena.check(&outcome, is_served, "forwarded"),
                "Ambiguous" => arena.check(&outcome, outcome.is_refused(), "ambiguous, so refused"),
                _ if is_listed(VALID_AND_REFUSED) => arena.check(&outcome, outcome.is_refused(), "refused"),
                _ => arena.check(&outcome, is_served, "compliant or acceptable, so forwarded"),
            }
            let count = counts.iter_mut().find(|(tier, ..)| *tier == request.tier).unwrap();
            if outcome.is_refused() { count.1 += 1 } else { count.2 += 1 }
        }
    }
    arena.finish().await;
    for (tier, refused, forwarded) in counts {
        tell(&format!("http-desync-guardian {tier}"), kind, &[("refused", refused), ("forwarded", forwarded)]);
    }
    assert!(counts.iter().map(|(_, refused, forwarded)| refused + forwarded).sum::<usize>() > 150);
}

/// llhttp knows a list of methods, and reads on behind a request that ends its connection; this router does neither.
const ACCEPTED_BEYOND_LLHTTP: &[&str] = &[
    "connection.md: No restart when keep-alive is off (1.0)",
    "connection.md: CRLF between requests, explicit `close`",
    "connection.md: CRLF between requests, explicit `close` followed by tab",
    "invalid.md: HTTP protocol and ANNOUNCE method",
    "invalid.md: Invalid method",
];

async fn llhttp(kind: Kind) {
    let Some(mut arena) = Arena::start(kind).await else { return };
    let (mut refused, mut forwarded, mut several) = (0, 0, 0);
    for file in data::LLHTTP_REQUESTS {
        let Some(markdown) = data::text(&format!("llhttp/test/request/{file}.md")) else { return };
        for message in data::llhttp(&format!("{file}.md"), &markdown) {
            let bytes = with_host(&message.bytes);
            let outcome = arena.replay(message.name.clone(), &bytes).await;
            let must = message.is_error && !message.is_lenient;
            if must && !ACCEPTED_BEYOND_LLHTTP.contains(&message.name.as_str()) {
                arena.check(&outcome, !outcome.statuses().contains(&200), "an error to llhttp, so not served");
            }
            if outcome.is_forwarded() {
                forwarded += 1;
            } else if outcome.is_cut() {
                refused += 1;
            } else {
                several += 1;
            }
        }
    }
    arena.finish().await;
    let counts = [("refused", refused), ("forwarded", forwarded), ("several requests", several)];
    tell("llhttp", kind, &counts);
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

/// Without a router the lenient origin does lose step, and the tap shows it: the oracle is not blind.
#[tokio::test]
async fn a_lenient_origin_understands_more_than_was_sent() {
    let Some(origin) = harness::Origin::start(Kind::Lenient).await else { return };
    let mut client = harness::Client::connect(origin.tap.address).await;
    let hidden = "GET /smuggled HTTP/1.1\r\n\r\n";
    let request = format!("POST /p HTTP/1.1\r\nContent-Length: {}\r\nContent--Length: 0\r\n\r\n{hidden}", hidden.len());
    client.send(request).await;
    for _ in 0..2 {
        assert_eq!(client.answer().await.status(), 200);
    }
    let is_recorded = || origin.recorded().iter().any(|request| request.target == "/smuggled");
    harness::wait_until("the origin records what was hidden", is_recorded).await;
    assert_eq!(origin.tap.all().len(), 1, "strictly read it is one request");
}

/// Our own mutations, for which no suite is needed.
async fn mutated(kind: Kind) {
    let Some(arena) = Arena::start(kind).await else { return };
    replay_mutations(arena, &format!("mutations before {kind:?}"), &mutations::all()).await;
}

#[tokio::test]
async fn every_byte_around_a_framing_field_leaves_everybody_in_step() {
    let Some(arena) = Arena::start(Kind::Lenient).await else { return };
    replay_mutations(arena, "every byte", &mutations::every_byte()).await;
}

/// Where a message is broken into packets changes nothing, nor who is served meanwhile.
#[tokio::test]
async fn mutations_in_halves_leave_everybody_in_step() {
    let Some(mut arena) = Arena::start(Kind::Lenient).await else { return };
    arena.interrupt();
    replay_mutations(arena, "mutations in halves", &mutations::all()).await;
}

async fn replay_mutations(mut arena: Arena, what: &str, all: &[mutations::Mutation]) {
    let (mut refused, mut forwarded) = (0, 0);
    for mutation in all {
        let outcome = arena.replay(mutation.name(), &data::latin(&mutation.text)).await;
        arena.check(&outcome, mutation.holds(&outcome), &format!("{:?}", mutation.verdict));
        if outcome.is_cut() {
            refused += 1;
        } else {
            forwarded += 1;
        }
    }
    arena.finish().await;
    eprintln!("{what}: {refused} refused, {forwarded} forwarded");
    assert!(all.len() > 3_000, "only {}", all.len());
}

/// Many upstreams leave the body of a GET unread, and would take it for the next request of somebody else.
#[tokio::test]
async fn a_connection_that_took_a_body_with_get_serves_nobody_else() {
    let world = World::with(|setup| setup.with_workers(1)).await;
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let careless = response("200 OK", "careless");
    world.legacy.on("/careless", [Step::send(careless)]);
    let mut client = world.router.connect().await;
    for method in ["GET", "DELETE", "OPTIONS"] {
        let answer = client.request(method, "/careless", "", hidden).await;
        assert_eq!(answer.text(), "careless", "{method}");
        assert_eq!(client.get("/after").await.text(), "legacy", "{method}");
        let seen = world.legacy.seen();
        let connection = |target: &str| seen.iter().rev().find(|seen| seen.head.target() == target).unwrap().connection;
        assert_ne!(connection("/after"), connection("/careless"), "{method}");
    }
}
