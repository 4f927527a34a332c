//! What is known of a body that is too long to be kept: its length, a hash of it, and of a document what it has at each place,
//! unpacked, made while it streams by.
//!
//! # What it can tell
//!
//! Equal hashes are equal bodies. Unequal ones are unequal bytes, which for bytes without another meaning is a difference; for
//! JSON it is none, because keys change places and times are made anew. So of JSON a [`Census`] is made as well, by which two
//! documents are compared place by place. A long text that is not the same to the byte is *not compared*, and never counts as equal.
//!
//! # Bounded
//!
//! A hash, a census, and the window of the decoder, which for brotli is [`BROTLI_WINDOW_BITS_MAX`] at most: what asks for a larger
//! one has no digest. What unpacks beyond [`Limits::inflation`], or to more than 64 MiB, has none either; packed bytes are looked at in
//! pieces of [`PACKED_PIECE_BYTES`], so that a bomb is given up once it is known to be one.
//!
//! Deliberately not supported: texts line by line.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;

use brotli_decompressor::{BrotliDecoderParameter, DecompressorWriter};
use flate2::write::MultiGzDecoder;
use sha2::Sha256;

use super::census::{CENSUS_BYTES_MAX, Census};
use super::json::Unread;
use super::stream::Stream;
use super::unpack::Undecoded;
use super::{Limits, NotCompared};

/// As it was received; what is longer is not worth the time.
pub const DIGESTED_BYTES_MAX: u64 = 16 << 20;

/// A body that is longer unpacked has none.
pub(super) const PLAIN_BYTES_MAX: u64 = 64 << 20;

/// The largest window of brotli: 4 MiB, which encoders use unless told otherwise.
const BROTLI_WINDOW_BITS_MAX: u8 = 22;

/// What is unpacked of brotli before it is hashed.
const BROTLI_PIECE_BYTES: usize = 16 << 10;

/// Of packed bytes, between which it is asked how many they have become.
const PACKED_PIECE_BYTES: usize = 4 << 10;

/// What a [`Digester`] may need beside itself, of anything but brotli.
const DIGESTER_BYTES_MAX: usize = CENSUS_BYTES_MAX + (64 << 10);

/// What the decoder of brotli may need beside its window: tables of its codes.
const BROTLI_BYTES_MAX: usize = 1 << 20;

/// Of one whole body, after its content-encoding was taken off.
#[derive(Clone, Debug)]
pub struct Digest {
    pub length: u64,
    /// The first half of SHA-256.
    pub hash: [u8; 16],
    inside: Result<Arc<Census>, Unread>,
    /// Whether it is a text at all.
    pub(super) is_utf8: bool,
    /// Whether a byte order mark came first.
    is_marked: bool,
}

/// What is inside follows of the bytes.
impl PartialEq for Digest {
    fn eq(&self, other: &Self) -> bool {
        (self.length, self.hash) == (other.length, other.hash)
    }
}

impl Eq for Digest {}

/// The first digits of the hash, as they are shown of bodies that were kept, too.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.hash.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Digest {
    /// Of a body that was kept; none where it cannot be unpacked.
    pub fn of(body: &[u8], encoding: &str, limits: &Limits) -> Option<Self> {
        Self::made_of(body, encoding, limits).ok()
    }

    /// The same; the error is why there is none.
    pub(super) fn made_of(body: &[u8], encoding: &str, limits: &Limits) -> Result<Self, Undecoded> {
        let unknown = Undecoded::Because(NotCompared::Encoding);
        let mut digester = Digester::new(encoding, limits).ok_or(unknown)?;
        digester.update(body);
        let is_beyond = matches!(digester.decoder, Decoder::Failed(Failure::TooMuch));
        digester.finish().ok_or(if is_beyond { Undecoded::TooLong } else { Undecoded::Damaged })
    }

    /// What it has at each place, if it is a document.
    pub(super) fn inside(&self) -> Result<&Census, Unread> {
        self.inside.as_deref().map_err(|why| *why)
    }

    /// The same where it is held against another one: a byte order mark is no JSON, but one that both have is no difference.
    pub(super) fn inside_beside(&self, other: &Self) -> Result<&Census, Unread> {
        if self.is_marked && !other.is_marked {
            return Err(Unread::NotJson("no value begins like this"));
        }
        self.inside()
    }
}

/// Makes a [`Digest`] of pieces.
#[derive(Debug)]
pub struct Digester {
    decoder: Decoder,
    taken: u64,
    inflation: u64,
    inflation_free: u64,
}

enum Decoder {
    Plain(Sink),
    Gzip(Box<MultiGzDecoder<Sink>>),
    Brotli(Box<DecompressorWriter<Sink>>),
    Failed(Failure),
}

/// Why nothing comes of a body.
#[derive(Clone, Copy, Debug)]
enum Failure {
    /// It is not in its encoding.
    Damaged,
    /// It is a bomb, too long, or asks for too much memory.
    TooMuch,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::FileTooLarge { Self::TooMuch } else { Self::Damaged }
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Gzip(_) => "Gzip",
            Self::Brotli(_) => "Brotli",
            Self::Failed(_) => "Failed",
        })
    }
}

/// Whether bytes that come in pieces are UTF-8.
#[derive(Debug, Default)]
struct Utf8 {
    /// The beginning of a character that a piece has ended in.
    begun: [u8; 4],
    count: usize,
    has_failed: bool,
}

impl Utf8 {
    /// Whether it still is, with these.
    fn read(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while self.count > 0
            && !self.has_failed
            && let Some((byte, after)) = rest.split_first()
        {
            rest = after;
            let mut begun = self.begun;
            begun.iter_mut().skip(self.count).take(1).for_each(|own| *own = *byte);
            self.begin(&begun[..(self.count + 1).min(begun.len())]);
        }
        if self.count == 0 && !self.has_failed {
            self.begin(rest);
        }
        !self.has_failed
    }

    /// Nothing has begun before these.
    fn begin(&mut self, bytes: &[u8]) {
        self.count = 0;
        let Err(error) = std::str::from_utf8(bytes) else { return };
        let begun = bytes.get(error.valid_up_to()..).unwrap_or_default();
        if error.error_len().is_some() || begun.len() >= self.begun.len() {
            self.has_failed = true;
            return;
        }
        self.begun.iter_mut().zip(begun).for_each(|(own, byte)| *own = *byte);
        self.count = begun.len();
    }

    const fn is_whole(&self) -> bool {
        self.count == 0 && !self.has_failed
    }
}

/// Hashes what is written, up to a length, and reads it while it is a document.
struct Sink {
    hash: Sha256,
    length: u64,
    most: u64,
    document: Result<Box<Stream<Census>>, Unread>,
    text: Utf8,
    /// How much of a byte order mark came until now, and whether anything else did.
    mark: usize,
    has_begun: bool,
}

const NOT_UTF8: Unread = Unread::NotJson("it is not UTF-8");

const MARK: &[u8] = b"\xef\xbb\xbf";

impl Sink {
    fn new(limits: &Limits) -> Self {
        let document = Ok(Box::new(Stream::new(Census::new(), limits.depth)));
        let (hash, text) = (Sha256::default(), Utf8::default());
        Self { hash, length: 0, most: PLAIN_BYTES_MAX, document, text, mark: 0, has_begun: false }
    }

    fn finish(self) -> Digest {
        let whole: [u8; 32] = sha2::Digest::finalize(self.hash).into();
        let mut hash = [0; 16];
        hash.iter_mut().zip(whole).for_each(|(own, byte)| *own = byte);
        let (is_utf8, document) = (self.text.is_whole(), self.document.and_then(|document| document.finish()));
        let inside = if is_utf8 { document.map(Arc::new) } else { Err(NOT_UTF8) };
        Digest { length: self.length, hash, inside, is_utf8, is_marked: self.mark == MARK.len() }
    }

    /// Reads on behind a byte order mark, in whatever pieces that comes.
    fn read(&mut self, mut bytes: &[u8]) -> Result<(), Unread> {
        while !self.has_begun
            && let Some((byte, after)) = bytes.split_first()
        {
            if MARK.get(self.mark) == Some(byte) {
                (self.mark, bytes) = (self.mark + 1, after);
            } else if self.mark == 0 || self.mark == MARK.len() {
                self.has_begun = true;
            } else {
                return Err(Unread::NotJson("no value begins like this"));
            }
        }
        match &mut self.document {
            Ok(document) => document.write(bytes),
            Err(why) => Err(*why),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length + bytes.len() as u64 > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        sha2::Digest::update(&mut self.hash, bytes);
        if !self.text.read(bytes) {
            self.document = Err(NOT_UTF8);
        } else if self.document.is_ok()
            && let Err(why) = self.read(bytes)
        {
            self.document = Err(why);
        }
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a stream of brotli says of its window in its first byte, in bits (RFC 7932, 9.1); none where it is one of a size that HTTP does not know.
fn window_bits(first: u8) -> Option<u8> {
    match (first & 1, (first >> 1) & 7, (first >> 4) & 7) {
        (0, ..) => Some(16),
        (_, 0, 0) => Some(17),
        (_, 0, 1) => None,
        (_, 0, more) => Some(8 + more),
        (_, more, _) => Some(17 + more),
    }
}

impl Digester {
    /// `None` for encodings that cannot be unpacked.
    pub fn new(encoding: &str, limits: &Limits) -> Option<Self> {
        let sink = Sink::new(limits);
        let decoder = match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Decoder::Plain(sink),
            "gzip" | "x-gzip" => Decoder::Gzip(Box::new(MultiGzDecoder::new(sink))),
            "br" => {
                let mut decoder = DecompressorWriter::new(sink, BROTLI_PIECE_BYTES);
                decoder.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
                Decoder::Brotli(Box::new(decoder))
            }
            _ => return None,
        };
        let (inflation, inflation_free) = (limits.inflation as u64, limits.inflation_free_bytes as u64);
        Some(Self { decoder, taken: 0, inflation, inflation_free })
    }

    /// What one of this encoding may need beside itself.
    pub fn bytes_max(encoding: &str) -> usize {
        let window = if encoding.trim().eq_ignore_ascii_case("br") { 1 << BROTLI_WINDOW_BITS_MAX } else { 0 };
        if window > 0 { DIGESTER_BYTES_MAX + BROTLI_BYTES_MAX + window } else { DIGESTER_BYTES_MAX }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        if let Decoder::Plain(sink) = &mut self.decoder {
            if let Err(error) = sink.write_all(bytes) {
                self.decoder = Decoder::Failed(error.into());
            }
            return;
        }
        for piece in bytes.chunks(PACKED_PIECE_BYTES) {
            if let Err(why) = self.unpack(piece) {
                self.decoder = Decoder::Failed(why);
                return;
            }
        }
    }

    fn unpack(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let is_first = self.taken == 0;
        self.taken += piece.len() as u64;
        let most = (self.taken * self.inflation).max(self.inflation_free).min(PLAIN_BYTES_MAX);
        match &mut self.decoder {
            Decoder::Gzip(decoder) => {
                decoder.get_mut().most = most;
                Ok(decoder.write_all(piece)?)
            }
            Decoder::Brotli(decoder) => {
                let window = piece.first().filter(|_| is_first).map(|first| window_bits(*first));
                if window.is_some_and(|bits| bits.is_none_or(|bits| bits > BROTLI_WINDOW_BITS_MAX)) {
                    return Err(Failure::TooMuch);
                }
                decoder.get_mut().most = most;
                Ok(decoder.write_all(piece)?)
            }
            Decoder::Plain(_) => Ok(()),
            Decoder::Failed(why) => Err(*why),
        }
    }

    /// Whether a digest can still come of it.
    pub const fn is_sound(&self) -> bool {
        !matches!(self.decoder, Decoder::Failed(_))
    }

    /// None where the body was not in its encoding, or too long unpacked.
    pub fn finish(self) -> Option<Digest> {
        let sink = match self.decoder {
            Decoder::Plain(sink) => sink,
            Decoder::Gzip(decoder) => decoder.finish().ok()?,
            Decoder::Brotli(mut decoder) => {
                decoder.close().ok()?;
                decoder.into_inner().ok()?
            }
            Decoder::Failed(_) => return None,
        };
        Some(sink.finish())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzipped(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[track_caller]
    fn check(body: &[u8], encoding: &str, expected: Option<u64>) {
        let whole = Digest::of(body, encoding, &Limits::default());
        assert_eq!(whole.as_ref().map(|digest| digest.length), expected, "{encoding:?}");
        // In whatever pieces it comes.
        let mut digester = Digester::new(encoding, &Limits::default());
        for piece in body.chunks(1_000) {
            digester.iter_mut().for_each(|own| own.update(piece));
        }
        assert_eq!(digester.and_then(Digester::finish), whole, "{encoding:?}");
    }

    #[test]
    fn a_digest_is_of_the_unpacked_body() {
        let plain: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        check(&plain, "", Some(800_000));
        check(&plain, "identity", Some(800_000));
        check(&gzipped(&plain), "GZIP", Some(800_000));
        let of = |body: &[u8], encoding: &str| Digest::of(body, encoding, &Limits::default());
        assert_eq!(of(&plain, ""), of(&gzipped(&plain), "gzip"));
        assert_ne!(of(&plain, ""), of(&plain[1..], ""));
    }

    #[test]
    fn what_cannot_be_unpacked_has_none() {
        check(b"not gzip at all", "gzip", None);
        let packed = gzipped(b"some text that is cut");
        check(&packed[..packed.len() - 9], "gzip", None);
        check(&gzipped(&vec![b' '; 8 << 20]), "gzip", None);
        check(b"x", "br", None);
        check(b"x", "zstd", None);
        check(&vec![0; usize::try_from(PLAIN_BYTES_MAX).unwrap() + 1], "", None);
    }
}
