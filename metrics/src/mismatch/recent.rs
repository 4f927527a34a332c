//! Two counts of the last hour, by ten minutes: what was found lately, and in how many requests.
//!
//! # Why beside totals
//!
//! A total never goes down, so it cannot tell that a regression was mended, and after a million sound requests it hardly tells that one has
//! begun. What was seen lately can, in seven numbers that sum over routers as totals do.
//!
//! Deliberately not supported: a clock. The hour is the last one in which anything was compared, so that what nobody looks at any more stays
//! as it was last seen.

use serde::{Deserialize, Serialize};

const SLOT_S: i64 = 600;

/// The ten minutes that have begun, and an hour before them.
const SLOTS: i64 = 7;

/// Ten minutes since 1970, and both counts; the latest first.
type Slot = (i64, u64, u64);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Slot>", into = "Vec<Slot>")]
pub struct Recent(Vec<Slot>);

impl Recent {
    /// Counts at a time, in seconds since 1970.
    pub(super) fn add(&mut self, second: i64, counts: (u64, u64)) {
        self.add_slot((second.div_euclid(SLOT_S), counts.0, counts.1));
    }

    fn add_slot(&mut self, (slot, a, b): Slot) {
        match self.0.binary_search_by(|(own, ..)| slot.cmp(own)) {
            Ok(at) => {
                if let Some((_, sum_a, sum_b)) = self.0.get_mut(at) {
                    (*sum_a, *sum_b) = (sum_a.saturating_add(a), sum_b.saturating_add(b));
                }
            }
            Err(at) => self.0.insert(at, (slot, a, b)),
        }
        let oldest = self.latest().unwrap_or(slot).saturating_sub(SLOTS);
        self.0.retain(|(own, ..)| *own > oldest);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|slot| self.add_slot(*slot));
    }

    pub(super) fn latest(&self) -> Option<i64> {
        self.0.first().map(|(slot, ..)| *slot)
    }

    /// Both counts of the hour that ends with these ten minutes.
    pub(super) fn until(&self, latest: i64) -> (u64, u64) {
        let is_within = |slot: i64| slot <= latest && slot > latest.saturating_sub(SLOTS);
        let within = self.0.iter().filter(|(slot, ..)| is_within(*slot));
        within.fold((0, 0), |(a, b), (_, x, y)| (a.saturating_add(*x), b.saturating_add(*y)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Who wrote it may have been somebody else.
impl From<Vec<Slot>> for Recent {
    fn from(slots: Vec<Slot>) -> Self {
        let mut own = Self::default();
        slots.into_iter().take(SLOTS as usize).for_each(|slot| own.add_slot(slot));
        own
    }
}

impl From<Recent> for Vec<Slot> {
    fn from(recent: Recent) -> Self {
        recent.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept_whatever_the_order() {
        let mut recent = Recent::default();
        for minute in [0, 9, 10, 69, 30, 70, 5] {
            recent.add(minute * 60, (1, 2));
        }
        // What was before the first ten minutes is forgotten since the last came.
        assert_eq!(recent.until(7), (4, 8));
        assert_eq!(recent.until(6), (3, 6));
        assert_eq!(recent.until(100), (0, 0));
        recent.add(1_000_000, (1, 0));
        assert_eq!((recent.0.len(), recent.until(1_666)), (1, (1, 0)));
        let mut other = Recent::default();
        other.add(1_000_100, (2, 1));
        other.merge(&recent);
        assert_eq!(other.until(1_666), (3, 1));
    }

    #[test]
    fn what_is_read_is_bounded() {
        let slots: Vec<Slot> = (0..1_000).map(|slot| (slot, u64::MAX, 1)).collect();
        let read = Recent::from([slots.clone(), slots].concat());
        assert_eq!((read.0.len(), read.until(6).1), (7, 7));
        assert_eq!(read.until(i64::MIN), (0, 0));
        let mut far = Recent::from(vec![(i64::MAX, 1, 1), (i64::MIN, 1, 1)]);
        far.add(0, (1, 1));
        assert_eq!(far.until(i64::MAX), (1, 1));
    }
}
