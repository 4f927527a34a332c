//! Rows 1 to 9: request lines, hosts, methods and versions.

use super::{forward, refuse};
use crate::world::World;

/// A GET of `/` with these lines behind the request line.
fn lines(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\n{lines}\r\n")
}

/// A request with this line and a Host.
fn line(line: &str) -> Vec<u8> {
    [line.as_bytes(), b"\r\nHost: a\r\n\r\n"].concat()
}

/// Row 1.
#[tokio::test]
async fn a_request_without_a_host_is_refused() {
    let world = World::start().await;
    let none = ["", "X-Host: a\r\n", "Hos: a\r\n", "Hostt: a\r\n", "Accept: */*\r\nConnection: close\r\n"];
    refuse(&world, (400, "host_missing"), none.map(lines)).await;
    refuse(&world, (400, "host_missing"), ["GET http://a/ HTTP/1.1\r\n\r\n", "OPTIONS * HTTP/1.1\r\n\r\n"]).await;
    refuse(&world, (400, "host_missing"), ["POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"]).await;
}

/// What is no host with an optional port.
const NO_HOSTS: &[&str] = &[
    "",
    " ",
    "\t",
    "a, b",
    "a,b",
    "a b",
    "a\tb",
    "u@a",
    "u:p@a",
    "@a",
    "a/b",
    "/",
    "a/",
    "a?b",
    "a#b",
    "a\\b",
    "http://a",
    "a:b",
    "a:",
    "a:-1",
    "a:+80",
    "a:65536",
    "a:99999",
    "a:80:80",
    "a:8 0",
    ":80",
    ":",
    "[::1",
    "::1",
    "[]",
    "[a]",
    "[::1]a",
    "[::1]:",
    "[::1]:x",
    "a%41",
    "a;b",
    "a\"b",
    "a'b",
    "a<b>",
    "a{b}",
    "a|b",
    "a^b",
    "a`b",
    "*",
    "a&b",
    "a$b",
    "a!",
    "(a)",
    "\u{e9}",
    "a\u{ff0e}b",
];

/// Row 2.
#[tokio::test]
async fn a_host_that_is_doubled_or_no_host_is_refused() {
    let world = World::start().await;
    let doubled = [
        "Host: a\r\nHost: b\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nX: 1\r\nhOST: a\r\n",
        "Host: a\r\nHost:\r\n",
        "Host:\r\nHost: a\r\n",
        "Host: a\r\nHost: a\r\nHost: a\r\n",
    ];
    refuse(&world, (400, "host_duplicate"), doubled.map(lines)).await;
    refuse(&world, (400, "host_duplicate"), ["GET http://a/ HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"]).await;
    refuse(&world, (400, "host_duplicate"), ["GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"]).await;
    refuse(&world, (400, "host_invalid"), NO_HOSTS.iter().map(|host| lines(&format!("Host: {host}\r\n")))).await;
    let invalid_in_1_0 = ["", "a b", "u@a"].map(|host| format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"));
    refuse(&world, (400, "host_invalid"), invalid_in_1_0).await;
    let long = format!("Host: {}\r\n", "a".repeat(256));
    refuse(&world, (400, "host_invalid"), [lines(&long)]).await;

    let mut client = world.router.connect().await;
    for host in [
        "a",
        "A.Example",
        "a.example:80",
        "a:0",
        "a:65535",
        "a:080",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:80",
        "a_b-c.d~",
        "a=b",
    ] {
        let request = lines(&format!("Host: {host}\r\n"));
        forward(&world, &mut client, &request, &request).await;
    }
}

/// Row 3.
#[tokio::test]
async fn a_url_as_target_becomes_a_path_and_its_host_counts() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    for (target, host, path, sent_host) in [
        ("http://a/x", "a", "/x", "a"),
        ("http://a/x?y=1", "a", "/x?y=1", "a"),
        ("http://a", "a", "/", "a"),
        ("http://a?y", "a", "/?y", "a"),
        ("HTTP://A/x", "a", "/x", "A"),
        ("http://a:80/x", "a", "/x", "a:80"),
        ("http://a/x", "a:80", "/x", "a"),
        ("http://a:81/x", "a:81", "/x", "a:81"),
        ("https://a/x", "a", "/x", "a"),
        ("https://a:443/x", "a", "/x", "a:443"),
        ("http://[::1]/x", "[::1]", "/x", "[::1]"),
        ("http://a//x/../y", "a", "//x/../y", "a"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let expected = format!("GET {path} HTTP/1.1\r\nHost: {sent_host}\r\n\r\n");
        forward(&world, &mut client, request, &expected).await;
    }
    let asterisk = "OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n";
    forward(&world, &mut client, asterisk, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let urls =
        |targets: &[&str]| targets.iter().map(|target| line(&format!("GET {target} HTTP/1.1"))).collect::<Vec<_>>();
    refuse(&world, (400, "host_mismatch"), urls(&["http://b/x", "http://a:81/x", "http://a.b/x", "https://b/"])).await;
    let invalid = ["http://u@a/x", "http://a@b/x", "http:///x", "http://", "http://?x", "http://a:b/x", "http://a\\b/"];
    refuse(&world, (400, "host_invalid"), urls(&invalid)).await;
    let foreign = ["ftp://a/x", "file:///x", "http:/a/x", "http:a", "ws://a/x", "javascript:x", "//", "a:80"];
    let foreign: Vec<&str> = foreign.into_iter().filter(|target| *target != "//").collect();
    refuse(&world, (400, "bad_target"), urls(&foreign)).await;
}

/// Rows 4 and 5.
#[tokio::test]
async fn connect_and_trace_are_not_for_a_reverse_proxy() {
    let world = World::start().await;
    let requests = [
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        "CONNECT a:443 HTTP/1.0\r\n\r\n",
        "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nContent-Length: 5\r\n\r\nhello",
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
        "TRACE / HTTP/1.0\r\n\r\n",
        "TRACE * HTTP/1.1\r\nHost: a\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nContent-Length: 5\r\n\r\nhello",
    ];
    refuse(&world, (405, "method_not_allowed"), requests).await;
}

/// Rows 6 and 7.
#[tokio::test]
async fn methods_go_on_byte_for_byte_and_the_asterisk_with_options_only() {
    let world = World::start().await;
    let mut client = world.router.connect().await;
    let options = "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n";
    forward(&world, &mut client, options, options).await;
    for method in [
        "GET",
        "get",
        "Post",
        "PUT",
        "PATCH",
        "DELETE",
        "OPTIONS",
        "PURGE",
        "PROPFIND",
        "M-SEARCH",
        "connect",
        "trace",
        "QUERY",
        "X",
        "A!#$%&'*+-.^_`|~9",
    ] {
        let request = format!("{method} /m HTTP/1.1\r\nHost: a\r\n\r\n");
        forward(&world, &mut client, &request, &request).await;
    }
    let asterisks = ["GET", "POST", "HEAD", "options", "PURGE"].map(|method| line(&format!("{method} * HTTP/1.1")));
    refuse(&world, (400, "bad_target"), asterisks).await;
    let targets = ["x", "?x", "a/b", "**", "*/", "..", ".", "%2f", "\\", "a:80"];
    refuse(&world, (400, "bad_target"), targets.map(|target| line(&format!("GET {target} HTTP/1.1")))).await;
    for byte in (0..=0xff_u8).filter(|byte| !byte.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~\r\n ".contains(byte)) {
        let request = [b"G", &[byte][..], b"T / HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        refuse(&world, (400, "bad_request_line"), [request]).await;
    }
}

/// Row 8.
#[tokio::test]
async fn http_1_0_goes_on_as_1_1_and_gets_a_close() {
    let world = World::with(|setup| setup.with_top("default_host: shop.example")).await;
    for (request, expected) in [
        ("GET /x HTTP/1.0\r\n\r\n", "GET /x HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
        ("GET /x HTTP/1.0\r\nHost: a\r\n\r\n", "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("GET http://b/x HTTP/1.0\r\n\r\n", "GET /x HTTP/1.1\r\nHost: b\r\n\r\n"),
        ("GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "GET /x HTTP/1.1\r\nHost: shop.example\r\n\r\n"),
        (
            "POST /x HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
            "POST /x HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\n\r\nhello",
        ),
    ] {
        world.legacy.forget();
        let mut client = world.router.connect().await;
        client.send(request).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.interim.len()), (200, 0), "{request:?}: {answer:?}");
        assert_eq!(answer.head.values("transfer-encoding").len(), 0, "{request:?}: {answer:?}");
        assert_eq!(answer.value("connection").as_deref(), Some("close"), "{request:?}");
        assert!(client.closes_cleanly().await, "{request:?}");
        let seen = world.legacy.bytes();
        let text: String =
            String::from_utf8_lossy(&seen).lines().filter(|line| !line.contains("X-Forwarded-Host")).collect();
        let first = expected.lines().next().unwrap();
        assert!(text.starts_with(first), "{request:?}: {text}");
        let seen = world.legacy.only("/x").await;
        let host = expected.lines().find_map(|line| line.strip_prefix("Host: ")).unwrap();
        assert_eq!(seen.head.values("host"), [host], "{request:?}");
        assert_eq!(seen.head.values("expect").len() + seen.head.values("connection").len(), 0, "{request:?}");
        assert_eq!(seen.text(), expected.rsplit("\r\n").next().unwrap(), "{request:?}");
    }
}

/// Row 9.
#[tokio::test]
async fn only_http_1_0_and_1_1_are_spoken() {
    let world = World::start().await;
    let versions = ["HTTP/1.2", "HTTP/1.9", "HTTP/0.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9", "HTTP/0.0"];
    refuse(&world, (505, "bad_version"), versions.map(|version| line(&format!("GET / {version}")))).await;
    refuse(&world, (505, "bad_version"), ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]).await;
    let odd = [
        "http/1.1",
        "Http/1.1",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/11",
        "HTTP/1.10",
        "HTTP/1.1.1",
        "HTTP/01.1",
        "HTTP/1.01",
        "HTTP/-1.1",
        "HTTP/1.-1",
        "HTTP/+1.1",
        "HTTP/a.b",
        "HTTP/1,1",
        "HTTP /1.1",
        "HTTP/ 1.1",
        "HTTP/1 .1",
        "HTTP1.1",
        "HTTP",
        "HTTP//1.1",
        "HTTPS/1.1",
        "ICY/1.1",
        "XHTTP/1.1",
        "1.1",
        "HTTP/1.1x",
        "HTTP/1.1 x",
        "\u{ff28}TTP/1.1",
        "HTTP/\u{661}.1",
    ];
    refuse(&world, (400, "bad_request_line"), odd.map(|version| line(&format!("GET / {version}")))).await;
    let simple = ["GET /\r\n", "GET /\r\n\r\n", "GET / \r\n\r\n", "GET\r\n\r\n", "GET \r\n\r\n", "/\r\n\r\n"];
    refuse(&world, (400, "bad_request_line"), simple).await;
}

/// Row 9: what separates the words of a request line, and what may stand before it.
#[tokio::test]
async fn a_request_line_is_three_words_and_two_spaces() {
    let world = World::start().await;
    let separated = [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "\tGET / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET/ HTTP/1.1",
        "GET /HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET\u{b}/ HTTP/1.1",
        "GET\u{c}/ HTTP/1.1",
        "GET / a HTTP/1.1",
        "GET\0/ HTTP/1.1",
        "\0GET / HTTP/1.1",
        "\u{feff}GET / HTTP/1.1",
        "GET\r/ HTTP/1.1",
        "\rGET / HTTP/1.1",
        " / HTTP/1.1",
        "GET, / HTTP/1.1",
        "GET: / HTTP/1.1",
        "\"GET\" / HTTP/1.1",
    ];
    for text in separated {
        let mut client = world.router.connect().await;
        client.send(line(text)).await;
        let answer = client.answer().await;
        assert_eq!(
            (answer.status(), answer.value("connection").as_deref()),
            (400, Some("close")),
            "{text:?}: {answer:?}"
        );
        let code = answer.error_code().unwrap();
        assert!(
            ["bad_request_line", "bad_target_character", "bad_line_end"].contains(&code.as_str()),
            "{text:?}: {code}"
        );
        assert!(client.closes_cleanly().await && world.untouched(), "{text:?}");
    }
    let behind = ["GET / HTTP/1.1 ", "GET / HTTP/1.1\t", "GET / HTTP/1.1\r"].map(line);
    for request in behind {
        let answer = world.router.exchange(&request).await;
        assert!(answer.status() == 400 && world.untouched(), "{answer:?}");
    }
    let before = ["\r\n\r\n", "\n", "\r\n\n", "\n\n", "\r\n\r\n\r\n\r\n"];
    let before = before.map(|text| format!("{text}GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    refuse(&world, (400, "bad_request_line"), before).await;
    let mut client = world.router.connect().await;
    forward(&world, &mut client, "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
}
