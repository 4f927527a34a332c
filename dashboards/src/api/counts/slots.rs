//! The counts as they are stored, with how the migration stood meanwhile: what `crossfade replay` plays.
//!
//! # Why with positions and guard
//!
//! Counts alone do not tell what a guard made of them: it also knows who was to be served by new, and what it may do. Kept
//! together, a file says it all a year later.
//!
//! Bounded like the store: 15 minutes, 512 names a side and slot, and the newest 200 changes.

use std::collections::BTreeMap;

use flags::guard::LegacyWarmth;
use flags::state::{HistoryEntry, Position};
use flags::store::Page;
use flags::tally::{Slot, SlotCounts, Tally};
use flags::{Migration, MigrationId, Mode, Side};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::changes::problem;
use crate::Shared;
use crate::api::evidence::action_name;
use crate::problem::Problem;
use crate::wire::{guard_action_schema, mode_schema, side_schema};

/// Changes that are looked through for how it stood.
const CHANGES_MAX: usize = 200;

/// What all routers counted in one half second of the store's clock, by the names under which it is stored.
#[derive(Serialize, ToSchema)]
#[schema(as = Slot)]
pub(crate) struct SlotView {
    /// Milliseconds since 1970, divided by 500.
    slot: u64,
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    legacy: BTreeMap<String, u64>,
    new: BTreeMap<String, u64>,
}

/// How it stood from a moment on.
#[derive(Serialize, ToSchema)]
#[schema(as = Stood)]
pub(crate) struct StoodView {
    #[schema(value_type = String, format = DateTime)]
    time: Timestamp,
    #[schema(schema_with = mode_schema)]
    mode: Mode,
    percent: f64,
    actor: String,
}

/// What the file says of the guard. Shares are percentages.
#[derive(Serialize, ToSchema)]
#[schema(as = GuardSettings)]
pub(crate) struct GuardView {
    #[schema(schema_with = guard_action_schema)]
    action: &'static str,
    /// `measured`, `warm` or `cold`.
    legacy: &'static str,
    success_floor: f64,
    margin: f64,
    alpha: f64,
    mean_duration_limit_seconds: f64,
    quality_can_rollback: bool,
    reversible: bool,
    /// Who serves in mode parallel.
    #[schema(schema_with = side_schema)]
    parallel_serve: Side,
    parallel_percent: f64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Recording)]
pub(crate) struct SlotsView {
    migration: String,
    window_seconds: u64,
    /// Half seconds in which something was counted, oldest first.
    slots: Vec<SlotView>,
    /// How it stood when the window began, and each change since.
    positions: Vec<StoodView>,
    guard: GuardView,
}

impl SlotView {
    fn of(counts: &SlotCounts) -> Self {
        let names = |tally: &Tally| tally.iter().map(|(name, count)| (name.to_owned(), count)).collect();
        Self {
            slot: counts.slot.0,
            time: start_of(counts.slot),
            legacy: names(&counts.legacy),
            new: names(&counts.new),
        }
    }
}

impl StoodView {
    fn of(time: Timestamp, position: Position, actor: &str) -> Self {
        Self { time, mode: position.mode, percent: position.share.percent(), actor: actor.into() }
    }
}

impl GuardView {
    fn of(migration: &Migration) -> Self {
        let guard = &migration.guard;
        Self {
            action: action_name(guard.action),
            legacy: warmth_name(guard.legacy),
            success_floor: guard.success_floor.percent(),
            margin: guard.margin.percent(),
            alpha: guard.alpha.percent(),
            mean_duration_limit_seconds: guard.mean_duration_limit.as_secs_f64(),
            quality_can_rollback: guard.quality_can_rollback,
            reversible: migration.reversible,
            parallel_serve: migration.parallel.serve,
            parallel_percent: migration.parallel.share.percent(),
        }
    }
}

const fn warmth_name(legacy: LegacyWarmth) -> &'static str {
    match legacy {
        LegacyWarmth::Measured => "measured",
        LegacyWarmth::Warm => "warm",
        LegacyWarmth::Cold => "cold",
    }
}

/// The counts of a window, and how the migration stood in it.
pub(super) async fn slots(
    shared: &Shared,
    id: &MigrationId,
    window: u64,
    counts: &[SlotCounts],
) -> Result<SlotsView, Problem> {
    let snapshot = shared.watch.current();
    let at = snapshot.find(id).ok_or_else(|| super::super::changes::unknown(id.as_str()))?;
    let now = shared.watch.store_time();
    let window_length = SignedDuration::from_secs(i64::try_from(window).unwrap_or_default());
    let start = now.checked_sub(window_length).unwrap_or(Timestamp::UNIX_EPOCH);
    // A window is of whole seconds, so the first slot may begin a little before.
    let start = counts.first().map_or(start, |counts| start_of(counts.slot).min(start));
    let page = Page { before: None, limit: CHANGES_MAX };
    let changes = shared.control.history(id, page).await.map_err(problem)?;
    Ok(SlotsView {
        migration: id.to_string(),
        window_seconds: window,
        slots: counts.iter().map(SlotView::of).collect(),
        positions: positions(&changes, start, snapshot.placed(at).document.position()),
        guard: GuardView::of(snapshot.migration(at)),
    })
}

/// How it stood at the start, and every change of that since; `changes` are the newest first.
fn positions(changes: &[HistoryEntry], start: Timestamp, now: Position) -> Vec<StoodView> {
    let since: Vec<_> = changes.iter().take_while(|entry| entry.time > start).collect();
    let first = since.last().map_or(now, |entry| entry.before);
    let moved = since.iter().rev().filter(|entry| entry.before != entry.after);
    let moved = moved.map(|entry| StoodView::of(entry.time, entry.after, &entry.actor));
    std::iter::once(StoodView::of(start, first, "")).chain(moved).collect()
}

fn start_of(slot: Slot) -> Timestamp {
    let millis = i64::try_from(slot.0.saturating_mul(Slot::MILLIS)).unwrap_or_default();
    Timestamp::from_millisecond(millis).unwrap_or_default()
}
