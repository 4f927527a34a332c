//! The conformance table of docs/conformance.md, each row looked at from both sides.
//!
//! # Why exact bytes
//!
//! What a proxy must not do shows in what nobody looks at: a byte that reached the upstream before the refusal, an answer
//! without a length, a socket that stays open. So a refusal is compared to the last byte and to the end of the connection,
//! and what is forwarded is compared with the bytes that an upstream must see, this hop's own fields taken out.
//!
//! Rows that other files of these tests cover are not repeated here; docs/conformance.md names the test of every row.

mod chunks;
mod codes;
mod connections;
mod fields;
mod framing;
mod local;
mod logs;
mod requests;
mod responses;
mod rules;
mod sharing;
mod upgrades;

use harness::Client;

use crate::world::World;

/// The fields that this hop adds to every request, in the order in which it writes them.
const OURS: &[&str] = &[
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "Forwarded",
    "X-Request-Id",
    "traceparent",
    "Crossfade-Migration",
    "Crossfade-Side",
    "Crossfade-Revision",
];

/// The largest answer that the router makes itself.
const LOCAL_BODY_BYTES_MAX: usize = 512;

fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    text.chars().take(300).collect()
}

/// Reads one answer that the router made itself: exact in status, code and framing, small, and a problem that parses.
async fn local_answer(client: &mut Client, method: &str, (status, code): (u16, &str), name: &str) {
    let Some(answer) = client.answer_or_end(method).await else { panic!("{name}: closed without an answer") };
    assert_eq!((answer.status(), answer.error_code().as_deref()), (status, Some(code)), "{name}: {answer:?}");
    assert!(answer.interim.is_empty() && answer.whole, "{name}: {answer:?}");
    let declared = answer.head.values("content-length");
    assert_eq!(declared.len(), 1, "{name}: {answer:?}");
    assert_eq!(answer.head.values("transfer-encoding").len(), 0, "{name}: {answer:?}");
    if method == "HEAD" {
        assert!(answer.body.is_empty(), "{name}: {answer:?}");
        return;
    }
    assert_eq!(declared[0], answer.body.len().to_string(), "{name}: {answer:?}");
    assert!(answer.body.len() <= LOCAL_BODY_BYTES_MAX, "{name}: {answer:?}");
    assert_eq!(answer.value("content-type").as_deref(), Some("application/problem+json"), "{name}");
    let problem = answer.json();
    assert_eq!((problem["status"].as_u64(), problem["code"].as_str()), (Some(status.into()), Some(code)), "{name}");
    assert_eq!(answer.value("allow").is_some(), status == 405, "{name}: {answer:?}");
    assert_eq!(answer.value("retry-after").is_some(), matches!(status, 429 | 503), "{name}: {answer:?}");
}

/// The method of the first request in these bytes, as far as they have one.
fn method_of(request: &[u8]) -> &'static str {
    if request.trim_ascii_start().starts_with(b"HEAD ") { "HEAD" } else { "GET" }
}

/// Each of these, on a connection of its own, must be refused with this status and code: one whole small answer that says
/// `close`, the connection closed and not reset, and no byte at an upstream.
async fn refuse<R: AsRef<[u8]>>(world: &World, expected: (u16, &str), requests: impl IntoIterator<Item = R>) {
    world.legacy.forget();
    for request in requests {
        let (request, name) = (request.as_ref(), shown(request.as_ref()));
        let mut client = world.router.connect().await;
        client.send(request).await;
        let Some(head) = client.peek_head().await else { panic!("{name}: closed without an answer") };
        assert_eq!(head.value("connection").as_deref(), Some("close"), "{name}: {head:?}");
        local_answer(&mut client, method_of(request), expected, &name).await;
        assert!(client.closes_cleanly().await, "{name}: one answer and then a clean end");
        assert!(world.untouched(), "{name}: an upstream got {}", shown(&world.legacy.bytes()));
    }
    assert_eq!(world.get("/others").await.text(), "legacy", "others are served all the while");
    world.legacy.forget();
}

/// What the upstream got, without the fields that this hop adds: each of them once, together, behind the caller's.
fn canonical(bytes: &[u8], name: &str) -> String {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { panic!("{name}: no head in {text:?}") };
    let mut kept = Vec::new();
    let mut ours = Vec::new();
    for line in head.split("\r\n") {
        let own = line.split_once(": ").filter(|(own, _)| OURS.contains(own));
        match own {
            Some((own, _)) => ours.push(own),
            None => kept.push(line),
        }
    }
    assert_eq!(ours, OURS, "{name}: {head:?}");
    format!("{}\r\n\r\n{body}", kept.join("\r\n"))
}

/// This request, on the connection of `client`, must reach the upstream as exactly these bytes (latin-1) besides this hop's
/// fields, and be answered; the connection stays in step, so the next one gets its own answer.
async fn forward(world: &World, client: &mut Client, request: impl AsRef<[u8]>, expected: &str) {
    let name = shown(request.as_ref());
    world.legacy.forget();
    client.send(request.as_ref()).await;
    let Some(answer) = client.answer_or_end(method_of(request.as_ref())).await else { panic!("{name}: no answer") };
    assert_eq!((answer.status(), answer.error_code(), answer.whole), (200, None, true), "{name}: {answer:?}");
    assert_eq!(canonical(&world.legacy.bytes(), &name), expected, "{name}");
    assert_eq!(world.legacy.count(), 1, "{name}");
}

/// The tests that docs/conformance.md names, as `module::of::the_test`, with the row that names them (0: none does).
fn named_tests(page: &str) -> Vec<(u32, String)> {
    let mut named = Vec::new();
    for line in page.lines() {
        let row = line.strip_prefix("| ").and_then(|rest| rest.split(' ').next()?.parse().ok()).unwrap_or(0);
        let names = line.split('`').skip(1).step_by(2).filter(|code| code.contains("::") && !code.ends_with('*'));
        named.extend(
            names.filter(|name| !name.contains("//") && !name.contains('…')).map(|name| (row, name.to_owned())),
        );
    }
    named
}

#[test]
fn every_row_of_the_page_names_a_test_and_every_test_a_row() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("../docs/conformance.md")).unwrap();
    let named = named_tests(&page);
    let rows: std::collections::BTreeSet<u32> = named.iter().map(|(row, _)| *row).filter(|row| *row > 0).collect();
    assert!(rows.into_iter().eq((1..=40).filter(|row| *row != 38)), "each row but 38 (HTTP/2) has a test");
    for (row, name) in &named {
        let (module, test) = name.rsplit_once("::").unwrap();
        let file = root.join("e2e").join(module.replace("::", "/")).with_extension("rs");
        let text =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("row {row}: {}: {error}", file.display()));
        assert!(text.contains(&format!("fn {test}()")), "row {row}: there is no test {name}");
    }
    for file in std::fs::read_dir(root.join("e2e/conformance")).unwrap().map(|entry| entry.unwrap().path()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let local = file.ends_with("local.rs") && page.contains("`conformance::local::*`");
        for test in text
            .split("#[tokio::test]\nasync fn ")
            .skip(1)
            .filter_map(|rest| rest.split_once('(').map(|(name, _)| name))
        {
            let is_named = named.iter().any(|(_, name)| name.ends_with(&format!("::{test}"))) || local;
            assert!(
                is_named || test.ends_with("_of_json"),
                "docs/conformance.md does not name {test} of {}",
                file.display()
            );
        }
    }
}
