//! A head that is refused: the name of the reason, and what is kept of it for its answer and its log line.

use super::{HeadLimits, REQUEST_LINE_BESIDES_MAX, Refusal, RequestHead, Span};

/// What is kept of the first line of a refused head.
const LINE_KEPT_BYTES_MAX: usize = 256;
const METHOD_KEPT_BYTES_MAX: usize = 32;

impl RequestHead {
    /// Keeps of a head that was refused what its answer and its log line need: the method, and a path that may be told.
    ///
    /// Whatever else it holds was not understood, so it may be a password in the wrong place.
    pub fn keep_line(&mut self, buf: &[u8]) {
        self.clear();
        let line = buf.trim_ascii_start();
        let line = &line[..memchr::memchr(b'\n', line).unwrap_or(line.len()).min(LINE_KEPT_BYTES_MAX)];
        let Some(method) = memchr::memchr(b' ', line).filter(|at| *at <= METHOD_KEPT_BYTES_MAX) else { return };
        let target = &line[method + 1..];
        let target = &target[..target.iter().position(u8::is_ascii_whitespace).unwrap_or(target.len())];
        self.method = Span::new(&(0..method));
        if target.starts_with(b"/") {
            self.target = Span::new(&(method + 1..method + 1 + target.len()));
        }
        self.bytes.extend_from_slice(line);
    }
}

/// Gives the tokeniser's error the name that its cause has here.
pub(super) fn refused(error: httparse::Error, buf: &[u8], limits: &HeadLimits) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => Refusal::HeadTooLarge,
        httparse::Error::HeaderName => Refusal::FieldName,
        httparse::Error::HeaderValue => Refusal::FieldValue,
        httparse::Error::NewLine if has_more_behind_version(buf) => Refusal::RequestLine,
        httparse::Error::NewLine => Refusal::LineEnd,
        httparse::Error::Version if has_numbered_version(buf) => Refusal::Version,
        httparse::Error::Token | httparse::Error::Version | httparse::Error::Status => {
            let line = &buf[..memchr::memchr(b'\n', buf).unwrap_or(buf.len())];
            let target = line.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            let unencoded = |byte: &u8| *byte < b' ' && *byte != b'\r' || *byte >= 0x7f;
            if line.len() > limits.target + REQUEST_LINE_BESIDES_MAX {
                Refusal::TargetTooLong
            } else if target.iter().any(unencoded) {
                Refusal::TargetCharacter
            } else {
                Refusal::RequestLine
            }
        }
    }
}

/// Whether something other than a line end stands behind `HTTP/1.1`.
fn has_more_behind_version(buf: &[u8]) -> bool {
    let line = &buf[..memchr::memchr(b'\n', buf).unwrap_or(buf.len())];
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    memchr::memchr(b'\r', line).is_none() && !line.ends_with(b" HTTP/1.1") && !line.ends_with(b" HTTP/1.0")
}

/// Whether the request line ends with `HTTP/` and two digits around a point, so that the caller speaks HTTP.
fn has_numbered_version(buf: &[u8]) -> bool {
    let line = &buf[..memchr::memchr(b'\n', buf).unwrap_or(buf.len())];
    let mut words = line.strip_suffix(b"\r").unwrap_or(line).split(|byte| *byte == b' ');
    let (version, more) = (words.nth(2).unwrap_or_default(), words.next());
    more.is_none()
        && matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
}
