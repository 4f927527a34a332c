//! What is sent, and what is not.

use super::*;

fn choice() -> Choice {
    Choice {
        methods: SAFE.to_vec(),
        writes: false,
        hosts: Vec::new(),
        credentials: true,
        limit: usize::MAX,
        headers: HeaderMap::new(),
    }
}

fn chosen(text: &str, choice: &Choice) -> Selection {
    select(Recording::parse(text.as_bytes()).unwrap(), choice)
}

fn one(method: &str, headers: &str) -> String {
    format!(r#"{{"method": "{method}", "path": "/a/7", "headers": {{{headers}}}}}"#)
}

#[track_caller]
fn check_skipped(text: &str, choice: &Choice, expected: Skipped) {
    let selection = chosen(text, choice);
    assert!(selection.requests.is_empty(), "{text}");
    assert_eq!(selection.skipped, BTreeMap::from([(expected, 1)]), "{text}");
}

#[test]
fn only_what_is_safe_is_sent() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        let selection = chosen(&one(method, ""), &choice());
        assert_eq!(selection.requests.len(), 1, "{method}");
        assert_eq!(selection.requests[0].route, format!("{method} /a/{{id}}"));
        assert!(!selection.requests[0].write && !selection.requests[0].headers.contains_key(MIRROR));
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "PURGE"] {
        check_skipped(&one(method, ""), &choice(), Skipped::NotSafe);
        let selection = chosen(&one(method, ""), &Choice { writes: true, ..choice() });
        let request = &selection.requests[0];
        assert!(request.write, "{method}");
        assert_eq!(request.headers[MIRROR], "1");
        assert!(request.headers[IDEMPOTENCY_KEY].to_str().unwrap().starts_with("crossfade-diff-"));
    }
    for method in ["TRACE", "CONNECT"] {
        check_skipped(&one(method, ""), &Choice { writes: true, ..choice() }, Skipped::NeverSent);
    }
    check_skipped(&one("HEAD", ""), &Choice { methods: vec![Method::GET], ..choice() }, Skipped::NotChosen);
    check_skipped(&one("GET", r#""upgrade": "websocket""#), &choice(), Skipped::Upgrade);
    let no_body = one("POST", r#""content-length": "7""#);
    check_skipped(&no_body, &Choice { writes: true, ..choice() }, Skipped::NoBody);
}

#[test]
fn a_write_has_the_same_key_each_time_and_another_than_its_neighbour() {
    let writes = Choice { writes: true, ..choice() };
    let keys = |text: &str| -> Vec<HeaderValue> {
        chosen(text, &writes).requests.iter().map(|request| request.headers[IDEMPOTENCY_KEY].clone()).collect()
    };
    let two = format!("{}\n{}", one("POST", ""), one("POST", ""));
    assert_eq!(keys(&two), keys(&two));
    assert_ne!(keys(&two)[0], keys(&two)[1]);
    assert_eq!(keys(&one("POST", r#""Idempotency-Key": "own""#)), ["own"]);
}

#[test]
fn fields_of_the_connection_and_conditions_stay_behind() {
    let recorded = one(
        "GET",
        r#""host": "h", "connection": "close, x-hop", "x-hop": "1", "te": "trailers", "if-none-match": "a", "expect": "100-continue",
        "content-length": "0", "crossfade-side": "new", "proxy-authorization": "b", "accept-encoding": "gzip, br", "accept": "c",
        "cookie": "d", "authorization": "e", "x-api-key": "f", "x-csrf-token": "g""#,
    )
    .replace('\n', "");
    let names = |choice: &Choice| -> Vec<String> {
        let mut names: Vec<String> =
            chosen(&recorded, choice).requests[0].headers.keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&choice()), ["accept", "accept-encoding", "authorization", "cookie", "x-api-key", "x-csrf-token"]);
    assert_eq!(names(&Choice { credentials: false, ..choice() }), ["accept", "accept-encoding"]);
    assert_eq!(chosen(&recorded, &choice()).requests[0].headers[ACCEPT_ENCODING], "gzip");
    let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_static("mine"))]);
    let own = Choice { headers, credentials: false, ..choice() };
    assert_eq!(names(&own), ["accept", "accept-encoding", "cookie"]);
    assert_eq!(chosen(&recorded, &own).requests[0].headers[COOKIE], "mine");
}

#[test]
fn cookies_of_one_host_are_not_sent_for_another() {
    let of = |host: &str| format!(r#"{{"method": "GET", "path": "https://{host}/a"}}"#);
    let text = [of("Shop.example"), of("fonts.example"), of("shop.example"), of("ads.example")].join("\n");
    let sent = |hosts: &[&str]| {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let selection = chosen(&text, &Choice { hosts, ..choice() });
        (selection.requests.len(), selection.skipped.get(&Skipped::OtherHost).copied().unwrap_or(0))
    };
    assert_eq!(sent(&[]), (2, 2));
    assert_eq!(sent(&["ADS.example", "fonts.example"]), (2, 2));
    assert_eq!(sent(&["*"]), (4, 0));
}

#[test]
fn a_limit_counts_what_is_sent() {
    let text = [one("GET", ""), one("POST", ""), one("GET", ""), one("GET", "")].join("\n");
    let selection = chosen(&text, &Choice { limit: 2, ..choice() });
    assert_eq!(selection.requests.len(), 2);
    assert_eq!(selection.skipped, BTreeMap::from([(Skipped::NotSafe, 1), (Skipped::BeyondLimit, 1)]));
}
