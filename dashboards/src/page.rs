//! The status page at `/` and the story's dashboard, until the real dashboard comes.
//!
//! # Why the server renders it twice over
//!
//! The page is complete as it arrives, without a script; the script only fetches it again and swaps
//! what lives. So there is one place that knows what a migration looks like, and it escapes
//! everything. Without a token the page shows what `/metrics` and `/readyz` tell anybody; who
//! changed what and why, and the replicas, are added for a token that the script sends along.

mod html;

use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use jiff::Timestamp;

use crate::Shared;
use crate::api::request::identify;
use crate::probes::degradations;
use crate::problem::Problem;
use crate::story;
use crate::wire::{MigrationView, ReplicaView};

const SCRIPT: &str = include_str!("../ui/app.js");
const STYLE: &str = include_str!("../ui/style.css");
const ICON: &str = include_str!("../ui/icon.svg");

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
    migrations: Vec<MigrationView>,
    /// What a token adds.
    known: Option<Known>,
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
    let migrations = wanted.map(|(at, ..)| {
        let view = MigrationView::new(&snapshot, at, shared.health.as_ref(), &shared.board, &upstreams);
        let last_change = view.last_change.filter(|_| known.is_some());
        MigrationView { last_change, ..view }
    });
    Ok(Page {
        environment: &shared.environment,
        replica: &shared.replica,
        revision: snapshot.revision().0,
        store_reachable: shared.watch.store_health().reachable,
        degradations: degradations(shared),
        migrations: migrations.collect(),
        known,
    })
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
