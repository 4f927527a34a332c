//! Request heads: read the same in any pieces and by the plainest reader, and written so that they read the same again.

use std::net::{IpAddr, Ipv4Addr};

use router::h1::framing::Framing;
use router::h1::head::{HeadLimits, Name, RequestHead, Version};
use router::h1::refusal::Refusal;
use router::h1::write::{Onward, begin_request, end_request};
use router::headers::{Peer, forwarded};

use super::reading::{AMPLE, TIGHT, USUAL, cuts, lines};

const DEFAULT_HOST: &str = "default.test";

/// Holds an input against every invariant of request heads.
pub fn request_head(input: &[u8]) {
    for limits in [USUAL, TIGHT] {
        let whole = parse(input, &limits);
        for cut in cuts(input) {
            let part = parse(&input[..cut], &limits);
            let same = matches!(part, Ok(None)) || length(&part) == length(&whole);
            assert!(same, "{} is {part:?} at {cut} and {whole:?} whole", input.escape_ascii());
        }
        if let Ok(Some(head)) = whole {
            assert!(head.bytes.len() <= limits.bytes && head.fields.len() <= limits.fields);
            check_reading(&head);
            check_written(&head);
        }
    }
}

fn length(parsed: &Result<Option<RequestHead>, Refusal>) -> Result<Option<usize>, Refusal> {
    parsed.as_ref().map(|head| head.as_ref().map(|head| head.bytes.len())).map_err(|refusal| *refusal)
}

pub(super) fn parse(input: &[u8], limits: &HeadLimits) -> Result<Option<RequestHead>, Refusal> {
    let mut head = RequestHead::default();
    let length = head.parse(input, limits)?;
    Ok(length.map(|length| {
        head.bytes = input[..length].to_vec();
        head
    }))
}

/// The plainest reader reads the same.
fn check_reading(head: &RequestHead) {
    let read = lines(head.bytes.strip_prefix(b"\r\n").unwrap_or(&head.bytes));
    let own = head.fields.iter().map(|field| (field.name.of(&head.bytes), field.value.of(&head.bytes)));
    assert!(own.eq(read.fields.iter().copied()), "{}", head.bytes.escape_ascii());
    let words: Vec<&[u8]> = read.first.split(|byte| *byte == b' ').collect();
    let version: &[u8] = if head.version == Version::Http10 { b"HTTP/1.0" } else { b"HTTP/1.1" };
    assert!(matches!(words[..], [method, _, own] if method == head.method() && own == version));
    assert!(words[1].ends_with(head.target.of(&head.bytes)));
    assert!(words[1].iter().chain(head.authority()).all(u8::is_ascii_graphic));
    let values = |name: &str| -> Vec<&[u8]> {
        let named = |(own, _): &&(&[u8], &[u8])| own.eq_ignore_ascii_case(name.as_bytes());
        read.fields.iter().filter(named).map(|(_, value)| *value).collect()
    };
    assert!(values("host").len() <= 1 && !head.authority().iter().any(|byte| b"/?#@,\\".contains(byte)));
    assert!(head.version == Version::Http10 || !head.authority().is_empty());
    let (lengths, encodings) = (values("content-length"), values("transfer-encoding"));
    match head.framing {
        Framing::None => assert!(lengths.is_empty() && encodings.is_empty()),
        Framing::Length(length) => {
            let digits = lengths[0].iter().all(u8::is_ascii_digit) && !lengths[0].is_empty();
            let value = String::from_utf8_lossy(lengths[0]).trim_start_matches('0').parse().unwrap_or(0);
            assert!(encodings.is_empty() && digits && value == length && lengths.iter().all(|own| *own == lengths[0]));
        }
        Framing::Chunked => {
            let once = matches!(encodings[..], [only] if only.eq_ignore_ascii_case(b"chunked"));
            assert!(lengths.is_empty() && once && head.version == Version::Http11);
        }
        Framing::UntilClose => panic!("a request never ends with its connection"),
    }
}

/// The head as it goes to an upstream.
pub(super) fn written(head: &RequestHead, trusted: bool) -> Vec<u8> {
    let networks = ["192.0.2.0/24".parse().expect("a network")];
    let peer = Peer::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), if trusted { &networks } else { &[] });
    let upgrade = head.upgrade.map(|protocol| protocol.of(&head.bytes));
    let onward = Onward {
        default_host: DEFAULT_HOST,
        trusted,
        upgrade,
        expect: head.expects_continue,
        trailers: head.takes_trailers(),
    };
    let mut out = Vec::new();
    begin_request(&mut out, head, &onward);
    forwarded(&mut out, head, &peer, 0x1234);
    end_request(&mut out, head.framing, &onward);
    out
}

/// What goes on is read as the same request, holds nothing of this hop, and does not change when it is written again.
fn check_written(head: &RequestHead) {
    for trusted in [false, true] {
        let out = written(head, trusted);
        lines(&out);
        let again = match parse(&out, &AMPLE) {
            Ok(Some(again)) if again.bytes.len() == out.len() => again,
            other => panic!("{} went on as {}: {other:?}", head.bytes.escape_ascii(), out.escape_ascii()),
        };
        check_same(head, &again);
        // A caller that names no host has one from there on.
        if !trusted && !head.authority().is_empty() {
            let twice = written(&again, trusted);
            assert_eq!(twice, out, "{} became {}", out.escape_ascii(), twice.escape_ascii());
        }
    }
}

fn check_same(head: &RequestHead, again: &RequestHead) {
    assert_eq!((again.method(), again.framing, again.version), (head.method(), head.framing, Version::Http11));
    let expected = match head.target() {
        _ if head.target.is_empty() && head.method() == b"OPTIONS" => b"*".to_vec(),
        query @ [b'?', ..] => [b"/", query].concat(),
        target => target.to_vec(),
    };
    assert_eq!(again.target(), expected, "{}", head.bytes.escape_ascii());
    let authority = if head.authority().is_empty() { DEFAULT_HOST.as_bytes() } else { head.authority() };
    assert_eq!(again.authority(), authority, "{}", head.bytes.escape_ascii());
    assert_eq!(again.expects_continue, head.expects_continue);
    let upgrade = |head: &RequestHead| head.upgrade.map(|protocol| protocol.of(&head.bytes).to_vec());
    assert_eq!(upgrade(again), upgrade(head));
    let end_to_end = |head: &RequestHead| -> Vec<(Vec<u8>, Vec<u8>)> {
        let goes_on =
            head.fields.iter().filter(|field| matches!(field.known, Name::Other | Name::Trailer) && !field.dropped);
        goes_on.map(|field| (field.name.of(&head.bytes).to_vec(), field.value.of(&head.bytes).to_vec())).collect()
    };
    assert_eq!(end_to_end(again), end_to_end(head), "{}", head.bytes.escape_ascii());
    let count = |known: Name| again.fields.iter().filter(|field| field.known == known).count();
    for once in
        [Name::Host, Name::XForwardedFor, Name::XForwardedProto, Name::Forwarded, Name::XRequestId, Name::Traceparent]
    {
        assert_eq!(count(once), 1, "{once:?} of {}", again.bytes.escape_ascii());
    }
    for never in [Name::KeepAlive, Name::ProxyConnection, Name::Http2Settings, Name::Crossfade] {
        assert_eq!(count(never), 0, "{never:?} of {}", again.bytes.escape_ascii());
    }
    assert_eq!(count(Name::ContentLength) + count(Name::TransferEncoding), usize::from(head.framing != Framing::None));
    let (upgrades, trailers) = (head.upgrade.is_some(), head.takes_trailers());
    assert_eq!(again.takes_trailers(), trailers);
    assert_eq!(
        (count(Name::Connection), count(Name::Upgrade), count(Name::Te)),
        (usize::from(upgrades || trailers), usize::from(upgrades), usize::from(trailers))
    );
}
