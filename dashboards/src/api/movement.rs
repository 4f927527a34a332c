//! Who changes side by a change: of all keys, of those that were seen of late, and how much traffic that is.
//!
//! Rules and pins are left aside: what they place stays where it is.

use std::ops::Range;
use std::time::Duration;

use flags::control::Applied;
use flags::migration::{Migration, MigrationId};
use flags::state::Position;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Shared;
use crate::health::Observed;
use crate::wire::{Decided, on_new};

/// Over how long traffic is looked at, and how long the store may take to tell.
const WINDOW_SECONDS: u64 = 10;
const STORE_WAIT: Duration = Duration::from_millis(500);

/// Where traffic goes by a change.
#[derive(Clone, Copy, Serialize, ToSchema)]
pub(crate) struct Movement {
    /// `toward_new`, `toward_legacy` or `none`.
    pub(crate) direction: &'static str,
    /// The share of all keys, in percent, that changes side; rules and pins aside.
    pub(crate) percent: f64,
    /// The same of the keys that this router has seen in the last five to ten minutes; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recent_keys: Option<RecentKeysView>,
    /// How many requests a second that is: in a dry run by what the fleet was asked in the last ten seconds, else, or while the store
    /// is away, by what this router was asked in the last minute; absent without requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) requests_per_second: Option<f64>,
}

/// Keys that were seen of late. Keys of one bucket move together and count as one.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[schema(as = RecentKeys)]
pub(crate) struct RecentKeysView {
    pub(crate) seen: u32,
    /// Those of them that change side.
    pub(crate) moving: u32,
    pub(crate) percent: f64,
}

impl Movement {
    pub(super) const NONE: Self =
        Self { direction: "none", percent: 0.0, recent_keys: None, requests_per_second: None };
}

/// Where a change leads, and the buckets that change side by it.
fn moved(migration: &Migration, before: Position, after: Position) -> (&'static str, Range<u16>) {
    let on_new = |position: Position| on_new(migration, position.mode, position.share);
    let (from, to) = (on_new(before), on_new(after));
    let direction = match to.cmp(&from) {
        std::cmp::Ordering::Greater => "toward_new",
        std::cmp::Ordering::Less => "toward_legacy",
        std::cmp::Ordering::Equal => "none",
    };
    (direction, from.min(to).get()..from.max(to).get())
}

/// Asks the store for the fleet's traffic before a change only: the answer to a rollback waits for nothing.
pub(super) async fn movement(shared: &Shared, migration: &Migration, applied: &Applied) -> Movement {
    let (direction, buckets) = moved(migration, applied.before, applied.after);
    let percent = f64::from(buckets.end - buckets.start) / 100.0;
    let recent = shared.observer.recent_keys(&migration.id, buckets);
    let moving_share =
        if recent.seen > 0 { f64::from(recent.within) / f64::from(recent.seen) } else { percent / 100.0 };
    let of_fleet = if applied.dry_run { fleet_per_second(shared, &migration.id).await } else { None };
    let per_second = match of_fleet {
        Some(rate) => Some(rate),
        None => shared.health.observed(&migration.id).and_then(Observed::per_second),
    };
    Movement {
        direction,
        percent,
        recent_keys: (recent.seen > 0).then(|| RecentKeysView {
            seen: recent.seen,
            moving: recent.within,
            percent: (moving_share * 10_000.0).round() / 100.0,
        }),
        requests_per_second: per_second.map(|all| (all * moving_share * 100.0).round() / 100.0),
    }
}

/// What all routers are asked; `None` where the store does not tell at once, or without requests.
async fn fleet_per_second(shared: &Shared, id: &MigrationId) -> Option<f64> {
    let counts = tokio::time::timeout(STORE_WAIT, shared.control.counts(id, WINDOW_SECONDS)).await.ok()?.ok()?;
    let all: u64 = counts.iter().map(|slot| Decided::of(&slot.legacy, &slot.new).all).sum();
    #[allow(clippy::cast_precision_loss, reason = "requests of ten seconds are far below 2^52")]
    let rate = all as f64 / WINDOW_SECONDS as f64;
    (all > 0).then_some(rate)
}

#[cfg(test)]
mod tests {
    use flags::{BasisPoints, Mode};

    use super::*;

    fn position(mode: Mode, share: u16) -> Position {
        Position { mode, share: BasisPoints::new(share).unwrap() }
    }

    #[track_caller]
    fn check(before: Position, after: Position, expected: &str, percent: f64) {
        let migration = Migration::new(MigrationId::new("m").unwrap(), "a", "b");
        let (direction, buckets) = moved(&migration, before, after);
        let share = f64::from(buckets.end - buckets.start) / 100.0;
        assert_eq!((direction, share), (expected, percent), "{before:?} {after:?}");
    }

    #[test]
    fn a_preview_tells_where_traffic_goes() {
        check(position(Mode::LegacyOnly, 0), position(Mode::NewOnly, 0), "toward_new", 100.0);
        check(position(Mode::Gradual, 2_500), position(Mode::Gradual, 1_250), "toward_legacy", 12.5);
        check(position(Mode::Gradual, 2_500), position(Mode::EmergencyRollback, 2_500), "toward_legacy", 25.0);
        check(position(Mode::LegacyOnly, 0), position(Mode::LegacyOnly, 5_000), "none", 0.0);
        check(position(Mode::LegacyOnly, 0), position(Mode::Parallel, 0), "none", 0.0);
    }
}
