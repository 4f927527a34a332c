//! Which framing a message has, and where the pieces of a chunked body lie.
//!
//! # Why one place
//!
//! Request smuggling is two parties disagreeing on where a body ends. So one function answers it for requests and one for
//! responses, nothing of the received framing is ever copied, and what leaves is framed again from the answer
//! (RFC 9112 section 6.3).
//!
//! Sans-io: the decoder is given bytes and answers how many of them are framing and how many are body.
//!
//! Not here: transfer codings other than chunked; chunk extensions are checked and dropped.

use super::head::{Disguise, Feeds, Fields, Name, Version, is_token_byte};
use super::refusal::{BadAnswer, Refusal};

/// Where a body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    #[default]
    None,
    Length(u64),
    Chunked,
    /// Only for answers: the body ends where the connection does.
    UntilClose,
}

/// The framing of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed {
    pub framing: Framing,
    /// Whether every reader would agree on it.
    pub unambiguous: bool,
}

/// The largest length that no signed 64-bit reader takes for a negative number.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// Chunk extensions and leading zeros of one body beyond this are an attack, not a protocol (Go CVE-2023-39326), unless they
/// are in proportion to its data.
const UNNEEDED_BYTES_MAX: usize = 16 * 1024;

/// What each chunk may say besides its size at no account, and for each byte of its data: as much as Go allows. Sizes of a fixed
/// width and signatures of chunks would otherwise end every body that is long enough.
const FORGIVEN_BYTES: usize = 16;
const FORGIVEN_PER_BYTE: usize = 2;

/// All trailer fields of one body.
const TRAILER_BYTES_MAX: usize = 16 * 1024;

/// Trailer fields of one body.
const TRAILERS_MAX: usize = 64;

/// `1*DIGIT` and nothing else: no sign, no space, no list.
fn length(text: &[u8]) -> Option<u64> {
    let digit = |byte: &u8| byte.is_ascii_digit().then(|| u64::from(byte - b'0'));
    let append = |value: u64, byte: &u8| value.checked_mul(10)?.checked_add(digit(byte)?);
    let value = text.iter().try_fold(0, append)?;
    (!text.is_empty() && value <= LENGTH_MAX).then_some(value)
}

/// The framing of a request (rows 10 to 14 of the conformance table).
pub fn of_request<'a, L, E>(version: Version, mut lengths: L, encodings: impl FnOnce() -> E) -> Result<Framing, Refusal>
where
    L: Iterator<Item = &'a [u8]>,
    E: Iterator<Item = &'a [u8]>,
{
    let first = lengths.next();
    let mut encodings = encodings();
    if let Some(encoding) = encodings.next() {
        return match (version, first) {
            (Version::Http10, _) => Err(Refusal::EncodingInHttp10),
            (Version::Http11, Some(_)) => Err(Refusal::LengthAndEncoding),
            (Version::Http11, None) => request_encoding(encoding, encodings),
        };
    }
    let Some(first) = first else { return Ok(Framing::None) };
    let value = length(first).ok_or(Refusal::LengthInvalid)?;
    for other in lengths {
        if length(other).is_none() {
            return Err(Refusal::LengthInvalid);
        }
        if other != first {
            return Err(Refusal::LengthDiffers);
        }
    }
    // A length of 0 stays a length, because an origin may tell `Content-Length: 0` from none.
    Ok(Framing::Length(value))
}

fn request_encoding<'a>(first: &'a [u8], mut rest: impl Iterator<Item = &'a [u8]>) -> Result<Framing, Refusal> {
    let second = rest.next();
    if first.eq_ignore_ascii_case(b"chunked") && second.is_none() {
        return Ok(Framing::Chunked);
    }
    let is_unknown = |line: &[u8]| {
        line.split(|byte| *byte == b',').any(|coding| {
            let token = coding.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
            let is_token = !token.is_empty() && token.iter().all(|byte| byte.is_ascii_graphic());
            is_token && !token.eq_ignore_ascii_case(b"chunked")
        })
    };
    let unknown = [Some(first), second].into_iter().flatten().chain(rest).any(is_unknown);
    Err(if unknown { Refusal::EncodingUnknown } else { Refusal::EncodingInvalid })
}

/// Whether `chunked` is in this list of codings.
pub(super) fn names_chunked(codings: &[u8]) -> bool {
    codings.split(|byte| *byte == b',').any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// The framing of an answer (rows 29 to 32 of the conformance table).
pub fn of_response<'a, L, E>(
    version: Version,
    status: u16,
    to_head: bool,
    lengths: impl FnOnce() -> L,
    encodings: impl FnOnce() -> E,
) -> Result<Framed, BadAnswer>
where
    L: Iterator<Item = &'a [u8]>,
    E: Iterator<Item = &'a [u8]>,
{
    let length = response_length(lengths())?;
    let mut encodings = encodings();
    let encoding = encodings.next();
    if let Some(encoding) = encoding
        && (version == Version::Http10 || !encoding.eq_ignore_ascii_case(b"chunked") || encodings.next().is_some())
    {
        return Err(BadAnswer::Encoding);
    }
    let bodiless = to_head || status < 200 || status == 204 || status == 304;
    let unambiguous = encoding.is_none() || length.is_none();
    let framing = match (bodiless, encoding, length) {
        (true, _, _) => Framing::None,
        (false, Some(_), _) => Framing::Chunked,
        (false, None, Some(length)) => Framing::Length(length),
        (false, None, None) => Framing::UntilClose,
    };
    Ok(Framed { framing, unambiguous })
}

/// Equal lengths, over lines or in a list, count once: old servers send them, and they cannot mislead.
pub fn response_length<'a>(lengths: impl Iterator<Item = &'a [u8]>) -> Result<Option<u64>, BadAnswer> {
    let mut known = None;
    let mut note = |value: Option<u64>| match (value, known) {
        (None, _) => Err(BadAnswer::Length),
        (Some(value), Some(known)) if value != known => Err(BadAnswer::Length),
        (Some(_), _) => {
            known = value;
            Ok(())
        }
    };
    for line in lengths {
        // Nearly always it is one number.
        match length(line) {
            Some(value) => note(Some(value))?,
            None => line.split(|byte| *byte == b',').try_for_each(|text| note(length(text.trim_ascii())))?,
        }
    }
    Ok(known)
}

/// What lies at the start of the bytes that a [`ChunkDecoder`] was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All `skip` bytes were framing; more are needed.
    More { skip: usize },
    /// Behind `skip` bytes of framing lie `len` bytes of body.
    Data { skip: usize, len: usize },
    /// Behind `skip` bytes the message ends.
    End { skip: usize },
}

/// What is wrong with a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkError {
    Chunk,
    Trailer,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// At the first digit of a size.
    #[default]
    SizeStart,
    Size,
    /// Behind a size and white space.
    Padded,
    Extension(ExtensionAt),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// Within the lines behind the last chunk.
    Trailers,
    Done,
}

/// Where in `;name=value` or `;name="quoted"` the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExtensionAt {
    /// Behind `;` and white space: a name must follow.
    Start,
    Name,
    /// Behind a name and white space.
    NameEnd,
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    /// Behind a closing quote or white space: only `;`, `=`-less, or the end of the line.
    End,
}

/// Finds the pieces of a chunked body, strictly: a byte that is not where RFC 9112 section 7.1 has it is an error.
///
/// In answers the white space that it calls bad is read over, behind sizes and around `;` and `=`: old servers pad sizes with it.
/// Nothing is smuggled by it, because it goes no further and the upstream has one reader.
#[derive(Debug, Default)]
pub struct ChunkDecoder {
    state: State,
    is_answer: bool,
    /// Of the current chunk: the size while it is read, then what of it is still to come.
    remaining: u64,
    /// Those that were not forgiven.
    unneeded_bytes: usize,
    trailer: Vec<u8>,
}

impl ChunkDecoder {
    /// For the body of an answer.
    pub fn of_answer() -> Self {
        Self { is_answer: true, ..Self::default() }
    }

    /// Reads framing from the start of `input` up to the next body bytes.
    ///
    /// The caller skips what the answer says and reports body bytes that it took by [`Self::took`].
    pub fn step(&mut self, input: &[u8]) -> Result<Step, ChunkError> {
        let mut at = 0;
        loop {
            match self.state {
                State::Done => return Ok(Step::End { skip: at }),
                State::Data => {
                    let here = (input.len() - at).min(usize::try_from(self.remaining).unwrap_or(usize::MAX));
                    return Ok(if here == 0 { Step::More { skip: at } } else { Step::Data { skip: at, len: here } });
                }
                _ => {}
            }
            let Some(byte) = input.get(at) else { return Ok(Step::More { skip: at }) };
            at += 1;
            self.byte(*byte)?;
        }
    }

    /// Body bytes were taken from the piece that [`Self::step`] found.
    pub fn took(&mut self, bytes: usize) {
        self.remaining = self.remaining.saturating_sub(bytes as u64);
        self.forgive(bytes.saturating_mul(FORGIVEN_PER_BYTE));
        if self.remaining == 0 && self.state == State::Data {
            self.state = State::DataCr;
        }
    }

    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The trailer fields as lines that end with CRLF, those left out that may not stand in a trailer.
    pub fn trailers(&self) -> &[u8] {
        &self.trailer
    }

    fn byte(&mut self, byte: u8) -> Result<(), ChunkError> {
        self.state = match (self.state, byte) {
            (State::SizeStart | State::Size, digit) if digit.is_ascii_hexdigit() => self.digit(digit)?,
            (State::Size | State::Padded, b';') => State::Extension(ExtensionAt::Start),
            (State::Size | State::Padded, b'\r') => State::SizeLf,
            (State::Size | State::Padded, b' ' | b'\t') if self.is_answer => {
                self.unneeded_byte()?;
                State::Padded
            }
            (State::Extension(at), byte) => self.extension(at, byte)?,
            (State::SizeLf, b'\n') if self.remaining == 0 => State::Trailers,
            (State::SizeLf, b'\n') => {
                self.forgive(FORGIVEN_BYTES);
                State::Data
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::SizeStart,
            (State::Trailers, byte) => self.trailer_byte(byte)?,
            _ => return Err(ChunkError::Chunk),
        };
        Ok(())
    }

    fn digit(&mut self, digit: u8) -> Result<State, ChunkError> {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            _ => (digit | 0x20) - b'a' + 10,
        };
        if self.state == State::SizeStart {
            self.remaining = 0;
        } else if self.remaining == 0 {
            self.unneeded_byte()?;
        }
        let size = self.remaining.checked_mul(16).and_then(|size| size.checked_add(value.into()));
        self.remaining = size.filter(|size| *size <= LENGTH_MAX).ok_or(ChunkError::Chunk)?;
        Ok(State::Size)
    }

    /// One more byte that says nothing: of an extension, or a digit behind a leading zero.
    const fn unneeded_byte(&mut self) -> Result<(), ChunkError> {
        self.unneeded_bytes += 1;
        if self.unneeded_bytes > UNNEEDED_BYTES_MAX { Err(ChunkError::Chunk) } else { Ok(()) }
    }

    const fn forgive(&mut self, bytes: usize) {
        self.unneeded_bytes = self.unneeded_bytes.saturating_sub(bytes);
    }

    fn extension(&mut self, at: ExtensionAt, byte: u8) -> Result<State, ChunkError> {
        use ExtensionAt::{End, Name, NameEnd, Quoted, QuotedPair, Start, Value, ValueStart};
        self.unneeded_byte()?;
        let next = match (at, byte) {
            (Quoted, b'"') => End,
            (Quoted, b'\\') => QuotedPair,
            (Quoted | QuotedPair, b'\t' | b' '..=b'~' | 0x80..) => Quoted,
            (Start, b' ' | b'\t') => Start,
            (Name | NameEnd, b' ' | b'\t') if self.is_answer => NameEnd,
            (ValueStart, b' ' | b'\t') if self.is_answer => ValueStart,
            (Value | End, b' ' | b'\t') if self.is_answer => End,
            (ValueStart, b'"') => Quoted,
            (Start | Name, byte) if is_token_byte(byte) => Name,
            (ValueStart | Value, byte) if is_token_byte(byte) => Value,
            (Name | NameEnd, b'=') => ValueStart,
            (Name | NameEnd | Value | End, b';') => Start,
            (Name | NameEnd | Value | End, b'\r') => return Ok(State::SizeLf),
            _ => return Err(ChunkError::Chunk),
        };
        Ok(State::Extension(next))
    }

    fn trailer_byte(&mut self, byte: u8) -> Result<State, ChunkError> {
        self.trailer.push(byte);
        if byte != b'\n' {
            return if self.trailer.len() > TRAILER_BYTES_MAX { Err(ChunkError::Trailer) } else { Ok(State::Trailers) };
        }
        let line_ends_properly = self.trailer.ends_with(b"\r\n");
        let empty_line = self.trailer == b"\r\n" || self.trailer.ends_with(b"\r\n\r\n");
        match (line_ends_properly, empty_line) {
            (false, _) => Err(ChunkError::Trailer),
            (true, false) => Ok(State::Trailers),
            (true, true) => {
                self.trailer = forwardable_trailers(&self.trailer)?;
                Ok(State::Done)
            }
        }
    }
}

/// Drops what may not stand in a trailer: framing, routing, and fields that grant something (RFC 9110 section 6.5.1).
fn forwardable_trailers(section: &[u8]) -> Result<Vec<u8>, ChunkError> {
    if section == b"\r\n" {
        return Ok(Vec::new());
    }
    let (mut fields, mut at) = (Fields::default(), 0);
    while section[at..] != *b"\r\n" {
        match fields.read(section, at, Feeds::Strict) {
            Ok(Some(next)) if fields.len() <= TRAILERS_MAX => at = next,
            Ok(_) | Err(_) => return Err(ChunkError::Trailer),
        }
    }
    let mut forwarded = Vec::with_capacity(section.len());
    for field in fields.iter() {
        let name = field.name.of(section);
        let forbidden = [
            &b"authorization"[..],
            b"cookie",
            b"set-cookie",
            b"proxy-authorization",
            b"content-type",
            b"content-range",
        ];
        let granted = forbidden.iter().any(|own| own.eq_ignore_ascii_case(name));
        let is_disguised = || Name::disguise(name, field.is_spelt_oddly) != Disguise::None;
        if field.known == Name::Other && !granted && !is_disguised() {
            forwarded.extend_from_slice(name);
            forwarded.extend_from_slice(b": ");
            forwarded.extend_from_slice(field.value.of(section));
            forwarded.extend_from_slice(b"\r\n");
        }
    }
    Ok(forwarded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes in pieces of `size` bytes: the body, and what is left behind the end.
    fn decode(input: &[u8], size: usize) -> Result<(Vec<u8>, Vec<u8>, usize), ChunkError> {
        decode_by(ChunkDecoder::default(), input, size)
    }

    fn decode_by(
        mut decoder: ChunkDecoder,
        input: &[u8],
        size: usize,
    ) -> Result<(Vec<u8>, Vec<u8>, usize), ChunkError> {
        let (mut body, mut at) = (Vec::new(), 0);
        let mut seen = 0;
        loop {
            match decoder.step(&input[at..seen])? {
                Step::More { skip } => {
                    at += skip;
                    if seen == input.len() {
                        return Err(ChunkError::Chunk);
                    }
                    seen = (seen + size).min(input.len());
                }
                Step::Data { skip, len } => {
                    body.extend_from_slice(&input[at + skip..at + skip + len]);
                    at += skip + len;
                    decoder.took(len);
                }
                Step::End { skip } => return Ok((body, decoder.trailers().to_vec(), at + skip)),
            }
        }
    }

    #[track_caller]
    fn check(input: &str, expected: Result<(&str, &str), ChunkError>) {
        for size in 1..=input.len() {
            let decoded = decode(input.as_bytes(), size).map(|(body, trailers, end)| {
                assert_eq!(end, input.len(), "all of {input:?} is one message");
                (String::from_utf8(body).unwrap(), String::from_utf8(trailers).unwrap())
            });
            let expected = expected.map(|(body, trailers)| (body.to_string(), trailers.to_string()));
            assert_eq!(decoded, expected, "{input:?} in pieces of {size}");
        }
    }

    #[test]
    fn well_formed_bodies_are_found_at_every_split() {
        check("0\r\n\r\n", Ok(("", "")));
        check("5\r\nhello\r\n0\r\n\r\n", Ok(("hello", "")));
        check("5\r\nhello\r\n006\r\n world\r\n000\r\n\r\n", Ok(("hello world", "")));
        check("A\r\n0123456789\r\n0\r\n\r\n", Ok(("0123456789", "")));
        check("1;a\r\nx\r\n0;b=c;d=\"e;\\\" f\"\r\n\r\n", Ok(("x", "")));
        check("1; a=b\r\nx\r\n0\r\n\r\n", Ok(("x", "")));
        check("1\r\nx\r\n0\r\nX-Sum:  1 \r\nY: z\r\n\r\n", Ok(("x", "X-Sum: 1\r\nY: z\r\n")));
    }

    #[test]
    fn malformed_bodies_are_refused_at_every_split() {
        for input in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\nx\r\n",
            "0x1\r\nx\r\n",
            " 1\r\nx\r\n",
            "1 \r\nx\r\n",
            "1\nx\r\n",
            "1\rx",
            "1\r\nxy\r\n",
            "1\r\nx\n0\r\n\r\n",
            "1\r\nx0\r\n\r\n",
            "8000000000000000\r\n",
            "fffffffffffffffff\r\n",
            "1;\r\nx\r\n",
            "1;a\nx\r\n",
            "1;a\rb\r\n",
            "1;a=\r\n",
            "1;a=\"b\r\n\"\r\n",
            "1;a\0\r\n",
            "1;=b\r\n",
            "1;a b\r\n",
        ] {
            check(input, Err(ChunkError::Chunk));
        }
        for input in [
            "0\r\nX: a\n\r\n",
            "0\r\n\n",
            "0\r\nX : a\r\n\r\n",
            "0\r\n X: a\r\n\r\n",
            "0\r\nX\r\n\r\n",
            "0\r\nX: a\0\r\n\r\n",
        ] {
            check(input, Err(ChunkError::Trailer));
        }
    }

    #[test]
    fn white_space_around_sizes_is_read_over_in_answers_alone() {
        for input in [
            "2 \r\nok\r\n0\t\r\n\r\n",
            "2 ;a\r\nok\r\n0\r\n\r\n",
            "2 ; a = b ; c\t= \"d\" ;e \r\nok\r\n0 \t;f\t\r\n\r\n",
        ] {
            check(input, Err(ChunkError::Chunk));
            for size in 1..=input.len() {
                let decoded = decode_by(ChunkDecoder::of_answer(), input.as_bytes(), size);
                assert_eq!(decoded, Ok((b"ok".to_vec(), Vec::new(), input.len())), "{input:?} in pieces of {size}");
            }
        }
        for input in [
            "2 2\r\n",
            " 2\r\n",
            "2 \n",
            "2 \rx",
            "2 =a\r\n",
            "2;a b\r\n",
            "2;a=b c\r\n",
            "2;a= \r\n",
            "2; \r\n",
            "\t\r\n",
        ] {
            assert_eq!(decode_by(ChunkDecoder::of_answer(), input.as_bytes(), 1), Err(ChunkError::Chunk), "{input:?}");
        }
        let padded = format!("1{}\r\nx\r\n0\r\n\r\n", " ".repeat(UNNEEDED_BYTES_MAX + 1));
        assert_eq!(decode_by(ChunkDecoder::of_answer(), padded.as_bytes(), 4096), Err(ChunkError::Chunk));
    }

    #[test]
    fn a_trailer_cannot_frame_route_or_grant() {
        let input = "0\r\nHost: a\r\nContent-Length: 1\r\ntransfer-encoding: x\r\nAuthorization: b\r\nCookie: c\r\nConnection: d\r\nCrossfade-Side: new\r\nContent_Length: 1\r\nX-Ok: 1\r\n\r\n";
        check(input, Ok(("", "X-Ok: 1\r\n")));
    }

    #[test]
    fn extensions_leading_zeros_and_trailers_are_bounded() {
        let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(UNNEEDED_BYTES_MAX + 1));
        assert_eq!(decode(long.as_bytes(), 4096), Err(ChunkError::Chunk));
        let zeros = |count: usize| format!("{}1\r\nx\r\n0\r\n\r\n", "0".repeat(count));
        assert!(decode(zeros(UNNEEDED_BYTES_MAX).as_bytes(), 4096).is_ok());
        assert_eq!(decode(zeros(UNNEEDED_BYTES_MAX + 1).as_bytes(), 4096), Err(ChunkError::Chunk));
        let many = format!("1;{}\r\nx\r\n", "a".repeat(26)).repeat(3_000);
        assert_eq!(decode(many.as_bytes(), 4096), Err(ChunkError::Chunk));
        let long = format!("0\r\nX: {}\r\n\r\n", "a".repeat(TRAILER_BYTES_MAX));
        assert_eq!(decode(long.as_bytes(), 4096), Err(ChunkError::Trailer));
    }

    #[track_caller]
    fn check_request(version: Version, lengths: &[&str], encodings: &[&str], expected: Result<Framing, Refusal>) {
        let lengths = lengths.iter().map(|text| text.as_bytes());
        let framing = of_request(version, lengths, || encodings.iter().map(|text| text.as_bytes()));
        assert_eq!(framing, expected);
    }

    #[test]
    fn a_request_has_one_framing_or_is_refused() {
        use Version::{Http10, Http11};
        check_request(Http11, &[], &[], Ok(Framing::None));
        check_request(Http11, &["5"], &[], Ok(Framing::Length(5)));
        check_request(Http11, &["005"], &[], Ok(Framing::Length(5)));
        check_request(Http11, &["5", "5"], &[], Ok(Framing::Length(5)));
        check_request(Http11, &["5", "6"], &[], Err(Refusal::LengthDiffers));
        check_request(Http11, &["5", "x"], &[], Err(Refusal::LengthInvalid));
        for text in
            ["", "+5", "-5", "0x5", "5_0", "1e1", "5, 5", "5,5", " 5", "9223372036854775808", "99999999999999999999"]
        {
            check_request(Http11, &[text], &[], Err(Refusal::LengthInvalid));
        }
        check_request(Http11, &[], &["chunked"], Ok(Framing::Chunked));
        check_request(Http11, &[], &["Chunked"], Ok(Framing::Chunked));
        check_request(Http11, &["5"], &["chunked"], Err(Refusal::LengthAndEncoding));
        check_request(Http10, &[], &["chunked"], Err(Refusal::EncodingInHttp10));
        for text in ["gzip, chunked", "identity", "xchunked", "chunked, gzip"] {
            check_request(Http11, &[], &[text], Err(Refusal::EncodingUnknown));
        }
        for text in ["chunked, chunked", "chunked;a=1", "", "chunked,", ", chunked"] {
            check_request(Http11, &[], &[text], Err(Refusal::EncodingInvalid));
        }
        check_request(Http11, &[], &["chunked", "chunked"], Err(Refusal::EncodingInvalid));
        check_request(Http11, &[], &["chunked", "gzip"], Err(Refusal::EncodingUnknown));
    }

    #[track_caller]
    fn check_response(
        status: u16,
        to_head: bool,
        lengths: &[&str],
        encodings: &[&str],
        expected: Result<(Framing, bool), BadAnswer>,
    ) {
        let framed = of_response(
            Version::Http11,
            status,
            to_head,
            || lengths.iter().map(|text| text.as_bytes()),
            || encodings.iter().map(|text| text.as_bytes()),
        );
        assert_eq!(framed.map(|framed| (framed.framing, framed.unambiguous)), expected);
    }

    #[test]
    fn an_answer_has_one_framing_or_is_bad() {
        check_response(200, false, &[], &[], Ok((Framing::UntilClose, true)));
        check_response(200, false, &["5"], &[], Ok((Framing::Length(5), true)));
        check_response(200, false, &["5, 5"], &[], Ok((Framing::Length(5), true)));
        check_response(200, false, &["5", "6"], &[], Err(BadAnswer::Length));
        check_response(200, false, &["+5"], &[], Err(BadAnswer::Length));
        check_response(200, false, &["5"], &["chunked"], Ok((Framing::Chunked, false)));
        check_response(200, false, &[], &["chunked, chunked"], Err(BadAnswer::Encoding));
        check_response(200, false, &[], &["gzip"], Err(BadAnswer::Encoding));
        check_response(200, true, &["5"], &[], Ok((Framing::None, true)));
        check_response(204, false, &["5"], &[], Ok((Framing::None, true)));
        check_response(304, false, &["5"], &[], Ok((Framing::None, true)));
    }

    proptest! {
        /// What a strict encoder writes is decoded to the same bytes, whatever the pieces.
        #[test]
        fn encoding_and_decoding_agree(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..64), 0..8), size in 1..64usize) {
            let mut encoded = Vec::new();
            for chunk in &chunks {
                encoded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                encoded.extend_from_slice(chunk);
                encoded.extend_from_slice(b"\r\n");
            }
            encoded.extend_from_slice(b"0\r\n\r\n");
            let (body, _, end) = decode(&encoded, size).unwrap();
            prop_assert_eq!(body, chunks.concat());
            prop_assert_eq!(end, encoded.len());
        }

        /// What a chunk says besides its size is no attack while it is in proportion to the chunk, however long the body.
        #[test]
        fn a_body_is_as_long_as_it_likes(lengths in prop::collection::vec((1..64usize, any::<prop::sample::Index>(), any::<bool>()), 1..8)) {
            let mut encoded = Vec::new();
            for (length, extra, is_zeros) in &lengths {
                let extra = extra.index(16 + 2 * length + 1);
                let (zeros, extension) = if *is_zeros { (extra, 0) } else { (0, extra) };
                let extension = if extension < 2 { String::new() } else { format!(";{}", "a".repeat(extension - 1)) };
                encoded.extend_from_slice(format!("{}{length:x}{extension}\r\n", "0".repeat(zeros)).as_bytes());
                encoded.extend_from_slice(&b"x".repeat(*length));
                encoded.extend_from_slice(b"\r\n");
            }
            let encoded = encoded.repeat(1 + 8 * UNNEEDED_BYTES_MAX / encoded.len());
            let decoded = decode(&[&encoded[..], b"0\r\n\r\n"].concat(), 4096);
            prop_assert!(decoded.is_ok(), "{:?}", lengths);
        }

        /// An answer is read as a request would be, where that is not refused.
        #[test]
        fn what_is_forgiven_changes_nothing_else(input in "[0-2][ ;]{0,2}[ab=\" ]{0,4}(\r\n)?[ab]{0,2}\r\n(0\r\n)?(\r\n)?") {
            let (strict, forgiving) = (decode(input.as_bytes(), 3), decode_by(ChunkDecoder::of_answer(), input.as_bytes(), 3));
            prop_assert!(strict.is_err() || strict == forgiving, "{:?}: {:?}, {:?}", input, strict, forgiving);
        }

        #[test]
        fn no_input_panics(input: Vec<u8>, size in 1..16usize) {
            let _ = decode(&input, size);
        }
    }
}
