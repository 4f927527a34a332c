//! What is kept of a delivery, and who has had it.

use crate::ledger::{Delivery, IssueId, Lane};
use crate::migration::Side;

/// A delivery that is kept, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub delivery: Delivery,
    pub received_ms: u64,
    pub custody: Custody,
}

/// Who has had a delivery that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custody {
    pub issue: IssueId,
    /// Records that are not done with it.
    pub left: u32,
    /// To whom it was delivered, in each record.
    pub had: Vec<(Lane, Side)>,
}

impl Custody {
    /// Who had it in this record.
    pub fn had_in(&self, lane: Lane) -> Option<Side> {
        self.had.iter().find(|(own, _)| *own == lane).map(|(_, side)| *side)
    }

    /// It was delivered in this record.
    pub fn give(&mut self, lane: Lane, side: Side) {
        self.had.retain(|(own, _)| *own != lane);
        self.had.push((lane, side));
        self.had.sort_unstable();
    }
}
