//! The services behind the sides, as this router meets them.

use axum::Json;
use axum::extract::State;
use flags::Side;
use flags::migration::MigrationId;
use serde::Serialize;
use utoipa::ToSchema;

use super::request::Viewer;
use crate::Shared;
use crate::health::EndpointHealth;
use crate::wire::side_schema;

/// Which side of which migration an upstream is.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServesView {
    #[schema(value_type = String)]
    id: MigrationId,
    #[schema(schema_with = side_schema)]
    side: Side,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Upstream)]
pub(crate) struct UpstreamView {
    name: String,
    endpoints: Vec<EndpointHealth>,
    /// Empty for one that only routes of its own lead to.
    migrations: Vec<ServesView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Upstreams)]
pub(crate) struct UpstreamsView {
    /// In the order of the file.
    upstreams: Vec<UpstreamView>,
}

/// Every upstream of the file, whether its endpoints answer this router, and what it serves.
#[utoipa::path(get, path = "/upstreams", tag = "upstreams", responses((status = 200, body = UpstreamsView)))]
pub(crate) async fn list(State(shared): State<Shared>, _: Viewer) -> Json<UpstreamsView> {
    Json(UpstreamsView { upstreams: upstreams(&shared) })
}

pub(crate) fn upstreams(shared: &Shared) -> Vec<UpstreamView> {
    let snapshot = shared.watch.current();
    let serves = |name: &str| {
        let sides = snapshot.iter().flat_map(|(_, own, _)| Side::ALL.map(|side| (own, side)));
        sides
            .filter(|(own, side)| own.upstream(*side) == name)
            .map(|(own, side)| ServesView { id: own.id.clone(), side })
            .collect()
    };
    let view = |own: crate::health::UpstreamHealth| UpstreamView {
        migrations: serves(&own.name),
        name: own.name,
        endpoints: own.endpoints,
    };
    shared.health.upstreams().into_iter().map(view).collect()
}
