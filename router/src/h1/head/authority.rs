//! Hosts with an optional port, as `Host` and the targets of requests name them (RFC 3986 section 3.2).

/// A registered name, an IPv4 address or an IPv6 address in brackets, with an optional port (RFC 3986 section 3.2).
pub(super) fn is_host(text: &[u8]) -> bool {
    let (name, port) = match text {
        [b'[', ..] => match memchr::memchr(b']', text) {
            Some(end) => text.split_at(end + 1),
            None => return false,
        },
        _ => text.split_at(memchr::memchr(b':', text).unwrap_or(text.len())),
    };
    let name_is_valid = match name {
        [] => false,
        [b'[', inner @ .., b']'] => std::str::from_utf8(inner).is_ok_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
        _ => name.len() <= 255 && name.iter().all(|byte| is_name_byte(*byte)),
    };
    let port_is_valid = match port {
        [] => true,
        [b':', digits @ ..] => {
            !digits.is_empty()
                && digits.iter().all(u8::is_ascii_digit)
                && std::str::from_utf8(digits).is_ok_and(|port| port.parse::<u16>().is_ok())
        }
        _ => false,
    };
    name_is_valid && port_is_valid
}

/// The unreserved characters and those sub-delimiters that no host parser takes for something else.
const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether two authorities are one: letter case does not matter, nor does the port that HTTP implies.
pub(super) fn same_authority(a: &[u8], b: &[u8]) -> bool {
    let bare = |text: &[u8]| text.strip_suffix(b":80").map_or(text.len(), <[u8]>::len);
    a[..bare(a)].eq_ignore_ascii_case(&b[..bare(b)])
}
