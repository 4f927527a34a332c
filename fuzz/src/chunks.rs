//! Chunked bodies: the same in any pieces, the same for a naive decoder, and the same when written again.

use router::h1::framing::{ChunkDecoder, ChunkError, Step};
use router::h1::write::{chunk, last_chunk};

use super::reading::{Dice, field};

/// What was read of a body.
#[derive(Debug, Default, PartialEq, Eq)]
struct Body {
    data: Vec<u8>,
    trailers: Vec<u8>,
    /// Where the message ended, if it did.
    end: Option<usize>,
}

/// Holds an input against every invariant of chunked bodies.
pub fn chunks(input: &[u8]) {
    let whole = in_any_pieces(ChunkDecoder::default, input);
    let of_answer = in_any_pieces(ChunkDecoder::of_answer, input);
    assert!(whole.is_err() || of_answer == whole, "an answer is read otherwise: {}", input.escape_ascii());
    if let Ok(Body { data, end: Some(end), .. }) = of_answer {
        assert_eq!(naive(&input[..end]), data, "{}", input.escape_ascii());
    }
    let mut dice = Dice::of(input);
    let Ok(Body { data, trailers, end: Some(_) }) = whole else { return };
    check_trailers(&trailers);
    let mut again = Vec::new();
    let mut rest = &data[..];
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(1 + dice.below(rest.len()));
        chunk(&mut again, piece);
        rest = behind;
    }
    last_chunk(&mut again, &trailers);
    let end = Some(again.len());
    assert_eq!(
        decode(ChunkDecoder::default(), &again, || usize::MAX),
        Ok(Body { data, trailers, end }),
        "{}",
        again.escape_ascii()
    );
}

/// What a decoder reads, which must be the same in any pieces.
fn in_any_pieces(decoder: fn() -> ChunkDecoder, input: &[u8]) -> Result<Body, ChunkError> {
    let whole = decode(decoder(), input, || usize::MAX);
    assert_eq!(decode(decoder(), input, || 1), whole, "byte by byte: {}", input.escape_ascii());
    let mut dice = Dice::of(input);
    assert_eq!(decode(decoder(), input, || 1 + dice.below(7)), whole, "in small pieces: {}", input.escape_ascii());
    whole
}

fn decode(mut decoder: ChunkDecoder, input: &[u8], mut size: impl FnMut() -> usize) -> Result<Body, ChunkError> {
    let mut body = Body::default();
    let (mut at, mut seen) = (0, 0);
    loop {
        match decoder.step(&input[at..seen])? {
            Step::More { skip } => {
                at += skip;
                if seen == input.len() {
                    return Ok(body);
                }
                seen = seen.saturating_add(size()).min(input.len());
            }
            Step::Data { skip, len } => {
                body.data.extend_from_slice(&input[at + skip..at + skip + len]);
                at += skip + len;
                decoder.took(len);
            }
            Step::End { skip } => {
                body.trailers = decoder.trailers().to_vec();
                body.end = Some(at + skip);
                return Ok(body);
            }
        }
    }
}

/// The data of a whole body that is known to be well formed.
fn naive(mut input: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let line = input.windows(2).position(|pair| pair == b"\r\n").expect("a size line ends with CRLF");
        let digits = input[..line].split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = size.unwrap_or_else(|| panic!("a chunk starts with {}", input[..line].escape_ascii()));
        input = &input[line + 2..];
        if size == 0 {
            return data;
        }
        data.extend_from_slice(&input[..size]);
        input = input[size..].strip_prefix(b"\r\n").expect("a chunk ends with CRLF");
    }
}

/// Trailers go on as lines, and none of them frames, routes or grants.
pub(super) fn check_trailers(trailers: &[u8]) {
    let Some(content) = trailers.strip_suffix(b"\r\n") else { return assert_eq!(trailers, b"") };
    let text = content.to_vec();
    let mut rest = &text[..];
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap_or(rest.len());
        let (name, value) = field(&rest[..end]);
        let clean = !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        let name = String::from_utf8_lossy(name).to_ascii_lowercase().replace('_', "-");
        let owned = ["host", "content-length", "transfer-encoding", "connection", "authorization", "cookie", "expect"];
        let ours = owned.contains(&name.as_str()) || name.starts_with("crossfade-") || name.starts_with("x-forwarded-");
        assert!(clean && !ours, "the trailer {} goes on", rest[..end].escape_ascii());
        if end == rest.len() {
            return;
        }
        rest = &rest[end + 2..];
    }
}
