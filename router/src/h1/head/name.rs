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
            17 if is("transfer-encoding") => Self::TransferEncoding,
            17 if is("x-forwarded-proto") => Self::XForwardedProto,
            11.. if name[..10].eq_ignore_ascii_case(b"crossfade-") => Self::Crossfade,
            13.. if name[..12].eq_ignore_ascii_case(b"x-forwarded-") => Self::XForwardedOther,
            _ => Self::Other,
        }
    }

    /// `Content_Length` and its like: upstreams that fold `_` into `-` would take it for the real field.
    pub(in crate::h1) fn is_disguised(name: &[u8]) -> bool {
        if memchr::memchr(b'_', name).is_none() || name.len() > 64 {
            return false;
        }
        let mut dashed = [0; 64];
        let dashed = &mut dashed[..name.len()];
        dashed.copy_from_slice(name);
        dashed.iter_mut().filter(|byte| **byte == b'_').for_each(|byte| *byte = b'-');
        Self::of(dashed) != Self::Other
    }
}
