//! Asks GitHub what it could not deliver, and has it delivered again.
//!
//! # Why asked for
//!
//! GitHub does not send a webhook again by itself. What came while every router was gone is known there alone, as a failed
//! delivery; a redelivery has the same id, so one that has arrived after all is a duplicate and done once.
//!
//! Beside that, issues that were changed of late and that the ledger has never heard of are told to the operator. Events
//! are not made up for them: what happened to them, and whether it counts, only their webhook would say.
//!
//! Each router of a fleet asks. Pages, redeliveries and pauses are bounded; a first page that has not changed costs
//! nothing (ETag), and a server that asks for silence gets it. Not supported: webhooks of organisations and apps.

mod page;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use flags::ledger::IssueId;
use http::header::{ACCEPT, AUTHORIZATION, ETAG, IF_NONE_MATCH, USER_AGENT};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use page::{Attempt, Hook, Issue, never_arrived, next_page, silence};
use serde::de::DeserializeOwned;

use super::office::Office;
use crate::config::issues::Reconcile;
use crate::outgoing::{causes, connector};

/// Pages of one list that are read at most: 100 entries each.
const PAGES_MAX: usize = 10;

/// Redeliveries that one turn asks for.
const REDELIVERIES_MAX: usize = 50;

/// Deliveries that are older are not offered again by GitHub.
const OLDEST: Duration = Duration::from_secs(3 * 86_400 - 3_600);

/// How far back issues are looked for at the first turn.
const FIRST_LOOK: Duration = Duration::from_secs(3_600);

const ANSWER_MAX: Duration = Duration::from_secs(20);
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// Lists that are remembered by their ETag.
const TAGS_MAX: usize = 10_000;

/// Why a turn ended early.
pub(crate) enum Stopped {
    Silence(Duration),
    Failed(String),
}

/// What one turn did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) redelivered: usize,
    pub(crate) unknown: usize,
}

/// A list, or the news that it has not changed.
struct Listed<T> {
    items: Vec<T>,
    unchanged: bool,
}

pub(crate) struct Reconciler {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    tags: HashMap<String, String>,
    since: Timestamp,
}

/// Runs for as long as the office does; without `reconcile` in the file it only waits for one.
pub(crate) async fn run(office: &Office) {
    let mut reconciler = None;
    loop {
        let settings = office.route.load().reconcile.clone();
        let Some(settings) = settings else {
            tokio::time::sleep(Duration::from_secs(5)).await;
            continue;
        };
        if reconciler.is_none() {
            reconciler = Reconciler::new(&settings).inspect_err(|error| office.told.unreconciled(error)).ok();
        }
        let mut pause = settings.interval;
        if let Some(own) = &mut reconciler {
            match own.turn(office, &settings).await {
                Ok(turn) => office.told.reconciled(turn),
                Err(Stopped::Silence(asked)) => pause = pause.max(asked),
                Err(Stopped::Failed(error)) => office.told.unreconciled(&error),
            }
        }
        tokio::time::sleep(pause).await;
    }
}

impl Reconciler {
    pub(crate) fn new(settings: &Reconcile) -> Result<Self, String> {
        let connector = connector(None, settings.api.starts_with("https:"))?;
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(connector);
        Ok(Self { client, tags: HashMap::new(), since: Timestamp::now() - FIRST_LOOK })
    }

    async fn turn(&mut self, office: &Office, settings: &Reconcile) -> Result<Turn, Stopped> {
        let begun = Timestamp::now();
        let mut turn = Turn::default();
        for repository in &settings.repositories {
            turn.redelivered += self.redeliver(office, settings, repository).await?;
            turn.unknown += self.sweep(office, settings, repository).await?;
        }
        self.since = begun;
        Ok(turn)
    }

    /// Has everything delivered again that never arrived at our route.
    async fn redeliver(&mut self, office: &Office, settings: &Reconcile, repository: &str) -> Result<usize, Stopped> {
        let route = office.route.load_full();
        let hooks = format!("{}/repos/{repository}/hooks", settings.api);
        let listed: Listed<Hook> = self.list(settings, &format!("{hooks}?per_page=100"), false, |_| true).await?;
        let ours = |hook: &Hook| hook.active && hook.config.url.trim_end_matches('/').ends_with(&route.path);
        let oldest = Timestamp::now() - OLDEST;
        let mut done = 0;
        for hook in listed.items.into_iter().filter(ours) {
            let deliveries = format!("{hooks}/{}/deliveries", hook.id);
            let recent = |attempt: &Attempt| attempt.delivered_at > oldest;
            let listed = self.list(settings, &format!("{deliveries}?per_page=100"), true, recent).await?;
            if listed.unchanged {
                continue;
            }
            for lost in never_arrived(&listed.items, &route.actions) {
                if done == REDELIVERIES_MAX {
                    return Ok(done);
                }
                let address = format!("{deliveries}/{}/attempts", lost.id);
                let (status, _, _) = self.ask(settings, Method::POST, &address, None).await?;
                office.told.redelivered(&lost.guid, status);
                done += 1;
            }
        }
        Ok(done)
    }

    /// Tells of issues that were changed and that the ledger does not know.
    async fn sweep(&mut self, office: &Office, settings: &Reconcile, repository: &str) -> Result<usize, Stopped> {
        let since = self.since.strftime("%Y-%m-%dT%H:%M:%SZ");
        let api = &settings.api;
        let address = format!("{api}/repos/{repository}/issues?state=all&sort=updated&per_page=100&since={since}");
        let listed: Listed<Issue> = self.list(settings, &address, false, |_| true).await?;
        let mut unknown = 0;
        for issue in listed.items.into_iter().filter(|issue| issue.pull_request.is_none()) {
            let Ok(id) = IssueId::of(repository, &issue.number.to_string()) else { continue };
            // One that the ledger cannot tell of now is looked at in the next turn.
            let Ok(standing) = office.ledger().standing(&office.migration, &id).await else { continue };
            if standing.is_empty() {
                office.told.unknown(&id);
                unknown += 1;
            }
        }
        Ok(unknown)
    }

    /// The entries of all pages, as far as they are wanted.
    async fn list<T: DeserializeOwned>(
        &mut self,
        settings: &Reconcile,
        first: &str,
        tagged: bool,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Listed<T>, Stopped> {
        let mut listed = Listed { items: Vec::new(), unchanged: false };
        let mut next = Some(first.to_owned());
        let known = if tagged { self.tags.get(first).cloned() } else { None };
        for page in 0..PAGES_MAX {
            let Some(address) = next.take() else { break };
            let tag = known.as_deref().filter(|_| page == 0);
            let (status, fields, body) = self.ask(settings, Method::GET, &address, tag).await?;
            if status == 304 {
                listed.unchanged = true;
                break;
            }
            if !(200..=299).contains(&status) {
                return Err(Stopped::Failed(format!("{address} answered {status}: look at the token and its rights")));
            }
            let items: Vec<T> = serde_json::from_slice(&body)
                .map_err(|error| Stopped::Failed(format!("{address} does not read: {error}")))?;
            let whole = items.iter().all(&wanted);
            listed.items.extend(items.into_iter().filter(&wanted));
            next = next_page(&fields, &settings.api).filter(|_| whole);
            if page == 0 && tagged && self.tags.len() < TAGS_MAX {
                let tag = fields.get(ETAG).and_then(|tag| tag.to_str().ok());
                tag.into_iter().for_each(|tag| _ = self.tags.insert(first.to_owned(), tag.to_owned()));
            }
        }
        Ok(listed)
    }

    async fn ask(
        &self,
        settings: &Reconcile,
        method: Method,
        address: &str,
        tag: Option<&str>,
    ) -> Result<(u16, HeaderMap, Bytes), Stopped> {
        let token = String::from_utf8_lossy(settings.token.value.bytes()).into_owned();
        let mut request = Request::builder()
            .method(method)
            .uri(address)
            .header(ACCEPT, "application/vnd.github+json")
            .header("X-GitHub-Api-Version", "2022-11-28")
            .header(USER_AGENT, concat!("crossfade/", env!("CARGO_PKG_VERSION")))
            .header(AUTHORIZATION, format!("Bearer {token}"));
        if let Some(tag) = tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let failed = |why: String| Stopped::Failed(format!("{address}: {why}"));
        let request = request.body(Full::default()).map_err(|error| failed(error.to_string()))?;
        let asking = async {
            let answer = self.client.request(request).await.map_err(|error| failed(causes(&error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
            Ok((head.status.as_u16(), head.headers, body))
        };
        let (status, fields, body) =
            tokio::time::timeout(ANSWER_MAX, asking).await.map_err(|_| failed("no answer in time".into()))??;
        let asked = silence(status, &fields, Timestamp::now().as_second());
        match asked {
            Some(asked) if !(200..=399).contains(&status) => Err(Stopped::Silence(asked)),
            Some(_) | None => Ok((status, fields, body)),
        }
    }
}
