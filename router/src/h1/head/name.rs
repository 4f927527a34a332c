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
    /// Classifies by length first, so that the usual field costs one comparison or none.
    pub fn of(name: &[u8]) -> Self {
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        match name.len() {
            2 if is("te") => Self::Te,
            4 if is("host") => Self::Host,
            6 if is("expect") => Self::Expect,
            7 if is("upgrade") => Self::Upgrade,
            7 if is("trailer") => Self::Trailer,
            9 if is("forwarded") => Self::Forwarded,
            10 if is("connection") => Self::Connection,
            10 if is("keep-alive") => Self::KeepAlive,
            11 if is("traceparent") => Self::Traceparent,
            12 if is("x-request-id") => Self::XRequestId,
            14 if is("content-length") => Self::ContentLength,
            14 if is("http2-settings") => Self::Http2Settings,
            15 if is("x-forwarded-for") => Self::XForwardedFor,
            16 if is("proxy-connection") => Self::ProxyConnection,
            16 if is("x-forwarded-host") => Self::XForwardedHost,
            16 if is("content-encoding") => Self::ContentEncoding,
            17 if is("transfer-encoding") => Self::TransferEncoding,
            17 if is("x-forwarded-proto") => Self::XForwardedProto,
            10.. if name[..10].eq_ignore_ascii_case(b"crossfade-") => Self::Crossfade,
            12.. if name[..12].eq_ignore_ascii_case(b"x-forwarded-") => Self::XForwardedOther,
            _ => Self::Other,
        }
    }

    /// Judges a name that is [`Self::Other`] by what a less exact reader might make of it.
    pub(in crate::h1) fn disguise(name: &[u8]) -> Disguise {
        let is_spelt_oddly = memchr::memchr2(b'_', b'%', name).is_some();
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
