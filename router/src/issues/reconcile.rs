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
//! One router of a fleet asks, and another as soon as that one is gone. Pages, redeliveries and pauses are bounded; a first page
//! that has not changed costs nothing (ETag), and a server that asks for silence gets it, also from a person who asks in
//! between. Not supported: webhooks of organisations and apps.

mod asking;
mod page;

pub(crate) use self::asking::{Asking, NotAsked, run};

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
pub(crate) use page::Attempt;
use page::{Hook, Issue, never_arrived, next_page, silence};
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

/// Entries of either kind that one turn tells of; more are done, and counted.
const TOLD_MAX: usize = 1_000;

/// Why a turn ended early.
#[derive(Debug)]
pub(crate) enum Stopped {
    Silence(Duration),
    Failed(String),
}

/// How a turn goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Lists that have not changed since the last turn are left out.
    Changed,
    /// Everything is looked at, because a person asks.
    Whole,
    /// The same, and nothing is asked for.
    DryRun,
}

/// A delivery that never arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) repository: String,
    pub(crate) attempt: Attempt,
    /// What the sender said to the request to deliver it again; none in a dry run.
    pub(crate) answered: Option<u16>,
}

/// What one turn found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) lost: Vec<Lost>,
    /// Issues that were changed and that the ledger does not know.
    pub(crate) unknown: Vec<IssueId>,
    /// There is more than is told, or than one turn asks for.
    pub(crate) more: bool,
}

/// A list, or the news that it has not changed.
struct Listed<T> {
    items: Vec<T>,
    unchanged: bool,
    tag: Option<String>,
}

pub(crate) struct Reconciler {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    tags: HashMap<String, String>,
    since: Timestamp,
}

impl Reconciler {
    pub(crate) fn new(settings: &Reconcile) -> Result<Self, String> {
        let connector = connector(None, settings.api.starts_with("https:"))?;
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(1).build(connector);
        Ok(Self { client, tags: HashMap::new(), since: Timestamp::now() - FIRST_LOOK })
    }

    async fn turn(&mut self, office: &Office, settings: &Reconcile, how: How) -> Result<Found, Stopped> {
        let begun = Timestamp::now();
        let mut found = Found::default();
        for repository in &settings.repositories {
            self.redeliver(office, settings, repository, how, &mut found).await?;
            self.sweep(office, settings, repository, &mut found).await?;
        }
        if how != How::DryRun {
            self.since = begun;
        }
        Ok(found)
    }

    /// Has everything delivered again that never arrived at our route.
    async fn redeliver(
        &mut self,
        office: &Office,
        settings: &Reconcile,
        repository: &str,
        how: How,
        found: &mut Found,
    ) -> Result<(), Stopped> {
        let route = office.route.load_full();
        let hooks = format!("{}/repos/{repository}/hooks", settings.api);
        let listed: Listed<Hook> = self.list(settings, &format!("{hooks}?per_page=100"), None, |_| true).await?;
        let ours = |hook: &Hook| hook.active && hook.config.url.trim_end_matches('/').ends_with(&route.path);
        let oldest = Timestamp::now() - OLDEST;
        let mut done = 0;
        for hook in listed.items.into_iter().filter(ours) {
            let deliveries = format!("{hooks}/{}/deliveries", hook.id);
            let first = format!("{deliveries}?per_page=100");
            let known = self.tags.get(&first).cloned().filter(|_| how == How::Changed);
            let recent = |attempt: &Attempt| attempt.delivered_at > oldest;
            let listed = self.list(settings, &first, known.as_deref(), recent).await?;
            if listed.unchanged {
                continue;
            }
            for attempt in never_arrived(&listed.items, &route.actions) {
                if done == REDELIVERIES_MAX {
                    found.more = true;
                    return Ok(());
                }
                done += 1;
                let mut lost = Lost { repository: repository.to_owned(), attempt, answered: None };
                if how != How::DryRun {
                    let address = format!("{deliveries}/{}/attempts", lost.attempt.id);
                    let (status, _, _) = self.ask(settings, Method::POST, &address, None).await?;
                    office.told.redelivered(&lost.attempt.guid, status);
                    lost.answered = Some(status);
                }
                keep(&mut found.lost, lost, &mut found.more);
            }
            // Only now: what was not asked for is to be looked at again.
            if let (Some(tag), true) = (listed.tag, how != How::DryRun && self.tags.len() < TAGS_MAX) {
                self.tags.insert(first, tag);
            }
        }
        Ok(())
    }

    /// Tells of issues that were changed and that the ledger does not know.
    async fn sweep(
        &self,
        office: &Office,
        settings: &Reconcile,
        repository: &str,
        found: &mut Found,
    ) -> Result<(), Stopped> {
        let since = self.since.strftime("%Y-%m-%dT%H:%M:%SZ");
        let api = &settings.api;
        let address = format!("{api}/repos/{repository}/issues?state=all&sort=updated&per_page=100&since={since}");
        let listed: Listed<Issue> = self.list(settings, &address, None, |_| true).await?;
        for issue in listed.items.into_iter().filter(|issue| issue.pull_request.is_none()) {
            let Ok(id) = IssueId::of(repository, &issue.number.to_string()) else { continue };
            // One that the ledger cannot tell of now is looked at in the next turn.
            let Ok(standing) = office.ledger().standing(&office.migration, &id).await else { continue };
            if standing.is_empty() {
                office.told.unknown(&id);
                keep(&mut found.unknown, id, &mut found.more);
            }
        }
        Ok(())
    }

    /// The entries of all pages, as far as they are wanted, unless the first page still has the tag that is known.
    async fn list<T: DeserializeOwned>(
        &self,
        settings: &Reconcile,
        first: &str,
        known: Option<&str>,
        wanted: impl Fn(&T) -> bool,
    ) -> Result<Listed<T>, Stopped> {
        let mut listed = Listed { items: Vec::new(), unchanged: false, tag: None };
        let mut next = Some(first.to_owned());
        for page in 0..PAGES_MAX {
            let Some(address) = next.take() else { break };
            let (status, fields, body) = self.ask(settings, Method::GET, &address, known.filter(|_| page == 0)).await?;
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
            if page == 0 {
                listed.tag = fields.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
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

fn keep<T>(list: &mut Vec<T>, one: T, more: &mut bool) {
    if list.len() < TOLD_MAX { list.push(one) } else { *more = true }
}
