//! `/api/v1`: the calls of the admin API and their OpenAPI document, declared together.
//!
//! A route is registered with its documentation or not at all, so the document cannot lack one. What every
//! call has in common (the problem body, the bearer token) is written into it once, here.

mod changes;
pub(crate) mod comparison;
mod counts;
mod decision;
mod events;
pub(crate) mod evidence;
mod freeze;
mod history;
mod issues;
mod migrations;
mod mismatches;
mod movement;
mod outcomes;
mod pins;
mod replicas;
pub(crate) mod request;
mod reseed;
mod rules;
mod series;
pub(crate) mod session;
pub(crate) mod upstreams;
pub(crate) mod values;

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, RefOr, ResponseBuilder,
    SecurityRequirement,
};
use utoipa::{PartialSchema as _, ToSchema as _};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Shared;
use crate::problem::ProblemBody;

pub(crate) use changes::{Asked, ChangeParams, change};
pub(crate) use decision::{Hypothetical, decide};

const PREFIX: &str = "/api/v1";

/// The routes of the API and the call that describes them.
pub(crate) fn router() -> Router<Shared> {
    let (router, document) = documented();
    let document: Arc<str> = document.to_json().unwrap_or_default().into();
    let describe = move || {
        let document = Arc::clone(&document);
        async move { ([("content-type", "application/json")], document.to_string()).into_response() }
    };
    router.route("/api/v1/openapi.json", get(describe))
}

fn documented() -> (Router<Shared>, OpenApi) {
    let calls = OpenApiRouter::new()
        .routes(routes!(migrations::list))
        .routes(routes!(migrations::one))
        .routes(routes!(migrations::mode))
        .routes(routes!(migrations::rollout))
        .routes(routes!(migrations::rollback))
        .routes(routes!(migrations::rollback_all))
        .routes(routes!(reseed::reseed))
        .routes(routes!(migrations::acknowledge))
        .routes(routes!(migrations::undo))
        .routes(routes!(freeze::read, freeze::freeze, freeze::thaw))
        .routes(routes!(pins::list))
        .routes(routes!(pins::put, pins::delete))
        .routes(routes!(decision::explain))
        .routes(routes!(history::page))
        .routes(routes!(counts::counts))
        .routes(routes!(evidence::evidence))
        .routes(routes!(comparison::comparison))
        .routes(routes!(mismatches::list))
        .routes(routes!(mismatches::one))
        .routes(routes!(rules::list, rules::accept))
        .routes(routes!(rules::remove))
        .routes(routes!(outcomes::report))
        .routes(routes!(issues::list))
        .routes(routes!(issues::totals))
        .routes(routes!(issues::audit))
        .routes(routes!(issues::show))
        .routes(routes!(issues::letters::dead_letters))
        .routes(routes!(issues::letters::quarantine))
        .routes(routes!(issues::letters::replay_many))
        .routes(routes!(issues::letters::discard_many))
        .routes(routes!(issues::letters::replay))
        .routes(routes!(issues::letters::discard))
        .routes(routes!(issues::again::replay_delivered))
        .routes(routes!(issues::reconcile::reconcile))
        .routes(routes!(issues::reports::heartbeat))
        .routes(routes!(issues::reports::finish))
        .routes(routes!(issues::reports::handoff))
        .routes(routes!(issues::reports::fence, issues::reports::check_fence))
        .routes(routes!(series::series))
        .routes(routes!(events::events))
        .routes(routes!(replicas::list))
        .routes(routes!(upstreams::list))
        .routes(routes!(session::sign_in))
        .routes(routes!(session::begin, session::who, session::end))
        .routes(routes!(session::tokens))
        .routes(routes!(session::sessions))
        .routes(routes!(session::revoke));
    let (router, mut document) = OpenApiRouter::with_openapi(frame()).nest(PREFIX, calls).split_for_parts();
    document.paths.paths.values_mut().for_each(common);
    (router, document)
}

/// The document without its calls.
fn frame() -> OpenApi {
    let info = InfoBuilder::new().title("Crossfade admin API").version(env!("CARGO_PKG_VERSION")).description(Some(
        "Reads and changes where migrations stand. Every change needs a reason, takes If-Match with the ETag of the \
             migration, ?dry_run=true and ?wait=10s. Errors are RFC 9457 problems with a stable code.",
    ));
    let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let mut components = ComponentsBuilder::new().security_scheme("token", bearer).build();
    components.schemas.insert(ProblemBody::name().into(), ProblemBody::schema());
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>("token", [])]))
        .build()
}

/// What every call may answer besides what it says itself.
fn common(item: &mut PathItem) {
    let calls = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
    for call in calls.into_iter().flatten() {
        let body = ContentBuilder::new().schema(Some(utoipa::openapi::Ref::from_schema_name("Problem"))).build();
        let response = ResponseBuilder::new()
            .description("What went wrong, with a stable code")
            .content("application/problem+json", body)
            .build();
        call.responses.responses.insert("default".into(), RefOr::T(response));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What scripts may call. A line that goes away breaks somebody.
    const CALLS: &str = "\
DELETE /api/v1/freeze
DELETE /api/v1/migrations/{id}/pins/{key}
DELETE /api/v1/migrations/{id}/rules/{rule}
DELETE /api/v1/session
DELETE /api/v1/sessions/{id}
GET /api/v1/events
GET /api/v1/freeze
GET /api/v1/issues
GET /api/v1/issues/audit
GET /api/v1/issues/dead-letters
GET /api/v1/issues/quarantine
GET /api/v1/issues/totals
GET /api/v1/issues/{id}
GET /api/v1/issues/{id}/fence
GET /api/v1/migrations
GET /api/v1/migrations/{id}
GET /api/v1/migrations/{id}/comparison
GET /api/v1/migrations/{id}/counts
GET /api/v1/migrations/{id}/decision
GET /api/v1/migrations/{id}/evidence
GET /api/v1/migrations/{id}/history
GET /api/v1/migrations/{id}/mismatches
GET /api/v1/migrations/{id}/mismatches/{fingerprint}
GET /api/v1/migrations/{id}/pins
GET /api/v1/migrations/{id}/rules
GET /api/v1/migrations/{id}/series
GET /api/v1/replicas
GET /api/v1/session
GET /api/v1/sessions
GET /api/v1/sign-in
GET /api/v1/tokens
GET /api/v1/upstreams
POST /api/v1/issues/discard
POST /api/v1/issues/reconcile
POST /api/v1/issues/replay
POST /api/v1/issues/replay-delivered
POST /api/v1/issues/{id}/discard
POST /api/v1/issues/{id}/fence
POST /api/v1/issues/{id}/finish
POST /api/v1/issues/{id}/handoff
POST /api/v1/issues/{id}/heartbeat
POST /api/v1/issues/{id}/replay
POST /api/v1/migrations/{id}/acknowledge
POST /api/v1/migrations/{id}/outcomes
POST /api/v1/migrations/{id}/rollback
POST /api/v1/migrations/{id}/rules
POST /api/v1/migrations/{id}/undo
POST /api/v1/reseed
POST /api/v1/rollback
POST /api/v1/session
PUT /api/v1/freeze
PUT /api/v1/migrations/{id}/mode
PUT /api/v1/migrations/{id}/pins/{key}
PUT /api/v1/migrations/{id}/rollout
";

    #[test]
    fn the_calls_are_pinned() {
        let (_, document) = documented();
        let mut calls = Vec::new();
        for (path, item) in &document.paths.paths {
            let methods = [("GET", &item.get), ("PUT", &item.put), ("POST", &item.post), ("DELETE", &item.delete)];
            calls.extend(
                methods.iter().filter(|(_, call)| call.is_some()).map(|(method, _)| format!("{method} {path}\n")),
            );
        }
        calls.sort_unstable();
        assert_eq!(calls.concat(), CALLS);
    }

    #[test]
    fn the_document_is_openapi_3_1_and_every_reference_resolves() {
        let (_, document) = documented();
        let value = serde_json::to_value(&document).unwrap();
        assert!(value["openapi"].as_str().unwrap().starts_with("3.1"), "{}", value["openapi"]);
        let text = value.to_string();
        let names: Vec<&str> =
            text.split("\"$ref\":\"#/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
        assert!(names.len() > 20, "{}", names.len());
        for name in names {
            assert!(value.pointer(&format!("/{name}")).is_some(), "{name} is referred to and not there");
        }
    }
}
