//! What the pages of GitHub's API say: which deliveries failed, which issues are there, and how long to be silent.
//!
//! Source: GitHub's REST API, "Repository webhooks", "Issues" and "Best practices for using the REST API".

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;

/// The longest that a server may ask us to be silent.
const SILENT_MAX: Duration = Duration::from_secs(3_600);

/// How long we are silent where it refuses and does not say for how long.
const SILENT: Duration = Duration::from_secs(60);

/// A webhook as GitHub knows it.
#[derive(Debug, Deserialize)]
pub(crate) struct Hook {
    pub(crate) id: u64,
    #[serde(default)]
    pub(crate) active: bool,
    #[serde(default)]
    pub(crate) config: HookConfig,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct HookConfig {
    #[serde(default)]
    pub(crate) url: String,
}

/// One attempt of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) id: u64,
    pub(crate) guid: String,
    pub(crate) delivered_at: jiff::Timestamp,
    #[serde(default)]
    pub(crate) status_code: u16,
    #[serde(default)]
    pub(crate) event: String,
    #[serde(default)]
    pub(crate) action: Option<String>,
}

/// An issue, or a pull request, which GitHub lists among them.
#[derive(Debug, Deserialize)]
pub(crate) struct Issue {
    pub(crate) number: u64,
    #[serde(default)]
    pub(crate) pull_request: Option<serde_json::Value>,
}

/// The newest attempt of each delivery of which none has arrived, the oldest first.
///
/// 4xx of ours count as arrived: the webhook was refused with a reason, and would be again.
pub(crate) fn never_arrived(attempts: &[Attempt], actions: &[String]) -> Vec<Attempt> {
    let mut by_guid: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
    for attempt in attempts {
        by_guid.entry(&attempt.guid).or_default().push(attempt);
    }
    let arrived = |attempt: &&Attempt| matches!(attempt.status_code, 200..=299 | 400..=428 | 430..=499);
    let counts = |attempt: &Attempt| {
        let action = attempt.action.as_ref();
        attempt.event == "issues" && (actions.is_empty() || action.is_some_and(|own| actions.contains(own)))
    };
    let lost = by_guid.into_values().filter(|all| !all.iter().any(arrived));
    let newest = lost.filter_map(|all| all.into_iter().max_by_key(|attempt| attempt.delivered_at)).cloned();
    let mut newest: Vec<Attempt> = newest.filter(|attempt| counts(attempt)).collect();
    newest.sort_by_key(|attempt| attempt.delivered_at);
    newest
}

/// The address of the next page, where the `Link` field names one of the same server.
pub(crate) fn next_page(fields: &HeaderMap, api: &str) -> Option<String> {
    let links = fields.get(http::header::LINK)?.to_str().ok()?;
    links.split(',').find_map(|link| {
        let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = rest.split(';').any(|part| part.trim() == "rel=\"next\"");
        (next && address.starts_with(&format!("{api}/"))).then(|| address.to_owned())
    })
}

/// How long the server wants to hear nothing, `now` in seconds since 1970.
pub(crate) fn silence(status: u16, fields: &HeaderMap, now: i64) -> Option<Duration> {
    let number = |name: &str| fields.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let asked = number("retry-after").or_else(|| {
        let spent = number("x-ratelimit-remaining") == Some(0);
        number("x-ratelimit-reset").filter(|_| spent).map(|reset| reset - now)
    });
    let asked = asked.map(|seconds| Duration::from_secs(u64::try_from(seconds.max(1)).unwrap_or(1)));
    let refused = matches!(status, 403 | 429);
    asked.or(refused.then_some(SILENT)).map(|asked| asked.min(SILENT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(id: u64, guid: &str, second: i64, status_code: u16, action: &str) -> Attempt {
        let delivered_at = jiff::Timestamp::from_second(second).unwrap();
        Attempt {
            id,
            guid: guid.into(),
            delivered_at,
            status_code,
            event: "issues".into(),
            action: Some(action.into()),
        }
    }

    #[test]
    fn a_delivery_is_lost_when_none_of_its_attempts_has_arrived() {
        let attempts = [
            attempt(1, "a", 10, 503, "opened"),
            attempt(2, "a", 20, 502, "opened"),
            attempt(3, "b", 11, 504, "edited"),
            attempt(4, "b", 30, 202, "edited"),
            attempt(5, "c", 5, 0, "labeled"),
            attempt(6, "d", 6, 500, "closed"),
            attempt(7, "e", 7, 422, "opened"),
            attempt(8, "f", 8, 429, "opened"),
        ];
        let actions: Vec<String> = ["opened", "edited", "labeled"].map(String::from).into();
        let lost: Vec<u64> = never_arrived(&attempts, &actions).iter().map(|own| own.id).collect();
        assert_eq!(lost, [5, 8, 2]);
        assert_eq!(never_arrived(&attempts, &[]).len(), 4);
    }

    fn fields(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn pages_follow_each_other_on_one_server() {
        let link = "<https://h/api/x?cursor=2>; rel=\"next\", <https://h/api/x>; rel=\"first\"";
        assert_eq!(next_page(&fields(&[("link", link)]), "https://h/api").as_deref(), Some("https://h/api/x?cursor=2"));
        assert_eq!(next_page(&fields(&[("link", link)]), "https://other"), None);
        assert_eq!(next_page(&fields(&[]), "https://h"), None);
    }

    #[test]
    fn a_server_that_asks_for_silence_gets_it() {
        let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1090")];
        assert_eq!(silence(200, &fields(&spent), 1_000), Some(Duration::from_secs(90)));
        assert_eq!(silence(200, &fields(&[("x-ratelimit-remaining", "9"), spent[1]]), 1_000), None);
        assert_eq!(silence(429, &fields(&[("retry-after", "7")]), 0), Some(Duration::from_secs(7)));
        assert_eq!(silence(403, &fields(&[("retry-after", "99999")]), 0), Some(SILENT_MAX));
        assert_eq!(silence(403, &fields(&[]), 0), Some(SILENT));
        assert_eq!(silence(200, &fields(&[]), 0), None);
    }
}
