//! An incoming webhook of Slack: a sentence for screens that show one line, and blocks for the others.
//!
//! Slack acts on `<`, `>` and `&` in its markup, so they are escaped: a reason must not ring everybody's phone. An incoming
//! webhook has no ids, so where several routers tell of the same, one of them is chosen.

use metrics::notice::{Notice, Severity, place};
use serde_json::{Value, json};

use super::message::cut;

/// Slack's limits, in characters.
const HEADER_CHARS_MAX: usize = 150;
const SECTION_CHARS_MAX: usize = 3_000;

/// Escaping makes of one character up to five.
const TEXT_CHARS_MAX: usize = SECTION_CHARS_MAX / 5;

pub(super) fn body(notice: &Notice, environment: &str) -> Value {
    let mark = match notice.severity {
        Severity::Page => ":rotating_light: ",
        Severity::Ticket => ":warning: ",
        Severity::Info => "",
    };
    let (from, to) = (place(notice.from), place(notice.to));
    let way = if from == to { to } else { format!("{from} to {to}") };
    let facts = format!(
        "{environment} | {migration} | {way} | revision {revision} | by {actor}",
        migration = notice.migration,
        revision = notice.revision,
        actor = cut(&notice.actor, 100),
    );
    let mut facts = escaped(&facts);
    if let Some(url) = &notice.dashboard_url {
        facts.push_str(&format!(" | <{}|dashboard>", escaped(url)));
    }
    let text = escaped(&cut(&notice.text, TEXT_CHARS_MAX));
    json!({
        "text": text,
        "blocks": [
            { "type": "header", "text": { "type": "plain_text", "text": cut(&format!("{mark}{}", notice.title), HEADER_CHARS_MAX), "emoji": true } },
            { "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } },
            { "type": "context", "elements": [{ "type": "mrkdwn", "text": facts, "verbatim": true }] },
        ],
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
