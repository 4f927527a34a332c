//! What both sides did in the last ten seconds, and legacy in its last 200 requests.
//!
//! The first is for words and for how fast to go back, the second tells whether legacy can take everybody.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::sequential::{Block, Count, Damaged};

/// Half seconds.
const BLOCKS: usize = 20;

/// Requests of legacy that tell how it is.
const LEGACY_LAST: f64 = 200.0;

/// Fewer tell nothing.
const LEGACY_MIN: f64 = 10.0;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub(super) struct Window {
    /// The newest last.
    blocks: VecDeque<Block>,
    legacy_last: Count,
}

#[derive(Deserialize)]
struct Stored {
    blocks: VecDeque<Block>,
    legacy_last: Count,
}

impl TryFrom<Stored> for Window {
    type Error = Damaged;

    fn try_from(Stored { blocks, legacy_last }: Stored) -> Result<Self, Damaged> {
        let is_sound = blocks.len() <= BLOCKS && blocks.iter().all(Block::is_valid);
        if is_sound && legacy_last.is_valid() { Ok(Self { blocks, legacy_last }) } else { Err(Damaged::Counts) }
    }
}

impl Window {
    pub(super) fn fold(&mut self, requests: &Block) {
        let block = if requests.is_valid() { *requests } else { Block::NONE };
        if self.blocks.len() >= BLOCKS {
            self.blocks.pop_front();
        }
        self.blocks.push_back(block);
        self.legacy_last = self.legacy_last.then(block.legacy, LEGACY_LAST);
    }

    /// Both sides in the last ten seconds.
    pub(super) fn sum(&self) -> Block {
        self.blocks.iter().fold(Block::NONE, |sum, block| sum.plus(block))
    }

    /// The rate of failure of legacy's last 200 requests; `None` where there were too few to tell.
    pub(super) fn legacy_rate(&self) -> Option<f64> {
        if self.legacy_last.total < LEGACY_MIN { None } else { self.legacy_last.rate() }
    }
}
