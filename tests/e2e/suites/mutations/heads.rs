//! What can be wrong with a head besides its framing.

use super::{HIDDEN, Mutation, Verdict, post};

pub(super) fn all() -> Vec<Mutation> {
    [hosts(), request_lines(), control_characters(), line_ends(), expectations(), options(), upgrades(), pipelines()]
        .concat()
}

/// Lines beside a proper Host that some reader takes for another.
const SECOND_HOSTS: &[&str] = &[
    "Host: a",
    "Host: b",
    "host: b",
    "HOST:b",
    "Host : b",
    "Host\t: b",
    " Host: b",
    "\tHost: b",
    "Host",
    "Host b",
    "Host\0: b",
    "Host\r: b",
    "Host\n: b",
    "Host\x0b: b",
    "Host\u{a0}: b",
    "\u{a0}Host: b",
    "\x01Host: b",
    ":Host: b",
    "_Host: b",
    "Host_: b",
    "-Host: b",
    "Host-: b",
    "Host.: b",
    "'Host': b",
    "%48ost: b",
    "Hos%74: b",
    "X: y\rHost: b",
    "X: y\nHost: b",
    "X: y\r\n Host: b",
    "X y: \r\nHost: b",
    "Connection: Host",
    "Connection: close, host",
    "H\u{f6}st: b",
];

const BAD_HOSTS: &[&str] = &[
    "", " ", ",", "a,b", "a, a", "a b", "a\tb", "a;b", "u@a", "u:p@a", "a/b", "/a", "a?b", "a#b", "http://a", "a:",
    "a:b", "a:99999", "a:-1", "a:+80", "a:80:80", "a:8 0", ":80", "[::1", "::1", "[a]", "[::1]a", "[::1]:", "[]",
    "a\\b", "a%41", "a%00", "a\0", "\u{a0}a", "a\u{e9}", "<a>", "\"a\"", "'a'", "a\x0b", "a\rb", "a\r\n b", "a!", "a$",
    "a*", "*", "a=b/", "a&b", "(a)", "{a}", "a|b", "a^b", "a`b",
];

/// Targets with an authority that is not the Host's, or is none.
const BAD_TARGETS: &[&str] = &[
    "http://b/m",
    "http://a:81/m",
    "http://a.b/m",
    "http://u@a/m",
    "http://a@b/m",
    "http:///m",
    "http://",
    "http:/m",
    "http:m",
    "http:///a/m",
    "https://b/m",
    "ftp://a/m",
    "ws://a/m",
    "http://a\\m",
    "http://a#/m",
    "http://a%2fm",
    "http://[a]/m",
    "http://a:/m",
    "http://a:99999/m",
    "http://a,b/m",
    "x-http://a/m",
    "a/m",
    "a:80",
    "m",
    "?m",
    "#",
    "*",
    ".",
    "..",
    "",
    "\\m",
    "%2fm",
    ";/m",
    "/m#f",
    "/m\0",
    "/m%00",
    "/m%00/x",
    "/\u{e9}",
    "/m\u{a0}",
    "/m\x7f",
    "/m\x0b",
    "/ m",
    "/m\tx",
    "/m x",
    "/m HTTP/1.1 x",
    "/m HTTP/1.0",
];

fn hosts() -> Vec<Mutation> {
    let body = "Content-Length: 5\r\n\r\nhello";
    let mut found = Vec::new();
    for line in SECOND_HOSTS {
        found.push(Mutation::new("host", post(&format!("{line}\r\n"), HIDDEN), &Verdict::Refused));
        let before = format!("POST /m HTTP/1.1\r\nX: y\r\n{line}\r\nHost: a\r\n{body}");
        found.push(Mutation::new("host", before, &Verdict::Refused));
    }
    for host in BAD_HOSTS {
        found.push(Mutation::new("host", format!("POST /m HTTP/1.1\r\nHost: {host}\r\n{body}"), &Verdict::Refused));
        let absolute = format!("POST http://a/m HTTP/1.1\r\nHost: {host}\r\n{body}");
        found.push(Mutation::new("host", absolute, &Verdict::Refused));
    }
    let go_on = Verdict::Forwarded("hello".into());
    for (target, host) in
        [("http://a/m", "a"), ("HTTP://A/m", "a"), ("http://a:80/m", "a"), ("http://a", "a"), ("http://a?m", "a")]
    {
        found.push(Mutation::new("host", format!("POST {target} HTTP/1.1\r\nHost: {host}\r\n{body}"), &go_on));
    }
    for name in [
        "X-Host",
        "Hostname",
        "Host2",
        "X-Forwarded-Host",
        "X_Host",
        "Forwarded",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-HTTP-Method-Override",
    ] {
        let text = post(&format!("{name}: /hidden\r\nContent-Length: 5\r\n"), "hello");
        found.push(Mutation::new("host", text, &go_on));
    }
    found
}

/// Request lines that are none.
const BAD_LINES: &[&str] = &[
    "",
    " ",
    "POST",
    "POST /m",
    "POST /m ",
    "POST  /m HTTP/1.1",
    "POST /m  HTTP/1.1",
    "POST /m HTTP/1.1 ",
    " POST /m HTTP/1.1",
    "\tPOST /m HTTP/1.1",
    "POST\t/m HTTP/1.1",
    "POST /m\tHTTP/1.1",
    "POST\x0b/m HTTP/1.1",
    "POST\x0c/m HTTP/1.1",
    "POST\u{a0}/m HTTP/1.1",
    "POST /m\u{a0}HTTP/1.1",
    "POST /m HTTP/1.1\t",
    "POST /m HTTP/1.1\0",
    "\0POST /m HTTP/1.1",
    "POST /m http/1.1",
    "POST /m HTTP/1",
    "POST /m HTTP/1.",
    "POST /m HTTP/.1",
    "POST /m HTTP/1.10",
    "POST /m HTTP/01.1",
    "POST /m HTTP/1.01",
    "POST /m HTTP/11",
    "POST /m HTTP/1,1",
    "POST /m HTTP/1 .1",
    "POST /m HTTP /1.1",
    "POST /m HTTP/ 1.1",
    "POST /m HTTP/1.1x",
    "POST /m xHTTP/1.1",
    "POST /m HTTPS/1.1",
    "POST /m HTTP/-1.1",
    "POST /m HTTP/+1.1",
    "POST /m HTTP/1.2",
    "POST /m HTTP/1.9",
    "POST /m HTTP/0.9",
    "POST /m HTTP/2.0",
    "POST /m HTTP/2",
    "POST /m HTTP/3.0",
    "POST /m HTTP/9.9",
    "POST /m ICY/1.1",
    "POST /m RTSP/1.0",
    "POST /m SIP/2.0",
    "POST /m",
    "P(ST /m HTTP/1.1",
    "P\"ST /m HTTP/1.1",
    "POST: /m HTTP/1.1",
    "PO,ST /m HTTP/1.1",
    "PO/ST /m HTTP/1.1",
    "P@ST /m HTTP/1.1",
    "P[ST /m HTTP/1.1",
    "P{ST /m HTTP/1.1",
    "P\u{d6}ST /m HTTP/1.1",
    "PO ST /m HTTP/1.1",
    "POST /m HTTP/1.1\r\nPOST /m HTTP/1.1",
    "POST /m\rHTTP/1.1",
    "POST /m\nHTTP/1.1",
    "POST /m HTTP/1.1\r X: y",
    "POST /hidden HTTP/1.1\nX: y",
    "HTTP/1.1 200 OK",
    "PRI * HTTP/2.0",
    "TRACE /m HTTP/1.1",
    "CONNECT a:80 HTTP/1.1",
    "CONNECT /m HTTP/1.1",
];

fn request_lines() -> Vec<Mutation> {
    let mut found = Vec::new();
    let rest = "Host: a\r\nContent-Length: 5\r\n\r\nhello";
    let targets = BAD_TARGETS.iter().map(|target| format!("POST {target} HTTP/1.1"));
    for line in BAD_LINES.iter().map(|line| (*line).to_owned()).chain(targets) {
        found.push(Mutation::new("request line", format!("{line}\r\n{rest}"), &Verdict::Refused));
    }
    for before in
        ["\r\n\r\n", "\n", "\r", " \r\n", "\0", "\r\n ", "\r\n\n", "\r\r\n", "0\r\n\r\n", "\u{ef}\u{bb}\u{bf}"]
    {
        let text = format!("{before}POST /m HTTP/1.1\r\n{rest}");
        found.push(Mutation::new("request line", text, &Verdict::Refused));
    }
    let go_on = Verdict::Forwarded("hello".into());
    for line in [
        "\r\nPOST /m HTTP/1.1",
        "POST /m?http://b/ HTTP/1.1",
        "POST //b/m HTTP/1.1",
        "POST /m;/../x HTTP/1.1",
        "POST /%2e%2e/m HTTP/1.1",
        "POST /m%0d%0aX:%20y HTTP/1.1",
        "POST /m%20HTTP/1.1 HTTP/1.1",
    ] {
        found.push(Mutation::new("request line", format!("{line}\r\n{rest}"), &go_on));
    }
    found
}

/// Every control character and some bytes above ASCII, at every place of a head.
fn control_characters() -> Vec<Mutation> {
    let mut found = Vec::new();
    let bytes = (0..=0x20_u8).chain([0x7f, 0x80, 0x85, 0xa0, 0xad, 0xff]);
    for char in bytes.map(char::from) {
        let rest = "Host: a\r\nContent-Length: 5\r\n\r\nhello";
        for text in [
            format!("PO{char}ST /m HTTP/1.1\r\n{rest}"),
            format!("POST /m{char}x HTTP/1.1\r\n{rest}"),
            format!("POST /m HTTP{char}/1.1\r\n{rest}"),
            format!("POST /m HTTP/1.1{char}\r\n{rest}"),
            format!("POST /m HTTP/1.1\r\nX{char}Y: z\r\n{rest}"),
            format!("POST /m HTTP/1.1\r\nX{char}: z\r\n{rest}"),
            format!("POST /m HTTP/1.1\r\n{char}X: z\r\n{rest}"),
        ] {
            found.push(Mutation::new("control character", text, &Verdict::Refused));
        }
        let in_value =
            if matches!(char, '\t' | ' ' | '\u{80}'..) { Verdict::Forwarded("hello".into()) } else { Verdict::Refused };
        for value in [format!("y{char}z"), format!("{char}z"), format!("y{char}")] {
            let text = format!("POST /m HTTP/1.1\r\nX: {value}\r\n{rest}");
            found.push(Mutation::new("control character", text, &in_value));
        }
    }
    found
}

/// Every line end of a head, written otherwise.
fn line_ends() -> Vec<Mutation> {
    let mut found = Vec::new();
    let head = "POST /m HTTP/1.1\r\nHost: a\r\nX: y\r\nContent-Length: 5\r\n\r\n";
    for (at, _) in head.match_indices("\r\n") {
        for end in
            ["\n", "\r", "\n\r", "\r\r\n", "\0\r\n", "\x0b\r\n", "\r\0\n", "\r\n\n", "\r\n\r", "\u{85}", "\n\n", "\r\r"]
        {
            let text = format!("{}{end}{}hello{HIDDEN}", &head[..at], &head[at + 2..]);
            // Behind the last end stands the body: "\r\n" is there already, and what follows are body bytes.
            let is_behind = at == head.len() - 2 && end.starts_with("\r\n");
            // A byte above ASCII is a part of the value.
            let is_inside = end == "\u{85}" && head[..at].ends_with("X: y");
            if !is_behind && !is_inside {
                found.push(Mutation::new("line end", text, &Verdict::Refused));
            }
        }
    }
    found
}

fn expectations() -> Vec<Mutation> {
    let mut found = Vec::new();
    for value in [
        "y 100-continue",
        "100-continue x",
        "100-continue, 100-continue",
        "100-continue,",
        ",100-continue",
        "100-continue;a",
        "100",
        "continue",
        "200-ok",
        "100-continued",
        "x100-continue",
        "100_continue",
        "100 continue",
        "100-continue\x0b",
        "\"100-continue\"",
        "'100-continue'",
        "",
        " ",
        "100-continue\0",
        "100-continue\r\n ",
        "\r\n 100-continue",
        "100-continue\u{a0}",
        "100-continue\r\nExpect: x",
        "x\r\nExpect: 100-continue",
    ] {
        for method in ["POST", "GET"] {
            let text = format!(
                "{method} /m HTTP/1.1\r\nHost: a\r\nExpect: {value}\r\nContent-Length: {}\r\n\r\n{HIDDEN}",
                HIDDEN.len()
            );
            found.push(Mutation::new("expectation", text, &Verdict::Refused));
        }
    }
    let length = HIDDEN.len();
    for value in
        ["100-continue", "100-Continue", "100-CONTINUE", "\t100-continue ", "100-continue\r\nExpect: 100-continue"]
    {
        let go_on = Verdict::Forwarded(HIDDEN.into());
        for (method, verdict) in [("POST", &go_on), ("GET", &go_on), ("DELETE", &go_on), ("HEAD", &Verdict::Refused)] {
            let text = format!(
                "{method} /m HTTP/1.1\r\nHost: a\r\nExpect: {value}\r\nContent-Length: {length}\r\n\r\n{HIDDEN}"
            );
            found.push(Mutation::new("expectation", text, verdict));
        }
        for line in ["Content-Length: 0\r\n", ""] {
            let text = format!("GET /m HTTP/1.1\r\nHost: a\r\nExpect: {value}\r\n{line}\r\n");
            found.push(Mutation::new("expectation", text, &Verdict::Forwarded(String::new())));
        }
        // The body that is announced is the request behind it, or a part of that.
        let text = format!("GET /m HTTP/1.1\r\nHost: a\r\nExpect: {value}\r\nContent-Length: 7\r\n\r\n");
        found.push(Mutation::new("expectation", text, &Verdict::Apart));
        let text = post(&format!("Expect: {value}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"), HIDDEN);
        found.push(Mutation::new("expectation", text, &Verdict::Refused));
    }
    for name in ["Expect ", "_Expect(", " Expect", "Expect\0", "Expect\r"] {
        let text = post(&format!("{name}: 100-continue\r\nContent-Length: 5\r\n"), "hello");
        found.push(Mutation::new("expectation", text, &Verdict::Refused));
    }
    found
}

fn options() -> Vec<Mutation> {
    let mut found = Vec::new();
    for named in ["Content-Length", "Transfer-Encoding", "Host", "content-length", "HOST", "TRANSFER-ENCODING"] {
        for value in [
            named.to_owned(),
            format!("close, {named}"),
            format!("{named}, close"),
            format!("keep-alive,{named},x"),
            format!(" , ,{named} "),
            format!("x\r\nConnection: {named}"),
        ] {
            for lines in [
                format!("Connection: {value}\r\nContent-Length: 5\r\n"),
                format!("Content-Length: 5\r\nConnection: {value}\r\n"),
            ] {
                found.push(Mutation::new("connection option", post(&lines, "hello"), &Verdict::Refused));
            }
        }
    }
    for value in [
        "X-Forwarded-For",
        "X-A",
        "Cookie",
        "Authorization",
        "Expect",
        "close, X-Request-Id",
        "Crossfade-Side",
        "Upgrade",
        "TE",
        "Forwarded",
        "Content_Length",
        "Transfer--Encoding",
        ",,,",
        "",
        " ",
        "close;x",
        "\"close\"",
        "clo se",
        "\u{a0}close",
        "Content-Length;x",
        "\"Host\"",
        "Host Host",
        "traceparent",
        "Connection",
        "Proxy-Connection",
        "Keep-Alive, Keep-Alive",
    ] {
        let text = post(&format!("Connection: {value}\r\nX-A: 1\r\nCookie: a\r\nContent-Length: 5\r\n"), "hello");
        found.push(Mutation::new("connection option", text, &Verdict::Forwarded("hello".into())));
    }
    found
}

/// Bytes sent ahead of an upgrade that the origin declines belong to nobody.
fn upgrades() -> Vec<Mutation> {
    let mut found = Vec::new();
    let get = |version: &str, lines: &str| format!("GET /m HTTP/{version}\r\nHost: a\r\n{lines}\r\n{HIDDEN}");
    for protocol in ["websocket", "WebSocket", "WEBSOCKET"] {
        for connection in ["Upgrade", "upgrade", "keep-alive, Upgrade", "Upgrade, X"] {
            let lines = format!("Connection: {connection}\r\nUpgrade: {protocol}\r\n");
            found.push(Mutation::new("upgrade", get("1.1", &lines), &Verdict::Last));
        }
    }
    for protocol in [
        "h2c",
        "h2c, websocket",
        "websocket, h2c",
        "websocket/13",
        "TLS/1.0",
        "x",
        "",
        "websocket\u{a0}",
        "\"websocket\"",
        "websocket\r\nUpgrade: h2c",
        "HTTP/2.0",
    ] {
        let lines = format!(
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
        );
        found.push(Mutation::new("upgrade", get("1.1", &lines), &Verdict::Apart));
        let body = post(&format!("{lines}Content-Length: {}\r\n", HIDDEN.len()), HIDDEN);
        found.push(Mutation::new("upgrade", body, &Verdict::Forwarded(HIDDEN.into())));
    }
    found.push(Mutation::new("upgrade", get("1.1", "Upgrade: websocket\r\n"), &Verdict::Apart));
    found.push(Mutation::new("upgrade", get("1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n"), &Verdict::Last));
    for value in ["Content-Length", "Transfer-Encoding", "Host"] {
        let lines = format!("Connection: Upgrade, {value}\r\nUpgrade: websocket\r\n");
        found.push(Mutation::new("upgrade", get("1.1", &lines), &Verdict::Refused));
    }
    found
}

/// What stands behind a request that ends its connection is never read.
fn pipelines() -> Vec<Mutation> {
    let mut found = Vec::new();
    for lines in [
        "Connection: close\r\n",
        "Connection: Close\r\n",
        "Connection: keep-alive, close\r\n",
        "Connection: x\r\nConnection: close\r\n",
        "Connection: close\r\nConnection: keep-alive\r\n",
    ] {
        found.push(Mutation::new(
            "pipeline",
            post(&format!("{lines}Content-Length: 5\r\n"), &format!("hello{HIDDEN}")),
            &Verdict::Last,
        ));
        found.push(Mutation::new(
            "pipeline",
            format!("GET /m HTTP/1.1\r\nHost: a\r\n{lines}\r\n{HIDDEN}"),
            &Verdict::Last,
        ));
        found.push(Mutation::new(
            "pipeline",
            post(&format!("{lines}Transfer-Encoding: chunked\r\n"), &format!("0\r\n\r\n{HIDDEN}")),
            &Verdict::Last,
        ));
    }
    for lines in ["", "Connection: keep-alive\r\n", "Keep-Alive: 300\r\n", "Host: a\r\n", "Content-Length: 0\r\n"] {
        found.push(Mutation::new("pipeline", format!("GET /m HTTP/1.0\r\n{lines}\r\n{HIDDEN}"), &Verdict::Last));
    }
    for refused in [
        "GET /m HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "TRACE /m HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /m HTTP/1.1\r\n\r\n",
        "GET /m#x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /m HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n",
    ] {
        found.push(Mutation::new("pipeline", format!("{refused}{HIDDEN}"), &Verdict::Refused));
    }
    let many = "GET /m HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20);
    found.push(Mutation::new("pipeline", many, &Verdict::Apart));
    found.push(Mutation::new("pipeline", format!("HEAD /m HTTP/1.1\r\nHost: a\r\n\r\n{HIDDEN}"), &Verdict::Apart));
    found
}
