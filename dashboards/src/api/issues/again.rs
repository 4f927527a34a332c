//! Events that were delivered, sent once more.

use axum::Json;
use axum::extract::State;
use flags::MigrationId;
use flags::control::Control;
use flags::ledger::DeliveryId;
use flags::ledger::past::{Again, Past, Resent};
use jiff::Timestamp;
use metrics::events::IssueResent;
use serde::Deserialize;
use utoipa::ToSchema;

use super::letters::TouchParams;
use super::{issue, ledger};
use crate::Shared;
use crate::api::changes::{problem, store_problem};
use crate::api::request::{Holder, JsonBody, Operator, Params};
use crate::api::values;
use crate::problem::{Code, Problem};
use crate::wire::resent::{ResentView, why};

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AgainBody {
    #[schema(required, value_type = String)]
    reason: Option<String>,
    /// One delivery, by its id; instead of the others.
    delivery: Option<String>,
    /// Those of one issue.
    issue: Option<String>,
    /// Delivered no earlier than this; needed where no issue is named.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Delivered before this; now unless said.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

/// Which events are meant.
enum Meant {
    One(DeliveryId),
    Many(Past),
}

/// Sends events that were delivered once more, each to the system that had it, under the same id: one by its id, or those of
/// an issue or a time, 200 with one call.
///
/// Bodies are kept for a day after the delivery. By issue or time, events are found among the newest 20,000 things that
/// happened; `from` says how far back that is, where there may be older ones. What went to the other side since is not sent.
#[utoipa::path(
    post, path = "/issues/replay-delivered", tag = "issues", params(TouchParams), request_body = AgainBody,
    responses((status = 200, body = ResentView))
)]
pub(crate) async fn replay_delivered(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    Params(params): Params<TouchParams>,
    JsonBody(body): JsonBody<AgainBody>,
) -> Result<Json<ResentView>, Problem> {
    let (ledger, id) = ledger(&shared, params.migration.as_deref())?;
    let person = Control::person(&actor, &values::reason(body.reason.as_deref())?).map_err(problem)?;
    let (events, mut view) = match meant(&body)? {
        Meant::One(delivery) => (vec![delivery], ResentView::new(params.dry_run)),
        Meant::Many(past) => {
            let found = ledger.delivered(&id, &past).await.map_err(|error| store_problem(&error))?;
            let view = ResentView::new(params.dry_run).between(&found);
            (found.events, view)
        }
    };
    let as_of = as_of(&shared, &id);
    let told = ledger.resend(&id, &events, as_of, &person, params.dry_run).await;
    let told = told.map_err(|error| store_problem(&error))?;
    if body.delivery.is_some() {
        refused(&told)?;
    }
    for again in told.iter().filter(|again| again.resent == Resent::Again && !params.dry_run) {
        IssueResent { migration: &id, again, actor: &person.actor, reason: &person.reason }
            .emit(shared.observer.issues());
    }
    view.tell(&told);
    Ok(Json(view))
}

/// The mode as it is on this router, and the revision that it is of.
fn as_of(shared: &Shared, id: &MigrationId) -> (flags::Mode, u64) {
    let snapshot = shared.watch.current();
    let mode = snapshot.find(id).map(|at| snapshot.effective_mode(at));
    (mode.unwrap_or(flags::Mode::EmergencyRollback), snapshot.revision().0)
}

fn meant(body: &AgainBody) -> Result<Meant, Problem> {
    let impossible = |detail: &str| Err(Problem::new(Code::InvalidValue, detail));
    let AgainBody { reason: _, delivery, issue: of, since, until } = body;
    if let Some(delivery) = delivery {
        if of.is_some() || since.is_some() || until.is_some() {
            return impossible("name one \"delivery\", or an \"issue\" or a time, and not both");
        }
        let delivery = DeliveryId::new(delivery);
        return delivery.map(Meant::One).map_err(|error| Problem::new(Code::InvalidValue, error.to_string()));
    }
    if of.is_none() && since.is_none() {
        return impossible("say which events: by \"delivery\", by \"issue\", or delivered \"since\" a time");
    }
    let ms = |time: Timestamp| u64::try_from(time.as_millisecond()).unwrap_or_default();
    let past = Past {
        issue: of.as_deref().map(issue).transpose()?,
        since_ms: since.map_or(0, ms),
        until_ms: until.map_or(u64::MAX, ms),
    };
    if past.since_ms >= past.until_ms {
        return impossible("\"since\" is not before \"until\"");
    }
    Ok(Meant::Many(past))
}

/// One that was named and of which nothing comes is a problem.
fn refused(told: &[Again]) -> Result<(), Problem> {
    let Some(first) = told.first().filter(|_| told.iter().all(|again| again.resent != Resent::Again)) else {
        return Ok(());
    };
    let shown = first.delivery.as_str().escape_debug();
    let code = if first.resent == Resent::Unknown { Code::UnknownDelivery } else { Code::NotReplayable };
    Err(Problem::new(code, format!("delivery \"{shown}\" is not sent once more: {}", why(first.resent))))
}
