//! What a webhook says: which delivery it is, what happened, and to which issue.
//!
//! Read once, after its signature was found good. What cannot be read is told in words that name the place in the body, so
//! that an operator can mend the file or the sender.
//!
//! Bodies are JSON, or a form whose field `payload` is JSON, as GitHub sends it on request. Not supported: other encodings,
//! compressed bodies.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use flags::KeySource;
use flags::bucket::HashKind;
use flags::key::Request;
use flags::ledger::{DeliveryId, HEADER_BYTES_MAX, IssueId};
use serde_json::Value;

use crate::config::issues::{IssueRoute, Pointer, Preset};

/// Fields of one hop, of one connection or of this router's own, which do not go on with a delivery.
const KEPT_BACK: [&str; 21] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
];

/// As many bytes of fields are kept, with room for one of our own.
const KEPT_BYTES_MAX: usize = HEADER_BYTES_MAX - 256;

/// How fields begin that senders of webhooks give a meaning.
const NEEDED: [&str; 4] = ["x-github-", "x-hub-signature", "x-gitlab-", "webhook-"];

/// The longest word for what happened that is kept.
const ACTION_CHARS_MAX: usize = 64;

/// The fields that came with a webhook and go on with it, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Takes those that go on; one that is no text is not among them, because nothing here reads it.
    pub(crate) fn collect<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Self {
        let mut list = Vec::new();
        for (name, value) in fields {
            let (Ok(name), Ok(value)) = (str::from_utf8(name), str::from_utf8(value)) else { continue };
            let lower = name.to_ascii_lowercase();
            if !KEPT_BACK.contains(&lower.as_str()) && !lower.starts_with("crossfade-") {
                list.push((name.to_owned(), value.to_owned()));
            }
        }
        Self(list)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The one value of a field; an error where it is there twice.
    pub(crate) fn only(&self, name: &str) -> Result<Option<&str>, ()> {
        let mut values = self.0.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(()),
            (first, None) => Ok(first.map(|(_, value)| value.as_str())),
        }
    }

    /// As many bytes of fields as the ledger keeps; where there are more, only those that a receiver needs.
    pub(crate) fn bounded(mut self, route: &IssueRoute) -> Self {
        if self.bytes() > KEPT_BYTES_MAX {
            let needed = |name: &str| {
                let name = name.to_ascii_lowercase();
                let own = matches!(&route.delivery_id, KeySource::Header(own) if *own == name);
                let known = ["content-type", "content-encoding", "user-agent"].contains(&name.as_str());
                own || known || name == route.signature.header || NEEDED.iter().any(|start| name.starts_with(start))
            };
            self.0.retain(|(name, _)| needed(name));
        }
        while self.bytes() > KEPT_BYTES_MAX {
            self.0.pop();
        }
        self
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// One more that this router says.
    pub(crate) fn say(&mut self, name: &str, value: String) {
        self.0.push((name.into(), value));
    }

    pub(crate) fn into_list(self) -> Vec<(String, String)> {
        self.0
    }

    pub(crate) fn from_list(list: Vec<(String, String)>) -> Self {
        Self(list)
    }

    #[cfg(test)]
    pub(super) fn of(list: &[(&str, &str)]) -> Self {
        Self(list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect())
    }
}

/// What a webhook turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The sender looks whether anybody is there.
    Ping,
    /// What happened does not count here.
    Ignored {
        action: Option<String>,
    },
    Event(Event),
}

/// Something happened to an issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) delivery: DeliveryId,
    pub(crate) issue: IssueId,
    /// What the issue is placed by: all of its name, or its number alone where the hash takes numbers.
    pub(crate) key: String,
    pub(crate) action: String,
    /// When the sender changed the issue, as it says.
    pub(crate) changed: Option<String>,
}

/// Why a webhook that was signed cannot be taken, in words for whoever sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    NotJson(String),
    NoDelivery(String),
    NoKey(String),
    NotANumber(String),
}

impl Unreadable {
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::NotJson(words) | Self::NoDelivery(words) | Self::NoKey(words) | Self::NotANumber(words) => words,
        }
    }

    /// The word by which a counter and the quarantine know it.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not_json",
            Self::NoDelivery(_) => "no_delivery_id",
            Self::NoKey(_) => "no_key",
            Self::NotANumber(_) => "not_a_number",
        }
    }
}

/// Reads a webhook whose signature is good.
pub(crate) fn read(route: &IssueRoute, hash: HashKind, fields: &Fields, body: &[u8]) -> Result<Read, Unreadable> {
    if route.preset == Preset::Github && fields.get("x-github-event") == Some("ping") {
        return Ok(Read::Ping);
    }
    let text = document(fields, body)?;
    let document: Value =
        serde_json::from_slice(&text).map_err(|error| Unreadable::NotJson(format!("the body is not JSON: {error}")))?;
    let action = route.action.as_ref().and_then(|source| found(source, fields, &document));
    let counts = |action: &str| route.actions.iter().any(|own| own == action);
    if !route.actions.is_empty() && !action.as_deref().is_some_and(counts) {
        return Ok(Read::Ignored { action: action.map(|action| short(&action)) });
    }
    let delivery = found(&route.delivery_id, fields, &document).ok_or_else(|| {
        Unreadable::NoDelivery(format!("nothing names this delivery: {} is not there", route.delivery_id))
    })?;
    let delivery = DeliveryId::new(&delivery).map_err(|error| Unreadable::NoDelivery(error.to_string()))?;
    let (issue, number) = issue(&route.key, &document)?;
    let key = match hash {
        HashKind::Bucket => issue.as_str().to_owned(),
        HashKind::Modulo if number.bytes().all(|byte| byte.is_ascii_digit()) => number,
        HashKind::Modulo => {
            let words = format!("{} is no whole number, and the migration places by one", last(&route.key));
            return Err(Unreadable::NotANumber(words));
        }
    };
    let changed = route.order_by.as_ref().and_then(|pointer| document.pointer(pointer.as_str())).and_then(plain);
    let changed = changed.map(|text| short(&text)).filter(|text| text.is_ascii());
    let action = action.map(|action| short(&action)).unwrap_or_default();
    Ok(Read::Event(Event { delivery, issue, key, action, changed }))
}

/// The JSON of a body, out of the form that it may be wrapped in.
fn document<'a>(fields: &Fields, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Unreadable> {
    let kind = fields.get("content-type").unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Ok(Cow::Borrowed(body));
    }
    let mut parts = body.split(|byte| *byte == b'&');
    let Some(value) = parts.find_map(|part| part.strip_prefix(b"payload=")) else {
        let words =
            "the body is a form without the field payload: set the content type of the webhook to application/json";
        return Err(Unreadable::NotJson(words.into()));
    };
    let spaced: Vec<u8> = value.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Ok(Cow::Owned(percent_encoding::percent_decode(&spaced).collect()))
}

fn found(source: &KeySource, fields: &Fields, document: &Value) -> Option<String> {
    match source {
        KeySource::Header(name) => fields.get(name).filter(|value| !value.is_empty()).map(str::to_owned),
        KeySource::Json(pointer) => document.pointer(pointer).and_then(plain),
        KeySource::Cookie(_) | KeySource::Path(_) | KeySource::Query(_) | KeySource::Jwt(_) | KeySource::ClientIp => {
            None
        }
    }
}

/// A value that can be a name.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(_) | Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The name of the issue and its last part.
fn issue(key: &[Pointer], document: &Value) -> Result<(IssueId, String), Unreadable> {
    let mut name = String::new();
    let mut number = String::new();
    for pointer in key {
        let Some(part) = document.pointer(pointer.as_str()).and_then(plain) else {
            return Err(Unreadable::NoKey(format!("nothing names the issue: {pointer} is neither text nor a number")));
        };
        if !name.is_empty() || pointer != &key[0] {
            name = format!("{}#", name.replace('#', "%23"));
        }
        name.push_str(&part);
        number = part;
    }
    let issue = IssueId::new(&name).map_err(|error| Unreadable::NoKey(error.to_string()))?;
    Ok((issue, number))
}

fn last(key: &[Pointer]) -> &str {
    key.last().map_or("", Pointer::as_str)
}

fn short(action: &str) -> String {
    action.chars().filter(|c| !c.is_control()).take(ACTION_CHARS_MAX).collect()
}

/// A delivery as rules and decisions see it: no connection is left of it, only what was kept.
#[derive(Debug)]
pub(crate) struct Kept<'a> {
    pub(crate) fields: &'a Fields,
    pub(crate) body: &'a [u8],
}

impl Request for Kept<'_> {
    fn method(&self) -> &[u8] {
        b"POST"
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.fields.get(name).map(str::as_bytes)
    }

    fn headers<'a>(&'a self, name: &str, each: &mut dyn FnMut(&'a [u8])) {
        let named = self.fields.0.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        named.for_each(|(_, value)| each(value.as_bytes()));
    }

    fn path_variable(&self, _: &str) -> Option<Cow<'_, [u8]>> {
        None
    }

    fn query(&self) -> Option<&[u8]> {
        None
    }

    fn body(&self) -> Option<&[u8]> {
        Some(self.body)
    }

    fn client_ip(&self) -> std::net::IpAddr {
        std::net::Ipv4Addr::UNSPECIFIED.into()
    }
}
