//! How both sides did over time, for charts, with what moved the migration meanwhile.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use flags::Side;
use flags::migration::MigrationId;
use flags::store::Page;
use flags::store::records::outcome::{COHORT_S, Cohort};
use flags::tally::{KEPT_SECONDS, SlotCounts};
use jiff::Timestamp;
use metrics::fleet::FleetCounts;
use metrics::judge::minute;
use metrics::observe::Pair;
use metrics::performance::{Estimate, Improvement, Quality, Side as Performance};
use metrics::sequential::latency::TOLERANCE;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::changes::{known, problem};
use super::comparison::{MINUTES_AT_ONCE, WINDOW_SECONDS_MAX, now_seconds, quality};
use super::evidence::thresholds;
use super::request::{Params, PathPart, Viewer};
use super::values;
use crate::Shared;
use crate::problem::Problem;
use crate::wire::{Decided, HistoryView};

/// Points of a series at most; a screen has no more.
const POINTS_MAX: u64 = 180;

/// Changes of the window that are marked, the newest.
const TRANSITIONS_MAX: usize = 100;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SeriesParams {
    /// How far back: `15m` unless said, 1 minute to 30 days. Up to 15 minutes by the second, beyond by the minute.
    window: Option<String>,
}

/// First attempts at one side within a step.
#[derive(Serialize, ToSchema)]
#[schema(as = SeriesSide)]
pub(crate) struct SideView {
    total: u64,
    failed: u64,
    /// Quantiles are at most an eighth too high.
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p95_seconds: Option<f64>,
}

/// New minus legacy, with the range that holds the true value 19 times of 20.
#[derive(Serialize, ToSchema)]
#[schema(as = Difference)]
pub(crate) struct DifferenceView {
    value: f64,
    low: f64,
    high: f64,
}

impl DifferenceView {
    fn of(estimate: Estimate) -> Self {
        let Estimate { value, low, high } = estimate;
        Self { value, low, high }
    }

    /// Of one that was legacy minus new.
    fn reversed(estimate: Estimate) -> Self {
        let Estimate { value, low, high } = estimate;
        Self { value: -value, low: -high, high: -low }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = SeriesPoint)]
pub(crate) struct PointView {
    /// When the step begins.
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    legacy: SideView,
    new: SideView,
    /// The share of requests that were decided for new, 0 to 100; absent without requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    observed_percent: Option<f64>,
    /// Of the rates of success, -1..1; of work where both sides have reported some, else of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    success_difference: Option<DifferenceView>,
    /// Of the mean durations, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_difference: Option<DifferenceView>,
    /// Of the mean scores, -1..1.
    #[serde(skip_serializing_if = "Option::is_none")]
    quality_difference: Option<DifferenceView>,
    /// Requests that both sides were given, and did alike.
    matched: u64,
    /// Those that one did well and the other failed.
    mismatched: u64,
}

/// What a difference is held against.
#[derive(Serialize, ToSchema)]
#[schema(as = SeriesThresholds)]
pub(crate) struct LimitsView {
    /// By how much new's rate of success may be lower before anybody cares, 0..1.
    success_margin: f64,
    /// How many times as long as legacy new may take before anybody cares.
    latency_ratio: f64,
    /// Below which rate of success new is too bad whatever legacy does, 0..1.
    success_floor: f64,
    /// Evidence at which the guard holds, brakes and rolls back.
    hold: f64,
    brake: f64,
    rollback: f64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Series)]
pub(crate) struct SeriesView {
    migration: String,
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
    step_seconds: u64,
    /// `seconds` or `minutes`: what the steps are made of.
    source: &'static str,
    thresholds: LimitsView,
    /// Oldest first; steps without counts are left out.
    points: Vec<PointView>,
    /// Changes of the window, newest first.
    transitions: Vec<HistoryView>,
}

/// Both sides over a window in at most 180 steps, what they are held against, and what moved the migration meanwhile.
#[utoipa::path(
    get, path = "/migrations/{id}/series", tag = "migrations",
    params(("id" = String, Path), SeriesParams), responses((status = 200, body = SeriesView))
)]
pub(crate) async fn series(
    State(shared): State<Shared>,
    _: Viewer,
    PathPart(id): PathPart<String>,
    Params(params): Params<SeriesParams>,
) -> Result<Json<SeriesView>, Problem> {
    let id = known(&shared, &id)?;
    let window = values::window(params.window.as_deref(), KEPT_SECONDS, WINDOW_SECONDS_MAX)?.max(60);
    let by_second = window <= KEPT_SECONDS;
    let step_seconds = step(window, if by_second { 1 } else { 60 });
    let to = now_seconds(shared.watch.store_time());
    let from = to.saturating_sub(window);
    let steps = if by_second {
        let mut steps = Steps::new(step_seconds);
        let counts = shared.control.counts(&id, window).await.map_err(problem)?;
        counts.iter().for_each(|slot| steps.add(slot.slot.second(), slot));
        steps
    } else {
        by_minute(&shared, &id, from, to, step_seconds).await?
    };
    let cohorts = shared.control.cohorts(&id).await.map_err(problem)?;
    let points = steps.sums.iter().map(|(at, sum)| point(*at, step_seconds, sum, &cohorts)).collect();
    Ok(Json(SeriesView {
        migration: id.to_string(),
        from: time(from),
        to: time(to),
        step_seconds,
        source: if by_second { "seconds" } else { "minutes" },
        thresholds: limits(&shared, &id),
        points,
        transitions: transitions(&shared, &id, time(from)).await?,
    }))
}

/// The shortest step of whole units by which a window has few enough points.
const fn step(window: u64, unit: u64) -> u64 {
    window.div_ceil(unit).div_ceil(POINTS_MAX) * unit
}

/// Counts by the second at which their step begins.
struct Steps {
    seconds: u64,
    sums: BTreeMap<u64, SlotCounts>,
}

impl Steps {
    const fn new(seconds: u64) -> Self {
        Self { seconds, sums: BTreeMap::new() }
    }

    fn add(&mut self, second: u64, counts: &SlotCounts) {
        let sum = self.sums.entry(second / self.seconds * self.seconds).or_default();
        Side::ALL.into_iter().for_each(|side| sum.add(side, counts.side(side)));
    }
}

/// Day by day, because a month of one migration can be 180 MB.
async fn by_minute(shared: &Shared, id: &MigrationId, from: u64, to: u64, step: u64) -> Result<Steps, Problem> {
    let mut steps = Steps::new(step);
    let (first, last) = (from / 60, to / 60);
    for first in (first..=last).step_by(MINUTES_AT_ONCE) {
        let until = last.min(first + MINUTES_AT_ONCE as u64 - 1);
        let minutes = shared.control.minutes(id, first..=until).await.map_err(problem)?;
        minutes.iter().for_each(|(at, text)| steps.add(at * 60, &minute(text)));
    }
    Ok(steps)
}

fn point(at: u64, step: u64, sum: &SlotCounts, cohorts: &[Cohort]) -> PointView {
    let of_step: Vec<_> =
        cohorts.iter().filter(|cohort| cohort.from + COHORT_S > at && cohort.from < at + step).cloned().collect();
    let side = |side| {
        let of = Performance::of(sum.side(side));
        let quality: Quality = quality(&of_step, side, 0);
        Performance { quality, ..of }
    };
    let (legacy, new) = (side(Side::Legacy), side(Side::New));
    let improvement = Improvement::of(&legacy, &new);
    let pairs = FleetCounts(&sum.new);
    PointView {
        time: time(at),
        legacy: view(&legacy),
        new: view(&new),
        observed_percent: Decided::of(&sum.legacy, &sum.new).percent(),
        success_difference: improvement.success_rate.map(DifferenceView::of),
        latency_difference: improvement.duration_seconds.map(DifferenceView::reversed),
        quality_difference: improvement.quality.map(DifferenceView::of),
        matched: pairs.pairs(Pair::Same),
        mismatched: pairs.pairs(Pair::OnlyNew) + pairs.pairs(Pair::OnlyLegacy),
    }
}

fn view(side: &Performance) -> SideView {
    let quantile = |quantile| side.requests.durations.quantile(quantile).map(|duration| duration.as_secs_f64());
    SideView {
        total: side.requests.total,
        failed: side.requests.failed,
        p50_seconds: quantile(0.50),
        p95_seconds: quantile(0.95),
    }
}

fn limits(shared: &Shared, id: &MigrationId) -> LimitsView {
    let snapshot = shared.watch.current();
    let guard = snapshot.find(id).map(|at| snapshot.migration(at).guard.clone()).unwrap_or_default();
    let share = |bp: u16| f64::from(bp) / 10_000.0;
    let evidence = thresholds(&guard);
    LimitsView {
        success_margin: share(guard.margin.get()),
        latency_ratio: TOLERANCE,
        success_floor: share(guard.success_floor.get()),
        hold: evidence.hold,
        brake: evidence.brake,
        rollback: evidence.rollback,
    }
}

async fn transitions(shared: &Shared, id: &MigrationId, from: Timestamp) -> Result<Vec<HistoryView>, Problem> {
    let page = Page { before: None, limit: TRANSITIONS_MAX };
    let entries = shared.control.history(id, page).await.map_err(problem)?;
    let now = Timestamp::now();
    Ok(entries.iter().take_while(|entry| entry.time >= from).map(|entry| HistoryView::new(entry, now)).collect())
}

fn time(second: u64) -> Timestamp {
    i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_at_most_so_many_points_of_whole_units() {
        for (window, unit, expected) in [
            (60, 1, 1),
            (180, 1, 1),
            (181, 1, 2),
            (900, 1, 5),
            (3_600, 60, 60),
            (86_400, 60, 480),
            (30 * 86_400, 60, 14_400),
        ] {
            assert_eq!(step(window, unit), expected, "{window}");
            assert!(window / step(window, unit) <= POINTS_MAX);
        }
    }

    #[test]
    fn a_difference_turned_around_keeps_its_range_in_order() {
        let turned = DifferenceView::reversed(Estimate { value: 1.0, low: 0.5, high: 2.0 });
        assert_eq!((turned.value, turned.low, turned.high), (-1.0, -2.0, -0.5));
    }
}
