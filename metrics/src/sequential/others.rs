//! The same test of all callers but the two groups that fail most.
//!
//! # Why
//!
//! One caller with a broken client can fail thousands of times a minute on new alone, while each of the others fails now and
//! then, on new as on legacy. Then the evidence is large and failures are of many groups, and still new is sound. So who would
//! move everybody asks those others: without the failures of the two worst groups, new must be worse too.
//!
//! Which two are left out is known from the blocks before, so that the choice does not depend on what it is to judge. Their
//! requests stay, which speaks for new.
//!
//! Not here: how many groups have to fail, and groups of which only requests are known.

use serde::{Deserialize, Serialize};

use super::clocks::{Damaged, Evidence};
use super::count::{Block, Count, is_unused, rounded};
use super::factor::{Margin, Test};
use super::two_sample::TwoSample;

/// Groups that are left out.
const LEFT_OUT: usize = 2;

/// Evidence of the others that is enough: what would hold.
pub const OTHERS_MIN: f64 = 20.0;

/// What is remembered of failures after one more block: about a hundred blocks.
const MEMORY: f64 = 0.99;

/// Fewer failures than this are forgotten.
const FORGOTTEN: f64 = 0.1;

/// Failures of a block by group of callers; groups without any are left out.
pub type ByGroup = Vec<(u8, u32)>;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Others {
    /// How often each group has failed of late, in the order of groups.
    #[serde(default, skip_serializing_if = "is_unused")]
    failed: Vec<(u8, f64)>,
    #[serde(default, skip_serializing_if = "is_unused")]
    stream: TwoSample,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Stored {
    failed: Vec<(u8, f64)>,
    stream: TwoSample,
}

impl TryFrom<Stored> for Others {
    type Error = Damaged;

    fn try_from(Stored { failed, stream }: Stored) -> Result<Self, Damaged> {
        let is_ordered = failed.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let is_sound = is_ordered && failed.iter().all(|(_, count)| Count::new(*count, 0.0).is_valid());
        if is_sound { Ok(Self { failed, stream }) } else { Err(Damaged::Counts) }
    }
}

impl Others {
    /// Takes in what both sides did, and of new's failures whose they were.
    pub fn fold(&mut self, seen: &Block, failed: &[(u8, u32)], test: &Test, margin: Margin, deff: f64) {
        self.stream.fold(&Block { new: self.without_the_worst(seen.new, failed), ..*seen }, test, margin, deff);
        self.remember(failed);
    }

    /// The same while legacy has no traffic.
    pub fn fold_alone(&mut self, new: Count, failed: &[(u8, u32)], test: &Test, deff: f64) {
        self.stream.fold_alone(self.without_the_worst(new, failed), test, deff);
        self.remember(failed);
    }

    pub fn evidence(&self) -> Evidence {
        self.stream.evidence()
    }

    /// Forgets the evidence and who failed, and keeps the rates.
    pub fn restart(&mut self) {
        self.failed.clear();
        self.stream.restart();
    }

    fn without_the_worst(&self, new: Count, failed: &[(u8, u32)]) -> Count {
        let mut worst = self.failed.clone();
        worst.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let is_left_out = |group: u8| worst.iter().take(LEFT_OUT).any(|(of, _)| *of == group);
        let theirs: f64 =
            failed.iter().filter(|(group, _)| is_left_out(*group)).map(|(_, count)| f64::from(*count)).sum();
        Count::new(new.total, (new.bad - theirs).max(0.0))
    }

    fn remember(&mut self, failed: &[(u8, u32)]) {
        self.failed.iter_mut().for_each(|(_, count)| *count = rounded(*count * MEMORY));
        for (group, more) in failed {
            match self.failed.binary_search_by_key(group, |(of, _)| *of) {
                Ok(at) => self.failed[at].1 = rounded(self.failed[at].1 + f64::from(*more)),
                Err(at) => self.failed.insert(at, (*group, f64::from(*more))),
            }
        }
        self.failed.retain(|(_, count)| *count >= FORGOTTEN);
    }
}

#[cfg(test)]
mod tests {
    use super::super::factor::FLEET;
    use super::*;

    /// Evidence after so many blocks of 90 requests of legacy, of which one fails, and of new.
    #[track_caller]
    fn check(blocks: u32, new: (f64, f64), failed: impl Fn(u32) -> ByGroup, is_enough: bool) {
        let mut others = Others::default();
        for block in 0..blocks {
            let seen = Block::new(Count::new(90.0, 1.0), Count::new(new.0, new.1));
            others.fold(&seen, &failed(block), &FLEET, Margin::at_least(0.002), 1.0);
        }
        let evidence = others.evidence().value();
        assert_eq!(evidence >= OTHERS_MIN, is_enough, "{evidence}");
        let stored = serde_json::to_string(&others).unwrap();
        assert_eq!(serde_json::from_str::<Others>(&stored).unwrap(), others);
    }

    fn group(of: u32) -> u8 {
        u8::try_from(of % 64).unwrap()
    }

    #[test]
    fn the_two_that_fail_most_convince_nobody_whatever_the_others_share_with_legacy() {
        check(600, (90.0, 41.0), |block| vec![(7, 40), (group(block), 1)], false);
        check(600, (90.0, 41.0), |block| vec![(7, 30), (9, 10), (group(block), 1)], false);
        check(6, (90.0, 41.0), |_| vec![(7, 20), (9, 11), (11, 10)], true);
        check(6, (90.0, 41.0), |_| (0..41).map(|of| (group(of), 1)).collect(), true);
        check(6, (10.0, 10.0), |block| vec![(group(block), 5), (group(block + 1), 5)], true);
        check(600, (90.0, 1.0), |block| vec![(group(block), 1)], false);
    }

    #[test]
    fn what_is_damaged_is_refused() {
        for damage in [r#"{"failed":[[2,1.0],[1,1.0]]}"#, r#"{"failed":[[1,-1.0]]}"#, r#"{"failed":[[300,1.0]]}"#] {
            assert!(serde_json::from_str::<Others>(damage).is_err(), "{damage}");
        }
    }
}
