//! Just enough HTTP/1.1 to read what a peer sent, byte for byte.
//!
//! # Why by hand
//!
//! A test must see the case of a name, the order of fields and the framing exactly as they were on
//! the wire, and must be able to read messages that a library refuses.
//!
//! Not supported: folding, and anything else that a test would rather see as a failure.

use std::fmt;

/// The lines of a head, as received, without the final empty line.
#[derive(Clone, PartialEq, Eq)]
pub struct Head {
    raw: Vec<u8>,
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Head {
    /// Splits a head off the front of `buffer` once it is there whole.
    pub fn take(buffer: &mut Vec<u8>) -> Option<Self> {
        let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
        let rest = buffer.split_off(end + 4);
        let mut raw = std::mem::replace(buffer, rest);
        raw.truncate(end);
        Some(Self { raw })
    }

    pub fn bytes(&self) -> &[u8] {
        &self.raw
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }

    /// The request line or the status line.
    pub fn first_line(&self) -> String {
        self.text().lines().next().unwrap_or_default().to_owned()
    }

    /// Fields in order, names in their case, values without the white space around them.
    pub fn fields(&self) -> Vec<(String, String)> {
        let text = self.text();
        let lines = text.split("\r\n").skip(1);
        lines.filter_map(|line| line.split_once(':')).map(|(n, v)| (n.to_owned(), v.trim().to_owned())).collect()
    }

    /// Every value of a field, by any case of its name.
    pub fn values(&self, name: &str) -> Vec<String> {
        let fields = self.fields().into_iter();
        fields.filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }

    /// The first value of a field.
    pub fn value(&self, name: &str) -> Option<String> {
        self.values(name).into_iter().next()
    }

    /// The second word of a request line.
    pub fn target(&self) -> String {
        self.first_line().split(' ').nth(1).unwrap_or_default().to_owned()
    }

    pub fn method(&self) -> String {
        self.first_line().split(' ').next().unwrap_or_default().to_owned()
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        self.first_line().split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }

    pub fn is_chunked(&self) -> bool {
        self.value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    pub fn content_length(&self) -> Option<u64> {
        self.value("content-length")?.parse().ok()
    }
}

/// One response as the client received it.
#[derive(Clone, Debug)]
pub struct Answer {
    pub head: Head,
    pub body: Vec<u8>,
    /// The lines behind the last chunk.
    pub trailers: Vec<String>,
    /// Heads with a status below 200 that came before.
    pub interim: Vec<Head>,
    /// Whether the body ended as its framing promised; false after an early close.
    pub whole: bool,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn value(&self, name: &str) -> Option<String> {
        self.head.value(name)
    }

    /// The stable code of an error that the router made itself.
    pub fn error_code(&self) -> Option<String> {
        self.value("crossfade-error")
    }

    /// # Panics
    ///
    /// When the body is not JSON.
    pub fn json(&self) -> serde_json::Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("not JSON ({error}): {self:?}"),
        }
    }
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    pub fn of_request(head: &Head) -> Self {
        if head.is_chunked() { Self::Chunked } else { Self::Length(head.content_length().unwrap_or(0)) }
    }

    pub fn of_response(head: &Head, request_method: &str) -> Self {
        let status = head.status();
        if request_method == "HEAD" || status < 200 || status == 204 || status == 304 {
            Self::Length(0)
        } else if head.is_chunked() {
            Self::Chunked
        } else {
            head.content_length().map_or(Self::UntilClose, Self::Length)
        }
    }
}

/// Takes a body apart as it arrives; keeps nothing itself.
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    pub trailers: Vec<String>,
}

#[derive(Debug)]
enum State {
    Left(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    UntilClose,
    Done,
}

impl BodyReader {
    pub fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Left(length),
            Framing::Chunked => State::ChunkSize,
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, trailers: Vec::new() }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    pub fn ends_with_close(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// Moves what of `buffer` belongs to the body into `sink`.
    ///
    /// # Panics
    ///
    /// When a chunk is malformed: what the router writes must never be.
    pub fn feed(&mut self, buffer: &mut Vec<u8>, sink: &mut dyn FnMut(&[u8])) {
        loop {
            match self.state {
                State::Done => return,
                State::UntilClose => {
                    sink(buffer);
                    buffer.clear();
                    return;
                }
                State::Left(left) | State::Chunk(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    sink(&buffer[..n]);
                    buffer.drain(..n);
                    let left = left - n as u64;
                    let in_chunk = matches!(self.state, State::Chunk(_));
                    self.state = match (left, in_chunk) {
                        (0, true) => State::ChunkEnd,
                        (0, false) => State::Done,
                        (_, true) => State::Chunk(left),
                        (_, false) => State::Left(left),
                    };
                    if left > 0 {
                        return;
                    }
                }
                State::ChunkSize => {
                    let Some(line) = take_line(buffer) else { return };
                    let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16);
                    let Ok(size) = size else { panic!("a chunk starts with {line:?}") };
                    self.state = if size == 0 { State::Trailers } else { State::Chunk(size) };
                }
                State::ChunkEnd => {
                    let Some(line) = take_line(buffer) else { return };
                    assert!(line.is_empty(), "a chunk is followed by {line:?}");
                    self.state = State::ChunkSize;
                }
                State::Trailers => {
                    let Some(line) = take_line(buffer) else { return };
                    if line.is_empty() {
                        self.state = State::Done;
                    } else {
                        self.trailers.push(line);
                    }
                }
            }
        }
    }
}

fn take_line(buffer: &mut Vec<u8>) -> Option<String> {
    let end = buffer.windows(2).position(|window| window == b"\r\n")?;
    let line = String::from_utf8_lossy(&buffer[..end]).into_owned();
    buffer.drain(..end + 2);
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunked_body_is_read_in_any_pieces() {
        let wire = b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\nnext";
        for size in 1..wire.len() {
            let mut reader = BodyReader::new(Framing::Chunked);
            let (mut body, mut buffer) = (Vec::new(), Vec::new());
            for piece in wire.chunks(size) {
                buffer.extend_from_slice(piece);
                reader.feed(&mut buffer, &mut |bytes| body.extend_from_slice(bytes));
            }
            assert_eq!((body.as_slice(), buffer.as_slice()), (&b"abcde"[..], &b"next"[..]), "pieces of {size}");
            assert_eq!((reader.is_done(), reader.trailers.as_slice()), (true, &["X-T: 1".to_owned()][..]));
        }
    }

    #[test]
    fn a_head_keeps_case_and_order() {
        let mut buffer = b"GET /a HTTP/1.1\r\nhOsT: x\r\nB: 2\r\nb: 3\r\n\r\nrest".to_vec();
        let head = Head::take(&mut buffer).unwrap();
        assert_eq!((head.method().as_str(), head.target().as_str(), buffer.as_slice()), ("GET", "/a", &b"rest"[..]));
        assert_eq!(head.fields()[0], ("hOsT".into(), "x".into()));
        assert_eq!(head.values("B"), ["2", "3"]);
    }
}
