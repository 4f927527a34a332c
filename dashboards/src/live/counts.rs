//! The newest whole second of every migration.

use std::collections::BTreeMap;

use flags::tally::{Slot, SlotCounts, Tally};
use flags::{MigrationId, Side};
use jiff::Timestamp;
use metrics::observe::MigrationTotals;
use metrics::outcome::{CodeClass, Failure};
use metrics::performance::Kind;
use metrics::performance::Side as Performance;
use serde_json::{Map, Value, json};

use super::STORE_WAIT;
use crate::Shared;
use crate::wire::Decided;

/// What the last look knew.
#[derive(Default)]
pub(super) struct Counted {
    /// The newest second that was told.
    second: u64,
    /// What this router had counted by then, since its start.
    own: BTreeMap<MigrationId, MigrationTotals>,
}

impl Counted {
    /// The newest second, unless it was told before.
    pub(super) async fn look(&mut self, shared: &Shared) -> Option<Value> {
        // The second before the last: every router has told what it counted in it.
        let second = shared.watch.store_slot().second().saturating_sub(2);
        if second <= self.second {
            return None;
        }
        self.second = second;
        let snapshot = shared.watch.current();
        let ids: Vec<_> = snapshot.iter().map(|(_, definition, _)| definition.id.clone()).collect();
        let first = Slot::of_second(second);
        let counts = shared.control.counts_of(&ids, first..=first.plus(Slot::PER_SECOND - 1));
        let counts = tokio::time::timeout(STORE_WAIT, counts).await.ok().and_then(Result::ok);
        let before = std::mem::replace(&mut self.own, shared.observer.totals());
        let fleet: Option<BTreeMap<_, Vec<SlotCounts>>> = counts.map(|counts| counts.into_iter().collect());
        let mut migrations = Map::new();
        for id in ids {
            let Second { legacy, new, decided } = match &fleet {
                Some(fleet) => of_fleet(fleet.get(&id).map_or(&[][..], Vec::as_slice)),
                None => of_router(self.own.get(&id), before.get(&id)),
            };
            let status = shared.board.get(&id).unwrap_or_default();
            let view = json!({
                "observed_percent": decided.percent(),
                "legacy": side(&legacy), "new": side(&new),
                "evidence": status.e_value(), "state": status.state.name(),
            });
            migrations.insert(id.to_string(), view);
        }
        let time = Timestamp::from_second(i64::try_from(second).ok()?).ok()?;
        let source = if fleet.is_some() { "fleet" } else { "router" };
        Some(json!({ "time": time, "source": source, "migrations": migrations }))
    }
}

/// First attempts at both sides, and what callers were decided for.
struct Second {
    legacy: Kind,
    new: Kind,
    decided: Decided,
}

fn of_fleet(slots: &[SlotCounts]) -> Second {
    let [legacy, new] = Side::ALL.map(|side| {
        let mut sum = Tally::default();
        slots.iter().for_each(|counts| sum.merge(counts.side(side)));
        sum
    });
    let kind = |tally| Performance::of(tally).requests;
    Second { legacy: kind(&legacy), new: kind(&new), decided: Decided::of(&legacy, &new) }
}

/// What this router alone has counted since the look before; how long requests took is not told then.
fn of_router(now: Option<&MigrationTotals>, before: Option<&MigrationTotals>) -> Second {
    let sum = |totals: Option<&MigrationTotals>, side| {
        let Some(totals) = totals.map(|totals| totals.side(side)) else { return (0, 0, 0) };
        let blamed = Failure::ALL.into_iter().filter(|failure| failure.blames_the_side());
        let total: u64 = CodeClass::ALL.into_iter().map(|class| totals.requests(class)).sum();
        (total, blamed.map(|failure| totals.failures(failure)).sum::<u64>(), totals.decided())
    };
    let [(legacy, _), (new, of_new)] = Side::ALL.map(|side| {
        let (now, was) = (sum(now, side), sum(before, side));
        let (total, failed) = (now.0.saturating_sub(was.0), now.1.saturating_sub(was.1));
        (Kind { total, failed, ..Kind::default() }, now.2.saturating_sub(was.2))
    });
    let of_legacy = sum(now, Side::Legacy).2.saturating_sub(sum(before, Side::Legacy).2);
    Second { legacy, new, decided: Decided { new: of_new, all: of_legacy + of_new } }
}

fn side(kind: &Kind) -> Value {
    let millis = |quantile| kind.durations.quantile(quantile).map(|duration| duration.as_secs_f64() * 1e3);
    json!({ "total": kind.total, "failed": kind.failed, "p50_ms": millis(0.50), "p95_ms": millis(0.95) })
}
