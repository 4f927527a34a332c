//! What a judge keeps of one migration, and what follows from what was counted. Pure: times and counts are passed in.
//!
//! # Why it remembers what it has said
//!
//! A verdict says what should be so, again with every block. A brake is made once, and people are told once, so what was
//! decided before is part of what is kept, and survives the router that decided it.

use flags::control::Ask;
use flags::guard::{GuardAction, LegacyWarmth};
use flags::state::Position;
use flags::tally::{Slot, SlotCounts};
use flags::{Migration, Mode, Revision, Side};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::block::{Context, Thresholds, seen};
use crate::events::MigrationChanged;
use crate::fleet::FleetCounts;
use crate::guard::{self, Action, GuardSettings, Measure, Pace, Streams, Verdict, Why};
use crate::notice::{Kind, Notice};
use crate::outcome::Attempted;
use crate::rollback::{self, SLICES};
use crate::sequential::{Block, HORIZONS_SECONDS, Matured};
use crate::status::{Attempts, ROLLBACKS_REMEMBERED, State, Status};

/// Slots between two slices of a rollback to a cold legacy.
const SLICE_SLOTS: u64 = rollback::SLICE.as_millis() as u64 / Slot::MILLIS;

/// Rollbacks that are remembered for the length of a cooldown.
const ROLLBACKS_MAX: usize = 32;

/// How much of the requests of ten minutes a slot forgets.
const SERVED_MEMORY: f64 = 1.0 - 1.0 / 1_200.0;

/// How much of the scatter of failures a day forgets; it is counted once a minute.
const SCATTER_MEMORY: f64 = 1.0 - 1.0 / 1_440.0;

/// Degrees of freedom without which scatter is chance.
const SCATTER_MIN: f64 = 200.0;

/// All that a further block needs, in the store between two of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Engine {
    /// The newest slot that was folded.
    pub(super) slot: u64,
    /// Of the newest change that was followed.
    revision: Revision,
    position: Option<Position>,
    /// The slot in which new got traffic, as far as the mode tells.
    exposed: Option<u64>,
    /// The newest slot with a request of new.
    new_last: u64,
    streams: Streams,
    pub(super) thresholds: Thresholds,
    served: Served,
    scatter: Scatter,
    /// Until when quality was judged, by horizon; seconds since 1970.
    matured: [u64; HORIZONS_SECONDS.len()],
    /// When new was last bad enough and then was not.
    hit: Option<Timestamp>,
    slices: Option<Slices>,
    /// What people were told last and has not ended.
    told: Option<(Kind2, Why)>,
}

/// Requests of legacy, the older the less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Served {
    requests: f64,
    seconds: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Scatter {
    chi: f64,
    freedom: f64,
}

/// A rollback on its way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Slices {
    from: Position,
    step: u16,
    /// When the next one is due.
    slot: u64,
    why: String,
    record: Value,
}
