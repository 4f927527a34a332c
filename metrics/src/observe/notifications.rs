//! What became of the notices, by target.
//!
//! The targets are those of the file, so the labels are a closed set; one that the file no longer names disappears.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::lock;

/// What became of a notice at one target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Sent,
    /// A try failed, and another one follows.
    Retried,
    /// Given up.
    Failed,
    /// Not taken, because too many wait already.
    Dropped,
}

const DELIVERIES: usize = 4;

impl Delivery {
    pub const ALL: [Self; DELIVERIES] = [Self::Sent, Self::Retried, Self::Failed, Self::Dropped];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Retried => "retried",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// The counts of one target.
#[derive(Debug, Default)]
pub struct NotificationCells([AtomicU64; DELIVERIES]);

impl NotificationCells {
    pub(crate) fn count(&self, delivery: Delivery) {
        self.0[delivery as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self, delivery: Delivery) -> u64 {
        self.0[delivery as usize].load(Ordering::Relaxed)
    }
}

/// The counts of all targets.
#[derive(Debug, Default)]
pub(super) struct Notifications(Mutex<BTreeMap<String, Arc<NotificationCells>>>);

impl Notifications {
    /// Says which targets the file names, and gives their cells in this order.
    pub(super) fn declare(&self, targets: &[String]) -> Vec<Arc<NotificationCells>> {
        let mut cells = lock(&self.0);
        cells.retain(|name, _| targets.contains(name));
        targets.iter().map(|name| Arc::clone(cells.entry(name.clone()).or_default())).collect()
    }

    pub(super) fn all(&self) -> BTreeMap<String, Arc<NotificationCells>> {
        lock(&self.0).clone()
    }
}
