//! What is known of a body that is too long to be kept: its length and a hash of it, unpacked, made while it streams by.
//!
//! # What it can tell
//!
//! Equal digests are equal bodies. Unequal ones are unequal bytes, which for bytes without another meaning is a difference;
//! for JSON it is none, because keys change places and times are made anew. So a large document that is not the same to
//! the byte is *not compared*, and never counts as equal.
//!
//! # Bounded
//!
//! A hash and, for gzip, the window of its decoder. What unpacks beyond [`Limits::inflation`], or to more than 64 MiB, has no
//! digest.
//!
//! Deliberately not supported: a digest per path of a document, and brotli, whose decoder may need a window of 16 MiB.

use std::fmt;
use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use sha2::Sha256;

use super::Limits;

/// A body that is longer unpacked has none.
pub(super) const PLAIN_BYTES_MAX: u64 = 64 << 20;

/// What a [`Digester`] may need beside itself.
pub const DIGESTER_BYTES_MAX: usize = 64 << 10;

/// Of one whole body, after its content-encoding was taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest {
    pub length: u64,
    /// The first half of SHA-256.
    pub hash: [u8; 16],
}

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
        let mut digester = Digester::new(encoding, limits)?;
        digester.update(body);
        digester.finish()
    }
}

/// Makes a [`Digest`] of pieces.
#[derive(Debug)]
pub struct Digester {
    decoder: Decoder,
    taken: u64,
    inflation: u64,
}

#[derive(Debug)]
enum Decoder {
    Plain(Sink),
    Gzip(Box<MultiGzDecoder<Sink>>),
    /// What came was not in its encoding, or too much.
    Failed,
}

/// Hashes what is written, up to a length.
#[derive(Clone, Debug, Default)]
struct Sink {
    hash: Sha256,
    length: u64,
    most: u64,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length + bytes.len() as u64 > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        sha2::Digest::update(&mut self.hash, bytes);
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Digester {
    /// `None` for encodings that cannot be unpacked piece by piece in little memory.
    pub fn new(encoding: &str, limits: &Limits) -> Option<Self> {
        let sink = Sink { most: PLAIN_BYTES_MAX, ..Sink::default() };
        let decoder = match encoding.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Decoder::Plain(sink),
            "gzip" | "x-gzip" => Decoder::Gzip(Box::new(MultiGzDecoder::new(sink))),
            _ => return None,
        };
        Some(Self { decoder, taken: 0, inflation: limits.inflation as u64 })
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.taken += bytes.len() as u64;
        let written = match &mut self.decoder {
            Decoder::Plain(sink) => sink.write_all(bytes),
            Decoder::Gzip(decoder) => {
                let floor = super::body::INFLATION_FREE_BYTES as u64;
                decoder.get_mut().most = (self.taken * self.inflation).max(floor).min(PLAIN_BYTES_MAX);
                decoder.write_all(bytes)
            }
            Decoder::Failed => return,
        };
        if written.is_err() {
            self.decoder = Decoder::Failed;
        }
    }

    /// Whether a digest can still come of it.
    pub const fn is_sound(&self) -> bool {
        !matches!(self.decoder, Decoder::Failed)
    }

    /// None where the body was not in its encoding, or too long unpacked.
    pub fn finish(self) -> Option<Digest> {
        let sink = match self.decoder {
            Decoder::Plain(sink) => sink,
            Decoder::Gzip(decoder) => decoder.finish().ok()?,
            Decoder::Failed => return None,
        };
        let whole: [u8; 32] = sha2::Digest::finalize(sink.hash).into();
        let mut hash = [0; 16];
        hash.iter_mut().zip(whole).for_each(|(own, byte)| *own = byte);
        Some(Digest { length: sink.length, hash })
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
        assert_eq!(whole.map(|digest| digest.length), expected, "{encoding:?}");
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
