//! The lines of a head and their parts, read in one pass over the bytes.
//!
//! # Why a tokeniser of our own
//!
//! Reading two heads is most of what a proxy computes for a request. A general tokeniser looks for what no rule here allows, its
//! ranges had to be found again and its errors translated. Here every byte is looked at once, names are judged while they are
//! read, and every refusal has its name from the start. `router/tests/differential.rs` holds every reading against those of
//! `httparse` and `hyper`.
//!
//! Values and targets are looked at eight bytes at a time: subtracting a bound from each byte of a word borrows only where a
//! byte is below it (Anderson, "Bit Twiddling Hacks", `hasless` and `haszero`). The lowest byte that is found so is exact, and
//! words are read with the first byte as the lowest, so the first byte of interest is.
//!
//! A line whose end has not come is `None` unless no further byte could mend it, so what is wrong is refused at once.

use super::{Field, Name, Span, Version};
use crate::h1::refusal::Refusal;

/// What else than CRLF ends a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::h1) enum Feeds {
    Strict,
    /// A bare line feed does: old servers end lines so, and no reader of answers takes it otherwise.
    Bare,
}

/// What is wrong with a field line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::h1) enum BadField {
    Name,
    Value,
    /// It ends with a bare line feed or carriage return.
    End,
}

/// Reads a token, a colon and a value (RFC 9112 section 5) that begin at `start`; and where the next line begins.
#[inline]
pub(super) fn field(buf: &[u8], start: usize, feeds: Feeds) -> Result<Option<(Field, usize)>, BadField> {
    let plain = run(buf, start, PLAIN);
    let is_spelt_oddly = buf.get(plain).is_some_and(|byte| CLASSES[usize::from(*byte)] == ODD);
    let colon = if is_spelt_oddly { run(buf, plain, PLAIN | ODD) } else { plain };
    match buf.get(colon..).unwrap_or_default() {
        [b':', ..] if colon > start => {}
        [] => return Ok(None),
        // The head may end here.
        [b'\r'] if colon == start => return Ok(None),
        [b'\r' | b'\n', ..] if colon == start => return Err(BadField::End),
        _ => return Err(BadField::Name),
    }
    let mut from = colon + 1;
    while matches!(buf.get(from), Some(b' ' | b'\t')) {
        from += 1;
    }
    let end = text_end(buf, from);
    let (next, is_crlf) = match buf.get(end..) {
        Some([b'\r', b'\n', ..]) => (end + 2, true),
        Some([] | [b'\r']) | None => return Ok(None),
        Some([b'\n', ..]) if feeds == Feeds::Bare => (end + 1, false),
        Some([b'\n', ..]) => return Err(BadField::End),
        Some(_) => return Err(BadField::Value),
    };
    let mut to = end;
    while to > from && matches!(buf[to - 1], b' ' | b'\t') {
        to -= 1;
    }
    let is_plain = is_crlf && to == end && from == colon + 2 && buf[colon + 1] == b' ';
    let (name, value) = (Span::new(&(start..colon)), Span::new(&(from..to)));
    let known = Name::of(&buf[start..colon]);
    Ok(Some((Field { name, value, known, dropped: false, is_spelt_oddly, is_plain }, next)))
}

/// Where the name ends that begins at `start`, and where the colon is that stands behind it and white space.
pub(super) fn spaced_name(buf: &[u8], start: usize) -> Result<Option<(usize, usize)>, BadField> {
    let end = run(buf, start, PLAIN | ODD);
    let behind = buf.get(end..).unwrap_or_default();
    match behind.iter().position(|byte| !matches!(byte, b' ' | b'\t')) {
        None => Ok(None),
        Some(length) if behind[length] == b':' && end > start => Ok(Some((end, end + length))),
        Some(_) => Err(BadField::Name),
    }
}

/// A request line and where the next line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine {
    pub(super) method: Span,
    pub(super) target: Span,
    pub(super) version: Version,
    pub(super) next: usize,
}

/// Reads method, target and version, one space apart (RFC 9112 section 3), that begin at `start`.
pub(super) fn request_line(buf: &[u8], start: usize) -> Result<Option<RequestLine>, Refusal> {
    let space = run(buf, start, PLAIN | ODD);
    match buf.get(space) {
        Some(b' ') if space > start => {}
        None => return Ok(None),
        Some(_) => return Err(Refusal::RequestLine),
    }
    let from = space + 1;
    let to = first(buf, from, |word| has_less(word, b'!') | has(word, 0x7f) | has(word, b'#') | word & each(0x80));
    let version = match buf.get(to) {
        Some(b' ') if to > from => buf.get(to + 1..).unwrap_or_default(),
        None => return Ok(None),
        Some(b' ' | b'\r' | b'\n') => return Err(Refusal::RequestLine),
        Some(_) => return Err(Refusal::TargetCharacter),
    };
    let (method, target) = (Span::new(&(start..space)), Span::new(&(from..to)));
    let line = |version| RequestLine { method, target, version, next: to + 11 };
    match version.first_chunk() {
        Some(b"HTTP/1.1\r\n") => Ok(Some(line(Version::Http11))),
        Some(b"HTTP/1.0\r\n") => Ok(Some(line(Version::Http10))),
        _ => bad_version(version),
    }
}

/// What is wrong with a version, which shows when its line is whole.
#[cold]
fn bad_version(text: &[u8]) -> Result<Option<RequestLine>, Refusal> {
    let Some(end) = memchr::memchr2(b'\r', b'\n', text) else { return Ok(None) };
    let is_cut = |version: &[u8]| text[end..] == *b"\r" && matches!(version, b"HTTP/1.1" | b"HTTP/1.0");
    match &text[..end] {
        version if is_cut(version) => Ok(None),
        b"HTTP/1.1" | b"HTTP/1.0" => Err(Refusal::LineEnd),
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Err(Refusal::Version)
        }
        _ => Err(Refusal::RequestLine),
    }
}

/// A status line and where the next line begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusLine {
    pub(super) version: Version,
    /// 100 to 999.
    pub(super) status: u16,
    /// Empty where it is not plain text.
    pub(super) reason: Span,
    /// The line already is what would be written.
    pub(super) is_plain: bool,
    pub(super) next: usize,
}

/// A first line that no answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadStatus;

/// Reads version, three digits and perhaps a reason (RFC 9112 section 4) that begin at `start`.
pub(super) fn status_line(buf: &[u8], start: usize) -> Result<Option<StatusLine>, BadStatus> {
    let text = buf.get(start..).unwrap_or_default();
    let Some(fixed) = text.first_chunk::<12>() else {
        let may_become = b"HTTP/1.".iter().zip(text).all(|(expected, own)| expected == own);
        return if may_become { Ok(None) } else { Err(BadStatus) };
    };
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ (b'0' | b'1'), b' ', digits @ ..] = fixed else {
        return Err(BadStatus);
    };
    let [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] = digits else { return Err(BadStatus) };
    let status = digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0'));
    let behind = start + fixed.len();
    let from = if text.get(fixed.len()) == Some(&b' ') { behind + 1 } else { behind };
    let to = if from > behind { text_end(buf, from) } else { from };
    let (next, is_crlf) = match buf.get(to..) {
        Some([b'\r', b'\n', ..]) => (to + 2, true),
        Some([b'\n', ..]) => (to + 1, false),
        Some([] | [b'\r']) | None => return Ok(None),
        Some(_) => return Err(BadStatus),
    };
    let reason = Span::new(&(from..to));
    let is_text = reason.of(buf).is_ascii();
    let reason = if is_text { reason } else { Span::default() };
    let version = if *minor == b'0' { Version::Http10 } else { Version::Http11 };
    let is_plain = version == Version::Http11 && from > behind && is_text && is_crlf;
    Ok(Some(StatusLine { version, status, reason, is_plain, next }))
}

const PLAIN: u8 = 1;
/// What some readers take for another byte.
const ODD: u8 = 2;

/// What a byte may be in a token (RFC 9110 section 5.6.2).
const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] = match byte {
            b'_' | b'%' => ODD,
            b'!' | b'#' | b'$' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'`' | b'|' | b'~' => PLAIN,
            _ if byte.is_ascii_alphanumeric() => PLAIN,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// Whether this byte may stand in a token.
pub(in crate::h1) const fn is_token_byte(byte: u8) -> bool {
    CLASSES[byte as usize] != 0
}

/// Where the bytes of these classes end that begin at `start`.
#[inline]
fn run(buf: &[u8], start: usize, classes: u8) -> usize {
    let rest = buf.get(start..).unwrap_or_default();
    let length = rest.iter().position(|byte| CLASSES[usize::from(*byte)] & classes == 0);
    start + length.unwrap_or(rest.len())
}

/// Where the text of a value that begins at `start` ends: the first control character that is no tab (RFC 9110 section 5.5).
#[inline]
fn text_end(buf: &[u8], start: usize) -> usize {
    let control = |start: usize| first(buf, start, |word| has_less(word, b' ') | has(word, 0x7f));
    let mut at = control(start);
    while buf.get(at) == Some(&b'\t') {
        at = control(at + 1);
    }
    at
}

/// The same byte in each place of a word.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Marks the lowest byte of `word` that is below `bound`, which is at most 128, and perhaps some above it.
const fn has_less(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(each(bound)) & !word & each(0x80)
}

/// Marks the lowest byte of `word` that is `byte`, and perhaps some above it.
const fn has(word: u64, byte: u8) -> u64 {
    has_less(word ^ each(byte), 1)
}

/// Where the first byte from `start` on is that `marks` marks in its word, or the end. Zero bytes must be marked.
#[inline]
fn first(buf: &[u8], start: usize, marks: impl Fn(u64) -> u64) -> usize {
    let mut at = start;
    loop {
        let rest = buf.get(at..).unwrap_or_default();
        let word = rest.first_chunk().copied().unwrap_or_else(|| filled(rest));
        let marked = marks(u64::from_le_bytes(word));
        if marked != 0 {
            return at + (marked.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
}

/// Less than a word, with zeros behind it, the first of which stands where the bytes end.
#[cold]
fn filled(rest: &[u8]) -> [u8; 8] {
    let mut word = [0; 8];
    word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    word
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::h1::head::Fields;

    #[track_caller]
    fn check_field(line: &str, expected: Result<(&str, &str), BadField>) {
        let text = format!("{line}\r\n");
        let of = |span: Span| std::str::from_utf8(span.of(text.as_bytes())).unwrap();
        let read = field(text.as_bytes(), 0, Feeds::Strict).map(|parts| {
            let (field, next) = parts.unwrap();
            assert_eq!(next, text.len());
            let written = format!("{}: {}\r\n", of(field.name), of(field.value));
            assert_eq!(field.is_plain, written == text, "{line:?}");
            assert_eq!(field.is_spelt_oddly, of(field.name).contains(['_', '%']), "{line:?}");
            (of(field.name), of(field.value))
        });
        assert_eq!(read, expected, "{line:?}");
    }

    #[test]
    fn a_field_is_a_token_a_colon_and_a_value() {
        check_field("a:b", Ok(("a", "b")));
        check_field("A-b_9%:  b\tc \t", Ok(("A-b_9%", "b\tc")));
        check_field("a:", Ok(("a", "")));
        check_field("a: \t ", Ok(("a", "")));
        check_field("a: \u{e9}: b", Ok(("a", "\u{e9}: b")));
        for bad in [":", "a", "a :b", " a:b", "\ta:b", "a\0:b", "\u{e9}:b", "a\r:b", "a_ :b"] {
            check_field(bad, Err(BadField::Name));
        }
        for bad in ["a:\0", "a:b\rc", "a:12345678\u{7f}", "a:\u{1}2345678", "a: b\r"] {
            check_field(bad, Err(BadField::Value));
        }
        for bad in ["\r:b", "\n", "a:b\n", "a:\n"] {
            check_field(bad, Err(BadField::End));
        }
        assert!(matches!(field(b"a: b\nc", 0, Feeds::Bare), Ok(Some((Field { is_plain: false, .. }, 5)))));
    }

    #[track_caller]
    fn check_request(line: &str, expected: Result<(&str, &str, Version), Refusal>) {
        let text = format!("{line}\r\n");
        let of = |span: Span| std::str::from_utf8(span.of(text.as_bytes())).unwrap();
        let read = request_line(text.as_bytes(), 0).map(|parts| {
            let parts = parts.unwrap();
            assert_eq!(parts.next, text.len());
            (of(parts.method), of(parts.target), parts.version)
        });
        assert_eq!(read, expected, "{line:?}");
    }

    #[test]
    fn a_request_line_is_three_words() {
        check_request("GET / HTTP/1.1", Ok(("GET", "/", Version::Http11)));
        check_request("get_% /?a=b HTTP/1.0", Ok(("get_%", "/?a=b", Version::Http10)));
        for bad in ["", " ", "GET", "GET ", "GET /", "GET / ", " GET / HTTP/1.1", "GET  / HTTP/1.1", "GET / HTTP/1.1 "]
        {
            check_request(bad, Err(Refusal::RequestLine));
        }
        for bad in ["GET /\u{e9} HTTP/1.1", "GET /# HTTP/1.1", "GET /\t HTTP/1.1", "GET /1234567\u{7f} HTTP/1.1"] {
            check_request(bad, Err(Refusal::TargetCharacter));
        }
        check_request("GET / HTTP/2.0", Err(Refusal::Version));
        check_request("GET / HTTP/1.1\rHost: a", Err(Refusal::LineEnd));
        check_request("GET / HTTP/1.1\n", Err(Refusal::LineEnd));
    }

    #[track_caller]
    fn check_status(line: &str, expected: Option<(u16, &str)>) {
        for end in ["\r\n", "\n"] {
            let text = format!("{line}{end}");
            let read = status_line(text.as_bytes(), 0).ok().map(Option::unwrap);
            let of = |span: Span| std::str::from_utf8(span.of(text.as_bytes())).unwrap();
            assert_eq!(read.map(|parts| (parts.status, of(parts.reason))), expected, "{text:?}");
        }
    }

    #[test]
    fn a_status_line_is_a_version_and_three_digits() {
        check_status("HTTP/1.1 200 OK", Some((200, "OK")));
        check_status("HTTP/1.0 404 Not Found", Some((404, "Not Found")));
        check_status("HTTP/1.1 204", Some((204, "")));
        check_status("HTTP/1.1 204 ", Some((204, "")));
        check_status("HTTP/1.1 200 Tr\u{e8}s bien", Some((200, "")));
        for bad in [
            "nonsense\r\n",
            "HTTP/1.1 2000",
            "HTTP/1.2 200",
            "HTTP/1.1  200",
            "HTTP/1.1 099",
            "HTTP/1.1 200 \0",
            "http/1.1 200",
            "HTTP/1.1 200\tOK",
        ] {
            check_status(bad, None);
        }
    }

    /// Whoever sends a line in pieces is told the same as whoever sends it whole, and never that it is whole too early.
    #[track_caller]
    fn check_pieces<T: std::fmt::Debug, E: PartialEq + std::fmt::Debug>(
        line: &[u8],
        read: impl Fn(&[u8]) -> Result<Option<T>, E>,
    ) {
        let whole = read(line);
        for cut in 0..line.len() {
            match read(&line[..cut]) {
                Ok(None) => {}
                Ok(Some(early)) => assert!(matches!(&whole, Ok(Some(_))), "{early:?} of {}", line.escape_ascii()),
                Err(early) => assert_eq!(whole.as_ref().err(), Some(&early), "at {cut} of {}", line.escape_ascii()),
            }
        }
    }

    proptest! {
        /// Words and single bytes must be judged alike.
        #[test]
        fn the_end_of_text_is_found_as_byte_by_byte(mut text in "[a-z\t\u{e9}]{0,40}", at in 0..40usize, byte in 0..128u8) {
            if text.is_char_boundary(at) && at <= text.len() {
                text.insert(at, char::from(byte));
            }
            let text = text.as_bytes();
            let end = text.iter().position(|byte| byte.is_ascii_control() && *byte != b'\t').unwrap_or(text.len());
            prop_assert_eq!(text_end(text, 0), end);
        }

        #[test]
        fn a_target_is_judged_as_byte_by_byte(mut target in "/[a-z]{0,30}", at in 1..30usize, byte: u8) {
            target.truncate(at);
            let mut line = format!("GET {target}").into_bytes();
            line.push(byte);
            line.extend_from_slice(b"z HTTP/1.1\r\n");
            let is_good = byte.is_ascii_graphic() && byte != b'#';
            prop_assert_eq!(request_line(&line, 0).is_ok(), is_good, "{}", line.escape_ascii());
        }

        #[test]
        fn pieces_are_judged_as_the_whole(line in "[A-Z_:\r\n]{0,4} ?/?[a-z\u{7f}\u{e9} \t:]{0,9} ?(HTTP/[0-9].[0-9])?(\r|\n|\r\n)?[a-z\r\n]{0,3}") {
            check_pieces(line.as_bytes(), |line| request_line(line, 0));
            check_pieces(line.as_bytes(), |line| status_line(line, 0));
            for feeds in [Feeds::Strict, Feeds::Bare] {
                check_pieces(line.as_bytes(), |line| field(line, 0, feeds));
            }
            check_pieces(line.as_bytes(), |line| Fields::default().read_of_answer(line, 0));
            check_pieces(format!("a{line}").as_bytes(), |line| Fields::default().read_of_answer(line, 0));
        }
    }
}
