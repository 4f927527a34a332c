//! Origins that answer badly: what a caller gets of it, and that nobody gets another's.

use harness::Step;
use harness::backend::{answers, response};

use super::data;
use crate::world::World;

/// Answers that are rewritten: bytes behind their end go nowhere, a bare line feed ends a line as it does in httparse, and white
/// space behind the size of a chunk is left out.
const REPAIRED: &[&str] = &[
    "connection.md: HTTP/1.1 with keep-alive disabled and 204 status",
    "connection.md: HTTP/1.1 with keep-alive disabled, content-length",
    "invalid.md: Only LFs present and no body",
    "invalid.md: Only LFs present",
    "sample.md: No carriage ret",
    "transfer-encoding.md: Trailing space on chunked body",
];

#[tokio::test]
async fn answers_that_a_strict_parser_refuses_are_not_passed_on() {
    let world = World::start().await;
    world.legacy.on("/follow-up", answers(response("200 OK", "follow-up")));
    world.legacy.on("/canary", answers(response("200 OK", "canary")));
    let mut canary = world.router.connect().await;
    let (mut bad, mut good) = (0, 0);
    for file in data::LLHTTP_ANSWERS {
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
    eprintln!("llhttp's answers: {bad} errors not passed on, {good} passed on");
    assert!(bad >= 15 && good >= 30, "{bad} bad, {good} good");
}
