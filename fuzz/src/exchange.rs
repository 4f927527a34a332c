//! Whole requests: read the same however the bytes come, and written so that an upstream reads exactly them.

use router::h1::framing::{ChunkDecoder, ChunkError, Framing, Step};
use router::h1::head::{HeadLimits, RequestHead, Version};
use router::h1::refusal::Refusal;
use router::h1::write::{chunk, last_chunk};

use super::chunks::check_trailers;
use super::reading::{AMPLE, Dice, USUAL};
use super::request_head::{parse, written};

/// One request as it goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Onward {
    /// As whoever reads it would write it: a caller that names no host has one from there on.
    head: Vec<u8>,
    body: Vec<u8>,
    trailers: Vec<u8>,
    whole: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Head(Refusal),
    Body(ChunkError),
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Head,
    Length(u64),
    Chunked(ChunkDecoder),
    /// Whatever follows is no request: the connection closes or changes its protocol.
    Over,
    Broken(Broken),
}

/// A caller's connection without a socket: bytes in, requests out.
#[derive(Debug)]
struct Reader {
    limits: HeadLimits,
    buffer: Vec<u8>,
    state: State,
    requests: Vec<Onward>,
    /// Everything that goes to the upstream, chunks as they were found.
    wire: Vec<u8>,
}

impl Reader {
    fn new(limits: HeadLimits) -> Self {
        Self { limits, buffer: Vec::new(), state: State::Head, requests: Vec::new(), wire: Vec::new() }
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while self.advance() {}
    }

    /// Whether there may be more to do with what is at hand.
    fn advance(&mut self) -> bool {
        match &mut self.state {
            State::Over | State::Broken(_) => false,
            State::Head if self.buffer.is_empty() => false,
            State::Head => self.head(),
            State::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len());
                *left -= taken as u64;
                let done = *left == 0;
                let data: Vec<u8> = self.buffer.drain(..taken).collect();
                self.wire.extend_from_slice(&data);
                self.current().body.extend_from_slice(&data);
                done && self.end(Vec::new())
            }
            State::Chunked(decoder) => match decoder.step(&self.buffer) {
                Err(error) => self.breaks(Broken::Body(error)),
                Ok(Step::More { skip }) => {
                    self.buffer.drain(..skip);
                    false
                }
                Ok(Step::Data { skip, len }) => {
                    decoder.took(len);
                    let data = self.buffer[skip..skip + len].to_vec();
                    self.buffer.drain(..skip + len);
                    chunk(&mut self.wire, &data);
                    self.current().body.extend_from_slice(&data);
                    true
                }
                Ok(Step::End { skip }) => {
                    let trailers = decoder.trailers().to_vec();
                    self.buffer.drain(..skip);
                    last_chunk(&mut self.wire, &trailers);
                    self.end(trailers)
                }
            },
        }
    }

    fn head(&mut self) -> bool {
        let head = match parse(&self.buffer, &self.limits) {
            Ok(None) => return false,
            Ok(Some(head)) => head,
            Err(refusal) => return self.breaks(Broken::Head(refusal)),
        };
        self.buffer.drain(..head.bytes.len());
        let onward = written(&head, false);
        self.wire.extend_from_slice(&onward);
        let settled = parse(&onward, &AMPLE).ok().flatten().map(|head| written(&head, false));
        self.requests.push(Onward { head: settled.unwrap_or_default(), ..Onward::default() });
        match head.framing {
            Framing::Length(length) if length > 0 => self.state = State::Length(length),
            Framing::Chunked => self.state = State::Chunked(ChunkDecoder::default()),
            Framing::None | Framing::Length(_) | Framing::UntilClose => {
                self.end(Vec::new());
            }
        }
        if is_last(&head) && matches!(self.state, State::Head) {
            self.state = State::Over;
        }
        true
    }

    fn end(&mut self, trailers: Vec<u8>) -> bool {
        let current = self.current();
        current.trailers = trailers;
        current.whole = true;
        self.state = State::Head;
        true
    }

    fn breaks(&mut self, broken: Broken) -> bool {
        self.state = State::Broken(broken);
        false
    }

    fn current(&mut self) -> &mut Onward {
        self.requests.last_mut().expect("a body follows a head")
    }

    fn broken(&self) -> Option<Broken> {
        if let State::Broken(broken) = self.state { Some(broken) } else { None }
    }
}

/// Requests with a body that close the connection are read on here; what follows them must still be read alike.
fn is_last(head: &RequestHead) -> bool {
    head.version == Version::Http10 || head.persistence.close || head.upgrade.is_some()
}

fn read(input: &[u8], limits: HeadLimits, mut size: impl FnMut() -> usize) -> Reader {
    let (mut reader, mut rest) = (Reader::new(limits), input);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(size().clamp(1, rest.len()));
        reader.feed(piece);
        rest = behind;
    }
    reader
}

/// Holds a stream of requests against every invariant of an exchange.
pub fn exchange(input: &[u8]) {
    let whole = read(input, USUAL, || usize::MAX);
    let mut dice = Dice::of(input);
    let at_once = dice.below(input.len());
    let mut sizes = [at_once, usize::MAX].into_iter();
    check_alike(input, &whole, &read(input, USUAL, || sizes.next().unwrap_or(usize::MAX)));
    check_alike(input, &whole, &read(input, USUAL, || 1 + dice.below(23)));
    if input.len() <= 160 {
        check_alike(input, &whole, &read(input, USUAL, || 1));
    }
    for request in &whole.requests {
        check_trailers(&request.trailers);
    }
    // The upstream sees all of them, in their order and with their bodies, and nothing besides.
    let upstream = read(&whole.wire, AMPLE, || 1 + dice.below(97));
    assert_eq!(upstream.broken(), None, "{} went on as {}", input.escape_ascii(), whole.wire.escape_ascii());
    assert!(upstream.buffer.is_empty(), "{} is left of {}", upstream.buffer.escape_ascii(), whole.wire.escape_ascii());
    assert_eq!(upstream.requests, whole.requests, "{} went on as {}", input.escape_ascii(), whole.wire.escape_ascii());
}

fn check_alike(input: &[u8], whole: &Reader, pieces: &Reader) {
    assert_eq!(pieces.requests, whole.requests, "{}", input.escape_ascii());
    assert_eq!(pieces.broken(), whole.broken(), "{}", input.escape_ascii());
}
