//! What this proxy says of a request to the upstream: where it came from, which request it is, and who decided.
//!
//! # Why a caller is not believed
//!
//! `X-Forwarded-For` decides access in many a backend. It is extended only where the peer is one of `trusted_proxies`, and
//! replaced by the peer's own address everywhere else; the list is empty unless the file says otherwise
//! (Envoy CVE-2024-45806).
//!
//! Sources: RFC 7239 (`Forwarded`), W3C Trace Context (`traceparent`).

use std::cell::RefCell;
use std::fmt;
use std::io::Write;
use std::net::IpAddr;
use std::ops::Range;

use ipnet::IpNet;

use crate::h1::head::{Name, RequestHead};
use crate::h1::write::field;

/// The longest request id that is kept, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Who is at the other end of a caller's connection.
#[derive(Debug)]
pub struct Peer {
    pub ip: IpAddr,
    pub trusted: bool,
    told: RefCell<Told>,
}

/// The lines that say where a stranger's last request came from, and its Host.
///
/// Nothing else changes them, and that hardly ever changes on one connection.
#[derive(Debug, Default)]
struct Told {
    authority: Box<[u8]>,
    lines: Vec<u8>,
}

impl Peer {
    pub fn new(ip: IpAddr, trusted: &[IpNet]) -> Self {
        let ip = ip.to_canonical();
        Self { ip, trusted: trusts(trusted, ip), told: RefCell::default() }
    }

    /// Writes where the request came from.
    fn tell(&self, out: &mut Vec<u8>, head: &RequestHead) {
        if self.trusted {
            return origin(out, head, self);
        }
        let mut told = self.told.borrow_mut();
        if told.lines.is_empty() || *told.authority != *head.authority() {
            told.authority = head.authority().into();
            told.lines.clear();
            origin(&mut told.lines, head, self);
            told.lines.shrink_to_fit();
        }
        out.extend_from_slice(&told.lines);
    }
}

fn trusts(networks: &[IpNet], ip: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&ip))
}

/// The caller's address: behind trusted proxies the last one that is not theirs.
pub fn client_ip(head: &RequestHead, peer: &Peer, trusted: &[IpNet]) -> IpAddr {
    if !peer.trusted {
        return peer.ip;
    }
    let mut client = peer.ip;
    let lines: Vec<&[u8]> = head.all("x-forwarded-for").collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(|byte| *byte == b',')) {
        let parsed = std::str::from_utf8(hop).ok().and_then(|hop| hop.trim().parse::<IpAddr>().ok());
        // What does not parse was not written by a proxy of ours, so nothing before it is known.
        let Some(ip) = parsed.map(|ip| ip.to_canonical()) else { break };
        client = ip;
        if !trusts(trusted, ip) {
            break;
        }
    }
    client
}

/// 128 bits that make a request id and a trace of their own where the caller brought none.
pub type Identity = u128;

/// Writes forwarded fields, request id and trace context.
pub fn forwarded(out: &mut Vec<u8>, head: &RequestHead, peer: &Peer, identity: Identity) {
    peer.tell(out, head);
    let own = identified(identity);
    let kept_id = request_id(head);
    let kept_trace = only(head, Name::Traceparent).filter(|value| is_traceparent(value));
    if kept_id.is_none() && kept_trace.is_none() {
        return out.extend_from_slice(&own);
    }
    field(out, "X-Request-Id", kept_id.unwrap_or(&own[OWN_ID]));
    field(out, "traceparent", kept_trace.unwrap_or(&own[OWN_TRACE]));
}

/// Both lines as they are where the caller brought neither, with zeros for what changes.
///
/// Not sampled: recording is for whoever brings a trace of their own.
const IDENTIFIED: &[u8; 118] = b"X-Request-Id: 00000000000000000000000000000000\r\n\
    traceparent: 00-00000000000000000000000000000000-0000000000000000-00\r\n";
const OWN_ID: Range<usize> = 14..46;
const OWN_TRACE: Range<usize> = 61..116;

fn identified(identity: Identity) -> [u8; IDENTIFIED.len()] {
    let own = hexadecimal(identity);
    let mut lines = *IDENTIFIED;
    lines[OWN_ID].copy_from_slice(&own);
    lines[64..96].copy_from_slice(&own);
    // The parent is this hop; zero would be invalid, so its last bit is set.
    lines[97..111].copy_from_slice(&own[16..30]);
    lines[111..113].copy_from_slice(&HEXADECIMAL[usize::from(identity.to_be_bytes()[15] | 1)]);
    lines
}

/// Writes where the request came from; what a trusted peer says of that is kept and extended.
fn origin(out: &mut Vec<u8>, head: &RequestHead, peer: &Peer) {
    let before = |known: Name| head.kept(known).filter(|_| peer.trusted);
    let ip = peer.ip;
    list(out, "X-Forwarded-For", before(Name::XForwardedFor), format_args!("{ip}"));
    field(out, "X-Forwarded-Proto", before(Name::XForwardedProto).next().unwrap_or(b"http"));
    let host = before(Name::XForwardedHost).next().unwrap_or(head.authority());
    if !host.is_empty() {
        field(out, "X-Forwarded-Host", host);
    }
    // A host holds neither quotes nor backslashes, so it stands as a quoted string; an IPv6 address needs one.
    let authority = head.authority().escape_ascii();
    let (open, close) = if ip.is_ipv6() { ("\"[", "]\"") } else { ("", "") };
    let (before_host, behind_host) = if head.authority().is_empty() { ("", "") } else { (";host=\"", "\"") };
    let ours = format_args!("for={open}{ip}{close}{before_host}{authority}{behind_host};proto=http");
    list(out, "Forwarded", before(Name::Forwarded), ours);
}

/// The caller's request id, if it is one that logs and headers can bear.
pub(crate) fn request_id(head: &RequestHead) -> Option<&[u8]> {
    only(head, Name::XRequestId)
        .filter(|id| (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic))
}

/// The one value of a field that must not be there twice.
fn only(head: &RequestHead, known: Name) -> Option<&[u8]> {
    let mut values = head.kept(known);
    values.next().filter(|_| values.next().is_none())
}

fn list<'a>(out: &mut Vec<u8>, name: &str, before: impl Iterator<Item = &'a [u8]>, ours: fmt::Arguments<'_>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    for value in before {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    // Writing to memory does not fail.
    let _ = out.write_fmt(ours);
    out.extend_from_slice(b"\r\n");
}

/// Both digits of every byte, so that an identity is sixteen look-ups.
const HEXADECIMAL: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    table
};

pub(crate) fn hexadecimal(value: u128) -> [u8; 32] {
    let mut text = [0; 32];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(value.to_be_bytes()) {
        *pair = HEXADECIMAL[usize::from(byte)];
    }
    text
}

/// Version 00: `00-<32 hex, not all zero>-<16 hex, not all zero>-<2 hex>`; later versions may append.
fn is_traceparent(value: &[u8]) -> bool {
    let hex = |part: &[u8]| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let not_zero = |part: &[u8]| part.iter().any(|byte| *byte != b'0');
    let well_placed = value.len() >= 55 && value[2] == b'-' && value[35] == b'-' && value[52] == b'-';
    well_placed
        && (value.len() == 55 || (&value[..2] != b"00" && value[55] == b'-' && value.len() <= 256))
        && hex(&value[..2])
        && &value[..2] != b"ff"
        && hex(&value[3..35])
        && not_zero(&value[3..35])
        && hex(&value[36..52])
        && not_zero(&value[36..52])
        && hex(&value[53..55])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::head::HeadLimits;

    fn head(fields: &str) -> RequestHead {
        let text = format!("GET / HTTP/1.1\r\nHost: a:80\r\n{fields}\r\n");
        let limits = HeadLimits { bytes: 65_536, fields: 100, target: 8_192 };
        let mut head = RequestHead::default();
        assert_eq!(head.parse(text.as_bytes(), &limits), Ok(Some(text.len())));
        head.bytes = text.into_bytes();
        head
    }

    #[track_caller]
    fn check(fields: &str, peer: &str, expected: &[&str]) {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let peer = Peer::new(peer.parse().unwrap(), &trusted);
        let mut out = Vec::new();
        forwarded(&mut out, &head(fields), &peer, 0x1234);
        let out = String::from_utf8(out).unwrap();
        for line in expected {
            assert!(out.contains(&format!("{line}\r\n")), "{line:?} in {out}");
        }
    }

    #[test]
    fn a_strangers_words_are_replaced() {
        let fields = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\nForwarded: for=1.1.1.1\r\n";
        check(
            fields,
            "192.0.2.1",
            &[
                "X-Forwarded-For: 192.0.2.1",
                "X-Forwarded-Proto: http",
                "X-Forwarded-Host: a:80",
                "Forwarded: for=192.0.2.1;host=\"a:80\";proto=http",
            ],
        );
        check("", "::ffff:192.0.2.1", &["X-Forwarded-For: 192.0.2.1"]);
        check(
            "",
            "2001:db8::1",
            &["X-Forwarded-For: 2001:db8::1", "Forwarded: for=\"[2001:db8::1]\";host=\"a:80\";proto=http"],
        );
    }

    /// The lines are kept from one request to the next, so they must follow what they were made of.
    #[test]
    fn the_host_may_change_on_one_connection() {
        let peer = Peer::new("192.0.2.1".parse().unwrap(), &[]);
        for host in ["a", "b.example:81", "b.example:81", "a"] {
            let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let mut head = RequestHead::default();
            let limits = HeadLimits { bytes: 65_536, fields: 100, target: 8_192 };
            assert_eq!(head.parse(text.as_bytes(), &limits), Ok(Some(text.len())));
            head.bytes = text.into_bytes();
            let mut out = Vec::new();
            forwarded(&mut out, &head, &peer, 1);
            let expected = format!(
                "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: {host}\r\n\
                 Forwarded: for=192.0.2.1;host=\"{host}\";proto=http\r\nX-Request-Id: "
            );
            assert!(out.starts_with(expected.as_bytes()), "{}", out.escape_ascii());
        }
    }

    #[test]
    fn a_trusted_proxys_words_are_extended() {
        let fields = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Proto: https\r\nForwarded: for=1.1.1.1\r\n";
        check(
            fields,
            "10.0.0.1",
            &[
                "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.1",
                "X-Forwarded-Proto: https",
                "Forwarded: for=1.1.1.1, for=10.0.0.1;host=\"a:80\";proto=http",
            ],
        );
    }

    #[test]
    fn identities_are_kept_or_made() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        check(
            &format!("X-Request-Id: abc\r\nTraceparent: {trace}\r\n"),
            "::1",
            &["X-Request-Id: abc", &format!("traceparent: {trace}")],
        );
        let made = format!("X-Request-Id: {:032x}", 0x1234);
        check("", "::1", &[&made]);
        check("X-Request-Id: a b\r\n", "::1", &[&made]);
        check("X-Request-Id: a\r\nX-Request-Id: b\r\n", "::1", &[&made]);
        check(
            "traceparent: 00-00000000000000000000000000000000-b7ad6b7169203331-01\r\n",
            "::1",
            &[&made, "traceparent: 00-00000000000000000000000000001234-0000000000001235-00"],
        );
    }

    #[track_caller]
    fn check_client(fields: &str, peer: &str, expected: &str) {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let peer = Peer::new(peer.parse().unwrap(), &trusted);
        assert_eq!(client_ip(&head(fields), &peer, &trusted), expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn the_client_is_the_last_address_that_is_not_ours() {
        check_client("X-Forwarded-For: 1.1.1.1\r\n", "192.0.2.1", "192.0.2.1");
        check_client("X-Forwarded-For: 1.1.1.1, 2.2.2.2\r\n", "10.0.0.1", "2.2.2.2");
        check_client("X-Forwarded-For: 1.1.1.1, 2.2.2.2, 10.0.0.9\r\n", "10.0.0.1", "2.2.2.2");
        check_client("X-Forwarded-For: 2.2.2.2\r\nX-Forwarded-For: 10.0.0.9\r\n", "10.0.0.1", "2.2.2.2");
        check_client("X-Forwarded-For: 2.2.2.2, nonsense\r\n", "10.0.0.1", "10.0.0.1");
        check_client("", "10.0.0.1", "10.0.0.1");
    }
}
