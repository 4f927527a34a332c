//! Heads of answers: read the same in any pieces, and written so that a caller reads one framing and nothing of this hop.

use router::h1::framing::Framing;
use router::h1::head::{HeadLimits, Name, ResponseHead, Version};
use router::h1::refusal::BadAnswer;
use router::h1::write::{Relayed, begin_response, end_response, relay_framing};

use super::reading::{AMPLE, TIGHT, USUAL, cuts, lines};

/// Holds an input against every invariant of the heads of answers.
pub fn response_head(input: &[u8]) {
    for (limits, to_head) in [(USUAL, false), (USUAL, true), (TIGHT, false)] {
        let whole = parse(input, to_head, &limits);
        for cut in cuts(input) {
            let part = parse(&input[..cut], to_head, &limits);
            let same = matches!(part, Ok(None)) || length(&part) == length(&whole);
            assert!(same, "{} is {part:?} at {cut} and {whole:?} whole", input.escape_ascii());
        }
        if let Ok(Some(head)) = whole {
            check_written(&head, to_head);
        }
    }
}

fn length(parsed: &Result<Option<ResponseHead>, BadAnswer>) -> Result<Option<usize>, BadAnswer> {
    parsed.as_ref().map(|head| head.as_ref().map(|head| head.bytes.len())).map_err(|bad| *bad)
}

fn parse(input: &[u8], to_head: bool, limits: &HeadLimits) -> Result<Option<ResponseHead>, BadAnswer> {
    let mut head = ResponseHead::default();
    let length = head.parse(input, to_head, limits)?;
    Ok(length.map(|length| {
        head.bytes = input[..length].to_vec();
        head
    }))
}

/// The head as it goes to a caller of this version.
fn written(head: &ResponseHead, to_head: bool, to: Version) -> Vec<u8> {
    let mut out = Vec::new();
    begin_response(&mut out, head, head.bodiless_length(to_head));
    end_response(&mut out, Relayed { framing: relay_framing(head.framing, to), close: !head.unambiguous });
    out
}

fn check_written(head: &ResponseHead, to_head: bool) {
    for to in [Version::Http11, Version::Http10] {
        let out = written(head, to_head, to);
        lines(&out);
        let again = match parse(&out, to_head, &AMPLE) {
            Ok(Some(again)) if again.bytes.len() == out.len() => again,
            other => panic!("{} went on as {}: {other:?}", head.bytes.escape_ascii(), out.escape_ascii()),
        };
        let framing = relay_framing(head.framing, to);
        assert_eq!((again.status, again.framing, again.unambiguous), (head.status, framing, true));
        assert_eq!(again.bodiless_length(to_head), head.bodiless_length(to_head));
        assert_eq!(again.persistence.close, !head.unambiguous, "{}", out.escape_ascii());
        assert_eq!(end_to_end(&again), end_to_end(head), "{}", head.bytes.escape_ascii());
        let hop = |known| {
            matches!(known, Name::KeepAlive | Name::ProxyConnection | Name::Te | Name::Upgrade | Name::Crossfade)
        };
        assert!(!again.fields.iter().any(|field| hop(field.known)), "{}", out.escape_ascii());
        let framed =
            again.fields.iter().filter(|field| matches!(field.known, Name::ContentLength | Name::TransferEncoding));
        let bodiless = again.bodiless_length(to_head).is_some();
        assert_eq!(framed.count(), usize::from(bodiless || matches!(framing, Framing::Length(_) | Framing::Chunked)));
        let twice = written(&again, to_head, to);
        if head.unambiguous {
            assert_eq!(twice, out, "{} became {}", out.escape_ascii(), twice.escape_ascii());
        }
    }
}

fn end_to_end(head: &ResponseHead) -> Vec<(Vec<u8>, Vec<u8>)> {
    let goes_on =
        head.fields.iter().filter(|field| matches!(field.known, Name::Other | Name::Trailer) && !field.dropped);
    goes_on.map(|field| (field.name.of(&head.bytes).to_vec(), field.value.of(&head.bytes).to_vec())).collect()
}
