//! The universal oracle: whatever a message is, nobody loses step over it.
//!
//! # What is held against every message
//!
//! There are no more answers than requests, and each belongs to the request it stands behind; what the router wrote is
//! canonical, and the origin understood exactly that and nothing more; a request behind the message gets its own answer or the
//! connection ends; and another user, who shares the upstream connection, gets their own answer and no other.
//!
//! Findings are collected, so that one run tells all of them.

use std::fmt::Write as _;

use harness::origins::{Kind, Understood};
use harness::tap::Tapped;
use harness::{Answer, Client, Origin, Router, Setup, wait_until};

/// A router before one origin, with another user beside whoever sends.
pub(super) struct Arena {
    origin: Origin,
    router: Router,
    canary: Client,
    turns: usize,
    interrupts: bool,
    findings: Vec<String>,
}

/// What became of one message.
pub(super) struct Outcome {
    name: String,
    /// The answers but that of the request behind it.
    answers: Vec<Answer>,
    /// What the router wrote, but that request.
    requests: Vec<Tapped>,
    closed: bool,
    untouched: bool,
}

impl Outcome {
    pub(super) fn statuses(&self) -> Vec<u16> {
        self.answers.iter().map(Answer::status).collect()
    }

    /// Refused before a byte went on, and hung up.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.statuses()[..], [400..=417 | 431 | 501 | 505]) && self.closed && self.untouched
    }

    /// Refused when a part was on its way, which was aborted: no origin has got a whole request.
    pub(super) fn is_cut(&self) -> bool {
        matches!(self.statuses()[..], [400..=417 | 431 | 501 | 505] | []) && self.closed && self.requests.is_empty()
    }

    /// Went on, as one request.
    pub(super) fn is_forwarded(&self) -> bool {
        self.requests.len() == 1 && self.answers.len() == 1 && self.answers[0].error_code().is_none()
    }

    /// The connection ended behind it.
    pub(super) fn is_last(&self) -> bool {
        self.closed
    }

    pub(super) fn requests(&self) -> &[Tapped] {
        &self.requests
    }

    pub(super) fn has_forwarded(&self, body: &[u8]) -> bool {
        self.is_forwarded() && self.requests[0].body == body
    }

    /// It announced more than it brought, which was waited for and told.
    pub(super) fn is_incomplete(&self) -> bool {
        self.statuses() == [408] && self.closed && self.requests.is_empty()
    }
}

fn is_canary(target: &str) -> bool {
    target.starts_with("/canary/")
}

/// As origins name a request in `X-Origin`.
fn name_of(method: &str, target: &str) -> String {
    format!("{method} {target}").bytes().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Arena {
    /// None, with a visible line, where the origin's program is missing.
    pub(super) async fn start(kind: Kind) -> Option<Self> {
        let origin = Origin::start(kind).await?;
        // One worker, so that all users share the upstream connections.
        let setup = Setup::new(origin.tap.address, origin.tap.address)
            .with_workers(1)
            .with_top("timeouts: {head: 500ms, body_idle: 500ms}")
            .with_routes("- {migration: shop, path: /**}\n- {path: /local, respond: {status: 200, body: local}}");
        let router = setup.start().await;
        let canary = router.connect().await;
        Some(Self { origin, router, canary, turns: 0, interrupts: false, findings: Vec::new() })
    }

    /// From now on each message comes in two halves, and another user is served between them.
    pub(super) fn interrupt(&mut self) {
        self.interrupts = true;
    }

    /// Sends a message and a request behind it, reads to the answer of that or to the end, and judges.
    pub(super) async fn replay(&mut self, name: String, message: &[u8]) -> Outcome {
        let mark = self.origin.tap.mark();
        let mut client = self.router.connect().await;
        let (half, rest) = message.split_at(if self.interrupts { message.len() / 2 } else { 0 });
        if self.interrupts {
            client.send(half).await;
            self.ask_canary(&name).await;
        }
        client.send(rest).await;
        client.send("GET /follow-up HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let first = if message.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
        let mut answers: Vec<Answer> = Vec::new();
        while let Some(answer) = client.answer_or_end(if answers.is_empty() { first } else { "GET" }).await {
            answers.push(answer);
        }
        self.origin.tap.settled().await;
        let (canaries, mut requests): (Vec<Tapped>, Vec<Tapped>) =
            self.origin.tap.requests_since(mark).into_iter().partition(|request| is_canary(&request.head.target()));
        let untouched = self.origin.tap.bytes_since(mark) == canaries.iter().map(Tapped::head_bytes).sum::<usize>();
        let follow_up = requests.last().filter(|request| request.head.target() == "/follow-up");
        let mut closed = true;
        if let Some(sent) = follow_up.map(|request| name_of(&request.head.method(), &request.head.target())) {
            requests.pop();
            closed = false;
            // An origin may refuse its method, which the end of a body may have lengthened.
            let own = answers.pop().and_then(|answer| answer.value("x-origin")).is_none_or(|origin| origin == sent);
            if !own {
                self.findings.push(format!("{name}: the request behind it gets its own answer"));
            }
        }
        let outcome = Outcome { name, answers, requests, closed, untouched };
        self.judge(&outcome);
        self.ask_canary(&outcome.name).await;
        outcome
    }

    /// Notes a finding unless `holds`.
    pub(super) fn check(&mut self, outcome: &Outcome, holds: bool, expected: &str) {
        if !holds {
            let requests: Vec<String> = outcome.requests.iter().map(|request| request.head.first_line()).collect();
            let (statuses, closed) = (outcome.statuses(), outcome.closed);
            self.findings.push(format!(
                "{}: {expected}, but {statuses:?}, closed: {closed}, untouched: {}, upstream: {requests:?}",
                outcome.name, outcome.untouched
            ));
        }
    }

    fn judge(&mut self, outcome: &Outcome) {
        let errors = outcome.answers.iter().skip_while(|answer| answer.error_code().is_none()).count();
        self.check(outcome, errors <= 1, "a refusal is the last answer");
        let served = outcome.answers.iter().filter(|answer| answer.value("x-origin").is_some());
        let served: Vec<String> = served.filter_map(|answer| answer.value("x-origin")).collect();
        let sent = outcome.requests.iter().map(|request| name_of(&request.head.method(), &request.head.target()));
        // An origin may refuse what was sent, so answers may be missing; none may come out of turn.
        let mut sent = sent.filter(|name| served.contains(name));
        let in_turn = served.iter().all(|name| sent.next().as_ref() == Some(name));
        self.check(outcome, in_turn, "each answer belongs to the request it stands behind");
        for request in &outcome.requests {
            if let Some(fault) = fault_of(request) {
                self.check(outcome, false, fault);
            }
        }
    }

    /// Another user, on a connection of their own, gets their own answer.
    async fn ask_canary(&mut self, name: &str) {
        self.turns += 1;
        let target = format!("/canary/{}", self.turns);
        self.canary.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let answer = self.canary.answer_or_end("GET").await;
        let own = answer.and_then(|answer| answer.value("x-origin")) == Some(name_of("GET", &target));
        if !own {
            self.findings.push(format!("{name}: another user gets their own answer"));
            self.canary = self.router.connect().await;
        }
    }

    /// Ends everything and compares what was written with what was understood.
    ///
    /// # Panics
    ///
    /// With all findings, when there are any.
    pub(super) async fn finish(mut self) {
        let end = self.router.connect().await.get("/end").await;
        let kind = self.origin.kind;
        assert_eq!(end.value("x-origin"), Some(name_of("GET", "/end")), "{kind:?} serves to the end");
        drop(self.canary);
        drop(self.router);
        self.origin.tap.closed().await;
        let is_recorded = || self.origin.recorded().last().is_some_and(|last| last.target == "/end");
        wait_until("the last request is recorded", is_recorded).await;
        let mut written: Vec<Understood> = self.origin.tap.all().iter().map(understood).collect();
        for request in self.origin.recorded() {
            match written.iter().position(|own| *own == request) {
                Some(at) => drop(written.swap_remove(at)),
                None => self.findings.push(format!("{kind:?} understood what nobody sent: {request:?}")),
            }
        }
        if kind == Kind::Lenient {
            let missing = written.iter().map(|request| format!("{kind:?} did not understand {request:?}"));
            self.findings.extend(missing);
        }
        let findings = &self.findings;
        assert!(
            findings.is_empty(),
            "{kind:?}, {} of {} messages:\n{}",
            findings.len(),
            self.turns,
            findings.join("\n")
        );
    }
}

fn understood(request: &Tapped) -> Understood {
    Understood { method: request.head.method(), target: request.head.target(), body: request.body.clone() }
}

/// What of a request is not canonical.
fn fault_of(request: &Tapped) -> Option<&'static str> {
    let head = &request.head;
    let count = |name: &str| head.values(name).len();
    let other_hops = ["keep-alive", "proxy-connection", "http2-settings", "transfer_encoding", "content_length"];
    let is_plain = |text: &String| text.parse::<u64>().is_ok_and(|length| length.to_string() == *text);
    let names: Vec<String> = head.fields().into_iter().map(|(name, _)| name.to_lowercase()).collect();
    let is_token = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    let lines = head.bytes().iter().filter(|byte| matches!(byte, b'\r' | b'\n' | b'\0')).count();
    let ends = head.bytes().windows(2).filter(|window| window == b"\r\n").count();
    [
        (count("host") == 1, "one Host"),
        (count("content-length") + count("transfer-encoding") <= 1, "one framing"),
        (head.value("transfer-encoding").is_none_or(|coding| coding == "chunked"), "no coding but chunked"),
        (head.value("content-length").as_ref().is_none_or(is_plain), "a plain length"),
        (other_hops.iter().all(|name| count(name) == 0), "no field of another hop"),
        (head.value("te").is_none_or(|taken| taken == "trailers" && count("te") == 1), "no coding of another hop"),
        (names.iter().all(is_token), "names are tokens"),
        (lines == 2 * ends, "lines end with CRLF, and nowhere else"),
        (head.first_line().ends_with(" HTTP/1.1") && head.first_line().split(' ').count() == 3, "a whole request line"),
        (request.trailers.iter().all(|line| may_trail(line)), "no framing, routing or credentials in trailers"),
    ]
    .into_iter()
    .find_map(|(holds, expected)| (!holds).then_some(expected))
}

fn may_trail(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or_default().to_lowercase();
    let forbidden =
        ["host", "content-length", "transfer-encoding", "connection", "authorization", "cookie", "te", "trailer"];
    !forbidden.contains(&name.as_str())
}
