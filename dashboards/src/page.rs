//! The status page at `/` and the story's dashboard, until the real dashboard comes.
//!
//! # Why the server renders it twice over
//!
//! The page is complete as it arrives, without a script; the script only fetches it again and swaps
//! what lives. So there is one place that knows what a migration looks like, and it escapes
//! everything. Without a token the page shows what `/metrics` and `/readyz` tell anybody, and how both sides did in sum; who
//! changed what and why, and the replicas, are added for a token that the script sends along.
//!
//! # What a look costs
//!
//! A comparison reads ten minutes of counts from the store, and a page that is open asks every two seconds. So the
//! newest comparison of a migration serves all pages for a few seconds, and a page compares a bounded number of them.

mod guard;
mod html;
mod recent;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use flags::Migration;
use jiff::Timestamp;

pub(crate) use self::recent::Recent;
use crate::Shared;
use crate::api::comparison::ComparisonView;
use crate::api::evidence::{action_name, thresholds};
use crate::api::request::identify;
use crate::probes::degradations;
use crate::problem::Problem;
use crate::story;
use crate::wire::{MigrationView, ReplicaView};

const SCRIPT: &str = include_str!("../ui/app.js");
const STYLE: &str = include_str!("../ui/style.css");
const ICON: &str = include_str!("../ui/icon.svg");

/// Migrations that one page compares; of the others it shows the rest.
const COMPARED_MAX: usize = 32;

pub(crate) fn router() -> Router<Shared> {
    let file = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(CONTENT_TYPE, kind)], text).into_response() })
    };
    Router::new()
        .route("/", get(status))
        .route("/migration/dashboard", get(dashboard))
        .route("/ui/app.js", file("text/javascript; charset=utf-8", SCRIPT))
        .route("/ui/style.css", file("text/css; charset=utf-8", STYLE))
        .route("/ui/icon.svg", file("image/svg+xml", ICON))
}

/// What a page shows.
struct Page<'a> {
    environment: &'a str,
    replica: &'a str,
    revision: u64,
    store_reachable: bool,
    degradations: Vec<String>,
    cards: Vec<Card>,
    /// What a token adds.
    known: Option<Known>,
}

/// One migration as a page shows it.
struct Card {
    migration: MigrationView,
    judged: Judged,
}

/// What the guard says of it, and how both sides did.
struct Judged {
    action: &'static str,
    state: &'static str,
    why: String,
    cooldown_until: Option<Timestamp>,
    evidence: f64,
    /// The measure that says most, and what.
    loudest: Option<(String, f64)>,
    rollback_at: f64,
    /// Absent where the store does not answer, or where there are too many.
    comparison: Option<Arc<ComparisonView>>,
}

/// For holders of a token only.
struct Known {
    token: String,
    role: &'static str,
    /// Absent while the store does not answer.
    replicas: Option<Vec<ReplicaView>>,
}

async fn status(State(shared): State<Shared>, headers: HeaderMap) -> Result<Html<String>, Problem> {
    let page = page(&shared, &headers, None).await?;
    Ok(Html(html::status(&page)))
}

/// The story's page: the default migration and its quick actions.
async fn dashboard(State(shared): State<Shared>, headers: HeaderMap) -> Result<Html<String>, Problem> {
    let migration = story::default(&shared)?;
    let page = page(&shared, &headers, Some(migration.id.as_str())).await?;
    Ok(Html(html::dashboard(&page)))
}

async fn page<'a>(shared: &'a Shared, headers: &HeaderMap, only: Option<&str>) -> Result<Page<'a>, Problem> {
    let known = if headers.contains_key(AUTHORIZATION) { Some(known(shared, headers).await?) } else { None };
    let snapshot = shared.watch.current();
    let upstreams = shared.health.upstreams();
    let wanted = snapshot.iter().filter(|(_, migration, _)| only.is_none_or(|id| migration.id.as_str() == id));
    let mut cards = Vec::new();
    for (at, definition, _) in wanted {
        let view = MigrationView::new(&snapshot, at, shared.health.as_ref(), &shared.board, &upstreams);
        let last_change = view.last_change.filter(|_| known.is_some());
        let comparison =
            if cards.len() < COMPARED_MAX { shared.recent.compare(shared, &definition.id).await } else { None };
        let judged = judged(shared, definition, comparison);
        cards.push(Card { migration: MigrationView { last_change, ..view }, judged });
    }
    Ok(Page {
        environment: &shared.environment,
        replica: &shared.replica,
        revision: snapshot.revision().0,
        store_reachable: shared.watch.store_health().reachable,
        degradations: degradations(shared),
        cards,
        known,
    })
}

fn judged(shared: &Shared, definition: &Migration, comparison: Option<Arc<ComparisonView>>) -> Judged {
    let status = shared.board.get(&definition.id).unwrap_or_default();
    let measures = status.evidence.iter().filter(|(name, _)| *name != "all");
    let loudest = measures.max_by(|one, other| one.1.total_cmp(other.1)).map(|(name, own)| (name.clone(), *own));
    let now = Timestamp::now();
    Judged {
        action: action_name(definition.guard.action),
        state: status.state.name(),
        cooldown_until: status.cooldown_until().filter(|until| now < *until),
        evidence: status.e_value(),
        loudest,
        rollback_at: thresholds(&definition.guard).rollback,
        comparison,
        why: status.why,
    }
}

async fn known(shared: &Shared, headers: &HeaderMap) -> Result<Known, Problem> {
    let token = identify(headers, shared)?;
    let heartbeats = shared.control.replicas().await.ok();
    let now = Timestamp::now();
    let replicas = heartbeats.map(|words| {
        let mut replicas: Vec<_> = words.into_iter().map(|word| ReplicaView::new(word, now, &shared.replica)).collect();
        replicas.sort_by(|a, b| a.name.cmp(&b.name));
        replicas
    });
    Ok(Known { token: token.name.clone(), role: token.role.name(), replicas })
}
