//! Recordings as tables: what is written, and what becomes of it.

use super::*;

fn parsed(text: &str) -> Recording {
    Recording::parse(text.as_bytes()).unwrap()
}

/// The only request of a text, as `METHOD target [name: value]... |body`.
#[track_caller]
fn check(text: &str, expected: &str) {
    let recording = parsed(text);
    assert_eq!((recording.requests.len(), recording.unreadable), (1, 0), "{text}: {:?}", recording.problems);
    let request = &recording.requests[0];
    let mut shown = format!("{} {}", request.method, request.target);
    for (name, value) in &request.headers {
        shown.push_str(&format!(" [{name}: {}]", value.to_str().unwrap()));
    }
    if !request.body.is_empty() {
        shown.push_str(&format!(" |{}", String::from_utf8_lossy(&request.body)));
    }
    assert_eq!(shown, expected, "{text}");
}

/// One entry of a HAR by the inside of its request.
fn har(request: &str) -> String {
    format!(
        r#"{{"log": {{"version": "1.2", "entries": [{{"request": {{{request}}}, "response": {{"status": 200}}}}]}}}}"#
    )
}

#[test]
fn a_line_is_a_request() {
    check(r#"{"method": "GET", "path": "/a?b=1"}"#, "GET /a?b=1");
    check(
        r#"{"method": "get", "path": "/a", "headers": {"X-A": "1", "x-b": ["2", "3"]}}"#,
        "GET /a [x-a: 1] [x-b: 2] [x-b: 3]",
    );
    check(r#"{"method": "POST", "path": "/a", "body": "text"}"#, "POST /a |text");
    check(
        r#"{"method": "POST", "path": "/a", "body": {"z": 1.0, "a": 1e3}}"#,
        r#"POST /a [content-type: application/json] |{"z": 1.0, "a": 1e3}"#,
    );
    check(r#"{"method": "GET", "path": "/a", "body": null, "status": 200}"#, "GET /a");
    check(r#"{"method": "GET", "path": "https://h/a b?q=ü#frag"}"#, "GET /a%20b?q=%C3%BC");
    check("\u{feff}{\"method\": \"GET\", \"path\": \"/a\"}\r\n\r\n", "GET /a");
}

#[test]
fn an_entry_of_a_har_is_a_request() {
    check(&har(r#""method": "GET", "url": "https://shop.example/a?b=1""#), "GET /a?b=1");
    check(&har(r#""method": "GET", "url": "https://shop.example?b=1""#), "GET /?b=1");
    check(&har(r#""method": "GET", "url": "http://shop.example""#), "GET /");
    check(
        &har(
            r#""method": "GET", "url": "http://h/a", "headers": [{"name": ":authority", "value": "h"}, {"name": "A", "value": "b"}]"#,
        ),
        "GET /a [a: b]",
    );
    check(
        &har(r#""method": "POST", "url": "http://h/a", "postData": {"mimeType": "text/plain", "text": "x"}"#),
        "POST /a [content-type: text/plain] |x",
    );
    let form =
        r#""postData": {"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "a b", "value": "&"}]}"#;
    check(
        &har(&format!(r#""method": "POST", "url": "http://h/a", {form}"#)),
        "POST /a [content-type: application/x-www-form-urlencoded] |a%20b=%26",
    );
    check(
        &har(r#""method": "PUT", "url": "http://h/a", "postData": {"text": "aGk=", "encoding": "base64"}"#),
        "PUT /a |hi",
    );
    let pretty = har(r#""method": "GET", "url": "http://h/a""#).replace('{', "{\n");
    check(&pretty, "GET /a");
    assert_eq!(parsed(&pretty).requests[0].line, 3);
    assert_eq!(parsed(&pretty).requests[0].host.as_deref(), Some("h"));
}

#[test]
fn what_is_no_request_is_told_with_its_line_and_without_what_it_holds() {
    let good = r#"{"method": "GET", "path": "/a"}"#;
    for bad in [
        "geheim",
        r#"{"method": "GET"}"#,
        r#"{"method": "GET", "path": "geheim"}"#,
        r#"{"method": "G ET", "path": "/geheim"}"#,
        r#"{"method": 7, "path": "/geheim"}"#,
        r#"{"method": "GET", "path": "/a", "headers": ["geheim"]}"#,
        r#"{"method": "GET", "path": "/a", "headers": {"a": {"geheim": 1}}}"#,
        r#"{"method": "GET", "path": "/a", "headers": {"a": "geheim\u0000"}}"#,
        r#"{"method": "GET", "path": "/a", "headers": "geheim"}"#,
        r#"["geheim"]"#,
        r#"["GET", "/geheim", null, null]"#,
        r#"{"method": "GET", "path": "/geheim", "path": "/b"}"#,
    ] {
        let recording = parsed(&format!("{good}\n\n{bad}\n{good}\n"));
        assert_eq!((recording.requests.len(), recording.unreadable), (2, 1), "{bad}");
        assert_eq!(recording.problems[0].line, 3, "{bad}");
        assert!(!recording.problems[0].why.contains("geheim"), "{bad}: {}", recording.problems[0].why);
        assert_eq!(recording.requests[1].line, 4);
        // Also where the bad one is the first.
        assert_eq!(parsed(&format!("{bad}\n{good}")).unreadable, 1, "{bad}");
    }
}

#[test]
fn a_file_without_a_request_is_an_error_with_a_line() {
    for (text, line) in [
        ("", 1),
        ("\n\n", 1),
        ("no", 1),
        ("{\n\"log\": {\"entries\": [\n,]}}", 3),
        (r#"{"log": {"entries": []}}"#, 1),
        (r#"{"log": {}}"#, 1),
        ("{\n\"other\": 1\n}", 3),
        (r#"{"method": "GET"}"#, 1),
    ] {
        let problems = Recording::parse(text.as_bytes()).unwrap_err();
        assert_eq!(problems[0].line, line, "{text}: {problems:?}");
    }
    assert!(Recording::parse(b"{\"log\": \xff").is_err());
}

#[test]
fn one_entry_that_is_none_costs_no_other() {
    let text = r#"{"log": {"entries": [
        7,
        {},
        {"request": {"method": "GET", "url": "data:text/plain,geheim"}},
        {"request": {"method": "GET", "url": "wss://h/a"}},
        {"request": {"method": "GET", "url": "http://h/a", "headers": "geheim"}},
        {"request": {"method": "GET", "url": "http://h/a"}}]}}"#;
    let recording = parsed(text);
    assert_eq!((recording.requests.len(), recording.unreadable, recording.not_http), (1, 3, 2));
    let lines: Vec<usize> = recording.problems.iter().map(|problem| problem.line).collect();
    assert_eq!((lines, recording.requests[0].line), (vec![2, 3, 6], 7));
}

#[test]
fn everything_has_a_limit() {
    let line = |body: usize| format!(r#"{{"method": "POST", "path": "/a", "body": "{}"}}"#, "x".repeat(body));
    assert_eq!(parsed(&line(BODY_BYTES_MAX)).requests.len(), 1);
    assert!(Recording::parse(line(BODY_BYTES_MAX + 1).as_bytes()).is_err());
    let mut many = String::new();
    for at in 0..=REQUESTS_MAX {
        many.push_str(&format!("{{\"method\": \"GET\", \"path\": \"/{at}\"}}\n"));
    }
    let recording = parsed(&many);
    assert_eq!((recording.requests.len(), recording.beyond), (REQUESTS_MAX, 1));
    let fields: Vec<String> = (0..=HEADERS_MAX).map(|at| format!("\"x-{at}\": \"\"")).collect();
    let text = format!(r#"{{"method": "GET", "path": "/a", "headers": {{{}}}}}"#, fields.join(","));
    assert!(Recording::parse(text.as_bytes()).unwrap_err()[0].why.contains("200 header fields"));
    let problems = parsed(&format!("{{\"method\": \"GET\", \"path\": \"/a\"}}\n{}", "x\n".repeat(100)));
    assert_eq!((problems.problems.len(), problems.unreadable), (PROBLEMS_MAX, 100));
}
