//! Heads written from byte ranges, this hop's fields left out and its own put last.
//!
//! # Why ours come last
//!
//! A caller may nominate any field in `Connection`, and proxies that set their fields before removing the nominated ones
//! lost `X-Forwarded-For` that way (Apache CVE-2022-31813, Traefik CVE-2024-45410). Here removal only ever sees what was
//! received; what this proxy says is appended afterwards.
//!
//! Order and letter case of everything that this proxy does not own stay as they came.

use std::ops::Range;

use super::framing::Framing;
use super::head::{Field, Name, RequestHead, ResponseHead, Version};

/// Appends `name: value CRLF`.
pub fn field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Copies fields, those that stand next to each other as received in one piece.
struct Copier<'a> {
    bytes: &'a [u8],
    run: Range<usize>,
}

impl<'a> Copier<'a> {
    /// Begins with a first line that goes on as it came, if it does.
    const fn new(bytes: &'a [u8], line: Range<usize>) -> Self {
        Self { bytes, run: line }
    }

    fn copy(&mut self, out: &mut Vec<u8>, own: &Field) {
        match own.line() {
            Some(line) if line.start == self.run.end => self.run.end = line.end,
            Some(line) => {
                self.flush(out);
                self.run = line;
            }
            None => {
                self.flush(out);
                out.extend_from_slice(own.name.of(self.bytes));
                out.extend_from_slice(b": ");
                out.extend_from_slice(own.value.of(self.bytes));
                out.extend_from_slice(b"\r\n");
            }
        }
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.bytes.get(self.run.clone()).unwrap_or_default());
        self.run = 0..0;
    }
}

/// Appends a decimal number.
pub fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        #[allow(clippy::cast_possible_truncation, reason = "a digit")]
        let digit = (value % 10) as u8;
        digits[at] = b'0' + digit;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn framing_field(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            number(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

/// What the request line and `Host` become on the way to an upstream.
#[derive(Clone, Copy, Debug)]
pub struct Onward<'a> {
    /// The Host for requests that brought none.
    pub default_host: &'a str,
    /// Whether forwarded fields of the caller are believed and so extended; otherwise they are replaced.
    pub trusted: bool,
    /// The protocol to upgrade to, where route and caller agree on one.
    pub upgrade: Option<&'a [u8]>,
    /// Whether the caller waits for 100 before it sends the body.
    pub expect: bool,
    /// Whether the caller takes trailers: without being told so many a server leaves them out (RFC 9110 section 6.5.1).
    pub trailers: bool,
}

/// Writes the request line, `Host` and every field that goes on; the caller appends ours and [`end_request`].
pub fn begin_request(out: &mut Vec<u8>, head: &RequestHead, onward: &Onward<'_>) {
    begin_request_of(out, head, onward, |_| true);
}

/// The same with those of the caller's own fields that are wanted.
#[inline]
pub fn begin_request_of(
    out: &mut Vec<u8>,
    head: &RequestHead,
    onward: &Onward<'_>,
    is_wanted: impl Fn(&Field) -> bool,
) {
    let line = head.line();
    if line.is_none() {
        request_line(out, head);
    }
    let mut host_written = false;
    let mut copier = Copier::new(&head.bytes, line.unwrap_or_default());
    for own in head.fields.iter() {
        match own.known {
            // As received, unless the target named the host.
            Name::Host if own.value == head.authority => {
                copier.copy(out, own);
                host_written = true;
            }
            Name::Host => {
                copier.flush(out);
                out.extend_from_slice(own.name.of(&head.bytes));
                out.extend_from_slice(b": ");
                out.extend_from_slice(head.authority());
                out.extend_from_slice(b"\r\n");
                host_written = true;
            }
            Name::Other | Name::ContentEncoding | Name::Trailer if !own.dropped && is_wanted(own) => {
                copier.copy(out, own)
            }
            Name::XForwardedOther if onward.trusted && !own.dropped => copier.copy(out, own),
            _ => {}
        }
    }
    copier.flush(out);
    if !host_written {
        let authority = head.authority();
        let host = if authority.is_empty() { onward.default_host.as_bytes() } else { authority };
        field(out, "Host", host);
    }
}

/// Writes a request line that came in another form or version.
#[cold]
fn request_line(out: &mut Vec<u8>, head: &RequestHead) {
    out.extend_from_slice(head.method());
    out.push(b' ');
    let target = if head.target.is_empty() && head.method() == b"OPTIONS" { b"*" } else { head.target() };
    if target.starts_with(b"?") {
        out.push(b'/');
    }
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Writes framing and connection fields and ends the head.
pub fn end_request(out: &mut Vec<u8>, framing: Framing, onward: &Onward<'_>) {
    framing_field(out, framing);
    if onward.expect {
        out.extend_from_slice(b"Expect: 100-continue\r\n");
    }
    if onward.upgrade.is_some() || onward.trailers {
        hop(out, onward);
    }
    out.extend_from_slice(b"\r\n");
}

/// The fields of this hop, which one `Connection` nominates.
#[cold]
fn hop(out: &mut Vec<u8>, onward: &Onward<'_>) {
    let options = match (onward.upgrade, onward.trailers) {
        (Some(_), true) => "Upgrade, TE",
        (Some(_), false) => "Upgrade",
        (None, _) => "TE",
    };
    field(out, "Connection", options.as_bytes());
    if let Some(protocol) = onward.upgrade {
        field(out, "Upgrade", protocol);
    }
    if onward.trailers {
        field(out, "TE", b"trailers");
    }
}

/// How an answer is framed toward the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    pub framing: Framing,
    /// Whether the caller's connection ends with this answer.
    pub close: bool,
}

/// The framing toward a caller of this version of an answer that was framed like this.
///
/// An answer that ends with the upstream's connection becomes chunked, so that the caller can tell its end from a break;
/// HTTP/1.0 knows only the end of the connection.
pub const fn relay_framing(from: Framing, to: Version) -> Framing {
    match (from, to) {
        (Framing::Chunked | Framing::UntilClose, Version::Http11) => Framing::Chunked,
        (Framing::Chunked | Framing::UntilClose, Version::Http10) => Framing::UntilClose,
        (Framing::None, _) => Framing::None,
        (Framing::Length(length), _) => Framing::Length(length),
    }
}

/// Writes status line and fields of an answer; the caller appends ours and [`end_response`].
///
/// `length_without_body` is the length that a bodiless answer (to HEAD, or 304) declares.
pub fn begin_response(out: &mut Vec<u8>, head: &ResponseHead, length_without_body: Option<u64>) {
    if head.line.is_empty() {
        status_line(out, head.status, head.reason.of(&head.bytes));
    }
    let mut copier = Copier::new(&head.bytes, head.line.range());
    for own in head.fields.iter() {
        match own.known {
            Name::Other | Name::ContentEncoding | Name::Trailer | Name::XRequestId | Name::Traceparent
                if !own.dropped =>
            {
                copier.copy(out, own);
            }
            // These mean nothing in an answer to this hop; an application may use them all the same.
            Name::Forwarded
            | Name::XForwardedFor
            | Name::XForwardedHost
            | Name::XForwardedProto
            | Name::XForwardedOther
            | Name::Host
            | Name::Expect
                if !own.dropped =>
            {
                copier.copy(out, own);
            }
            _ => {}
        }
    }
    copier.flush(out);
    if head.status == 426 {
        demand(out, head);
    }
    if let Some(length) = length_without_body {
        framing_field(out, Framing::Length(length));
    }
}

/// 426 without the protocols that it demands would say nothing (RFC 9110 section 15.5.22).
#[cold]
fn demand(out: &mut Vec<u8>, head: &ResponseHead) {
    if head.fields.holds(Name::Upgrade) {
        head.fields.values(&head.bytes, Name::Upgrade).for_each(|protocols| field(out, "Upgrade", protocols));
        out.extend_from_slice(b"Connection: Upgrade\r\n");
    }
}

pub fn end_response(out: &mut Vec<u8>, relayed: Relayed) {
    framing_field(out, relayed.framing);
    if relayed.close {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Ends the head of a 101, whose connection now belongs to the other protocol.
pub fn end_switch(out: &mut Vec<u8>, protocol: &[u8]) {
    out.extend_from_slice(b"Connection: Upgrade\r\n");
    field(out, "Upgrade", protocol);
    out.extend_from_slice(b"\r\n");
}

pub fn status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    #[allow(clippy::cast_possible_truncation, reason = "a digit")]
    let digit = |value: u16| b'0' + (value % 10) as u8;
    // A status has three digits.
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&[digit(status / 100), digit(status / 10), digit(status), b' ']);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// Appends one chunk; an empty one would end the body, so it writes nothing.
pub fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    let digits = (usize::BITS - data.len().leading_zeros()).div_ceil(4);
    for at in (0..digits).rev() {
        #[allow(clippy::cast_possible_truncation, reason = "one hexadecimal digit")]
        let digit = (data.len() >> (4 * at) & 0xf) as u8;
        out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Ends a chunked body; the trailers are whole lines.
pub fn last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::head::HeadLimits;

    const LIMITS: HeadLimits = HeadLimits { bytes: 65_536, fields: 100, target: 8_192 };

    const ONWARD: Onward<'_> =
        Onward { default_host: "d", trusted: false, upgrade: None, expect: false, trailers: false };

    #[test]
    fn one_field_nominates_what_is_of_this_hop() {
        let check = |upgrade: Option<&[u8]>, trailers: bool, expected: &str| {
            let mut out = Vec::new();
            end_request(&mut out, Framing::None, &Onward { upgrade, trailers, ..ONWARD });
            assert_eq!(out, expected.as_bytes());
        };
        check(None, false, "\r\n");
        check(None, true, "Connection: TE\r\nTE: trailers\r\n\r\n");
        check(Some(b"websocket"), false, "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        check(Some(b"websocket"), true, "Connection: Upgrade, TE\r\nUpgrade: websocket\r\nTE: trailers\r\n\r\n");
    }

    #[track_caller]
    fn check_request_line(came: &str, goes: &str) {
        let text = format!("{came}\r\nA: b\r\nHost: h\r\n\r\n");
        let mut head = RequestHead::default();
        assert_eq!(head.parse(text.as_bytes(), &LIMITS), Ok(Some(text.len())), "{came:?}");
        head.bytes = text.into_bytes();
        let mut out = Vec::new();
        begin_request(&mut out, &head, &ONWARD);
        assert_eq!(
            out.escape_ascii().to_string(),
            format!("{goes}\r\nA: b\r\nHost: h\r\n").escape_default().to_string()
        );
    }

    #[test]
    fn a_request_line_goes_on_as_it_came_where_it_is_what_would_be_written() {
        for same in ["GET /a?b HTTP/1.1", "get_it /%41//b HTTP/1.1", "OPTIONS * HTTP/1.1"] {
            check_request_line(same, same);
        }
        check_request_line("\r\nGET /a HTTP/1.1", "GET /a HTTP/1.1");
        check_request_line("GET /a HTTP/1.0", "GET /a HTTP/1.1");
        check_request_line("GET http://h/a?b HTTP/1.1", "GET /a?b HTTP/1.1");
        check_request_line("GET http://h HTTP/1.1", "GET / HTTP/1.1");
        check_request_line("GET http://h?b HTTP/1.1", "GET /?b HTTP/1.1");
        check_request_line("OPTIONS http://h HTTP/1.1", "OPTIONS * HTTP/1.1");
    }

    #[track_caller]
    fn check_status_line(came: &[u8], goes: &str) {
        let text = [came, b"A: b\r\n\r\n"].concat();
        let mut head = ResponseHead::default();
        assert_eq!(head.parse(&text, false, &LIMITS), Ok(Some(text.len())), "{}", came.escape_ascii());
        head.bytes = text;
        let mut out = Vec::new();
        begin_response(&mut out, &head, None);
        assert_eq!(out.escape_ascii().to_string(), format!("{goes}\r\nA: b\r\n").escape_default().to_string());
    }

    #[test]
    fn a_status_line_goes_on_as_it_came_where_it_is_what_would_be_written() {
        for same in ["HTTP/1.1 200 OK", "HTTP/1.1 299 Not  so\tbad ", "HTTP/1.1 204 "] {
            check_status_line(format!("{same}\r\n").as_bytes(), same);
            check_status_line(format!("\r\n{same}\r\n").as_bytes(), same);
        }
        check_status_line(b"HTTP/1.0 200 OK\r\n", "HTTP/1.1 200 OK");
        check_status_line(b"HTTP/1.1 200 OK\n", "HTTP/1.1 200 OK");
        check_status_line(b"HTTP/1.1 200\r\n", "HTTP/1.1 200 ");
        check_status_line(b"HTTP/1.1 200 Tr\xe8s bien\r\n", "HTTP/1.1 200 ");
    }

    #[test]
    fn numbers_and_chunks_are_written_as_the_library_would() {
        for value in [0, 1, 9, 10, 255, 256, 4095, 4096, 65_535, 1 << 20, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
        }
        for length in [1, 15, 16, 255, 256, 4096, 70_000] {
            let mut out = Vec::new();
            chunk(&mut out, &vec![b'x'; length]);
            assert!(out.starts_with(format!("{length:x}\r\nx").as_bytes()));
            assert!(out.ends_with(b"x\r\n"));
        }
        let mut out = Vec::new();
        chunk(&mut out, b"");
        assert!(out.is_empty());
    }
}
