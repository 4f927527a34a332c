//! What the whole fleet counted of late, second by second, for screens; as it is stored, for judging again.

mod slots;

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use flags::Side;
use flags::tally::{KEPT_SECONDS, SlotCounts, Tally};
use jiff::Timestamp;
use metrics::fleet::{FleetCounts, duration_bounds_us};
use metrics::outcome::{CodeClass, Failure};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use self::slots::{SlotsView, slots};
use super::changes::{known, problem};
use super::request::{Params, PathPart, Viewer};
use super::values;
use crate::Shared;
use crate::problem::Problem;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CountsParams {
    /// How far back: `60s` unless said, 15 minutes at most.
    window: Option<String>,
    /// `seconds` unless said; `slots` are the half seconds as they are stored, with how the migration stood meanwhile.
    #[serde(default)]
    #[param(inline)]
    form: Form,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Form {
    #[default]
    Seconds,
    Slots,
}

/// What the fleet did with one side. Counts of 0 are left out of the maps.
#[derive(Serialize, ToSchema)]
#[schema(as = SideCounts)]
pub(crate) struct SideCountsView {
    /// Requests over, by the class of the status that the caller met.
    requests: BTreeMap<&'static str, u64>,
    /// Attempts that failed and blame the side, by kind, whether or not a fallback saved the caller.
    failures: BTreeMap<&'static str, u64>,
    /// Callers that left first.
    client_aborts: u64,
    /// Requests that this side failed and that were given to legacy.
    fallbacks: u64,
    /// Requests by how long they took: one number for each of `duration_bounds_ms`, and what took longer.
    durations: Vec<u64>,
    /// How long they took together.
    duration_seconds: f64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SecondCounts)]
pub(crate) struct SecondView {
    #[schema(value_type = String, format = DateTime)]
    second: Timestamp,
    legacy: SideCountsView,
    new: SideCountsView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Counts)]
pub(crate) struct CountsView {
    migration: String,
    window_seconds: u64,
    duration_bounds_ms: Vec<f64>,
    /// Whole seconds of the store's clock, oldest first; those without counts are left out, and the
    /// newest may still grow.
    seconds: Vec<SecondView>,
    /// The sum of `seconds`.
    total: TotalView,
}

/// By the form that was asked for.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = CountsInForm)]
pub(crate) enum CountsAnswer {
    Seconds(CountsView),
    Slots(SlotsView),
}

#[derive(Serialize, ToSchema)]
#[schema(as = TotalCounts)]
pub(crate) struct TotalView {
    legacy: SideCountsView,
    new: SideCountsView,
}

impl SideCountsView {
    fn of(tally: &Tally) -> Self {
        let counts = FleetCounts(tally);
        let some = |(name, count): (&'static str, u64)| (count > 0).then_some((name, count));
        let blamed = Failure::ALL.into_iter().filter(|failure| failure.blames_the_side());
        #[allow(clippy::cast_precision_loss, reason = "microseconds of 15 minutes are far below 2^52")]
        let duration_seconds = counts.duration_us() as f64 / 1e6;
        Self {
            requests: CodeClass::ALL
                .into_iter()
                .filter_map(|class| some((class.name(), counts.requests(class))))
                .collect(),
            failures: blamed.filter_map(|failure| some((failure.name(), counts.failures(failure)))).collect(),
            client_aborts: counts.failures(Failure::AbortedByClient),
            fallbacks: counts.fallbacks(),
            durations: counts.durations().to_vec(),
            duration_seconds,
        }
    }
}

impl SecondView {
    /// The slots of one second.
    fn of(slots: &[SlotCounts]) -> Self {
        let second = slots.first().map_or(0, |counts| counts.slot.second());
        let second = Timestamp::from_second(i64::try_from(second).unwrap_or_default()).unwrap_or_default();
        Self { second, legacy: sum(slots, Side::Legacy), new: sum(slots, Side::New) }
    }
}

fn sum(slots: &[SlotCounts], side: Side) -> SideCountsView {
    let mut sum = Tally::default();
    slots.iter().for_each(|counts| sum.merge(counts.side(side)));
    SideCountsView::of(&sum)
}

/// What every router of the fleet counted, summed, per second and side, or per half second as it is stored.
#[utoipa::path(
    get, path = "/migrations/{id}/counts", tag = "migrations",
    params(("id" = String, Path), CountsParams), responses((status = 200, body = CountsAnswer))
)]
pub(crate) async fn counts(
    State(shared): State<Shared>,
    _: Viewer,
    PathPart(id): PathPart<String>,
    Params(params): Params<CountsParams>,
) -> Result<Json<CountsAnswer>, Problem> {
    let id = known(&shared, &id)?;
    let window = values::window(params.window.as_deref(), 60, KEPT_SECONDS)?;
    let counted = shared.control.counts(&id, window).await.map_err(problem)?;
    if params.form == Form::Slots {
        return slots(&shared, &id, window, &counted).await.map(|view| Json(CountsAnswer::Slots(view)));
    }
    #[allow(clippy::cast_precision_loss, reason = "bounds are at most a minute")]
    let duration_bounds_ms = duration_bounds_us().iter().map(|bound| *bound as f64 / 1e3).collect();
    let seconds = counted.chunk_by(|one, next| one.slot.second() == next.slot.second()).map(SecondView::of).collect();
    Ok(Json(CountsAnswer::Seconds(CountsView {
        migration: id.to_string(),
        window_seconds: window,
        duration_bounds_ms,
        total: TotalView { legacy: sum(&counted, Side::Legacy), new: sum(&counted, Side::New) },
        seconds,
    })))
}
