//! What systems say of issues they work on, and what people say of whose they are.
//!
//! A system that does not own an issue at the epoch that it names is refused with 409 `fenced`, and has to stop its work:
//! the issue may be somebody else's by now.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use flags::control::Control;
use flags::ledger::{DeliveryId, Fence, Handed, IssueId, Lane, Report, Reported, Standing, Why, Word};
use flags::{MigrationId, Side};
use jiff::Timestamp;
use metrics::events::{IssueHandedOver, ReportFenced};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::letters::TouchParams;
use super::{Of, issue, ledger, unknown};
use crate::Shared;
use crate::api::changes::{problem, store_problem};
use crate::api::request::{Holder, JsonBody, Operator, Params, PathPart, Reporter};
use crate::api::values;
use crate::problem::{Code, Problem};
use crate::wire::issues::time;
use crate::wire::side_schema;

/// The longest name of a workflow, in bytes.
const WORKFLOW_BYTES_MAX: usize = 128;

/// The longest silence that a system may declare, in seconds: a day.
const SILENCE_SECONDS_MAX: f64 = 86_400.0;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeartbeatBody {
    /// Who works on it.
    #[schema(schema_with = side_schema)]
    side: String,
    /// The `Crossfade-Fence` that the event came with.
    fence: String,
    /// The id of the event that it is about, so that a report which comes late or twice is not taken for a later event's.
    #[serde(default)]
    delivery: Option<String>,
    #[serde(default)]
    workflow: Option<String>,
    /// How long the work may be silent from now on, where that is more than 60 s.
    #[serde(default)]
    silent_seconds: Option<f64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FinishBody {
    /// Who has worked on it.
    #[schema(schema_with = side_schema)]
    side: String,
    /// The `Crossfade-Fence` that the event came with.
    fence: String,
    /// The id of the event that it is about, so that a report which comes late or twice is not taken for a later event's.
    #[serde(default)]
    delivery: Option<String>,
    #[serde(default)]
    workflow: Option<String>,
    #[serde(default)]
    success: Option<bool>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandoffBody {
    #[schema(schema_with = side_schema)]
    to: String,
    /// Of the issue as it was looked at.
    epoch: u64,
    /// Nobody works on it: move it now, not when its owner reports the end or the lease has run out.
    #[serde(default)]
    force: bool,
    #[schema(required, value_type = String)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FenceBody {
    #[schema(schema_with = side_schema)]
    side: String,
    fence: String,
}

/// How the lease of an issue stands after a report.
#[derive(Serialize, ToSchema)]
#[schema(as = IssueReported)]
pub(crate) struct ReportedView {
    issue: String,
    /// `renewed`, `ended` or `handed_over`.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    lease_until: Option<Timestamp>,
}

/// What became of a handoff.
#[derive(Serialize, ToSchema)]
#[schema(as = IssueHandoff)]
pub(crate) struct HandoffView {
    issue: String,
    /// `handed_over`, `waiting` for the end of work or of its lease, or `already` there.
    status: &'static str,
    to: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    lease_until: Option<Timestamp>,
}

/// Whose an issue is.
#[derive(Serialize, ToSchema)]
#[schema(as = IssueFence)]
pub(crate) struct FenceView {
    issue: String,
    owners: Vec<OwnerView>,
    /// Whether the given fence is the present one of the given side; with POST.
    #[serde(skip_serializing_if = "Option::is_none")]
    holds: Option<bool>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = IssueOwner)]
pub(crate) struct OwnerView {
    lane: &'static str,
    #[schema(schema_with = side_schema)]
    owner: &'static str,
    fence: String,
}

fn impossible(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidValue, detail)
}

fn fence_of(text: &str) -> Result<Fence, Problem> {
    Fence::parse(text).ok_or_else(|| {
        impossible("\"fence\" is what the event had in Crossfade-Fence: two numbers with a point between them")
    })
}

fn workflow(text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.len() > WORKFLOW_BYTES_MAX => {
            Err(impossible(format!("\"workflow\" has {} bytes: {WORKFLOW_BYTES_MAX} are kept at most", text.len())))
        }
        text => Ok(text),
    }
}

fn silence(seconds: f64) -> Result<u64, Problem> {
    // Written so that what is no number is refused, too.
    if !(0.0..=SILENCE_SECONDS_MAX).contains(&seconds) {
        return Err(impossible(format!("\"silent_seconds\" is {seconds}: use 0 to {SILENCE_SECONDS_MAX}")));
    }
    Ok(u64::try_from(Duration::from_secs_f64(seconds).as_millis()).unwrap_or(u64::MAX))
}

fn fenced(issue: &IssueId, owner: Side, epoch: u64) -> Problem {
    let shown = issue.as_str().escape_debug();
    let detail = format!(
        "issue \"{shown}\" is {owner}'s at epoch {epoch}: stop the work on it, what was reported changes nothing"
    );
    Problem::new(Code::Fenced, detail).with("owner", owner.name()).with("epoch", epoch)
}

/// Tells the ledger what a system says, and everybody else where it must not.
pub(crate) async fn tell(shared: &Shared, migration: &MigrationId, report: &Report) -> Result<Reported, Problem> {
    let ledger = shared.control.ledger(migration).map_err(problem)?;
    let reported = ledger.report(migration, report).await.map_err(|error| store_problem(&error))?;
    let cells = shared.observer.issues();
    match reported {
        Reported::Fenced { owner, epoch, split_brain } => {
            ReportFenced { migration, report, owner, epoch, split_brain }.emit(cells);
            Err(fenced(&report.issue, owner, epoch))
        }
        Reported::Unknown => Err(unknown(&report.issue, migration)),
        Reported::HandedOver { to, epoch } => {
            IssueHandedOver { migration, issue: &report.issue, to, epoch }.emit(cells);
            Ok(reported)
        }
        Reported::Renewed { .. } | Reported::Ended => Ok(reported),
    }
}

/// What a fence of another generation is: the ledger was begun anew, and nobody owns what it says.
async fn check_generation(
    shared: &Shared,
    migration: &MigrationId,
    issue: &IssueId,
    side: Side,
    fence: Fence,
) -> Result<(), Problem> {
    let ledger = shared.control.ledger(migration).map_err(problem)?;
    let standing = ledger.standing(migration, issue).await.map_err(|error| store_problem(&error))?;
    let own = standing.iter().find(|own| own.lane == Lane::Only || own.owner == side);
    match own {
        None => Err(unknown(issue, migration)),
        Some(own) if own.generation != fence.generation => Err(fenced(issue, own.owner, own.epoch)),
        Some(_) => Ok(()),
    }
}

/// What a heartbeat and an end have in common.
struct Said {
    side: String,
    fence: String,
    delivery: Option<String>,
    workflow: Option<String>,
    word: Word,
}

async fn said(shared: &Shared, id: &str, of: &Of, said: Said) -> Result<Json<ReportedView>, Problem> {
    let Said { side, fence, delivery, workflow: name, word } = said;
    let (_, migration) = ledger(shared, of.migration.as_deref())?;
    let (issue, side, fence) = (issue(id)?, values::side(&side)?, fence_of(&fence)?);
    let delivery = delivery.map(|delivery| DeliveryId::new(&delivery)).transpose();
    let delivery = delivery.map_err(|error| impossible(error.to_string()))?;
    let report = Report { issue, side, epoch: fence.epoch, word, delivery, workflow: workflow(name)? };
    check_generation(shared, &migration, &report.issue, side, fence).await?;
    let (status, lease_until) = match tell(shared, &migration, &report).await? {
        Reported::Renewed { until_ms } => ("renewed", Some(time(until_ms))),
        Reported::HandedOver { .. } => ("handed_over", None),
        Reported::Ended | Reported::Fenced { .. } | Reported::Unknown => ("ended", None),
    };
    Ok(Json(ReportedView { issue: report.issue.to_string(), status, lease_until }))
}

/// Says that the work on an issue goes on, and renews its lease. Expected every 15 s.
#[utoipa::path(
    post, path = "/issues/{id}/heartbeat", tag = "issues",
    params(("id" = String, Path), Of), request_body = HeartbeatBody, responses((status = 200, body = ReportedView))
)]
pub(crate) async fn heartbeat(
    State(shared): State<Shared>,
    _: Reporter,
    PathPart(id): PathPart<String>,
    Params(of): Params<Of>,
    JsonBody(body): JsonBody<HeartbeatBody>,
) -> Result<Json<ReportedView>, Problem> {
    let word = Word::Heartbeat { max_ms: body.silent_seconds.map(silence).transpose()? };
    let (side, fence, delivery, workflow) = (body.side, body.fence, body.delivery, body.workflow);
    said(&shared, &id, &of, Said { side, fence, delivery, workflow, word }).await
}

/// Says that the work on an issue has ended. A move that waited for it is made.
#[utoipa::path(
    post, path = "/issues/{id}/finish", tag = "issues",
    params(("id" = String, Path), Of), request_body = FinishBody, responses((status = 200, body = ReportedView))
)]
pub(crate) async fn finish(
    State(shared): State<Shared>,
    _: Reporter,
    PathPart(id): PathPart<String>,
    Params(of): Params<Of>,
    JsonBody(body): JsonBody<FinishBody>,
) -> Result<Json<ReportedView>, Problem> {
    let word = Word::Ended { success: body.success };
    let (side, fence, delivery, workflow) = (body.side, body.fence, body.delivery, body.workflow);
    said(&shared, &id, &of, Said { side, fence, delivery, workflow, word }).await
}

/// Gives an issue to a side: as soon as nobody can be working on it, or with `force` at once.
#[utoipa::path(
    post, path = "/issues/{id}/handoff", tag = "issues",
    params(("id" = String, Path), TouchParams), request_body = HandoffBody,
    responses((status = 200, body = HandoffView))
)]
pub(crate) async fn handoff(
    State(shared): State<Shared>,
    Holder(actor): Operator,
    PathPart(id): PathPart<String>,
    Params(params): Params<TouchParams>,
    JsonBody(body): JsonBody<HandoffBody>,
) -> Result<Json<HandoffView>, Problem> {
    let (ledger, migration) = ledger(&shared, params.migration.as_deref())?;
    let (issue, to) = (issue(&id)?, values::side(&body.to)?);
    let person = Control::person(&actor, &values::reason(body.reason.as_deref())?).map_err(problem)?;
    let handed = if params.dry_run {
        let shown = ledger.show(&migration, &issue).await.map_err(|error| store_problem(&error))?;
        let Some(shown) = shown else { return Err(unknown(&issue, &migration)) };
        would_be(&shown, body.epoch, to, body.force)
    } else {
        let handed = ledger.hand_over(&migration, &issue, body.epoch, to, Some(&person), why(body.force)).await;
        handed.map_err(|error| store_problem(&error))?
    };
    if let (Handed::Over { epoch }, false) = (handed, params.dry_run) {
        IssueHandedOver { migration: &migration, issue: &issue, to, epoch }.emit(shared.observer.issues());
    }
    let view = |status, epoch, lease_until| {
        Ok(Json(HandoffView { issue: issue.to_string(), status, to: to.name(), epoch, lease_until }))
    };
    match handed {
        Handed::Over { epoch } => view("handed_over", Some(epoch), None),
        Handed::Waiting { lease_until_ms } => view("waiting", None, Some(time(lease_until_ms))),
        Handed::Already => view("already", Some(body.epoch), None),
        Handed::Busy { until_ms } => {
            let detail =
                "an event of this issue is being sent right now, and may be accepted: try again when that is over";
            let busy = Problem::new(Code::IssueBusy, detail).retry_after(5);
            Err(busy.with("until", time(until_ms).to_string()))
        }
        Handed::Fenced { epoch } => {
            let detail = format!("the issue is at epoch {epoch} by now: look at it again, then decide");
            Err(Problem::new(Code::Fenced, detail).with("epoch", epoch))
        }
        Handed::Parallel => {
            let detail = "in parallel mode each side has a part of its own, which stays where it is";
            Err(Problem::new(Code::Refused, detail))
        }
        Handed::Unknown => Err(unknown(&issue, &migration)),
    }
}

/// The same on a copy.
fn would_be(shown: &flags::ledger::view::Shown, epoch: u64, to: Side, force: bool) -> Handed {
    let Some(record) = shown.records.first() else { return Handed::Unknown };
    record.listed.record.clone().hand_over(record.listed.at.lane, epoch, to, why(force), shown.now_ms)
}

const fn why(force: bool) -> Why {
    if force { Why::Operator } else { Why::Safe }
}

fn owners(standing: &[Standing]) -> Vec<OwnerView> {
    let view = |one: &Standing| {
        let fence = Fence { generation: one.generation, epoch: one.epoch };
        OwnerView { lane: one.lane.name(), owner: one.owner.name(), fence: fence.to_string() }
    };
    standing.iter().map(view).collect()
}

/// Whose an issue is now.
#[utoipa::path(
    get, path = "/issues/{id}/fence", tag = "issues",
    params(("id" = String, Path), Of), responses((status = 200, body = FenceView))
)]
pub(crate) async fn fence(
    State(shared): State<Shared>,
    _: Reporter,
    PathPart(id): PathPart<String>,
    Params(of): Params<Of>,
) -> Result<Json<FenceView>, Problem> {
    let (ledger, migration) = ledger(&shared, of.migration.as_deref())?;
    let issue = issue(&id)?;
    let standing = ledger.standing(&migration, &issue).await.map_err(|error| store_problem(&error))?;
    if standing.is_empty() {
        return Err(unknown(&issue, &migration));
    }
    Ok(Json(FenceView { issue: issue.to_string(), owners: owners(&standing), holds: None }))
}

/// Whether a fence is the present one of a side: a system asks before it does what cannot be taken back.
#[utoipa::path(
    post, path = "/issues/{id}/fence", tag = "issues",
    params(("id" = String, Path), Of), request_body = FenceBody, responses((status = 200, body = FenceView))
)]
pub(crate) async fn check_fence(
    State(shared): State<Shared>,
    _: Reporter,
    PathPart(id): PathPart<String>,
    Params(of): Params<Of>,
    JsonBody(body): JsonBody<FenceBody>,
) -> Result<Json<FenceView>, Problem> {
    let (ledger, migration) = ledger(&shared, of.migration.as_deref())?;
    let (issue, side, fence) = (issue(&id)?, values::side(&body.side)?, fence_of(&body.fence)?);
    let standing = ledger.standing(&migration, &issue).await.map_err(|error| store_problem(&error))?;
    if standing.is_empty() {
        return Err(unknown(&issue, &migration));
    }
    let is_own = |one: &Standing| one.owner == side && (one.generation, one.epoch) == (fence.generation, fence.epoch);
    let holds = Some(standing.iter().any(is_own));
    Ok(Json(FenceView { issue: issue.to_string(), owners: owners(&standing), holds }))
}
