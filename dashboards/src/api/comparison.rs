//! How both sides did over a window, and by how much new is better.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use flags::Side;
use flags::control::Control;
use flags::migration::MigrationId;
use flags::store::records::outcome::{COHORT_S, Cohort};
use flags::tally::{KEPT_SECONDS, SlotCounts, Tally};
use jiff::Timestamp;
use metrics::fleet::FleetCounts;
use metrics::judge::minute;
use metrics::mismatch::{Bar, Compared, Route, Totals, gate};
use metrics::observe::Pair;
use metrics::outcome::Failure;
use metrics::performance::{Estimate, Improvement, Kind, Quality, Side as Performance};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::changes::{known, problem};
use super::mismatches::fleet;
use super::request::{Params, PathPart, Viewer};
use super::values;
use crate::Shared;
use crate::problem::Problem;
use crate::wire::TotalsView;

const BY_CONTENT: &str = "content";

/// Minutes that are read together.
pub(super) const MINUTES_AT_ONCE: usize = 24 * 60;

/// The longest window: as long as minutes are kept.
pub(super) const WINDOW_SECONDS_MAX: u64 = 30 * 86_400;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ComparisonParams {
    /// How far back: `10m` unless said, 30 days at most. Up to 15 minutes by the half second, beyond by the minute.
    window: Option<String>,
}

/// The range that holds the true value 19 times of 20.
#[derive(Serialize, ToSchema)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// A value and its interval, as members of their own: a script that wants the number reads the number.
fn parts(estimate: Option<Estimate>) -> (Option<f64>, Option<Interval>) {
    (estimate.map(|own| own.value), estimate.map(|Estimate { low, high, .. }| Interval { low, high }))
}

/// Requests, or pieces of work, of one side. Without any, what is computed from them is absent.
#[derive(Serialize, ToSchema)]
#[schema(as = Performance)]
pub(crate) struct KindView {
    pub(crate) total: u64,
    failed: u64,
    /// 0..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) success_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_rate_interval: Option<Interval>,
    /// Within a sixteenth.
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_seconds: Option<f64>,
    /// Quantiles are at most an eighth too high.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p95_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_seconds: Option<f64>,
}

impl From<&Kind> for KindView {
    fn from(kind: &Kind) -> Self {
        let quantile = |quantile| kind.durations.quantile(quantile).map(|duration| duration.as_secs_f64());
        let (success_rate, success_rate_interval) = parts(kind.success_rate());
        Self {
            total: kind.total,
            failed: kind.failed,
            success_rate,
            success_rate_interval,
            mean_seconds: kind.mean_seconds(),
            p50_seconds: quantile(0.50),
            p95_seconds: quantile(0.95),
            p99_seconds: quantile(0.99),
        }
    }
}

/// What the systems said of the quality of work that was routed in the window.
#[derive(Serialize, ToSchema)]
#[schema(as = QualityPerformance)]
pub(crate) struct QualityView {
    jobs: u64,
    /// Of which anything was said.
    reported: u64,
    /// The mean of what was said, 0..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score_interval: Option<Interval>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SidePerformance)]
pub(crate) struct SideView {
    pub(crate) label: String,
    /// First attempts; a failure that a fallback saved counts here.
    pub(crate) requests: KindView,
    /// Failures that blame the side, by kind.
    failures: BTreeMap<&'static str, u64>,
    /// Requests that this side failed and that were given to legacy.
    fallbacks: u64,
    /// What was reported of work that ended later.
    work: KindView,
    quality: QualityView,
}

/// By how much new is better: negative where it is worse, absent where a side has nothing to compare.
#[derive(Serialize, ToSchema)]
#[schema(as = Improvements)]
pub(crate) struct ImprovementView {
    /// `work` where both sides have reported some, else `requests`.
    pub(crate) basis: &'static str,
    /// New's rate minus legacy's, -1..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) success_rate_improvement: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) success_rate_improvement_interval: Option<Interval>,
    /// Legacy's mean minus new's, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_improvement: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) duration_improvement_interval: Option<Interval>,
    /// New's score minus legacy's, -1..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quality_improvement: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quality_improvement_interval: Option<Interval>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Comparison)]
pub(crate) struct ComparisonView {
    migration: String,
    pub(crate) window_seconds: u64,
    pub(crate) legacy: SideView,
    pub(crate) new: SideView,
    pub(crate) comparison: ImprovementView,
    /// What the four totals below are by: `content` where answers were compared in the window, else `outcome`.
    compared_by: &'static str,
    /// By content: answers are the same. By outcome: both sides did well, or both failed.
    matched: u64,
    /// Answers differ where they may, by a rule or as legacy differs from itself; none by outcome.
    ignored: u64,
    /// By content: answers differ. By outcome: one side did well and the other failed.
    mismatched: u64,
    /// By content: requests that were to be compared and were not. By outcome: those that only one side was given.
    not_compared: u64,
    /// Compared of all that were to be, by content, 0..1; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    coverage: Option<f64>,
    /// Whether this window's comparisons by content would let a plan go on.
    gate: GateView,
    /// Why requests were not compared, since the routers count; with `routes` only in this call, and only by content.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_compared_by: Option<BTreeMap<String, u64>>,
    /// What became of the requests of each route, since the routers count.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    routes: Vec<RouteView>,
}

/// Whether mismatches are few enough, on enough pairs: at most 0.1 % beyond noise, of at least 1,000, with 95 % compared.
#[derive(Serialize, ToSchema)]
#[schema(as = MismatchGate)]
pub(crate) struct GateView {
    /// `passed`, `failed` or `unknown`; what nobody has compared is unknown.
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// What became of the requests of one route.
#[derive(Serialize, ToSchema)]
#[schema(as = RouteComparison)]
pub(crate) struct RouteView {
    route: String,
    #[serde(flatten)]
    totals: TotalsView,
}

/// Both sides' performance over a window, and by how much new is better, each with its 95 % interval.
#[utoipa::path(
    get, path = "/migrations/{id}/comparison", tag = "migrations",
    params(("id" = String, Path), ComparisonParams), responses((status = 200, body = ComparisonView))
)]
pub(crate) async fn comparison(
    State(shared): State<Shared>,
    _: Viewer,
    PathPart(id): PathPart<String>,
    Params(params): Params<ComparisonParams>,
) -> Result<Json<ComparisonView>, Problem> {
    let id = known(&shared, &id)?;
    let window = values::window(params.window.as_deref(), 600, WINDOW_SECONDS_MAX)?;
    let mut view = compare(&shared, &id, window).await?;
    if view.compared_by == BY_CONTENT {
        let found = fleet(&shared, &id).await?.findings;
        view.not_compared_by = Some(found.totals().not_compared_by);
        let route = |(route, of): (&String, &Route)| RouteView { route: route.clone(), totals: (&of.totals).into() };
        view.routes = found.routes().iter().map(route).collect();
    }
    Ok(Json(view))
}

/// The comparison of a window, for every surface that shows one.
pub(crate) async fn compare(shared: &Shared, id: &MigrationId, window: u64) -> Result<ComparisonView, Problem> {
    let counts = sums(&shared.control, id, window, shared.watch.store_time()).await?;
    let cohorts = shared.control.cohorts(id).await.map_err(problem)?;
    let since = now_seconds(shared.watch.store_time()).saturating_sub(window);
    let side = |side: Side| {
        let of = Performance::of(counts.side(side));
        Performance { quality: quality(&cohorts, side, since), ..of }
    };
    let (legacy, new) = (side(Side::Legacy), side(Side::New));
    let improvement = Improvement::of(&legacy, &new);
    let basis = if Improvement::is_of_work(&legacy, &new) { "work" } else { "requests" };
    let snapshot = shared.watch.current();
    let label = |side| snapshot.find(id).map_or_else(String::new, |at| snapshot.migration(at).labels.of(side).into());
    let pairs = FleetCounts(&counts.new);
    let by_content = by_content(&pairs);
    let gate = gate(&by_content, &Bar::default());
    let is_by_content = by_content.eligible > 0;
    let totals = if is_by_content {
        by_content
    } else {
        let mismatched = pairs.pairs(Pair::OnlyNew) + pairs.pairs(Pair::OnlyLegacy);
        let matched = pairs.pairs(Pair::Same);
        let alone = (legacy.requests.total + new.requests.total).saturating_sub(2 * (matched + mismatched));
        Totals { matched, mismatched, not_compared_by: [(String::new(), alone)].into(), ..Totals::default() }
    };
    Ok(ComparisonView {
        migration: id.to_string(),
        window_seconds: window,
        legacy: view(label(Side::Legacy), &legacy, &counts.legacy),
        new: view(label(Side::New), &new, &counts.new),
        comparison: improvements(basis, improvement),
        compared_by: if is_by_content { BY_CONTENT } else { "outcome" },
        matched: totals.matched,
        ignored: totals.ignored,
        mismatched: totals.mismatched,
        not_compared: totals.not_compared(),
        coverage: totals.coverage().filter(|_| is_by_content),
        gate: GateView { result: gate.name(), why: gate.why().map(str::to_owned) },
        not_compared_by: None,
        routes: Vec::new(),
    })
}

/// What became of requests whose answers were to be compared.
fn by_content(counts: &FleetCounts<'_>) -> Totals {
    let [matched, ignored, mismatched] = Compared::ALL.map(|result| counts.compared(result));
    let not_compared = counts.not_compared();
    let eligible = matched + ignored + mismatched + not_compared;
    Totals { eligible, matched, ignored, mismatched, not_compared_by: [(String::new(), not_compared)].into() }
}

fn improvements(basis: &'static str, improvement: Improvement) -> ImprovementView {
    let (success_rate_improvement, success_rate_improvement_interval) = parts(improvement.success_rate);
    let (duration_improvement, duration_improvement_interval) = parts(improvement.duration_seconds);
    let (quality_improvement, quality_improvement_interval) = parts(improvement.quality);
    ImprovementView {
        basis,
        success_rate_improvement,
        success_rate_improvement_interval,
        duration_improvement,
        duration_improvement_interval,
        quality_improvement,
        quality_improvement_interval,
    }
}

fn view(label: String, side: &Performance, counts: &Tally) -> SideView {
    let fleet = FleetCounts(counts);
    let blamed = Failure::ALL.into_iter().filter(|failure| failure.blames_the_side());
    let failures = blamed.map(|failure| (failure.name(), fleet.failures(failure))).filter(|(_, count)| *count > 0);
    let Quality { jobs, reported, .. } = side.quality;
    let (score, score_interval) = parts(side.quality.score());
    SideView {
        label,
        requests: (&side.requests).into(),
        failures: failures.collect(),
        fallbacks: fleet.fallbacks(),
        work: (&side.work).into(),
        quality: QualityView { jobs, reported, score, score_interval },
    }
}

/// Everything that was counted in a window: by slots while they are there, by minutes beyond.
async fn sums(control: &Control, id: &MigrationId, window: u64, now: Timestamp) -> Result<SlotCounts, Problem> {
    let mut sum = SlotCounts::default();
    let mut merge = |counts: &SlotCounts| Side::ALL.into_iter().for_each(|side| sum.add(side, counts.side(side)));
    if window <= KEPT_SECONDS {
        control.counts(id, window).await.map_err(problem)?.iter().for_each(&mut merge);
    } else {
        let last = now_seconds(now) / 60;
        let first = (now_seconds(now) - window.min(now_seconds(now))) / 60;
        // Day by day, because a month of one migration can be 180 MB.
        for first in (first..=last).step_by(MINUTES_AT_ONCE) {
            let until = last.min(first + MINUTES_AT_ONCE as u64 - 1);
            let minutes = control.minutes(id, first..=until).await.map_err(problem)?;
            minutes.iter().for_each(|(_, text)| merge(&minute(text)));
        }
    }
    Ok(sum)
}

pub(super) fn now_seconds(now: Timestamp) -> u64 {
    u64::try_from(now.as_second()).unwrap_or_default()
}

/// What was said so far, within three days of routing, of work that was routed since a second.
pub(super) fn quality(cohorts: &[Cohort], side: Side, since: u64) -> Quality {
    let in_window = cohorts.iter().filter(|cohort| cohort.side == side && cohort.from + COHORT_S > since);
    in_window.fold(Quality::default(), |sum, cohort| {
        let [.., reported] = cohort.sums.reported;
        let [.., milli] = cohort.sums.quality_milli;
        #[allow(clippy::cast_precision_loss, reason = "thousandths of jobs of five days are far below 2^52")]
        let said = milli as f64 / 1_000.0;
        Quality { jobs: sum.jobs + cohort.sums.jobs, reported: sum.reported + reported, sum: sum.sum + said }
    })
}
