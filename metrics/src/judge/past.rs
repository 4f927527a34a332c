//! What was counted minute by minute: the history that is kept, and the quantiles that legacy had in the past hour.
//!
//! A minute is made of its slots, by whoever judges, when it is over. Made twice, it is the same.
//!
//! Not here: the store, and what is compared over a window.

use std::collections::VecDeque;

use flags::Side;
use flags::tally::{SlotCounts, Tally};
use serde::{Deserialize, Serialize};

use crate::block::Thresholds;
use crate::fleet::FleetCounts;
use crate::sequential::latency::thresholds;

/// Minutes whose durations make the quantiles.
const HOUR: usize = 60;

/// The longest text of a minute, as the store takes it.
const TEXT_BYTES_MAX: usize = flags::store::records::STATUS_BYTES_MAX;

/// Names that say nothing about a whole minute: ages on their way, and groups of callers.
const PASSING: [char; 5] = ['a', 'z', 'g', 'r', 'k'];

/// A minute as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    legacy: String,
    new: String,
}

/// The text of a minute of these slots; none where nothing was counted.
pub fn minute_text(slots: &[SlotCounts]) -> Option<String> {
    let mut sides = Side::ALL.map(|side| {
        let mut sum = Tally::default();
        slots.iter().for_each(|slot| sum.merge(&lasting(slot.side(side))));
        sum
    });
    if sides.iter().all(Tally::is_empty) {
        return None;
    }
    // Each step makes the cells of histograms twice as wide, so that three are enough for the longest.
    for _ in 0..4 {
        let [legacy, new] = sides.each_ref().map(Tally::to_text);
        let text = serde_json::to_string(&Stored { legacy, new }).unwrap_or_default();
        if text.len() <= TEXT_BYTES_MAX {
            return Some(text);
        }
        sides = sides.each_ref().map(coarser);
    }
    None
}

/// What a stored minute holds; nothing where it does not read.
pub fn minute(text: &str) -> SlotCounts {
    let stored: Option<Stored> = serde_json::from_str(text).ok();
    let mut counts = SlotCounts::default();
    if let Some(Stored { legacy, new }) = stored {
        counts.add(Side::Legacy, &Tally::parse(&legacy));
        counts.add(Side::New, &Tally::parse(&new));
    }
    counts
}

fn numbered(name: &str) -> Option<(char, usize)> {
    let letter = name.chars().next()?;
    Some((letter, name.get(letter.len_utf8()..)?.parse().ok()?))
}

fn lasting(tally: &Tally) -> Tally {
    let mut rest = Tally::default();
    for (name, count) in tally.iter() {
        let passes = name == "kmany" || numbered(name).is_some_and(|(letter, _)| PASSING.contains(&letter));
        if !passes {
            rest.add(name, count);
        }
    }
    rest
}

/// The same with histograms of half as many cells.
fn coarser(tally: &Tally) -> Tally {
    let step = |cell: usize| {
        let width = 1 + cell.trailing_zeros().min(3);
        cell >> width << width
    };
    let mut rest = Tally::default();
    for (name, count) in tally.iter() {
        match numbered(name) {
            Some((letter @ ('h' | 'w'), cell)) => rest.add(&format!("{letter}{}", step(cell)), count),
            Some(_) | None => rest.add(name, count),
        }
    }
    rest
}

/// How long legacy took in the past hour, and in the minute that runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Past {
    /// Minutes since 1970 with the durations of legacy, as (cell, how many).
    minutes: VecDeque<(u64, Vec<(u16, u64)>)>,
    running: Vec<(u16, u64)>,
}

impl Past {
    /// Adds a slot of the minute that runs.
    pub(super) fn slot(&mut self, counts: &SlotCounts) {
        add(&mut self.running, &durations(counts));
    }

    /// Takes a whole minute, which replaces what was known of it.
    pub(super) fn minute(&mut self, minute: u64, counts: &SlotCounts) {
        self.minutes.retain(|(of, _)| *of != minute);
        self.minutes.push_back((minute, durations(counts)));
        while self.minutes.len() > HOUR {
            self.minutes.pop_front();
        }
        self.running.clear();
    }

    /// What is late by the hour before this minute; none where too little is known.
    pub(super) fn thresholds(&self, now_minute: u64) -> Thresholds {
        let mut sum = self.running.clone();
        let recent = self.minutes.iter().filter(|(minute, _)| now_minute.saturating_sub(*minute) <= HOUR as u64);
        recent.for_each(|(_, cells)| add(&mut sum, cells));
        thresholds(&sum)
    }
}

fn durations(counts: &SlotCounts) -> Vec<(u16, u64)> {
    let cells = FleetCounts(&counts.legacy).attempt_cells();
    let some = |(cell, count): (usize, u64)| Some((u16::try_from(cell).ok()?, count)).filter(|(_, count)| *count > 0);
    cells.into_iter().enumerate().filter_map(some).collect()
}

fn add(sum: &mut Vec<(u16, u64)>, more: &[(u16, u64)]) {
    for (cell, count) in more {
        match sum.binary_search_by_key(cell, |(of, _)| *of) {
            Ok(at) => sum[at].1 = sum[at].1.saturating_add(*count),
            Err(at) => sum.insert(at, (*cell, *count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::CELLS;

    fn slot(legacy: &str, new: &str) -> SlotCounts {
        SlotCounts { legacy: Tally::parse(legacy), new: Tally::parse(new), ..SlotCounts::default() }
    }

    #[test]
    fn a_minute_is_the_sum_of_its_slots_without_what_passes() {
        let slots =
            [slot("ok=3 h10=3 a9=1 kmany=1", ""), slot("ok=2 h10=1 h11=1 z9=1 work_ok=1", "failed=1 g5=1 5xx=1")];
        let read = minute(&minute_text(&slots).unwrap());
        assert_eq!(read, slot("ok=5 h10=4 h11=1 work_ok=1", "failed=1 5xx=1"));
        assert_eq!(minute_text(&[]), None);
        assert_eq!(minute("no minute"), SlotCounts::default());
    }

    #[test]
    fn the_fullest_minute_fits_with_coarser_cells_and_the_same_counts() {
        let mut full = Tally::default();
        (0..CELLS).for_each(|cell| full.add(&format!("h{cell}"), 1_000_000));
        (0..CELLS).for_each(|cell| full.add(&format!("w{cell}"), 1_000_000));
        let counts = SlotCounts { legacy: full.clone(), new: full, ..SlotCounts::default() };
        let text = minute_text(&[counts]).unwrap();
        assert!(text.len() <= TEXT_BYTES_MAX, "{}", text.len());
        let read = minute(&text);
        assert_eq!(FleetCounts(&read.new).attempt_cells().iter().sum::<u64>(), 1_000_000 * CELLS as u64);
    }

    #[test]
    fn quantiles_are_those_of_the_past_hour() {
        let mut past = Past::default();
        past.slot(&slot("h100=199", ""));
        assert!(past.thresholds(1_000).iter().all(Option::is_none));
        past.slot(&slot("h100=1", ""));
        assert_eq!(past.thresholds(1_000)[0].unwrap().legacy, 101);
        past.minute(999, &slot("h100=200", ""));
        past.minute(1_000, &slot("h120=900", ""));
        assert_eq!(past.thresholds(1_001)[0].unwrap().legacy, 121);
        past.minute(1_000, &slot("h110=900", ""));
        assert_eq!(past.thresholds(1_001)[0].unwrap().legacy, 111, "written again, it is another");
        assert!(past.thresholds(2_000).iter().all(Option::is_none), "hours ago");
    }
}
