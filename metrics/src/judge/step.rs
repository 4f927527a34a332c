//! What new counts do to what is known of one migration: the step that the judge and a replay share.
//!
//! # Why apart from both
//!
//! A replay is worth something only if it cannot differ from what the judge does. So the order of things (follow what was changed,
//! fold slot by slot, decide once) and what a minute that is over teaches stand here, and nowhere else.
//!
//! Not here: where counts come from, and making anything happen.

use flags::tally::{Slot, SlotCounts};

use super::mind::{Mind, Order};
use super::past::{Past, minute, minute_text};
use super::situation::Situation;
use crate::sequential::Matured;

/// A minute is made when its last slot has settled.
const MINUTE_SETTLE_SECONDS: u64 = 2;

/// Follows what was changed, takes in the slots that are new, oldest first, and decides.
///
/// `matured` is what has become old enough to be judged by its quality; the first slot takes it.
pub(super) fn consider(
    mind: &mut Mind,
    past: &mut Past,
    situation: &Situation<'_>,
    slots: &[SlotCounts],
    mut matured: Option<[Matured; 3]>,
) -> Vec<Order> {
    let mut orders = mind.follow(situation);
    let newest = mind.engine.slot;
    for counts in slots.iter().filter(|counts| counts.slot.0 > newest) {
        // By what was known before this slot, or a threshold would depend on what it judges.
        if mind.engine.thresholds.iter().all(Option::is_none) {
            mind.engine.thresholds = past.thresholds(minute_of(counts.slot));
        }
        mind.fold(counts, situation, matured.take().unwrap_or_default());
        past.slot(counts);
    }
    orders.extend(mind.decide(situation));
    orders
}

/// The text of a minute of these slots, which `past` takes in.
pub(super) fn learn(past: &mut Past, of: u64, slots: &[SlotCounts]) -> Option<String> {
    let text = minute_text(slots)?;
    past.minute(of, &minute(&text));
    Some(text)
}

/// Once a minute is over, what is late goes by it.
pub(super) fn renew(mind: &mut Mind, past: &Past, over: u64) {
    mind.engine.thresholds = past.thresholds(over + 1);
}

/// The minute since 1970 of a slot.
pub(super) const fn minute_of(slot: Slot) -> u64 {
    slot.second() / 60
}

/// The newest minute whose slots are all there while this slot runs.
pub(super) const fn newest_minute(running: Slot) -> u64 {
    minute_of(running.minus(MINUTE_SETTLE_SECONDS * Slot::PER_SECOND)).saturating_sub(1)
}
