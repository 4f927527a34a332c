//! Everything that a fleet counted of one migration in one block, half a second.
//!
//! Counts of several routers add up in any order. First attempts count: a fallback that saved the caller is still a failure of new.

use serde::{Deserialize, Serialize};

use crate::sequential::latency::QUANTILES;
use crate::sequential::{Block, ByGroup, Matured};

/// Cells of a histogram that one block may bring at most; it has no more cells than that.
const DONE_MAX: usize = crate::observe::CELLS;

/// Pairs of answers to the same request, of which one was bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pairs {
    pub only_new: u32,
    pub only_legacy: u32,
}

/// Counts of one block; what was not measured stays empty and says nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Seen {
    /// Bad is a status of 500 or more, or no whole answer.
    pub requests: Block,
    /// Bad is a status of 400 or more, or no whole answer.
    pub refusals: Block,
    /// Work whose outcome was reported later.
    pub work: Block,
    /// Bad is what took longer than the p50, p75, p90, p95 and p99 of legacy.
    pub latency: [Block; QUANTILES.len()],
    /// What new completed, as (cell, how many).
    pub durations: Vec<(u16, u32)>,
    pub pairs: Pairs,
    /// Requests that legacy was asked twice: only new's answer differs from legacy's first one, or only legacy's second does.
    pub twins: Pairs,
    /// What has become old enough for each horizon of quality.
    pub matured: [Matured; 3],
    /// Groups of keys that failed on new, one bit each.
    pub failing_keys: u64,
    /// How many requests of each group new failed, and how many it failed or refused.
    pub failed: ByGroup,
    pub refused: ByGroup,
    /// Groups of keys that new served, one bit each.
    pub seen_keys: u64,
    /// New served more keys than groups can tell apart.
    pub has_many_keys: bool,
    /// How much more failures of the same callers vary than independent ones would; 1 if that is not known.
    pub deff: f64,
    /// Legacy is not meant to have traffic: everything is served by new, and nothing is copied to legacy.
    pub is_alone: bool,
}

impl Seen {
    /// Adds what another router counted in the same block.
    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.plus(&other.requests);
        self.refusals = self.refusals.plus(&other.refusals);
        self.work = self.work.plus(&other.work);
        for (sum, block) in self.latency.iter_mut().zip(&other.latency) {
            *sum = sum.plus(block);
        }
        for (cell, count) in &other.durations {
            match self.durations.iter().position(|(of, _)| of == cell) {
                Some(at) => self.durations[at].1 = self.durations[at].1.saturating_add(*count),
                None if self.durations.len() < DONE_MAX => self.durations.push((*cell, *count)),
                None => {}
            }
        }
        self.durations.sort_unstable();
        self.pairs.only_new = self.pairs.only_new.saturating_add(other.pairs.only_new);
        self.pairs.only_legacy = self.pairs.only_legacy.saturating_add(other.pairs.only_legacy);
        self.twins.only_new = self.twins.only_new.saturating_add(other.twins.only_new);
        self.twins.only_legacy = self.twins.only_legacy.saturating_add(other.twins.only_legacy);
        for (sum, matured) in self.matured.iter_mut().zip(&other.matured) {
            sum.quality = sum.quality.plus(&matured.quality);
            sum.reporting = sum.reporting.plus(&matured.reporting);
        }
        self.failing_keys |= other.failing_keys;
        add_groups(&mut self.failed, &other.failed);
        add_groups(&mut self.refused, &other.refused);
        self.seen_keys |= other.seen_keys;
        self.has_many_keys |= other.has_many_keys;
        self.deff = self.deff.max(other.deff);
        self.is_alone |= other.is_alone;
    }
}

fn add_groups(sum: &mut ByGroup, more: &ByGroup) {
    for (group, count) in more {
        match sum.binary_search_by_key(group, |(of, _)| *of) {
            Ok(at) => sum[at].1 = sum[at].1.saturating_add(*count),
            Err(at) => sum.insert(at, (*group, *count)),
        }
    }
}
