//! The names of fields, as far as this hop cares which one it is.

/// The fields that a proxy reads, owns or must not forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Other,
    Host,
    ContentLength,
    TransferEncoding,
    Connection,
    KeepAlive,
    ProxyConnection,
    Te,
    Upgrade,
    Http2Settings,
    Expect,
    Trailer,
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    /// Any other `X-Forwarded-…`.
    XForwardedOther,
    Forwarded,
    XRequestId,
    Traceparent,
    ContentEncoding,
    /// Any `Crossfade-…`: ours alone.
    Crossfade,
}

impl Name {
    /// Classifies by the first letter, so that the usual field of an application costs one comparison or none.
    pub fn of(name: &[u8]) -> Self {
        match (name.first().map_or(0, |first| first | LOWER), name.len()) {
            (b'c', 10) if begins(name, b"connection") => Self::Connection,
            (b'c', 14) if begins(name, b"content-length") => Self::ContentLength,
            (b'c', 16) if begins(name, b"content-encoding") => Self::ContentEncoding,
            (b'c', 10..) if begins(name, b"crossfade-") => Self::Crossfade,
            (b'e', 6) if begins(name, b"expect") => Self::Expect,
            (b'f', 9) if begins(name, b"forwarded") => Self::Forwarded,
            (b'h', 4) if begins(name, b"host") => Self::Host,
            (b'h', 14) if begins(name, b"http2-settings") => Self::Http2Settings,
            (b'k', 10) if begins(name, b"keep-alive") => Self::KeepAlive,
            (b'p', 16) if begins(name, b"proxy-connection") => Self::ProxyConnection,
            (b't', 2) if begins(name, b"te") => Self::Te,
            (b't', 7) if begins(name, b"trailer") => Self::Trailer,
            (b't', 11) if begins(name, b"traceparent") => Self::Traceparent,
            (b't', 17) if begins(name, b"transfer-encoding") => Self::TransferEncoding,
            (b'u', 7) if begins(name, b"upgrade") => Self::Upgrade,
            (b'x', 12) if begins(name, b"x-request-id") => Self::XRequestId,
            (b'x', 15) if begins(name, b"x-forwarded-for") => Self::XForwardedFor,
            (b'x', 16) if begins(name, b"x-forwarded-host") => Self::XForwardedHost,
            (b'x', 17) if begins(name, b"x-forwarded-proto") => Self::XForwardedProto,
            (b'x', 12..) if begins(name, b"x-forwarded-") => Self::XForwardedOther,
            _ => Self::Other,
        }
    }

    /// Judges a name that is [`Self::Other`] by what a less exact reader might make of it.
    ///
    /// `is_spelt_oddly` says whether it holds `_` or `%`, which whoever has read the name knows.
    pub(in crate::h1) fn disguise(name: &[u8], is_spelt_oddly: bool) -> Disguise {
        if !is_spelt_oddly && !may_frame(name) {
            return Disguise::None;
        }
        if name.eq_ignore_ascii_case(b"content_length") {
            return Disguise::Dropped;
        }
        let mut room = [0; FOLDED_BYTES_MAX];
        match folded(name, &mut room) {
            Some(b"host" | b"content-length" | b"transfer-encoding") => Disguise::Refused,
            _ if is_spelt_oddly && is_underscored(name) => Disguise::Dropped,
            _ => Disguise::None,
        }
    }
}

/// What makes a letter a small one, and leaves digits and dashes as they are.
const LOWER: u8 = 0x20;

/// Whether text without control characters begins with `start`, in small letters, digits and dashes, in any case.
///
/// Bytes are not looked up but folded, all at once: no other visible character becomes one of those.
pub(super) fn begins<const N: usize>(text: &[u8], start: &[u8; N]) -> bool {
    text.first_chunk::<N>().is_some_and(|own| own.map(|byte| byte | LOWER) == *start)
}

/// What becomes of a field whose name some upstream may take for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::h1) enum Disguise {
    None,
    /// `X_Forwarded_For` and its like: upstreams that fold `_` into `-` would take it for a field of this hop.
    Dropped,
    /// `Transfer--Encoding`, `.Host`, `Content%2DLength`: nobody means well who writes that, and the body behind it would
    /// be read in two ways.
    Refused,
}

/// The longest folded name of interest, and one byte more.
const FOLDED_BYTES_MAX: usize = 18;

/// Whether a name begins and ends as one that frames or routes, or with a delimiter; rules out nearly every real name.
fn may_frame(name: &[u8]) -> bool {
    let is_edge = |byte: u8, letters: [u8; 3]| !byte.is_ascii_alphanumeric() || letters.contains(&(byte | 0x20));
    matches!(name, [first, .., last] if is_edge(*first, [b'c', b't', b'h']) && is_edge(*last, [b'h', b'g', b't']))
}

/// The words of a name in lower case with one dash between them, whatever stood there; escapes are resolved.
fn folded<'a>(name: &[u8], room: &'a mut [u8; FOLDED_BYTES_MAX]) -> Option<&'a [u8]> {
    let (mut at, mut len, mut is_word) = (0, 0, true);
    while let Some(&byte) = name.get(at) {
        let hex = name.get(at + 1..at + 3).filter(|_| byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        let escaped = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        at += if escaped.is_some() { 3 } else { 1 };
        let byte = escaped.unwrap_or(byte);
        if !byte.is_ascii_alphanumeric() {
            is_word = false;
            continue;
        }
        if !is_word && len > 0 {
            *room.get_mut(len)? = b'-';
            len += 1;
        }
        is_word = true;
        *room.get_mut(len)? = byte.to_ascii_lowercase();
        len += 1;
    }
    room.get(..len)
}

/// Only whole families of names are longer than what is looked at, and they show in how a name begins.
fn is_underscored(name: &[u8]) -> bool {
    let mut dashed = [0; 64];
    let len = name.len().min(dashed.len());
    let dashed = &mut dashed[..len];
    dashed.copy_from_slice(&name[..len]);
    dashed.iter_mut().filter(|byte| **byte == b'_').for_each(|byte| *byte = b'-');
    Name::of(dashed) != Name::Other
}
