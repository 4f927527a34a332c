//! What can stand where a chunk, a trailer or a body should.

use super::{HIDDEN, Mutation, Verdict, chunked, post};

const GOOD_SIZES: &[&str] = &[
    "5",
    "05",
    "0000000000000005",
    "000000000000000000000000000005",
    "5;a",
    "5;a=b",
    "5; a=b",
    "5;a=\"x;y\"",
    "5;a=\"\\\"\"",
    "5;a;b=c",
];

/// What is no size of five, though some reader takes it for one.
pub(in crate::suites) const BAD_SIZES: &[&str] = &[
    "",
    "0x5",
    "0X5",
    "+5",
    "-5",
    " 5",
    "\t5",
    "5\0",
    "5\x0b",
    "5\x0c",
    "5\u{a0}",
    "\u{a0}5",
    "5h",
    "5_",
    "_5",
    "5,",
    "5.0",
    "5e-1",
    "5#",
    "5//",
    "5:",
    "5\"",
    "(5)",
    "g",
    "5g",
    "FFFFFFFFFFFFFFFF",
    "8000000000000000",
    "10000000000000000",
    "10000000000000005",
    "100000000000000005",
    "FFFFFFFFFFFFFFFFFFFFFFFB",
    "5;",
    "5; ",
    "5;;a",
    "5;a;",
    "5;a=",
    "5;\"a\"",
    "5;a b",
    "5;a=\"",
    "5;a=\"b",
    "5;a=\"b\"c",
    "5;\0",
    "5;a\0",
    "5;a=\"\0\"",
    "5;a=\"\x0b\"",
    "5;a\x7f",
    "5;\n",
    "5;a\n",
    "5;a\nb",
    "5;\r",
    "5;a\rb",
    "5;a=\"\n\"",
    "5;a=\"\r\"",
    "5\r",
    "5\n",
    "5\n\r",
    "\r\n5",
    "\n5",
    "5;(",
    "5;a=\"\r\n\"",
];

/// With white space that is read over in answers and refused in requests.
pub(in crate::suites) const PADDED_SIZES: &[&str] = &["5 ", "5\t", "5 ;a", "5;a =b", "5;a= b"];

/// What may not stand between a chunk and the next.
pub(in crate::suites) const BAD_ENDS: &[&str] = &[
    "", "\n", "\r", "\n\r", "\r\r", "\n\n", "\r\r\n", "\r\n\r\n", " \r\n", "\r\n ", "x\r\n", "\0\r\n", "xx", "\r\0",
    "\0\n", "\rX", "X\n", ";\r\n",
];

pub(in crate::suites) const BAD_LASTS: &[&str] = &[
    "0\n\n",
    "0\r\n\n",
    "0\n\r\n",
    "0\r\r",
    "0\r\r\n\r\n",
    "0\r\n\r\r",
    "0\r\n\r\r\n",
    "0\r\n \r\n",
    "0\r\n\0\r\n",
    "0 \r\n\r\n",
    "0x0\r\n\r\n",
    "-0\r\n\r\n",
    "+0\r\n\r\n",
    "0;\r\n\r\n",
    "0;\n\r\n",
    "0;a\n\r\n\r\n",
    "0\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    "0;\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    "0\rX: \r\n\r\n",
    "\r\n",
    "\r\n\r\n",
];

/// Whole bodies of the kinds that are called funky: a line end inside a chunk's line, read as one by some and as text by others.
pub(in crate::suites) const FUNKY: &[&str] = &[
    "2;\nxx\r\n22\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n",
    "2;\n\r\nxx\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    "2;\rxx\r\n22\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n",
    "2;a=\"\nxx\"\r\n22\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n",
    "2\nxx\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    "2\rxx\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    "2\r\nxx\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    "2\r\nxxx\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    "2\r\nxx\r\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    "5\r\nAAAAAXX2\r\n45\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n",
    "2\r\nxx45\r\n0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    "0;\r\r\nGET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
];

pub(super) fn chunks() -> Vec<Mutation> {
    let send = |body: String, verdict: &Verdict| {
        Mutation::new("chunk", post("Transfer-Encoding: chunked\r\n", &body), verdict)
    };
    let hello = Verdict::Forwarded("hello".into());
    let mut found = Vec::new();
    found.extend(GOOD_SIZES.iter().map(|size| send(format!("{size}\r\nhello\r\n0\r\n\r\n"), &hello)));
    for size in BAD_SIZES.iter().chain(PADDED_SIZES) {
        found.push(send(format!("{size}\r\nhello\r\n0\r\n\r\n{HIDDEN}"), &Verdict::Cut));
        // The same behind a chunk that is good.
        found.push(send(format!("3\r\nabc\r\n{size}\r\nhello\r\n0\r\n\r\n{HIDDEN}"), &Verdict::Cut));
    }
    for end in BAD_ENDS {
        found.push(send(format!("5\r\nhello{end}0\r\n\r\n{HIDDEN}"), &Verdict::Cut));
    }
    for last in ["0\r\n\r\n", "00000\r\n\r\n", "0;a\r\n\r\n", "0;a=\"b\"\r\n\r\n"] {
        found.push(send(format!("5\r\nhello\r\n{last}"), &hello));
    }
    for last in BAD_LASTS {
        found.push(send(format!("5\r\nhello\r\n{last}"), &Verdict::Cut));
        found.push(send((*last).to_owned(), &Verdict::Cut));
    }
    found.extend(FUNKY.iter().map(|body| send((*body).to_owned(), &Verdict::Cut)));
    let long = format!("5;a={}\r\nhello\r\n0\r\n\r\n", "x".repeat(17_000));
    found.push(send(long, &Verdict::Cut));
    let many: String = (0..2_000).map(|_| "1;abcdefghijklmnopqrstuvwxyz0\r\nx\r\n").collect();
    found.push(send(format!("{many}0\r\n\r\n"), &Verdict::Cut));
    found
}

/// Trailers that end here, and one that goes on.
pub(in crate::suites) const TRAILERS: &[&str] = &[
    "X: 1",
    "Content-Length: 34",
    "content-length: 0",
    "Transfer-Encoding: chunked",
    "Host: b",
    "Connection: close",
    "Connection: X",
    "Keep-Alive: x",
    "TE: trailers",
    "Trailer: X",
    "Upgrade: websocket",
    "Expect: 100-continue",
    "Authorization: x",
    "Proxy-Authorization: x",
    "Cookie: a=b",
    "Set-Cookie: a=b",
    "Content-Type: x",
    "Content-Encoding: gzip",
    "Content-Range: x",
    "Content_Length: 5",
    "Transfer_Encoding: chunked",
    "Transfer--Encoding: chunked",
    "_Host: b",
    "X_Forwarded_For: b",
    "X-Forwarded-For: b",
    "X-Forwarded-Host: b",
    "Forwarded: for=b",
    "X-Request-Id: b",
    "Crossfade-Side: new",
    "Content%2dLength: 5",
];

pub(in crate::suites) const BAD_TRAILERS: &[&str] = &[
    " X: 1",
    "\tX: 1",
    "X : 1",
    ": 1",
    "X",
    "X: 1\r\n 2",
    "X: a\0b",
    "X: a\rb",
    "X: a\nb",
    "X: 1\n",
    "X: 1\r",
    "\0X: 1",
    "X(: 1",
    "\u{a0}X: 1",
    "X: \x01",
    "X: \x7f",
    "GET /hidden HTTP/1.1",
    "X: 1\n\nGET /hidden HTTP/1.1",
    "X Y: 1",
    "\n",
    "\r",
];

pub(super) fn trailers() -> Vec<Mutation> {
    let send = |line: &str, verdict: &Verdict| {
        let body = format!("5\r\nhello\r\n0\r\n{line}\r\n\r\n");
        Mutation::new("trailer", post("Transfer-Encoding: chunked\r\n", &body), verdict)
    };
    let mut found: Vec<Mutation> =
        TRAILERS.iter().map(|line| send(line, &Verdict::Forwarded("hello".into()))).collect();
    found.extend(BAD_TRAILERS.iter().map(|line| send(line, &Verdict::Cut)));
    found
}

/// A hidden request as the body of every method, to an origin and to a route that the router answers: CL.0 and 0.CL.
pub(super) fn on_any_method() -> Vec<Mutation> {
    let mut found = Vec::new();
    let framed = [
        (format!("Content-Length: {}\r\n", HIDDEN.len()), HIDDEN.to_owned()),
        ("Transfer-Encoding: chunked\r\n".to_owned(), chunked(HIDDEN)),
    ];
    for (framing, body) in &framed {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "PROPFIND", "get", "X"] {
            let send = |target: &str, more: &str, verdict: &Verdict| {
                let text = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{more}{framing}\r\n{body}");
                Mutation::new("body on a method", text, verdict)
            };
            found.push(send("/m", "", &Verdict::Apart));
            found.push(send("/local", "", &Verdict::Local));
            found.push(send("/local", "Expect: 100-continue\r\n", &Verdict::Local));
            found.push(send("/local", "Connection: keep-alive\r\n", &Verdict::Local));
            found.push(send("/m#f", "", &Verdict::Refused));
            found.push(send("/m", "Expect: y 100-continue\r\n", &Verdict::Refused));
        }
        for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS"] {
            let text = format!("{method} /m HTTP/1.1\r\nHost: a\r\n{framing}\r\n{body}");
            found.push(Mutation::new("body on a method", text, &Verdict::Forwarded(HIDDEN.into())));
        }
        for method in ["HEAD", "TRACE", "CONNECT"] {
            let text = format!("{method} /m HTTP/1.1\r\nHost: a\r\n{framing}\r\n{body}");
            found.push(Mutation::new("body on a method", text, &Verdict::Refused));
        }
        let text = format!("HEAD /local HTTP/1.1\r\nHost: a\r\n{framing}\r\n{body}");
        found.push(Mutation::new("body on a method", text, &Verdict::Refused));
    }
    found
}
