//! The bodies of two answers: unpacked within limits, then compared as what they are.

use sha2::{Digest as _, Sha256};

use super::difference::{Difference, Kind, Place, Shown, Type};
use super::digest::Digest;
use super::json::{Document, Unread};
use super::path::Follower;
use super::report::Report;
use super::rules::{RuleKind, Rules};
use super::unpack::{Undecoded, decoded, encoding};
use super::{Answer, NotCompared, Unkept, censuses, headers, lines, ndjson, parts, walk};

/// A body so many times as long as the other, and longer than this, is not the same however it is written.
const TIMES_LONGER: u64 = 8;
const LONGER_BYTES_MIN: u64 = 16 << 10;

/// Compares both bodies; the error says why they could not be.
pub(super) fn compare(
    legacy: &Answer,
    new: &Answer,
    unkept: [Unkept; 2],
    rules: &Rules,
    report: &mut Report,
) -> Result<(), NotCompared> {
    let encodings = (encoding(legacy), encoding(new));
    let types = (headers::content_type(legacy), headers::content_type(new));
    let is_truncated = legacy.truncated || new.truncated;
    if !is_truncated && legacy.body == new.body && encodings.0 == encodings.1 && types.0 == types.1 {
        return Ok(());
    }
    if rules.body().len() == 1 && is_ignored(rules) {
        report.ruled_out();
        return Ok(());
    }
    let limits = report.limits;
    if is_truncated {
        return cut((legacy, new), (&encodings.0, &encodings.1), (&types.0, &types.1), unkept, rules, report);
    }
    if legacy.body.len().max(new.body.len()) > limits.body_bytes {
        return Err(NotCompared::TooLarge);
    }
    let (a, b) = match (decoded(legacy.body, &encodings.0, limits), decoded(new.body, &encodings.1, limits)) {
        (Ok(a), Ok(b)) => (a, b),
        // Too much to be compared whole, so by what is known of it in pieces.
        (Err(Undecoded::TooLong), Ok(_) | Err(Undecoded::TooLong)) | (Ok(_), Err(Undecoded::TooLong)) => {
            let digest = |answer: &Answer, encoding: &str| {
                Digest::made_of(answer.body, if answer.body.is_empty() { "" } else { encoding }, limits)
            };
            return match (digest(legacy, &encodings.0), digest(new, &encodings.1)) {
                (Ok(a), Ok(b)) => digested((&a, &types.0), (&b, &types.1), rules, report),
                (a, b) => undecoded(&(a.err(), b.err()), (legacy.body, new.body), report),
            };
        }
        (a, b) => return undecoded(&(a.err(), b.err()), (legacy.body, new.body), report),
    };
    if a == b && types.0.1 == types.1.1 {
        return Ok(());
    }
    if !is_utf8(&types.0.1) || !is_utf8(&types.1.1) {
        return Err(NotCompared::Charset);
    }
    let media = (types.0.0.as_str(), types.1.0.as_str());
    if (is_json(media.0, &a) || is_json(media.1, &b)) && documents_of_any_length(&a, &b, rules, report)? {
        return Ok(());
    }
    if ndjson::is_named(media.0)
        && ndjson::is_named(media.1)
        && !is_ignored(rules)
        && let Some((a, b)) = ndjson::arrays(&a, &b, report)
    {
        return documents_of_any_length(a.as_bytes(), b.as_bytes(), rules, report).map(drop);
    }
    if let (Some(of_a), Some(of_b)) = (headers::boundary(legacy), headers::boundary(new))
        && parts::are_same((&a, &of_a), (&b, &of_b))
    {
        return Ok(());
    }
    match (std::str::from_utf8(&a), std::str::from_utf8(&b)) {
        _ if is_ignored(rules) => {
            report.ruled_out();
            Ok(())
        }
        (Ok(a), Ok(b)) if is_text(media.0) && is_text(media.1) => lines::compare(a, b, report),
        _ => {
            whole(Kind::Binary, &a, &b, report);
            Ok(())
        }
    }
}

/// Compares bodies of which at least one is not there whole.
fn cut(
    (legacy, new): (&Answer, &Answer),
    encodings: (&str, &str),
    types: (&Typed, &Typed),
    unkept: [Unkept; 2],
    rules: &Rules,
    report: &mut Report,
) -> Result<(), NotCompared> {
    let own = |answer: &Answer, unkept: Unkept, encoding: &str| match unkept.digest {
        Some(digest) => Some(digest.clone()),
        None if answer.truncated => None,
        None => Digest::of(answer.body, encoding, report.limits),
    };
    let [of_legacy, of_new] = unkept;
    let extent = |digest: Option<Digest>, unkept: Unkept, encoding: &str| match digest {
        Some(digest) => Some(Extent::Exactly(digest)),
        None => encoding.is_empty().then_some(Extent::AtLeast(unkept.length_min)),
    };
    let a = extent(own(legacy, of_legacy, encodings.0), of_legacy, encodings.0);
    let b = extent(own(new, of_new, encodings.1), of_new, encodings.1);
    match (a, b) {
        (Some(Extent::Exactly(a)), Some(Extent::Exactly(b))) => digested((&a, types.0), (&b, types.1), rules, report),
        (Some(a), Some(b)) => by_length((&a, &b), (&types.0.0, &types.1.0), rules, report),
        (None, _) | (_, None) => Err(NotCompared::Truncated),
    }
}

/// [`documents`], and by a digest where they have too many values: such a list is no other than a long one.
fn documents_of_any_length(a: &[u8], b: &[u8], rules: &Rules, report: &mut Report) -> Result<bool, NotCompared> {
    match documents(a, b, rules, report) {
        Err(NotCompared::Nodes) => {}
        compared => return compared,
    }
    let digest = |plain: &[u8]| Digest::of(plain, "", report.limits).ok_or(NotCompared::Nodes);
    let (a, b) = (digest(a)?, digest(b)?);
    counted(&a, &b, rules, report)
}

/// What is told where one body, or both, cannot be unpacked.
fn undecoded(
    why: &(Option<Undecoded>, Option<Undecoded>),
    bodies: (&[u8], &[u8]),
    report: &mut Report,
) -> Result<(), NotCompared> {
    match why {
        (Some(Undecoded::Damaged), None) | (None, Some(Undecoded::Damaged)) => {
            whole(Kind::Undecodable, bodies.0, bodies.1, report);
            Ok(())
        }
        (Some(Undecoded::Because(why)), _) | (_, Some(Undecoded::Because(why))) => Err(*why),
        (Some(Undecoded::TooLong), _) | (_, Some(Undecoded::TooLong)) => Err(NotCompared::Inflated),
        (Some(Undecoded::Damaged), Some(Undecoded::Damaged)) | (None, None) => Err(NotCompared::Encoding),
    }
}

fn is_utf8(charset: &Option<String>) -> bool {
    charset.as_deref().is_none_or(|name| matches!(name, "utf-8" | "utf8" | "us-ascii" | "ascii"))
}

/// What an answer says that its body is: the media type and the charset.
type Typed = (String, Option<String>);

/// Compares what is known of bodies that were too long to be kept.
fn digested(
    (a, of_a): (&Digest, &Typed),
    (b, of_b): (&Digest, &Typed),
    rules: &Rules,
    report: &mut Report,
) -> Result<(), NotCompared> {
    let media = (of_a.0.as_str(), of_b.0.as_str());
    if a == b {
        return Ok(());
    }
    if is_ignored(rules) {
        report.ruled_out();
        return Ok(());
    }
    let is_document = |media: &str, digest: &Digest| is_json(media, if digest.inside().is_ok() { b"{" } else { b" " });
    if is_document(media.0, a) || is_document(media.1, b) {
        if !is_utf8(&of_a.1) || !is_utf8(&of_b.1) {
            return Err(NotCompared::Charset);
        }
        if counted(a, b, rules, report)? {
            return Ok(());
        }
    }
    // Unequal bytes of a text say nothing of its lines, unless there are far more of them.
    if (is_named_text(media.0) || is_named_text(media.1)) && a.is_utf8 && b.is_utf8 {
        let (a, b) = (Extent::Exactly(a.clone()), Extent::Exactly(b.clone()));
        return by_length((&a, &b), media, rules, report).map_err(|_| NotCompared::TooLarge);
    }
    // Nor do those of several parts, which have boundaries that are made anew.
    if media.0.starts_with("multipart/") && media.1.starts_with("multipart/") {
        return Err(NotCompared::TooLarge);
    }
    report.difference(Kind::Binary, || {
        let shown = |digest: &Digest| {
            let length = usize::try_from(digest.length).unwrap_or(usize::MAX);
            Some(Shown { kind: Type::Bytes, length, form: digest.to_string() })
        };
        let place = Place::Body("$".to_owned());
        Difference { place, pattern: "$".to_owned(), kind: Kind::Binary, legacy: shown(a), new: shown(b), apart: None }
    });
    Ok(())
}

/// Compares by what both documents have at each place; `false` if neither side is any.
fn counted(a: &Digest, b: &Digest, rules: &Rules, report: &mut Report) -> Result<bool, NotCompared> {
    match (a.inside_beside(b), b.inside_beside(a)) {
        (Ok(legacy), Ok(new)) => censuses::compare(legacy, new, Follower::new(rules.body()), report)?,
        (Err(Unread::Depth), _) | (_, Err(Unread::Depth)) => return Err(NotCompared::Depth),
        (Err(Unread::Nodes), _) | (_, Err(Unread::Nodes)) => return Err(NotCompared::Nodes),
        (Err(Unread::NotJson(_)), Err(Unread::NotJson(_))) => return Ok(false),
        (legacy, new) => not_json((legacy.err(), a.length), (new.err(), b.length), report),
    }
    Ok(true)
}

/// One side is a document, and the other is not.
fn not_json(legacy: (Option<Unread>, u64), new: (Option<Unread>, u64), report: &mut Report) {
    let shown = |(unread, length): (Option<Unread>, u64)| {
        let form = match unread {
            None => "json",
            Some(Unread::NotJson(problem)) => problem,
            Some(Unread::Depth | Unread::Nodes) => "too large",
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        Some(Shown { kind: Type::Bytes, length, form: form.to_owned() })
    };
    let (legacy, new) = (shown(legacy), shown(new));
    let (place, pattern) = (Place::Body("$".to_owned()), "$".to_owned());
    report.difference(Kind::NotJson, || Difference { place, pattern, kind: Kind::NotJson, legacy, new, apart: None });
}

/// How long a body is in the clear.
enum Extent {
    Exactly(Digest),
    AtLeast(u64),
}

impl Extent {
    fn shown(&self) -> Option<Shown> {
        let (length, form) = match self {
            Self::Exactly(digest) => (digest.length, "length"),
            Self::AtLeast(length) => (*length, "at least"),
        };
        Some(Shown { kind: Type::Bytes, length: usize::try_from(length).unwrap_or(usize::MAX), form: form.to_owned() })
    }
}

/// Compares bodies of which one has an end that nobody has seen: one that is many times as long as the other is not the same.
fn by_length(
    (a, b): (&Extent, &Extent),
    media: (&str, &str),
    rules: &Rules,
    report: &mut Report,
) -> Result<(), NotCompared> {
    let is_far_beyond = |length: u64, other: u64| length > other.saturating_mul(TIMES_LONGER).max(LONGER_BYTES_MIN);
    let is_longer = match (a, b) {
        (Extent::Exactly(whole), Extent::AtLeast(length)) | (Extent::AtLeast(length), Extent::Exactly(whole)) => {
            is_far_beyond(*length, whole.length)
        }
        (Extent::Exactly(a), Extent::Exactly(b)) => is_far_beyond(a.length.max(b.length), a.length.min(b.length)),
        (Extent::AtLeast(_), Extent::AtLeast(_)) => false,
    };
    if !is_longer {
        return Err(NotCompared::Truncated);
    }
    if is_ignored(rules) {
        report.ruled_out();
        return Ok(());
    }
    // What such rules let pass may be of any length.
    let lets_pass = |kind: &RuleKind| matches!(kind, RuleKind::Ignore | RuleKind::Shape);
    let is_document = is_json(media.0, b" ") || is_json(media.1, b" ");
    if is_document && rules.body().iter().any(|rule| lets_pass(&rule.kind)) {
        return Err(NotCompared::Truncated);
    }
    report.difference(Kind::BodyLength, || {
        let place = Place::Body("$".to_owned());
        Difference {
            place,
            pattern: "$".to_owned(),
            kind: Kind::BodyLength,
            legacy: a.shown(),
            new: b.shown(),
            apart: None,
        }
    });
    Ok(())
}

/// Whether a rule on `$` rules out whatever no other rule is about.
fn is_ignored(rules: &Rules) -> bool {
    rules.body().iter().any(|rule| rule.segments.is_empty() && rule.kind == RuleKind::Ignore)
}

/// Compares as JSON; `false` if neither side is any.
fn documents(a: &[u8], b: &[u8], rules: &Rules, report: &mut Report) -> Result<bool, NotCompared> {
    let limits = report.limits;
    let read = |bytes| match std::str::from_utf8(bytes) {
        Ok(text) => Document::read(text, limits.depth, limits.nodes),
        Err(_) => Err(Unread::NotJson("it is not UTF-8")),
    };
    // A byte order mark is no JSON, but one that both have is no difference.
    let mark = b"\xef\xbb\xbf".as_slice();
    let (a, b) = match (a.strip_prefix(mark), b.strip_prefix(mark)) {
        (Some(a), Some(b)) => (a, b),
        _ => (a, b),
    };
    match (read(a), read(b)) {
        (Ok(legacy), Ok(new)) => walk::documents(&legacy, &new, Follower::new(rules.body()), report),
        (Err(Unread::Depth), _) | (_, Err(Unread::Depth)) => return Err(NotCompared::Depth),
        (Err(Unread::Nodes), _) | (_, Err(Unread::Nodes)) => return Err(NotCompared::Nodes),
        (Err(Unread::NotJson(_)), Err(Unread::NotJson(_))) => return Ok(false),
        (legacy, new) => not_json((legacy.err(), a.len() as u64), (new.err(), b.len() as u64), report),
    }
    Ok(true)
}

/// A difference of both bodies as a whole: by length and digest.
fn whole(kind: Kind, a: &[u8], b: &[u8], report: &mut Report) {
    report.difference(kind, || {
        let shown = |bytes: &[u8]| {
            let digest = Sha256::digest(bytes);
            let digest: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
            Some(Shown { kind: Type::Bytes, length: bytes.len(), form: format!("sha256:{digest}") })
        };
        let place = Place::Body("$".to_owned());
        Difference { place, pattern: "$".to_owned(), kind, legacy: shown(a), new: shown(b), apart: None }
    });
}

fn is_json(media: &str, body: &[u8]) -> bool {
    let named = media == "application/json" || media == "text/json" || media.ends_with("+json");
    let begins = body.iter().find(|byte| !byte.is_ascii_whitespace());
    !body.is_empty() && (named || (media.is_empty() && matches!(begins, Some(b'{' | b'['))))
}

fn is_text(media: &str) -> bool {
    let texts = [
        "application/xml",
        "application/javascript",
        "application/x-www-form-urlencoded",
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
    ];
    let is_json = media == "application/json" || media.ends_with("+json");
    media.is_empty() || media.starts_with("text/") || media.ends_with("+xml") || texts.contains(&media) || is_json
}

fn is_named_text(media: &str) -> bool {
    !media.is_empty() && (is_text(media) || is_json(media, b" "))
}
