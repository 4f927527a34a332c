//! The head rows of the conformance table, each as one line; and properties over every split.

use proptest::prelude::*;

use super::authority::is_host;
use super::*;
use crate::h1::refusal::BadAnswer;

const LIMITS: HeadLimits = HeadLimits { bytes: 65_536, fields: 100, target: 8_192 };

fn parse(text: &[u8]) -> Result<Option<RequestHead>, Refusal> {
    let mut head = RequestHead::default();
    let length = head.parse(text, &LIMITS)?;
    Ok(length.map(|length| {
        head.bytes = text[..length].to_vec();
        head
    }))
}

#[track_caller]
fn accepted(text: &str) -> RequestHead {
    parse(text.as_bytes()).unwrap_or_else(|refusal| panic!("{text:?} refused: {refusal:?}")).expect("complete")
}

#[track_caller]
fn check_refused(text: &str, expected: Refusal) {
    assert_eq!(parse(text.as_bytes()).map(|head| head.is_some()), Err(expected), "{text:?}");
}

/// The same with a valid Host in front of `fields`.
#[track_caller]
fn check_fields(fields: &str, expected: Refusal) {
    check_refused(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), expected);
}

#[test]
fn a_request_has_exactly_one_host() {
    check_refused("GET / HTTP/1.1\r\n\r\n", Refusal::HostMissing);
    check_refused("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Refusal::HostDuplicate);
    check_refused("GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n", Refusal::HostDuplicate);
    check_refused("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", Refusal::HostDuplicate);
    for host in [
        "", "a, b", "a b", "u@a", "a/b", "a?b", "a#b", "a:b", "a:", "a:99999", "a:1:2", "[::1", "::1", "[a]", "a\\b",
        "a%41", "a,b",
    ] {
        check_refused(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Refusal::HostInvalid);
    }
    for host in ["a", "a.example:80", "127.0.0.1:8080", "[::1]", "[::1]:80", "a_b-c.d", "0.0.0.0=5000"] {
        let head = accepted(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(head.authority(), host.as_bytes());
    }
}

#[test]
fn the_host_is_the_authority_without_its_port() {
    for (authority, host) in [("a", "a"), ("a:80", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")] {
        let head = accepted(&format!("GET / HTTP/1.1\r\nHost: {authority}\r\n\r\n"));
        assert_eq!(head.host(), host.as_bytes());
    }
}

#[test]
fn http_1_0_needs_no_host() {
    let head = accepted("GET /x HTTP/1.0\r\n\r\n");
    assert_eq!((head.version, head.authority()), (Version::Http10, &b""[..]));
}

#[test]
fn a_url_as_target_loses_its_authority() {
    let head = accepted("GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (head.target(), head.path(), head.query(), head.authority()),
        (&b"/x?y"[..], &b"/x"[..], Some(&b"y"[..]), &b"a"[..])
    );
    assert_eq!(accepted("GET HTTP://A:80/ HTTP/1.1\r\nHost: a\r\n\r\n").path(), b"/");
    assert_eq!(accepted("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n").target(), b"/");
    check_refused("GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n", Refusal::HostMismatch);
    check_refused("GET http://a:81/x HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::HostMismatch);
    for (target, host) in
        [("https://a:443/", "a"), ("HTTPS://a/", "A:443"), ("http://a/", "a:80"), ("http://a:80", "a")]
    {
        assert_eq!(accepted(&format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).path(), b"/", "{target}");
    }
    check_refused("GET https://a:80/x HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::HostMismatch);
    check_refused("GET http://a:443/x HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::HostMismatch);
    check_refused("GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::HostInvalid);
    check_refused("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::HostInvalid);
    let head = accepted("GET http://a?x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.path(), head.query()), (&b"/"[..], Some(&b"x"[..])));
    check_refused("GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Target);
}

#[test]
fn a_target_is_a_path_or_an_asterisk_for_options() {
    assert_eq!(accepted("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").target(), b"*");
    check_refused("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Target);
    check_refused("GET a HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Target);
    check_refused("GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Target);
    check_refused("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Refusal::Method);
    check_refused("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::Method);
    for target in ["/a#b", "/\u{e9}", "/a%00b"] {
        check_refused(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), Refusal::TargetCharacter);
    }
    for target in ["/../a", "//a", "/%2f", "/a;b=c", "/|{}", "/?q=a/b?c"] {
        assert_eq!(accepted(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).target(), target.as_bytes());
    }
}

#[test]
fn methods_go_as_they_came() {
    for method in ["PURGE", "get", "M-SEARCH", "A!#$%&'*+.^_`|~9"] {
        assert_eq!(accepted(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).method(), method.as_bytes());
    }
}

#[test]
fn only_http_1_0_and_1_1_are_spoken() {
    for version in ["HTTP/1.2", "HTTP/2.0", "HTTP/9.9", "HTTP/0.9"] {
        check_refused(&format!("GET / {version}\r\nHost: a\r\n\r\n"), Refusal::Version);
    }
    for line in [
        "GET /\r\n",
        "GET / http/1.1\r\n",
        "GET  / HTTP/1.1\r\n",
        "GET /a b HTTP/1.1\r\n",
        " GET / HTTP/1.1\r\n",
        "GET / HTTP/11\r\n",
    ] {
        check_refused(&format!("{line}Host: a\r\n\r\n"), Refusal::RequestLine);
    }
}

#[test]
fn one_empty_line_before_a_request_is_forgiven() {
    assert_eq!(accepted("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").method(), b"GET");
    check_refused("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::RequestLine);
    check_refused("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::RequestLine);
}

#[test]
fn lines_end_with_crlf() {
    check_refused("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Refusal::RequestLine);
    check_refused("GET / HTTP/1.10\r\nHost: a\r\n\r\n", Refusal::RequestLine);
    check_refused("GET / HTTP/1.1\rHost: a\r\n\r\n", Refusal::LineEnd);
    check_refused("GET / HTTP/1.1\nHost: a\r\n\r\n", Refusal::LineEnd);
    check_refused("GET / HTTP/1.1\r\nHost: a\n\r\n", Refusal::LineEnd);
    check_refused("GET / HTTP/1.1\r\nHost: a\r\n\n", Refusal::LineEnd);
    check_refused("GET / HTTP/1.1\nHost: a\n\n", Refusal::LineEnd);
    for text in ["GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", "GET / HTTP/1.1\rHost: a\r\n\r\n"] {
        assert!(parse(text.as_bytes()).is_err(), "{text:?}");
    }
}

#[test]
fn fields_are_a_token_a_colon_and_a_value() {
    for fields in
        ["X : a\r\n", ": a\r\n", "X\r\n", "X Y: a\r\n", "X(: a\r\n", "X\0: a\r\n", " folded\r\n", "\tfolded\r\n"]
    {
        check_fields(fields, Refusal::FieldName);
    }
    for fields in ["X: a\0b\r\n", "X: a\u{7f}\r\n", "X: \u{1}\r\n"] {
        check_fields(fields, Refusal::FieldValue);
    }
    check_refused("GET / HTTP/1.1\r\n Host: a\r\n\r\n", Refusal::FieldName);
    let head = accepted("GET / HTTP/1.1\r\nHost:a\r\nX:\t b c \t\r\nY:\r\nZ: \u{e9}\r\n\r\n");
    assert_eq!(
        (head.get("x"), head.get("y"), head.get("z")),
        (Some(&b"b c"[..]), Some(&b""[..]), Some("\u{e9}".as_bytes()))
    );
}

#[test]
fn names_that_imitate_framing_are_refused() {
    for name in [
        "Transfer_Encoding",
        "Transfer---Encoding",
        "Transfer___Encoding",
        "transfer.encoding",
        "-Transfer-Encoding",
        "Transfer-Encoding-",
        "'Transfer-Encoding'",
        "Transfer-%45ncoding",
        "%54ransfer-Encodin%67",
        "Transfer%2dEncoding",
        "Content--Length",
        "_Content-Length",
        "Content_Length_",
        "CONTENT.LENGTH",
        "Content%20Length",
        "_Host",
        "Host-",
        "%48ost",
    ] {
        check_fields(&format!("{name}: 1\r\n"), Refusal::FieldDisguised);
    }
    for name in [
        "X-Content-Length",
        "Content-Length-2",
        "ContentLength",
        "TransferEncoding",
        "X-Host",
        "Hostname",
        "Trailer-Encoding",
        "Content-Lang%65",
        "H-ost",
        "-",
        "%",
        "Transfer-Encoding-Transfer-Encoding",
    ] {
        let head = accepted(&format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: 1\r\n\r\n"));
        assert!(!head.fields[1].dropped, "{name}");
    }
    let long = format!("Crossfade_{}", "a".repeat(60));
    for name in ["Content_Length", "CONTENT_LENGTH", "X_Forwarded_For", "X-Request_Id", &long] {
        let head = accepted(&format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: 1\r\n\r\n"));
        assert!(head.fields[1].dropped, "{name}");
    }
}

#[test]
fn framing_is_no_content_coding_and_of_no_single_hop() {
    check_fields("Content-Encoding: chunked\r\n", Refusal::EncodingMisplaced);
    check_fields("Content-Encoding: gzip, Chunked\r\n", Refusal::EncodingMisplaced);
    for option in ["Host", "close, Content-length", "transfer-encoding"] {
        check_fields(&format!("Connection: {option}\r\n"), Refusal::ConnectionOption);
    }
    check_fields(&format!("Connection: {}\r\n", "a,".repeat(OPTIONS_MAX + 1)), Refusal::ConnectionOption);
    check_fields(&"Connection: a,b\r\n".repeat(OPTIONS_MAX / 2 + 1), Refusal::ConnectionOption);
    let many = format!("Connection: {},x\r\nX: 1\r\nConnection: close\r\n", "a,".repeat(OPTIONS_MAX - 1));
    let head = accepted(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"));
    assert!(head.fields[2].dropped && head.persistence.close);
    let fields = "Content-Encoding: aws-chunked\r\nConnection: TE, Keep-Alive\r\n";
    assert!(!accepted(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).persistence.nominates_framing);
}

#[test]
fn head_has_no_body_and_that_of_get_is_unusual() {
    let request = |method: &str, fields: &str| format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    check_refused(&request("HEAD", "Content-Length: 1\r\n"), Refusal::BodyUnexpected);
    check_refused(&request("HEAD", "Transfer-Encoding: chunked\r\n"), Refusal::BodyUnexpected);
    assert!(!accepted(&request("HEAD", "Content-Length: 0\r\n")).has_body());
    assert!(accepted(&request("GET", "Content-Length: 1\r\n")).has_unusual_body());
    assert!(accepted(&request("DELETE", "Transfer-Encoding: chunked\r\n")).has_unusual_body());
    assert!(!accepted(&request("GET", "Content-Length: 0\r\n")).has_unusual_body());
    assert!(!accepted(&request("POST", "Content-Length: 1\r\n")).has_unusual_body());
}

#[test]
fn framing_is_named_once_and_clearly() {
    check_fields("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Refusal::LengthAndEncoding);
    check_fields("Content-Length: 1\r\nContent-Length: 2\r\n", Refusal::LengthDiffers);
    check_fields("Content-Length: 5, 5\r\n", Refusal::LengthInvalid);
    check_fields("Content-Length:\r\n", Refusal::LengthInvalid);
    check_fields("Transfer-Encoding: gzip, chunked\r\n", Refusal::EncodingUnknown);
    check_fields("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Refusal::EncodingInvalid);
    check_fields("Expect: 200-maybe\r\n", Refusal::Expectation);
    check_refused("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::EncodingInHttp10);
    let head = accepted(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\nContent-Length: 005\r\nExpect: 100-Continue\r\n\r\n",
    );
    assert_eq!((head.framing, head.expects_continue), (Framing::Length(5), true));
    for nothing in ["", "Content-Length: 0\r\n"] {
        let head = accepted(&format!("POST / HTTP/1.1\r\nHost: a\r\n{nothing}Expect: 100-continue\r\n\r\n"));
        assert!(!head.expects_continue, "{nothing:?}");
    }
}

#[test]
fn sizes_are_limited() {
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(8_192));
    check_refused(&long, Refusal::TargetTooLong);
    check_refused(&format!("GET /{}", "a".repeat(8_300)), Refusal::TargetTooLong);
    let unfinished = format!("GET /{} HTTP/1.1\r\nHost: a\r\n", "a".repeat(8_300));
    check_refused(&unfinished, Refusal::TargetTooLong);
    let method = format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(20_000));
    for size in [8_300, 20_000, method.len() - 11, method.len()] {
        check_refused(&method[..size], Refusal::TargetTooLong);
    }
    let many: String = (0..101).map(|n| format!("X{n}: a\r\n")).collect();
    check_fields(&many, Refusal::HeadTooLarge);
    check_fields(&format!("X: {}\r\n", "a".repeat(65_536)), Refusal::HeadTooLarge);
    let unfinished = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "a".repeat(65_536));
    check_refused(&unfinished, Refusal::HeadTooLarge);
}

#[test]
fn connection_options_are_read_and_their_fields_marked() {
    let head = accepted(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-A ,, keep-alive\r\nx-a: 1\r\nX-B: 2\r\nContent_Length: 5\r\nX_Ok: 1\r\n\r\n",
    );
    let dropped: Vec<&[u8]> =
        head.fields.iter().filter(|field| field.dropped).map(|field| field.name.of(&head.bytes)).collect();
    assert_eq!(dropped, [&b"x-a"[..], b"Content_Length"]);
    assert!(head.persistence.close && head.persistence.keep_alive && !head.persistence.upgrade);
}

#[track_caller]
fn check_upgrade(fields: &str, expected: Option<&str>) {
    let head = accepted(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    assert_eq!(head.upgrade.map(|span| span.of(&head.bytes)), expected.map(str::as_bytes), "{fields:?}");
}

#[test]
fn an_upgrade_is_asked_for_in_both_fields_and_without_a_body() {
    check_upgrade("Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", Some("websocket"));
    check_upgrade("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n", Some("websocket"));
    check_upgrade("Upgrade: websocket\r\n", None);
    check_upgrade("Connection: upgrade\r\n", None);
    check_upgrade("Connection: upgrade\r\nUpgrade: h2c, websocket\r\n", None);
    check_upgrade("Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n", None);
    check_upgrade("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n", None);
}

fn answer(text: &str, to_head: bool) -> Result<Option<ResponseHead>, BadAnswer> {
    let mut head = ResponseHead::default();
    let length = head.parse(text.as_bytes(), to_head, &LIMITS)?;
    Ok(length.map(|length| {
        head.bytes = text.as_bytes()[..length].to_vec();
        head
    }))
}

#[track_caller]
fn check_answer(text: &str, framing: Framing, reusable: bool) {
    let head = answer(text, false).unwrap().unwrap();
    assert_eq!((head.framing, head.reusable), (framing, reusable), "{text:?}");
}

#[test]
fn an_answer_keeps_its_connection_only_if_its_end_is_clear() {
    check_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true);
    check_answer("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true);
    check_answer("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true);
    check_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", Framing::Length(5), false);
    check_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Framing::Chunked, true);
    check_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", Framing::Chunked, false);
    check_answer("HTTP/1.1 200 OK\r\nServer : a\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), true);
    check_answer("HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", Framing::Length(5), false);
    check_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding\t: chunked\r\n\r\n", Framing::Chunked, false);
    check_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection : close\r\n\r\n", Framing::Length(5), false);
    check_answer("HTTP/1.1 200 OK\r\n\r\n", Framing::UntilClose, false);
    check_answer("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", Framing::Length(5), false);
    check_answer("HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", Framing::Length(5), true);
    check_answer("HTTP/1.1 204 No Content\r\n\r\n", Framing::None, true);
    check_answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\n\r\n", Framing::None, false);
}

#[test]
fn a_bodiless_answer_may_tell_a_length() {
    let length = |text: &str, to_head: bool| answer(text, to_head).unwrap().unwrap().bodiless_length(to_head);
    assert_eq!(length("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", true), Some(5));
    assert_eq!(length("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", false), Some(5));
    assert_eq!(length("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", false), None);
    assert_eq!(length("HTTP/1.1 200 OK\r\n\r\n", true), None);
}

#[test]
fn a_bad_answer_is_told_from_a_good_one() {
    for (text, expected) in [
        ("HTTP/2.0 200 OK\r\n\r\n", BadAnswer::Head),
        ("HTTP/1.1 99 X\r\n\r\n", BadAnswer::Head),
        ("HTTP/1.1 099 X\r\n\r\n", BadAnswer::Head),
        ("nonsense\r\n\r\n", BadAnswer::Head),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", BadAnswer::Head),
        ("HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n", BadAnswer::Head),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", BadAnswer::Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", BadAnswer::Length),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", BadAnswer::Encoding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", BadAnswer::Encoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", BadAnswer::Encoding),
    ] {
        assert_eq!(answer(text, false).map(|head| head.is_some()), Err(expected), "{text:?}");
    }
    let large = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(65_536));
    assert_eq!(answer(&large, false).map(|head| head.is_some()), Err(BadAnswer::TooLarge));
    let bad_beyond_the_limit = format!("HTTP/1.1 200 OK\r\nX: {}\0\r\n\r\n", "a".repeat(65_536));
    assert_eq!(answer(&bad_beyond_the_limit, false).map(|head| head.is_some()), Err(BadAnswer::TooLarge));
}

const SAMPLES: [&str; 11] = [
    "POST /a?b HTTP/1.1\r\nHost: a:80\r\nConnection: x-a\r\nX-A: 1\r\nContent-Length: 5\r\n\r\n",
    "\r\nGET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
    "GET / HTTP/3.0\r\nHost: a\r\n\r\n",
    // Two faults: the first one counts.
    "GET / HTTP/1.1\r\nHost: \na\r\n\r\n",
    "GET / HTTP/1.1\nHost : a\0\r\n\r\n",
    "G\u{e9}T /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.10\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\rHost: a\r\n\r\n",
];

/// However a head arrives, the answer in the end is the same, and a refusal never comes after an acceptance.
#[test]
fn every_split_gives_the_same_answer() {
    for text in SAMPLES {
        let whole = parse(text.as_bytes()).map(|head| head.is_some());
        for end in 1..text.len() {
            match parse(&text.as_bytes()[..end]) {
                Ok(None) => {}
                Ok(Some(_)) => panic!("{:?} is not complete", &text[..end]),
                Err(early) => assert_eq!(whole, Err(early), "{:?} of {text:?}", &text[..end]),
            }
        }
    }
}

proptest! {
    #[test]
    fn no_input_panics(bytes: Vec<u8>) {
        let _ = parse(&bytes);
        let _ = ResponseHead::default().parse(&bytes, false, &LIMITS);
    }

    /// Damage to one byte of a good head never yields a head with other framing or another host than written.
    #[test]
    fn a_damaged_head_is_refused_or_still_clear(at in 0..80usize, byte: u8) {
        let mut bytes = SAMPLES[0].as_bytes().to_vec();
        prop_assume!(at < bytes.len());
        bytes[at] = byte;
        if let Ok(Some(head)) = parse(&bytes) {
            prop_assert!(is_host(head.authority()));
            prop_assert!(head.method().iter().all(u8::is_ascii_graphic));
            prop_assert!(head.target().iter().all(u8::is_ascii_graphic));
        }
    }
}

#[test]
fn of_a_refused_head_only_method_and_path_are_kept() {
    for (text, method, path) in [
        ("HEAD /a?token=b HTTP/1.1\r\nCookie: c\r\n\r\n", "HEAD", "/a"),
        ("\r\n\r\nGET /a HTTP/1.1\r\n", "GET", "/a"),
        ("GET /a\tb HTTP/1.1\r\n", "GET", "/a"),
        ("GET http://user:password@a/ HTTP/1.1\r\n", "GET", "/"),
        ("GET", "", "/"),
        ("nonsense\r\nGET /a", "", "/"),
        ("\u{16}\u{3}\u{1}", "", "/"),
    ] {
        let mut head = accepted("GET /old HTTP/1.1\r\nHost: a\r\n\r\n");
        head.keep_line(text.as_bytes());
        assert_eq!((head.method(), head.path()), (method.as_bytes(), path.as_bytes()), "{text:?}");
        assert!(head.authority().is_empty() && head.fields.is_empty());
    }
    let mut head = RequestHead::default();
    head.keep_line(format!("GET /{}", "a".repeat(9_000)).as_bytes());
    assert!(head.target().len() < 256);
}
