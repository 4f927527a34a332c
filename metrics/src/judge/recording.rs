//! What a fleet counted of one migration and how that stood meanwhile, as `crossfade counts -o json` prints it.
//!
//! # Why it is checked before it is played
//!
//! A file has been through hands and tools. What is missing, out of order or beyond a bound would make a replay say something else
//! than the guard did, in silence; so it is refused with what to do.
//!
//! Not here: what it means (`replay`). Health checks and reports of quality are not in a recording.

use std::collections::BTreeMap;
use std::time::Duration;

use flags::guard::{GuardAction, LegacyWarmth};
use flags::state::Position;
use flags::tally::{NAME_BYTES_MAX, NAMES_MAX, Slot, SlotCounts, Tally};
use flags::{BasisPoints, Migration, MigrationId, Mode, Side};
use jiff::Timestamp;
use serde::Deserialize;
use thiserror::Error;

/// Half seconds from the first to the last of a recording: a day.
pub const SLOTS_MAX: u64 = 24 * 3_600 * Slot::PER_SECOND;

/// Changes of mode or percentage in one recording.
const POSITIONS_MAX: usize = 10_000;

/// Why a recording cannot be played.
#[derive(Debug, Error)]
pub enum RecordingError {
    #[error("this is no recording; make one with `crossfade counts MIGRATION --window 15m -o json > FILE`")]
    NotARecording(#[source] serde_json::Error),
    #[error(
        "these are counts by the second, which a guard does not judge by: record with `crossfade counts MIGRATION -o json`, or ask the API for ?form=slots"
    )]
    BySecond,
    #[error(
        "nothing was counted in this recording: record while the migration has requests, or with a longer --window"
    )]
    Empty,
    #[error(
        "slot {next} stands after slot {before}: the slots of a recording are in order, so put the older file first"
    )]
    OutOfOrder { before: u64, next: u64 },
    #[error("this recording is longer than a day ({slots} half seconds): cut it and play the parts")]
    TooLong { slots: u64 },
    #[error(
        "slot {slot} counts \"{}\" on {side}, which is no count of a router: a name has 1 to {NAME_BYTES_MAX} bytes without space or \"=\", and a side at most {NAMES_MAX} of them",
        name.escape_debug()
    )]
    BadCount { slot: u64, side: Side, name: String },
    #[error(
        "the recording says {what}, which no file of a router does: record it again with this version of crossfade"
    )]
    Impossible { what: String },
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Recording {
    pub migration: MigrationId,
    /// In order, at least one.
    pub(super) slots: Vec<SlotCounts>,
    /// How it stood from when on, in order; empty where that was not recorded.
    pub(super) positions: Vec<Stood>,
    guard: Option<Guard>,
}

/// How the migration stood from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stood {
    pub(super) time: Timestamp,
    pub(super) position: Position,
    pub(super) actor: String,
}

/// The text, before it is checked. Further members are somebody else's.
#[derive(Deserialize)]
struct Text {
    migration: MigrationId,
    slots: Option<Vec<SlotText>>,
    seconds: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    positions: Vec<PositionText>,
    guard: Option<Guard>,
}

#[derive(Deserialize)]
struct SlotText {
    slot: u64,
    #[serde(default)]
    legacy: BTreeMap<String, u64>,
    #[serde(default)]
    new: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
struct PositionText {
    time: Timestamp,
    mode: Mode,
    percent: f64,
    #[serde(default)]
    actor: String,
}

/// What the file of the router said of the guard. Percentages.
#[derive(Clone, Debug, Deserialize)]
struct Guard {
    action: String,
    legacy: String,
    success_floor: f64,
    margin: f64,
    alpha: f64,
    mean_duration_limit_seconds: f64,
    quality_can_rollback: bool,
    reversible: bool,
    parallel_serve: Side,
    parallel_percent: f64,
}

impl Recording {
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        let text: Text = serde_json::from_str(text).map_err(RecordingError::NotARecording)?;
        let slots = match (text.slots, text.seconds) {
            (Some(slots), _) => slots,
            (None, Some(_)) => return Err(RecordingError::BySecond),
            (None, None) => return Err(RecordingError::Empty),
        };
        check_order(&slots)?;
        let slots = slots.into_iter().map(counts).collect::<Result<_, _>>()?;
        if text.positions.len() > POSITIONS_MAX {
            return Err(impossible(format!("{} changes", text.positions.len())));
        }
        let mut positions = text.positions.into_iter().map(stood).collect::<Result<Vec<_>, _>>()?;
        positions.sort_by_key(|stood| stood.time);
        Ok(Self { migration: text.migration, slots, positions, guard: text.guard })
    }

    /// The migration as the file of the router had it, as far as a guard asks; the defaults where that was not recorded.
    pub fn definition(&self) -> Result<Migration, RecordingError> {
        let mut definition = Migration::new(self.migration.clone(), "legacy", "new");
        let Some(guard) = &self.guard else { return Ok(definition) };
        definition.guard = flags::Guard {
            action: action(&guard.action)?,
            legacy: warmth(&guard.legacy)?,
            success_floor: share(guard.success_floor)?,
            margin: share(guard.margin)?,
            alpha: share(guard.alpha)?,
            mean_duration_limit: Duration::try_from_secs_f64(guard.mean_duration_limit_seconds)
                .map_err(|_| impossible(format!("a mean duration of {} s", guard.mean_duration_limit_seconds)))?,
            quality_can_rollback: guard.quality_can_rollback,
            ..flags::Guard::default()
        };
        definition.reversible = guard.reversible;
        definition.parallel.serve = guard.parallel_serve;
        definition.parallel.share = share(guard.parallel_percent)?;
        Ok(definition)
    }

    pub fn first(&self) -> Slot {
        self.slots.first().map_or_else(Slot::default, |counts| counts.slot)
    }

    pub fn last(&self) -> Slot {
        self.slots.last().map_or_else(Slot::default, |counts| counts.slot)
    }

    /// Whether it tells how the migration stood meanwhile.
    pub fn has_positions(&self) -> bool {
        !self.positions.is_empty()
    }
}

fn impossible(what: String) -> RecordingError {
    RecordingError::Impossible { what }
}

fn check_order(slots: &[SlotText]) -> Result<(), RecordingError> {
    let (Some(first), Some(last)) = (slots.first(), slots.last()) else { return Err(RecordingError::Empty) };
    if let Some(pair) = slots.windows(2).find(|pair| pair[0].slot >= pair[1].slot) {
        return Err(RecordingError::OutOfOrder { before: pair[0].slot, next: pair[1].slot });
    }
    let slots = last.slot - first.slot;
    if slots >= SLOTS_MAX { Err(RecordingError::TooLong { slots }) } else { Ok(()) }
}

fn counts(text: SlotText) -> Result<SlotCounts, RecordingError> {
    let slot = text.slot;
    // Beyond it there is no such time.
    if slot > Slot::of(Timestamp::MAX).0 {
        return Err(impossible(format!("slot {slot}")));
    }
    let tally = |side: Side, counts: BTreeMap<String, u64>| {
        let mut tally = Tally::default();
        for (name, count) in counts {
            tally.add(&name, count);
            if count > 0 && tally.get(&name) == 0 {
                return Err(RecordingError::BadCount { slot, side, name: name.chars().take(80).collect() });
            }
        }
        Ok(tally)
    };
    Ok(SlotCounts { slot: Slot(slot), legacy: tally(Side::Legacy, text.legacy)?, new: tally(Side::New, text.new)? })
}

fn stood(text: PositionText) -> Result<Stood, RecordingError> {
    let PositionText { time, mode, percent, actor } = text;
    Ok(Stood { time, position: Position { mode, share: share(percent)? }, actor })
}

fn share(percent: f64) -> Result<BasisPoints, RecordingError> {
    BasisPoints::from_percent(percent).map_err(|_| impossible(format!("{percent} %")))
}

fn action(word: &str) -> Result<GuardAction, RecordingError> {
    match word {
        "rollback" => Ok(GuardAction::Rollback),
        "hold" => Ok(GuardAction::Hold),
        "off" => Ok(GuardAction::Off),
        other => Err(impossible(format!("\"action\": {other:?}"))),
    }
}

fn warmth(word: &str) -> Result<LegacyWarmth, RecordingError> {
    match word {
        "measured" => Ok(LegacyWarmth::Measured),
        "warm" => Ok(LegacyWarmth::Warm),
        "cold" => Ok(LegacyWarmth::Cold),
        other => Err(impossible(format!("\"legacy\": {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn recording() -> Value {
        json!({
            "migration": "shop",
            "window_seconds": 60,
            "slots": [{"slot": 3_600_000_000_u64, "legacy": {"ok": 9, "h10": 9}, "new": {"failed": 1}}, {"slot": 3_600_000_007_u64}],
            "positions": [{"time": "2027-01-15T08:00:00Z", "mode": "gradual", "percent": 12.5, "actor": "ann"}],
            "guard": {
                "action": "hold", "legacy": "cold", "success_floor": 80.0, "margin": 0.5, "alpha": 0.2, "mean_duration_limit_seconds": 5.0,
                "quality_can_rollback": true, "reversible": false, "parallel_serve": "new", "parallel_percent": 50.0,
            },
        })
    }

    #[test]
    fn what_was_recorded_is_read_as_it_was_set() {
        let read = Recording::parse(&recording().to_string()).unwrap();
        assert_eq!((read.first(), read.last(), read.has_positions()), (Slot(3_600_000_000), Slot(3_600_000_007), true));
        assert_eq!(read.slots[0].legacy, Tally::parse("ok=9 h10=9"));
        let set = read.definition().unwrap();
        assert_eq!((set.guard.action, set.guard.legacy), (GuardAction::Hold, LegacyWarmth::Cold));
        let shares = [set.guard.success_floor, set.guard.margin, set.guard.alpha, set.parallel.share];
        assert_eq!(shares.map(BasisPoints::percent), [80.0, 0.5, 0.2, 50.0]);
        assert!(set.guard.quality_can_rollback && !set.reversible && set.parallel.serve == Side::New);
        let mut bare = recording();
        bare.as_object_mut().unwrap().retain(|name, _| name == "migration" || name == "slots");
        let bare = Recording::parse(&bare.to_string()).unwrap();
        assert_eq!((bare.definition().unwrap().guard, bare.has_positions()), (flags::Guard::default(), false));
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Value), told: &str) {
        let mut recording = recording();
        change(&mut recording);
        let read = Recording::parse(&recording.to_string()).and_then(|read| read.definition());
        let error = read.unwrap_err();
        let cause = std::error::Error::source(&error).map_or_else(String::new, ToString::to_string);
        let error = format!("{error}: {cause}");
        assert!(error.contains(told), "{error}");
    }

    #[test]
    fn what_cannot_be_played_is_refused_with_what_to_do() {
        check(|all| *all = json!([1]), "crossfade counts MIGRATION --window 15m -o json");
        check(|all| all["migration"] = json!("No Id"), "is not a migration id");
        check(|all| all["slots"] = json!([]), "nothing was counted");
        check(|all| all["slots"] = Value::Null, "nothing was counted");
        check(|all| all["slots"][1]["slot"] = json!(5), "slot 5 stands after slot 3600000000");
        check(|all| all["slots"][1]["slot"] = json!(3_600_172_800_u64), "longer than a day");
        check(|all| all["slots"][0]["slot"] = json!(-1), "this is no recording");
        check(|all| all["slots"][0]["new"]["a b"] = json!(1), "\"a b\" on new");
        check(|all| all["slots"] = json!([{"slot": u64::MAX}]), "slot 18446744073709551615");
        check(|all| all["positions"][0]["percent"] = json!(101.0), "101 %");
        check(|all| all["positions"][0]["mode"] = json!("sideways"), "this is no recording");
        check(|all| all["guard"]["action"] = json!("maybe"), "\"action\": \"maybe\"");
        check(|all| all["guard"]["mean_duration_limit_seconds"] = json!(-1.0), "-1 s");
        let by_second = json!({"migration": "shop", "seconds": []}).to_string();
        assert!(matches!(Recording::parse(&by_second), Err(RecordingError::BySecond)));
    }

    #[test]
    fn more_names_than_a_side_has_are_refused() {
        check(
            |all| {
                let names = (0..=NAMES_MAX).map(|at| (format!("n{at}"), json!(1)));
                all["slots"][0]["legacy"] = Value::Object(names.collect());
            },
            "on legacy",
        );
    }
}
