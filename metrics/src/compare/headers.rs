//! The headers that mean something to a caller, each normalised to what it means.
//!
//! All others are a matter of the server that answers (dates, ids, versions, transport), so the list says what is compared.

use std::collections::BTreeSet;

use super::difference::{Difference, Kind, Place, Type};
use super::report::Report;
use super::rules::{RuleKind, Rules};
use super::shape::Shape;
use super::{Answer, hosts, redact};

const COMPARED: [&str; 5] = ["content-type", "location", "cache-control", "vary", "allow"];
const COOKIE: &str = "set-cookie";

pub(super) fn has(answer: &Answer, name: &str) -> bool {
    answer.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
}

pub(super) fn is_event_stream(answer: &Answer) -> bool {
    const MEDIA: &[u8] = b"text/event-stream";
    // Nearly none is, so that it is asked without making words of the field first.
    let begins =
        |value: &str| value.trim().as_bytes().get(..MEDIA.len()).is_some_and(|own| own.eq_ignore_ascii_case(MEDIA));
    let mut types = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    types.next().is_some_and(|(_, value)| begins(value)) && content_type(answer).0.as_bytes() == MEDIA
}

/// All values of a header, as one.
pub(super) fn joined(answer: &Answer, name: &str) -> Option<String> {
    let values = answer.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
    let values: Vec<&str> = values.map(|(_, value)| value.trim()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// A content-type as it is used: the media type, and the charset if it names one; both in lower case.
pub(super) fn content_type(answer: &Answer) -> (String, Option<String>) {
    let value = joined(answer, "content-type").unwrap_or_default().to_ascii_lowercase();
    let mut parts = value.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_owned();
    let charset = parts.find_map(|part| part.strip_prefix("charset=")).map(|name| name.trim_matches('"').to_owned());
    (media, charset)
}

/// By which the parts of a body are told apart, as it is written; made anew for each answer by most who make any.
pub(super) fn boundary(answer: &Answer) -> Option<String> {
    let value = joined(answer, "content-type")?;
    let mut parts = value.split(';').map(str::trim);
    if !is_multipart(parts.next()?) {
        return None;
    }
    let own = parts.filter_map(|part| part.split_once('=')).find(|(name, _)| is_boundary(name))?;
    Some(own.1.trim().trim_matches('"').to_owned())
}

fn is_multipart(media: &str) -> bool {
    const MEDIA: &[u8] = b"multipart/";
    media.trim().as_bytes().get(..MEDIA.len()).is_some_and(|own| own.eq_ignore_ascii_case(MEDIA))
}

fn is_boundary(name: &str) -> bool {
    name.trim().eq_ignore_ascii_case("boundary")
}

pub(super) fn compare(legacy: &Answer, new: &Answer, rules: &Rules, report: &mut Report) {
    if legacy.headers == new.headers {
        return;
    }
    for name in COMPARED {
        let value = |answer| joined(answer, name).map(|value| normalised(name, &value));
        one(name, (value(legacy), value(new)), rules.header(name), report);
    }
    let (in_legacy, in_new) = (cookies(legacy), cookies(new));
    for cookie in in_legacy.symmetric_difference(&in_new) {
        let kind = if in_legacy.contains(cookie) { Kind::HeaderMissing } else { Kind::HeaderAdded };
        if let Some(RuleKind::Ignore) = rules.header(COOKIE) {
            report.ruled_out();
            continue;
        }
        let folded = if Shape::of(cookie.as_bytes()).is_made_up() { "*" } else { cookie };
        let place = Place::Header(COOKIE.to_owned());
        let pattern = format!("header:{COOKIE}[{folded}]");
        report.difference(kind, || Difference { place, pattern, kind, legacy: None, new: None, apart: None });
    }
}

fn one(name: &str, values: (Option<String>, Option<String>), rule: Option<&RuleKind>, report: &mut Report) {
    let kind = match &values {
        (a, b) if a == b => return,
        (Some(_), None) => Kind::HeaderMissing,
        (None, _) => Kind::HeaderAdded,
        (Some(_), Some(_)) => Kind::HeaderChanged,
    };
    let is_let_pass = match (rule, &values) {
        (Some(RuleKind::Ignore), _) => return report.ruled_out(),
        (Some(RuleKind::Shape), (Some(a), Some(b))) => Shape::of(a.as_bytes()).is_like(Shape::of(b.as_bytes())),
        (Some(RuleKind::MapHost { legacy, new }), (Some(a), Some(b))) => {
            hosts::mapped(a.as_bytes(), legacy, new) == b.as_bytes()
        }
        _ => false,
    };
    if is_let_pass {
        return report.checked();
    }
    let redaction = report.limits.redaction;
    report.difference(kind, || {
        let shown =
            |value: Option<String>| value.map(|value| redact::text(Type::Header, value.as_bytes(), false, redaction));
        let (legacy, new) = (shown(values.0), shown(values.1));
        Difference {
            place: Place::Header(name.to_owned()),
            pattern: format!("header:{name}"),
            kind,
            legacy,
            new,
            apart: None,
        }
    });
}

fn normalised(name: &str, value: &str) -> String {
    match name {
        "content-type" => {
            // What it is says nothing, as long as there is one.
            let is_made_up = |part: &str| {
                is_multipart(value)
                    && part.split_once('=').is_some_and(|(name, own)| is_boundary(name) && !own.is_empty())
            };
            let written = |part| if is_made_up(part) { "boundary".to_owned() } else { parameter(part, true) };
            let mut parts = value.split(';').map(written);
            let media = parts.next().unwrap_or_default();
            let parameters: BTreeSet<String> = parts.filter(|part| !part.is_empty()).collect();
            parameters.iter().fold(media, |text, parameter| text + "; " + parameter)
        }
        "cache-control" => set(value, |part| parameter(part, false)),
        "vary" => set(value, str::to_ascii_lowercase),
        "allow" => set(value, str::to_ascii_uppercase),
        _ => value.to_owned(),
    }
}

/// The members of a list, each once and in one order.
fn set(value: &str, each: impl Fn(&str) -> String) -> String {
    let members: BTreeSet<String> =
        value.split(',').map(|part| each(part.trim())).filter(|part| !part.is_empty()).collect();
    members.into_iter().collect::<Vec<_>>().join(", ")
}

/// `Name = "Value"` as `name=value`; the value of a charset is of no case either.
fn parameter(part: &str, is_of_type: bool) -> String {
    let Some((name, value)) = part.split_once('=') else { return part.trim().to_ascii_lowercase() };
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
    let is_of_no_case = is_of_type && name == "charset";
    if is_of_no_case { format!("{name}={}", value.to_ascii_lowercase()) } else { format!("{name}={value}") }
}

fn cookies(answer: &Answer) -> BTreeSet<String> {
    let values = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(COOKIE));
    values.filter_map(|(_, value)| value.split(['=', ';']).next()).map(|name| name.trim().to_owned()).collect()
}
