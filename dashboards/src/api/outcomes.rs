//! Outcomes of work that ends after its request, as the systems report them.
//!
//! A report may come twice, late, or in parts: each part of a job counts once, whoever tells it how often. What is
//! impossible is refused with the remedy, and counts nothing.

use axum::Json;
use axum::extract::State;
use flags::Side;
use flags::control::ControlError;
use flags::ledger::{DeliveryId, IssueId, Report, Word};
use flags::state::PIN_KEY_BYTES_MAX;
use flags::store::StoreError;
use flags::store::records::outcome::{Outcome, OutcomeId, Parts, Quality, Recorded};
use flags::tally::Tally;
use jiff::{SignedDuration, Timestamp};
use metrics::observe::OutcomeResult;
use metrics::performance::work_counts;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::changes::{known, problem};
use super::issues::reports;
use super::request::{JsonBody, PathPart, Reporter};
use super::values;
use crate::Shared;
use crate::problem::{Code, Problem};
use crate::wire::side_schema;

/// How far a reporter's clock may be ahead.
const AHEAD_MAX: SignedDuration = SignedDuration::from_secs(60);

/// Work that took longer, or ended longer ago, is reported by mistake.
const DURATION_SECONDS_MAX: f64 = 30.0 * 86_400.0;

/// What is said of the work's quality; each member may come on its own, later.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(as = Quality)]
pub(crate) struct QualityBody {
    pr_accepted: Option<bool>,
    build_passed: Option<bool>,
    /// 0..1.
    score: Option<f64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Outcome)]
pub(crate) struct OutcomeBody {
    /// The job, 1 to 128 bytes: the same in every report about it.
    id: String,
    /// The sticky key that it was placed by, 1 to 512 bytes.
    #[serde(default)]
    key: Option<String>,
    #[schema(schema_with = side_schema)]
    side: String,
    /// Whether it succeeded, once it has ended.
    #[serde(default)]
    success: Option<bool>,
    /// How long it took; with `success`.
    #[serde(default)]
    duration_seconds: Option<f64>,
    #[serde(default)]
    quality: QualityBody,
    /// When it was given to its side, RFC 3339; unless said, `duration_seconds` before now.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    routed_at: Option<Timestamp>,
    /// The issue that it is about. An outcome with `success` ends the work on it, one without any news renews its lease;
    /// from a system that does not own it at this epoch it is refused.
    #[serde(default)]
    issue: Option<IssueBody>,
}

/// An issue in the ledger: `repository` and `number`, or `key`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OutcomeIssue)]
pub(crate) struct IssueBody {
    #[serde(default)]
    repository: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    number: Option<NumberBody>,
    #[serde(default)]
    key: Option<String>,
    /// As the event came with it: the second number of `Crossfade-Fence`.
    epoch: u64,
    /// The id of the event, so that a report which comes late or twice is not taken for a later event's.
    #[serde(default)]
    delivery: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum NumberBody {
    Number(u64),
    Text(String),
}

impl IssueBody {
    fn id(&self) -> Result<IssueId, Problem> {
        let number = self.number.as_ref().map(|number| match number {
            NumberBody::Number(number) => number.to_string(),
            NumberBody::Text(text) => text.clone(),
        });
        let id = match (&self.repository, number, &self.key) {
            (Some(repository), Some(number), None) => IssueId::of(repository, &number),
            (None, None, Some(key)) => IssueId::new(key),
            _ => return Err(impossible("name the issue by \"repository\" and \"number\", or by \"key\"")),
        };
        id.map_err(|error| impossible(error.to_string()))
    }
}

/// What an outcome says about the lease of its issue, if anything: quality that is told later says nothing.
fn about_issue(body: &OutcomeBody, side: Side) -> Result<Option<Report>, Problem> {
    let Some(issue) = &body.issue else { return Ok(None) };
    let QualityBody { pr_accepted, build_passed, score } = body.quality;
    let is_news = pr_accepted.is_some() || build_passed.is_some() || score.is_some();
    let word = match body.success {
        Some(success) => Word::Ended { success: Some(success) },
        None if !is_news => Word::Heartbeat { max_ms: None },
        None => return Ok(None),
    };
    let delivery = issue.delivery.as_deref().map(DeliveryId::new).transpose();
    let delivery = delivery.map_err(|error| impossible(error.to_string()))?;
    let (issue, epoch) = (issue.id()?, issue.epoch);
    Ok(Some(Report { issue, side, epoch, word, delivery, workflow: Some(body.id.clone()) }))
}

/// What became of a report.
#[derive(Serialize, ToSchema)]
#[schema(as = OutcomeRecorded)]
pub(crate) struct RecordedView {
    id: String,
    /// The parts that were new and are counted: `job`, `work`, `pr_accepted`, `build_passed`, `score`.
    counted: Vec<&'static str>,
}

/// Reports how a job went, whole or in parts; a part that is known already counts no second time.
#[utoipa::path(
    post, path = "/migrations/{id}/outcomes", tag = "outcomes",
    params(("id" = String, Path)), request_body = OutcomeBody,
    responses((status = 200, body = RecordedView))
)]
pub(crate) async fn report(
    State(shared): State<Shared>,
    _: Reporter,
    PathPart(id): PathPart<String>,
    JsonBody(body): JsonBody<OutcomeBody>,
) -> Result<Json<RecordedView>, Problem> {
    let id = known(&shared, &id)?;
    let count = |result| shared.observer.process().outcome(&id, result);
    let job = body.id.clone();
    let outcome = checked(&body, Timestamp::now()).inspect_err(|_| count(OutcomeResult::Refused))?;
    if let Some(said) = about_issue(&body, outcome.side).inspect_err(|_| count(OutcomeResult::Refused))? {
        reports::tell(&shared, &id, &said).await.inspect_err(|_| count(OutcomeResult::Refused))?;
    }
    let succeeded = body.success;
    match shared.control.record_outcome(&id, outcome).await {
        Ok(Recorded::New(parts)) => {
            if parts.work {
                count(if succeeded == Some(true) { OutcomeResult::Success } else { OutcomeResult::Failure });
            }
            Ok(Json(RecordedView { id: job, counted: counted(parts) }))
        }
        Ok(Recorded::Known) => {
            count(OutcomeResult::Duplicate);
            let detail = format!(
                "all of this was reported of job \"{}\" before: it is counted once, so there is nothing to do",
                job.escape_debug()
            );
            Err(Problem::new(Code::DuplicateOutcome, detail))
        }
        Err(ControlError::Store(error @ StoreError::Unanswered(_))) => {
            tracing::warn!(migration = %id, %error, "it is not known whether a reported outcome was counted");
            let detail = "the store did not answer, so it is not known whether this was counted: send the same report again, each part of it counts once";
            Err(Problem::new(Code::StoreUnavailable, detail).retry_after(2))
        }
        Err(error) => {
            count(OutcomeResult::Refused);
            Err(problem(error))
        }
    }
}

fn counted(parts: Parts) -> Vec<&'static str> {
    let Parts { job, work, pr_accepted, build_passed, score } = parts;
    let named =
        [("job", job), ("work", work), ("pr_accepted", pr_accepted), ("build_passed", build_passed), ("score", score)];
    named.into_iter().filter(|(_, new)| *new).map(|(name, _)| name).collect()
}

fn impossible(detail: impl Into<String>) -> Problem {
    Problem::new(Code::InvalidValue, detail)
}

/// The report as it is recorded, or what is impossible about it.
fn checked(body: &OutcomeBody, now: Timestamp) -> Result<Outcome, Problem> {
    let id = OutcomeId::new(&body.id).map_err(|error| impossible(error.to_string()))?;
    if let Some(key) = &body.key
        && !(1..=PIN_KEY_BYTES_MAX).contains(&key.len())
    {
        return Err(impossible(format!("\"key\" has {} bytes: a key has 1 to {PIN_KEY_BYTES_MAX}", key.len())));
    }
    let side = values::side(&body.side)?;
    let work = match (body.success, body.duration_seconds) {
        (None, None) => None,
        (Some(success), Some(seconds)) => Some((success, duration(seconds)?)),
        (Some(_), None) => return Err(impossible("say in \"duration_seconds\" how long the work took")),
        (None, Some(_)) => return Err(impossible("say in \"success\" whether the work succeeded")),
    };
    let quality = Quality {
        pr_accepted: body.quality.pr_accepted,
        build_passed: body.quality.build_passed,
        score_milli: body.quality.score.map(score).transpose()?,
    };
    let took = SignedDuration::from_secs_f64(work.map_or(0.0, |(_, seconds)| seconds));
    let routed_at = match body.routed_at {
        Some(at) => routed(at, now)?,
        None => now.checked_sub(took).unwrap_or(now),
    };
    let work = work.map(|(success, seconds)| {
        let mut tally = Tally::default();
        for (name, count) in work_counts(success, seconds) {
            tally.add(&name, count);
        }
        tally
    });
    Ok(Outcome { id, side, routed_at: u64::try_from(routed_at.as_second()).unwrap_or_default(), work, quality })
}

fn duration(seconds: f64) -> Result<f64, Problem> {
    // Written so that what is no number is refused, too.
    if (0.0..=DURATION_SECONDS_MAX).contains(&seconds) {
        return Ok(seconds);
    }
    Err(impossible(format!("\"duration_seconds\" is {seconds}: work takes 0 to {DURATION_SECONDS_MAX} s")))
}

fn score(score: f64) -> Result<u16, Problem> {
    if !(0.0..=1.0).contains(&score) {
        return Err(impossible(format!("\"score\" is {score}: use 0 to 1")));
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..=1000 by the lines above")]
    Ok((score * 1_000.0).round() as u16)
}

fn routed(at: Timestamp, now: Timestamp) -> Result<Timestamp, Problem> {
    if at.duration_since(now) > AHEAD_MAX {
        return Err(impossible(format!("\"routed_at\" is {at}, which is in the future: look at the reporter's clock")));
    }
    if now.duration_since(at).as_secs_f64() > DURATION_SECONDS_MAX {
        return Err(impossible(format!("\"routed_at\" is {at}: what was routed more than 30 days ago is not counted")));
    }
    Ok(at.min(now))
}
