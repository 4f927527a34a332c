//! Hosts with an optional port, as `Host` and the targets of requests name them (RFC 3986 section 3.2).

/// A registered name, an IPv4 address or an IPv6 address in brackets, with an optional port (RFC 3986 section 3.2).
pub(super) fn is_host(text: &[u8]) -> bool {
    let is_address = |inner| std::str::from_utf8(inner).is_ok_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    let (name_is_valid, port) = match text {
        [b'[', behind @ ..] => match memchr::memchr(b']', behind) {
            Some(end) => (is_address(&behind[..end]), &behind[end + 1..]),
            None => return false,
        },
        _ => {
            let end = text.iter().position(|byte| !IN_NAME[usize::from(*byte)]).unwrap_or(text.len());
            ((1..=255).contains(&end), &text[end..])
        }
    };
    let port_is_valid = match port {
        [] => true,
        [b':', digits @ ..] => {
            let value = digits.iter().try_fold(0_u16, |value, byte| {
                byte.is_ascii_digit().then_some(())?;
                value.checked_mul(10)?.checked_add(u16::from(byte - b'0'))
            });
            !digits.is_empty() && value.is_some()
        }
        _ => false,
    };
    name_is_valid && port_is_valid
}

/// The unreserved characters and the one sub-delimiter that no host parser takes for something else.
const IN_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'=');
        byte += 1;
    }
    table
};

/// Whether two authorities are one: letter case does not matter, nor does the port that the scheme implies.
pub(super) fn same_authority(a: &[u8], b: &[u8], implied: &[u8]) -> bool {
    let bare = |text: &[u8]| text.strip_suffix(implied).map_or(text.len(), <[u8]>::len);
    a[..bare(a)].eq_ignore_ascii_case(&b[..bare(b)])
}
