//! The status line of the demo: where the migration stands and what the callers saw.
//!
//! # Why by the admin API
//!
//! The line shows what an operator's own script would see, so a broken API shows here first.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use crate::demo::fault::Fault;
use crate::demo::load::Counts;

const PATIENCE: Duration = Duration::from_secs(2);
const BODY_BYTES_MAX: usize = 1 << 20;

/// An unchanged line is repeated after this long.
pub const REPEAT: Duration = Duration::from_secs(10);

/// Where the demo's migration stands, of all the API tells.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Standing {
    /// In force on this router: the kill file shows here, too.
    #[serde(rename = "effective_mode")]
    pub mode: String,
    pub percent: f64,
    pub revision: u64,
}

/// Asks one admin side about one migration.
#[derive(Debug)]
pub struct Asker {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: String,
    token: String,
}

impl Asker {
    pub fn new(admin: SocketAddr, migration: &str, token: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, uri: format!("http://{admin}/api/v1/migrations/{migration}"), token: token.into() }
    }

    pub async fn ask(&self) -> anyhow::Result<Standing> {
        tokio::time::timeout(PATIENCE, self.answer()).await.context("the admin side does not answer")?
    }

    async fn answer(&self) -> anyhow::Result<Standing> {
        let request = Request::builder()
            .uri(&self.uri)
            .header("authorization", format!("Bearer {}", self.token))
            .body(Full::default())?;
        let response = self.client.request(request).await.context("the admin side cannot be reached")?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
        anyhow::ensure!(status.is_success(), "the admin side answers {status}");
        serde_json::from_slice(&body).context("the admin side answers something else than a migration")
    }
}

/// Decides when a line is worth printing, so that the terminal does not scroll for nothing.
#[derive(Debug, Default)]
pub struct Line {
    shown: Option<Shown>,
}

#[derive(Clone, Debug, PartialEq)]
struct Shown {
    standing: Option<Standing>,
    fault: Fault,
    counts: Counts,
    at: Duration,
}

impl Line {
    /// The line to print now, `at` this long after the start, or none.
    pub fn next(&mut self, standing: Option<Standing>, fault: Fault, counts: Counts, at: Duration) -> Option<String> {
        let before = self.shown.as_ref();
        let changed = before.is_none_or(|before| {
            before.standing != standing || before.fault != fault || (before.counts.errors == 0) != (counts.errors == 0)
        });
        if !changed && before.is_some_and(|before| at.saturating_sub(before.at) < REPEAT) {
            return None;
        }
        let since = before.map(|before| before.counts).unwrap_or_default();
        let line = write(standing.as_ref(), fault, counts, since, at);
        self.shown = Some(Shown { standing, fault, counts, at });
        Some(line)
    }
}

/// Counts are those since the line before, because a share of everything since the start hides a change.
fn write(standing: Option<&Standing>, fault: Fault, counts: Counts, since: Counts, at: Duration) -> String {
    let (legacy, new) = (counts.legacy - since.legacy, counts.new - since.new);
    let standing = match standing {
        Some(Standing { mode, percent, revision }) => format!("{mode} {percent} %, revision {revision}"),
        None => "the admin side does not answer".into(),
    };
    let share = if legacy + new == 0 { 0.0 } else { new as f64 * 100.0 / (legacy + new) as f64 };
    let errors = match (counts.errors, counts.errors - since.errors) {
        (0, _) => "no errors".into(),
        (all, recent) => format!("errors {recent} ({all} since the start)"),
    };
    let fault = match fault {
        Fault::None => String::new(),
        fault => format!(" | fault of Python: {fault}"),
    };
    let seconds = at.as_secs();
    format!("{seconds:>4} s  {standing} | TypeScript {legacy}, Python {new} ({share:.0} %), {errors}{fault}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(percent: f64) -> Option<Standing> {
        Some(Standing { mode: "gradual".into(), percent, revision: 1 })
    }

    fn counts(legacy: u64, new: u64, errors: u64) -> Counts {
        Counts { legacy, new, errors }
    }

    #[test]
    fn a_line_is_printed_when_something_changed_or_after_a_while() {
        let mut line = Line::default();
        let mut check = |percent, fault, counts, seconds, expected: bool| {
            let text = line.next(standing(percent), fault, counts, Duration::from_secs(seconds));
            assert_eq!(text.is_some(), expected, "at {seconds} s: {text:?}");
        };
        check(10.0, Fault::None, counts(0, 0, 0), 0, true);
        check(10.0, Fault::None, counts(36, 4, 0), 2, false);
        check(25.0, Fault::None, counts(70, 9, 0), 4, true);
        check(25.0, Fault::Fail, counts(90, 9, 0), 6, true);
        check(25.0, Fault::Fail, counts(99, 9, 3), 8, true);
        check(25.0, Fault::Fail, counts(120, 9, 9), 10, false);
        check(25.0, Fault::Fail, counts(150, 9, 9), 18, true);
    }

    #[test]
    fn a_line_counts_since_the_one_before() {
        let mut line = Line::default();
        line.next(standing(10.0), Fault::None, counts(90, 10, 0), Duration::from_secs(2));
        let text = line.next(standing(25.0), Fault::Slow, counts(165, 35, 2), Duration::from_secs(9));
        assert_eq!(
            text.as_deref(),
            Some(
                "   9 s  gradual 25 %, revision 1 | TypeScript 75, Python 25 (25 %), errors 2 (2 since the start) | fault of Python: slow"
            )
        );
    }
}
