//! Recorded requests, two systems, and what `crossfade diff` says of their answers.

use std::time::Duration;

use harness::backend::{answers, refused_address};
use harness::router::{Finished, crossfade_in};
use harness::{Backend, Step};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Both systems and a folder with a recording.
struct Pair {
    legacy: Backend,
    new: Backend,
    folder: TempDir,
}

const RECORDING: &str = "recorded.jsonl";

impl Pair {
    async fn start() -> Self {
        let (legacy, new) = (Backend::start("shop").await, Backend::start("shop").await);
        Self { legacy, new, folder: TempDir::new().unwrap() }
    }

    fn both(&self, path: &str, steps: &[Step]) {
        self.legacy.on(path, steps);
        self.new.on(path, steps);
    }

    fn record(&self, lines: &[Value]) {
        self.write(RECORDING, &lines.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"));
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn page(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("page.html")).unwrap()
    }

    async fn diff(&self, options: &[&str]) -> Finished {
        let (legacy, new) = (format!("http://{}", self.legacy.address), format!("http://{}", self.new.address));
        let mut arguments = vec!["diff", &legacy, &new, "--html", "page.html"];
        if !options.contains(&"-f") {
            arguments.extend(["-f", RECORDING]);
        }
        arguments.extend(options);
        crossfade_in(self.folder.path(), &arguments, &[]).await
    }

    /// The report, after the run has ended with this code.
    async fn report(&self, code: i32, options: &[&str]) -> Value {
        let finished = self.diff(&[&["-o", "json"], options].concat()).await;
        assert_eq!(finished.code, Some(code), "{finished:?}");
        serde_json::from_str(&finished.stdout).unwrap()
    }
}

fn get(path: &str) -> Value {
    json!({ "method": "GET", "path": path })
}

fn with(headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Steps that answer this JSON.
fn says(body: &Value) -> Vec<Step> {
    answers(with("Content-Type: application/json\r\n", &body.to_string()))
}

fn totals(report: &Value) -> [u64; 4] {
    ["matched", "ignored", "mismatched", "not_compared"].map(|name| report["totals"][name].as_u64().unwrap())
}

/// Pattern and kind of each difference.
fn differences(report: &Value) -> Vec<(&str, &str)> {
    let list = report["differences"].as_array().unwrap();
    list.iter().map(|found| (found["pattern"].as_str().unwrap(), found["kind"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn equal_systems_have_no_mismatch_whatever_the_order_of_keys() {
    let pair = Pair::start().await;
    pair.legacy.on("/orders", answers(with("Content-Type: application/json\r\n", r#"{"id": 7, "lines": [1, 2]}"#)));
    pair.new.on("/orders", answers(with("Content-Type: application/json\r\n", r#"{"lines":[1,2],"id":7}"#)));
    let lines: Vec<Value> = (0..40).map(|at| get(&format!("/orders/{at}?page={at}"))).collect();
    pair.record(&lines);
    let report = pair.report(0, &[]).await;
    assert_eq!(totals(&report), [40, 0, 0, 0], "{report}");
    assert_eq!((pair.legacy.count(), pair.new.count()), (40, 40));
    assert_eq!(
        report["routes"],
        json!([{"route": "GET /orders/{id}", "matched": 40, "ignored": 0, "mismatched": 0, "not_compared": 0}])
    );
    let table = pair.diff(&[]).await;
    assert!(table.code == Some(0) && table.stdout.contains("no mismatch in 40 requests"), "{table:?}");
    assert!(pair.page().contains("no mismatch in 40 requests"));
}

#[tokio::test]
async fn a_har_is_sent_as_it_was_recorded_but_for_its_host() {
    let pair = Pair::start().await;
    let entry = |method: &str, url: &str| {
        let headers = json!([{"name": ":path", "value": "/x"}, {"name": "Cookie", "value": "sid=1"}, {"name": "X-A", "value": "b"},
            {"name": "Host", "value": "shop.example"}, {"name": "If-None-Match", "value": "\"e\""}, {"name": "Connection", "value": "close"}]);
        json!({"request": {"method": method, "url": url, "headers": headers}, "response": {"status": 200}})
    };
    let entries = [
        entry("GET", "https://shop.example/a?b=1#c"),
        entry("POST", "https://shop.example/a"),
        entry("GET", "https://fonts.example/f"),
    ];
    pair.write("r.har", &format!("{:#}", json!({"log": {"version": "1.2", "entries": entries}})));
    let report = pair.report(0, &["-f", "r.har", "--header", "X-Run: 1"]).await;
    assert_eq!(totals(&report), [1, 0, 0, 0], "{report}");
    assert_eq!(report["skipped"].as_array().unwrap().len(), 2, "{report}");
    for backend in [&pair.legacy, &pair.new] {
        let seen = backend.only("/a?b=1").await;
        assert_eq!(seen.head.value("cookie").as_deref(), Some("sid=1"));
        assert_eq!(seen.head.value("x-a").as_deref(), Some("b"));
        assert_eq!(seen.head.value("x-run").as_deref(), Some("1"));
        assert_eq!(seen.head.value("host"), Some(backend.address.to_string()));
        assert_eq!(seen.head.value("if-none-match"), None);
        assert_eq!(backend.count(), 1);
        backend.forget();
    }
    pair.report(0, &["-f", "r.har", "--no-credentials", "--host", "*"]).await;
    assert_eq!(pair.new.only("/a?b=1").await.head.value("cookie"), None);
    assert_eq!(pair.new.count(), 2);
}

#[tokio::test]
async fn what_changed_is_found_each_under_its_own_pattern() {
    let pair = Pair::start().await;
    let order =
        |total: &str| json!({"id": 1, "total": total, "lines": [{"sku": "a", "price": 1}, {"sku": "b", "price": 2}]});
    let mut lost = order("10");
    lost["lines"][1].as_object_mut().unwrap().remove("price");
    pair.legacy.on("/lost", says(&order("10")));
    pair.new.on("/lost", says(&lost));
    pair.legacy.on("/value", says(&order("10")));
    pair.new.on("/value", says(&order("11")));
    pair.legacy.on("/header", answers(with("Cache-Control: no-store\r\n", "x")));
    pair.new.on("/header", answers(with("", "x")));
    pair.new.on("/status", answers(&b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"[..]));
    pair.legacy.on("/moved", answers(&b"HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n"[..]));
    pair.new.on("/moved", answers(&b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"[..]));
    pair.record(&["/lost/1", "/lost/2", "/value/1", "/header", "/status", "/moved", "/same"].map(get));
    let report = pair.report(1, &[]).await;
    assert_eq!(totals(&report), [1, 0, 6, 0], "{report}");
    assert_eq!(pair.legacy.count() + pair.new.count(), 14, "redirects are not followed, nothing is sent twice");
    let found = differences(&report);
    assert_eq!(found[0], ("$.lines[*].price", "missing"), "the most requests first: {report}");
    for expected in [
        ("$.total", "value_changed"),
        ("header:cache-control", "header_missing"),
        ("status", "status_changed"),
        ("header:location", "header_changed"),
    ] {
        assert!(found.contains(&expected), "{expected:?}: {found:?}");
    }
    assert_eq!((found.len(), &report["differences"][0]["requests"]), (5, &json!(2)));
    assert_eq!(report["differences"][0]["example"]["line"], 1);
    let page = pair.page();
    assert_eq!(page.matches("<section>").count(), 5, "{page}");
    assert!(page.contains("GET /lost/{id}") && page.contains("$.lines[*].price"));
    let table = pair.diff(&[]).await;
    assert!(table.code == Some(1) && table.stdout.contains("6 of 7 requests mismatched"), "{table:?}");
}

/// A redirect to the system itself, by the name that it was asked by.
fn redirect(_: &str, head: &harness::http::Head) -> Vec<u8> {
    let host = head.value("host").unwrap();
    format!("HTTP/1.1 302 Found\r\nLocation: http://{host}/next\r\nContent-Length: 0\r\n\r\n").into_bytes()
}

#[tokio::test]
async fn each_system_may_name_itself_in_a_redirect() {
    let pair = Pair::start().await;
    pair.both("/here", &[Step::ReadBody, Step::Answer(redirect)]);
    pair.record(&[get("/here")]);
    let report = pair.report(0, &[]).await;
    assert_eq!(totals(&report), [1, 0, 0, 0], "{report}");
    assert_eq!(pair.new.count(), 1, "not followed");
}

#[tokio::test]
async fn rules_let_pass_what_they_name_and_expired_ones_do_not() {
    let pair = Pair::start().await;
    pair.legacy.on("/a", says(&json!({"at": "x", "by": "y"})));
    pair.new.on("/a", says(&json!({"at": "z", "by": "y"})));
    pair.record(&[get("/a")]);
    pair.write("rules.yaml", "- {path: $.at, kind: ignore, owner: ann, reason: a clock}\n");
    let report = pair.report(0, &["--rules", "rules.yaml"]).await;
    assert_eq!(totals(&report), [0, 1, 0, 0], "{report}");
    pair.write("rules.yaml", "- {path: $.at, kind: ignore, owner: ann, reason: a clock, expires: 2020-01-31}\n");
    let finished = pair.diff(&["--rules", "rules.yaml"]).await;
    assert!(finished.code == Some(1) && finished.stderr.contains("expired"), "{finished:?}");
    pair.write("rules.yaml", "- {path: $.at, kind: ignored, owner: ann, reason: a clock}\n- {path: $.b}\n");
    let finished = pair.diff(&["--rules", "rules.yaml"]).await;
    assert_eq!(finished.code, Some(3), "{finished:?}");
    for told in ["rules.yaml:1:", "rules.yaml:2:", "no `owner`"] {
        assert!(finished.stderr.contains(told), "{told}: {}", finished.stderr);
    }
}

/// An answer with an id that is made anew each time.
fn volatile(name: &str, head: &harness::http::Head) -> Vec<u8> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let at = NEXT.fetch_add(1, Ordering::Relaxed);
    let price = if head.target().contains("/changed") && name == "new" { 2 } else { 1 };
    let body = format!("{{\"id\":\"0b8ff9d2-6f2c-4a7e-9f53-{at:012x}\",\"price\":{price}}}");
    with("Content-Type: application/json\r\n", &body)
}

#[tokio::test]
async fn what_legacy_has_with_itself_is_left_out_and_nothing_else() {
    let (legacy, new) = (Backend::start("legacy").await, Backend::start("new").await);
    let pair = Pair { legacy, new, folder: TempDir::new().unwrap() };
    pair.both("/", &[Step::ReadBody, Step::Answer(volatile)]);
    pair.record(&(0..20).map(|at| get(&format!("/orders/{at}"))).collect::<Vec<_>>());
    let report = pair.report(1, &[]).await;
    assert_eq!((totals(&report), differences(&report)), ([0, 0, 20, 0], vec![("$.id", "value_changed")]), "{report}");
    let report = pair.report(0, &["--noise"]).await;
    assert_eq!((totals(&report), &report["noise"]["requests"]), ([0, 20, 0, 0], &json!(20)), "{report}");
    assert_eq!(pair.legacy.count(), 60, "twice with --noise");
    pair.record(&[get("/orders/1"), get("/changed"), get("/changed/2")]);
    let report = pair.report(1, &["--noise"]).await;
    assert_eq!(totals(&report), [0, 1, 2, 0], "{report}");
    assert!(differences(&report).iter().all(|found| *found == ("$.price", "value_changed")), "{report}");
}

#[tokio::test]
async fn nothing_that_changes_anything_is_done_twice() {
    let pair = Pair::start().await;
    let post = json!({"method": "POST", "path": "/orders", "body": {"a": 1}});
    let delete = json!({"method": "DELETE", "path": "/items/7", "headers": {"Idempotency-Key": "own"}});
    pair.record(&[get("/a"), post.clone(), delete, get("/b")]);
    let report = pair.report(0, &[]).await;
    assert_eq!((totals(&report), &report["skipped"][0]["requests"]), ([2, 0, 0, 0], &json!(2)), "{report}");
    let methods = |backend: &Backend| backend.seen().iter().filter(|seen| seen.head.method() != "GET").count();
    assert_eq!((methods(&pair.legacy), methods(&pair.new)), (0, 0));
    let report = pair.report(0, &["--unsafe"]).await;
    assert_eq!(totals(&report), [2, 0, 0, 2], "{report}");
    assert_eq!((methods(&pair.legacy), methods(&pair.new)), (0, 2));
    let sent = pair.new.only("/orders").await;
    let first = sent.head.value("idempotency-key").unwrap();
    assert_eq!((sent.head.value("crossfade-mirror").as_deref(), sent.text().as_str()), (Some("1"), r#"{"a":1}"#));
    assert_eq!(pair.new.only("/items/7").await.head.value("idempotency-key").as_deref(), Some("own"));
    pair.new.forget();
    pair.report(0, &["--unsafe"]).await;
    assert_eq!(
        pair.new.only("/orders").await.head.value("idempotency-key"),
        Some(first),
        "a second run is known as one"
    );
    pair.record(&[post]);
    let nothing = pair.diff(&[]).await;
    assert!(nothing.code == Some(2) && nothing.stderr.contains("--unsafe"), "{nothing:?}");
}

#[tokio::test]
async fn secrets_are_in_no_report() {
    let pair = Pair::start().await;
    const SECRETS: [&str; 8] = [
        "s3cr3tauth",
        "s3cr3tcookie",
        "s3cr3tquery",
        "s3cr3tbody",
        "s3cr3tset",
        "s3cr3tflag",
        "s3cr3tpass",
        "ann@example.com",
    ];
    let body = |token: &str| json!({"token": token, "password": format!("{token}s3cr3tpass"), "email": "ann@example.com", "n": token.len()});
    for (backend, token) in [(&pair.legacy, "s3cr3tbody"), (&pair.new, "s3cr3tbody-2")] {
        let text = body(token).to_string();
        let headers = format!(
            "Content-Type: application/json\r\nSet-Cookie: sid={token}s3cr3tset\r\nLocation: /?token={token}\r\n"
        );
        backend.on("/a", answers(with(&headers, &text)));
    }
    let headers = json!({"Authorization": "Bearer s3cr3tauth", "Cookie": "sid=s3cr3tcookie"});
    let request = json!({"method": "GET", "path": "/a/ann@example.com?token=s3cr3tquery", "headers": headers});
    let bad = r#"{"method": "GET", "path": 7, "headers": {"Cookie": "s3cr3tcookie"}}"#;
    pair.write(RECORDING, &format!("{request}\n{bad}\n"));
    for options in [&[][..], &["-o", "json"], &["--redact", "raw"], &["--redact", "raw", "-o", "json", "--noise"]] {
        let finished = pair.diff(&[&["--header", "X-Key: s3cr3tflag"], options].concat()).await;
        assert_eq!(finished.code, Some(1), "{finished:?}");
        let told = format!("{}{}{}", finished.stdout, finished.stderr, pair.page());
        for secret in SECRETS {
            assert!(!told.contains(secret), "{options:?} tells {secret}: {told}");
        }
        assert!(finished.stderr.contains("recorded.jsonl:2:"), "{finished:?}");
    }
    assert_eq!(
        pair.new.seen()[0].head.value("authorization").as_deref(),
        Some("Bearer s3cr3tauth"),
        "and yet they were sent"
    );
    for wrong in [&["--header", "s3cr3tflag"][..], &["--header", "a b: s3cr3tflag"], &["--header", "a: s3cr3tflag\n"]] {
        let finished = pair.diff(wrong).await;
        assert!(!finished.stderr.contains("s3cr3t"), "{finished:?}");
    }
    let finished =
        crossfade_in(pair.folder.path(), &["diff", "http://u:s3cr3tpass@h", "http://h", "-f", RECORDING], &[]).await;
    assert!(finished.code == Some(2) && !finished.stderr.contains("s3cr3t"), "{finished:?}");
}

#[tokio::test]
async fn a_system_that_is_not_there_is_no_equality() {
    let mut pair = Pair::start().await;
    pair.record(&(0..100).map(|at| get(&format!("/{at}"))).collect::<Vec<_>>());
    pair.new.stop().await;
    let finished = pair.diff(&["-o", "json"]).await;
    assert!(finished.code == Some(4) && finished.stderr.contains("new never answered"), "{finished:?}");
    let report: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(totals(&report), [0, 0, 0, 100], "{report}");
    assert!(pair.legacy.count() < 40, "legacy was asked {} times for nothing", pair.legacy.count());
    let nowhere = format!("http://{}", refused_address());
    let finished = crossfade_in(pair.folder.path(), &["diff", &nowhere, &nowhere, "-f", RECORDING], &[]).await;
    assert!(finished.code == Some(4) && finished.stderr.contains("legacy and new never answered"), "{finished:?}");
}

#[tokio::test]
async fn hostile_answers_end_in_time() {
    let pair = Pair::start().await;
    let endless = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    pair.new.on("/endless", vec![Step::ReadBody, Step::send(endless), Step::AwaitClose]);
    pair.new.on("/silent", vec![Step::ReadBody, Step::AwaitClose]);
    pair.new.on(
        "/huge",
        vec![
            Step::ReadBody,
            Step::send("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"),
            Step::SendFiller(64 << 20),
        ],
    );
    pair.new.on("/drip", vec![Step::ReadBody, Step::Drip(endless.as_bytes().to_vec(), Duration::from_millis(100))]);
    pair.new
        .on("/reset", vec![Step::ReadBody, Step::send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), Step::Reset]);
    pair.new.on("/head", vec![Step::ReadBody, Step::send("HTTP/1.1 200 OK\r\nX: "), Step::SendFiller(64 << 20)]);
    pair.new.on("/garbage", answers("hello"));
    let mut bomb = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ".to_vec();
    let packed = harness::bomb::gzip(64 << 20);
    bomb.extend(format!("{}\r\n\r\n", packed.len()).into_bytes());
    bomb.extend(packed);
    pair.both("/bomb", &answers(bomb.clone()));
    pair.legacy.on("/bomb", answers(with("", "small")));
    let paths = ["/endless", "/silent", "/huge", "/drip", "/reset", "/head", "/garbage", "/bomb", "/fine"];
    pair.record(&paths.map(get));
    let report = pair.report(1, &["--timeout", "1s", "--noise"]).await;
    assert_eq!(totals(&report), [1, 0, 1, 7], "{report}");
    assert_eq!(differences(&report), [("$", "body_length")], "10 GB against a short answer: {report}");
}

#[tokio::test]
async fn of_long_answers_is_told_where_they_differ() {
    let pair = Pair::start().await;
    // Of something over 4 MiB a digest is made, of 20 MiB nothing is known but the length.
    let text = "x".repeat(20_000);
    let orders = |count: usize, seventh: u64| {
        let order = |at: usize| {
            let total = if at == 7 { seventh } else { 1 };
            format!("{{\"id\":{at},\"text\":\"{text}\",\"total\":{total}}}")
        };
        let body = format!("{{\"orders\":[{}]}}", (0..count).map(order).collect::<Vec<_>>().join(","));
        answers(with("Content-Type: application/json\r\n", &body))
    };
    pair.legacy.on("/total", orders(220, 1));
    pair.new.on("/total", orders(220, 2));
    pair.legacy.on("/one", orders(221, 1));
    pair.new.on("/one", orders(220, 1));
    pair.legacy.on("/longer", orders(1, 1));
    pair.new.on("/longer", orders(1_000, 1));
    pair.both("/long", &orders(1_000, 1));
    pair.record(&["/total", "/one", "/longer", "/long"].map(get));
    let report = pair.report(1, &[]).await;
    assert_eq!(totals(&report), [0, 0, 3, 1], "{report}");
    let mut found = differences(&report);
    found.sort_unstable();
    let expected = [("$", "body_length"), ("$.orders[*]", "missing"), ("$.orders[*].total", "value_changed")];
    assert_eq!(found, expected, "{report}");
}

#[tokio::test]
async fn a_recording_that_is_none_is_refused_with_its_line() {
    let pair = Pair::start().await;
    pair.record(&[get("/a"), json!({"method": "GET"}), get("/b")]);
    let finished = pair.diff(&[]).await;
    assert!(finished.code == Some(0) && finished.stderr.contains("recorded.jsonl:2:"), "{finished:?}");
    assert!(finished.stdout.contains("cannot be read"), "{finished:?}");
    for (text, told) in [
        ("", "no request"),
        ("hello\n", "recorded.jsonl:1:"),
        ("{\n \"log\": {\"entries\": [,]}}", "recorded.jsonl:2:"),
    ] {
        pair.write(RECORDING, text);
        let finished = pair.diff(&[]).await;
        assert!(finished.code == Some(3) && finished.stderr.contains(told), "{text}: {finished:?}");
    }
    let finished = pair.diff(&["-f", "missing.har"]).await;
    assert!(finished.code == Some(3) && finished.stderr.contains("missing.har cannot be opened"), "{finished:?}");
    let finished = pair.diff(&["--methods", "POST"]).await;
    assert!(finished.code == Some(2) && finished.stderr.contains("--unsafe"), "{finished:?}");
}
