//! Takes the content-encoding off a body, within limits.
//!
//! # What a bomb is
//!
//! A list of orders packs 10 to 30 times, one of equal members a hundred times, and whoever takes that for a bomb does not compare
//! what is asked for most. So nothing is asked of what is at most [`Limits::inflation_free_bytes`] unpacked: that is little, however well it was
//! packed. Beyond, [`Limits::inflation`] is asked piece by piece: zeros pack a thousand times by gzip, and a million times by
//! brotli, and are given up there.

use std::borrow::Cow;
use std::io::Read;

use brotli_decompressor::{BrotliDecoderParameter, Decompressor};
use flate2::bufread::MultiGzDecoder;

use super::{Answer, Limits, NotCompared, headers};

/// The piece in which packed bytes are handed to the decoder of brotli.
const BROTLI_PIECE_BYTES: usize = 4 << 10;

pub(super) enum Undecoded {
    /// Not in the encoding that it names.
    Damaged,
    /// Beyond [`Limits::decoded_bytes`], which need not be a bomb.
    TooLong,
    Because(NotCompared),
}

pub(super) fn encoding(answer: &Answer) -> String {
    let named = headers::joined(answer, "content-encoding").unwrap_or_default().to_ascii_lowercase();
    if named == "identity" { String::new() } else { named }
}

/// An answer's body without its content-encoding; none where it cannot be unpacked within limits.
pub(super) fn in_the_clear<'a>(answer: &Answer<'a>, limits: &Limits) -> Option<Cow<'a, [u8]>> {
    decoded(answer.body, &encoding(answer), limits).ok()
}

pub(super) fn decoded<'a>(body: &'a [u8], encoding: &str, limits: &Limits) -> Result<Cow<'a, [u8]>, Undecoded> {
    match encoding {
        "" => Ok(Cow::Borrowed(body)),
        // The answer to HEAD names the encoding of what it does not have.
        _ if body.is_empty() => Ok(Cow::Borrowed(body)),
        "gzip" | "x-gzip" => unpacked(MultiGzDecoder::new(body), body.len(), limits),
        "br" => {
            let mut decoder = Decompressor::new(body, BROTLI_PIECE_BYTES);
            // Such a stream could ask for a window of a gigabyte; HTTP knows none (RFC 7932 has 16 MiB at most).
            decoder.set_parameter(BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW, 0);
            unpacked(decoder, body.len(), limits)
        }
        _ => Err(Undecoded::Because(NotCompared::Encoding)),
    }
}

/// What a decoder makes of a body of this length, within limits.
fn unpacked<'a>(decoder: impl Read, packed: usize, limits: &Limits) -> Result<Cow<'a, [u8]>, Undecoded> {
    let most = limits.decoded_bytes;
    // Room for all of it at once, so that it does not grow to twice of what is allowed.
    let mut plain = Vec::with_capacity(packed.saturating_mul(4).min(most));
    decoder.take(most as u64 + 1).read_to_end(&mut plain).map_err(|_| Undecoded::Damaged)?;
    if plain.len() > most { Err(Undecoded::TooLong) } else { Ok(Cow::Owned(plain)) }
}
