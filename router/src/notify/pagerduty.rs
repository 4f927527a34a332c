//! Events for PagerDuty (Events API v2): one incident for each migration and kind, resolved by what ends it.
//!
//! The key by which PagerDuty knows an incident again is the same on every router, so a fleet opens one.

use metrics::notice::{Kind, Notice, Severity, place};
use serde_json::{Value, json};

use super::message::{cut, record};

/// PagerDuty's limit of a summary, in characters.
const SUMMARY_CHARS_MAX: usize = 1_024;

/// One event a call: what starts, or each that is over; a test starts and is over.
pub(super) fn events(notice: &Notice, environment: &str, routing_key: &str) -> Vec<Value> {
    if notice.kind.lasts() {
        return vec![trigger(notice, environment, routing_key)];
    }
    if notice.kind == Kind::Test {
        return vec![trigger(notice, environment, routing_key), resolve(Kind::Test, notice, environment, routing_key)];
    }
    notice.kind.ends().iter().map(|kind| resolve(*kind, notice, environment, routing_key)).collect()
}

fn trigger(notice: &Notice, environment: &str, routing_key: &str) -> Value {
    let severity = match notice.severity {
        Severity::Page => "critical",
        Severity::Ticket => "warning",
        Severity::Info => "info",
    };
    let mut event = json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": key(notice.kind, notice, environment),
        "client": "crossfade",
        "payload": {
            "summary": cut(&format!("{}: {}", notice.title, notice.text), SUMMARY_CHARS_MAX),
            "source": format!("crossfade/{environment}"),
            "severity": severity,
            "timestamp": notice.time.to_string(),
            "component": notice.migration,
            "group": environment,
            "class": notice.kind.name(),
            "custom_details": {
                "actor": notice.actor,
                "revision": notice.revision,
                "from": place(notice.from),
                "to": place(notice.to),
                "record": record(notice),
            },
        },
    });
    if let Some(url) = &notice.dashboard_url {
        event["client_url"] = json!(url);
    }
    event
}

fn resolve(kind: Kind, notice: &Notice, environment: &str, routing_key: &str) -> Value {
    json!({
        "routing_key": routing_key,
        "event_action": "resolve",
        "dedup_key": key(kind, notice, environment),
    })
}

fn key(kind: Kind, notice: &Notice, environment: &str) -> String {
    format!("crossfade/{environment}/{}/{kind}", notice.migration)
}
