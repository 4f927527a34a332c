//! What is sent for a notice: one request or several, each a pure function of the notice and the target.
//!
//! Strings in a notice may come from anybody who may change a migration; a format escapes and bounds them as its reader
//! needs. Not here: sending, and when to send again.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body_util::Full;
use jiff::Timestamp;
use metrics::notice::Notice;
use serde_json::{Value, json};

use super::{alertmanager, pagerduty, slack, webhook};
use crate::config::notify::{Channel, Secret};

/// A longer record stays behind: receivers refuse large bodies, and with them the sentence that matters.
const RECORD_BYTES_MAX: usize = 16 << 10;

/// One request to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(super) uri: Uri,
    pub(super) body: Bytes,
    pub(super) signature: Option<webhook::Signature>,
}

impl Message {
    pub(super) fn new(uri: &Uri, body: &Value) -> Self {
        Self { uri: uri.clone(), body: body.to_string().into(), signature: None }
    }

    /// The request of one try at this instant: a signature holds for its try alone.
    pub(super) fn request(&self, now: Timestamp) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::post(self.uri.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("crossfade/", env!("CARGO_PKG_VERSION")));
        if let Some(signature) = &self.signature {
            for (name, value) in signature.fields(&self.body, now) {
                request = request.header(name, HeaderValue::try_from(value)?);
            }
        }
        request.body(Full::new(self.body.clone()))
    }
}

/// What a target is sent of a notice, in this order; nothing where it has no use for it.
pub(crate) fn messages(channel: &Channel, notice: &Notice, environment: &str) -> Vec<Message> {
    match channel {
        Channel::Webhook { url, secret } => {
            let signature = webhook::Signature::new(&secret.value, notice, environment);
            let body = webhook::body(notice, environment);
            vec![Message { signature: Some(signature), ..Message::new(url.uri(), &body) }]
        }
        Channel::Slack { url } => vec![Message::new(url.value.uri(), &slack::body(notice, environment))],
        Channel::Alertmanager { url } => {
            let alerts = alertmanager::alerts(notice, environment);
            let uri = alertmanager::uri(url.uri());
            alerts.into_iter().map(|alerts| Message::new(&uri, &alerts)).collect()
        }
        Channel::PagerDuty { routing_key: key, url } => {
            let key = routing_key(&key.value);
            let events = pagerduty::events(notice, environment, &key);
            events.iter().map(|event| Message::new(url.uri(), event)).collect()
        }
    }
}

fn routing_key(key: &Secret) -> String {
    String::from_utf8_lossy(key.bytes()).into_owned()
}

/// The record of a notice, or why it is not there.
pub(super) fn record(notice: &Notice) -> Value {
    if notice.record.to_string().len() <= RECORD_BYTES_MAX {
        return notice.record.clone();
    }
    json!({ "left_out": "the record is longer than 16 KiB; `crossfade history` has it" })
}

/// The first characters of a text, with a mark where something was cut.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().nth(chars_max).is_none() {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(chars_max.saturating_sub(3)).collect();
    short.push_str("...");
    short
}

#[cfg(test)]
mod tests;
