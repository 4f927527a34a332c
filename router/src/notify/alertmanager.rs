//! Alerts for an Alertmanager, which groups, silences and forwards them as it does those of Prometheus.
//!
//! An alert is known by its labels, so these are the same when it starts and when it ends, whatever severity the notice has.
//! Nobody repeats an alert here, so it ends by itself after a day where nothing ends it sooner.

use http::Uri;
use jiff::{SignedDuration, Timestamp};
use metrics::notice::{Kind, Notice, place};
use serde_json::{Value, json};

use super::message::cut;

const LASTS_FOR: SignedDuration = SignedDuration::from_hours(24);

/// How long one is open that only tries whether it arrives.
const TEST_LASTS_FOR: SignedDuration = SignedDuration::from_mins(1);

const TEXT_CHARS_MAX: usize = 2_000;

const PATH: &str = "/api/v2/alerts";

/// The address that takes alerts, whether or not its path was written.
pub(super) fn uri(base: &Uri) -> Uri {
    let path = base.path().trim_end_matches('/');
    let path = if path.ends_with(PATH) { path.to_owned() } else { format!("{path}{PATH}") };
    let mut parts = base.clone().into_parts();
    parts.path_and_query = path.parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| base.clone())
}

/// The body of one call: what starts, or what is over; nothing where the notice is neither.
pub(super) fn alerts(notice: &Notice, environment: &str) -> Option<Value> {
    let alert = |kind: Kind, starts: Option<Timestamp>, ends: Timestamp| {
        let mut alert = json!({
            "labels": {
                "alertname": name(kind),
                "severity": kind.severity().name(),
                "migration": notice.migration,
                "environment": environment,
            },
            "annotations": {
                "summary": cut(&notice.title, TEXT_CHARS_MAX),
                "description": cut(&notice.text, TEXT_CHARS_MAX),
                "actor": cut(&notice.actor, TEXT_CHARS_MAX),
                "revision": notice.revision.to_string(),
                "from": place(notice.from),
                "to": place(notice.to),
            },
            "endsAt": ends.to_string(),
        });
        if let Some(starts) = starts {
            alert["startsAt"] = json!(starts.to_string());
        }
        if let Some(url) = &notice.dashboard_url {
            alert["generatorURL"] = json!(url);
        }
        alert
    };
    let until = |length: SignedDuration| notice.time.checked_add(length).unwrap_or(Timestamp::MAX);
    if notice.kind == Kind::Test {
        return Some(json!([alert(Kind::Test, Some(notice.time), until(TEST_LASTS_FOR))]));
    }
    if notice.kind.lasts() {
        return Some(json!([alert(notice.kind, Some(notice.time), until(LASTS_FOR))]));
    }
    let over: Vec<Value> = notice.kind.ends().iter().map(|kind| alert(*kind, None, notice.time)).collect();
    (!over.is_empty()).then_some(Value::Array(over))
}

/// `CrossfadeNoData` for `no_data`.
fn name(kind: Kind) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    format!("Crossfade{}", kind.name().split('_').map(word).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, whole: &str) {
        assert_eq!(uri(&base.parse().unwrap()).to_string(), whole);
    }

    #[test]
    fn the_path_is_added_where_it_is_missing() {
        check("http://h:9093", "http://h:9093/api/v2/alerts");
        check("http://h:9093/", "http://h:9093/api/v2/alerts");
        check("https://h/prefix/", "https://h/prefix/api/v2/alerts");
        check("https://h/prefix/api/v2/alerts", "https://h/prefix/api/v2/alerts");
    }

    #[test]
    fn names_are_those_of_alerts() {
        assert_eq!((name(Kind::NoData), name(Kind::Hold)), ("CrossfadeNoData".into(), "CrossfadeHold".into()));
    }
}
