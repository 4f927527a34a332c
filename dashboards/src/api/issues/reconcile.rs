//! Webhooks that never arrived: their sender is asked now.

use axum::Json;
use axum::extract::State;
use flags::control::Control;
use metrics::events::SenderAsked;

use super::ledger;
use super::letters::{TouchBody, TouchParams};
use crate::Shared;
use crate::api::changes::problem;
use crate::api::request::{Holder, JsonBody, Operator, Params};
use crate::api::values;
use crate::problem::{Code, Problem};
use crate::reconcile::NotAsked;
use crate::wire::reconciled::ReconciledView;

/// Asks the sender what it could not deliver and has that delivered again; tells which changed issues the ledger does not know.
///
/// It is this router that asks, whichever of the fleet does so by itself. Takes as long as the sender does, a minute at most.
#[utoipa::path(
    post, path = "/issues/reconcile", tag = "issues", params(TouchParams), request_body = TouchBody,
    responses((status = 200, body = ReconciledView))
)]
pub(crate) async fn reconcile(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    Params(params): Params<TouchParams>,
    JsonBody(body): JsonBody<TouchBody>,
) -> Result<Json<ReconciledView>, Problem> {
    let (_, migration) = ledger(&shared, params.migration.as_deref())?;
    let reason = values::reason(body.reason.as_deref())?;
    let person = Control::person(&actor, &reason).map_err(problem)?;
    if !params.dry_run {
        SenderAsked { migration: &migration, actor: &person.actor, reason: &person.reason }.emit();
    }
    let found = shared.reconcile.ask(&migration, params.dry_run).await.map_err(|why| not_asked(&why))?;
    Ok(Json(ReconciledView::new(params.dry_run, found)))
}

fn not_asked(why: &NotAsked) -> Problem {
    match why {
        NotAsked::NotSet => Problem::new(
            Code::NothingToAsk,
            "the file does not say whom to ask: give the route `issues: {reconcile: {token, repositories}}`",
        ),
        NotAsked::Silent(pause) => {
            let seconds = pause.as_secs().max(1);
            let detail = format!(
                "the sender limits how often it is asked and wants to hear nothing for {seconds} s: try again then"
            );
            Problem::new(Code::SenderSilent, detail).retry_after(seconds)
        }
        NotAsked::Failed(error) => {
            let shown: String = error.chars().take(400).collect();
            Problem::new(Code::SenderFailed, format!("the sender could not be asked: {}", shown.escape_debug()))
        }
    }
}
