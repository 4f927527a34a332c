//! What the copies of one migration may use at once, counted by all workers together.
//!
//! Whoever wants more than is left is told so at once; nobody waits. What is held is given back when its holder is dropped,
//! wherever that happens.
//!
//! Not here: the buffers of connections, which every request has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::observe::InUse;

/// A count that does not exceed its limit, which a reload may move.
#[derive(Debug)]
struct Bounded {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Bounded {
    fn new(most: usize) -> Self {
        Self { now: AtomicUsize::new(0), most: AtomicUsize::new(most) }
    }

    fn take(&self, more: usize) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let added = |now: usize| now.checked_add(more).filter(|sum| *sum <= most);
        self.now.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added).is_ok()
    }

    fn give(&self, back: usize) {
        self.now.fetch_sub(back, Ordering::Relaxed);
    }
}

/// Memory for bodies, and places for copies under way.
#[derive(Debug)]
pub(crate) struct Budget {
    memory: Bounded,
    in_flight: Bounded,
}

impl Budget {
    pub(crate) fn new(memory: usize, in_flight: usize) -> Arc<Self> {
        Arc::new(Self { memory: Bounded::new(memory), in_flight: Bounded::new(in_flight) })
    }

    /// Other limits, for what is taken from now on.
    pub(crate) fn limit(&self, memory: usize, in_flight: usize) {
        self.memory.most.store(memory, Ordering::Relaxed);
        self.in_flight.most.store(in_flight, Ordering::Relaxed);
    }

    /// A place among the copies under way; `None` where all are taken.
    pub(crate) fn place(self: &Arc<Self>) -> Option<Place> {
        self.in_flight.take(1).then(|| Place(Arc::clone(self)))
    }

    /// What is in use at this moment.
    pub(crate) fn in_use(&self) -> InUse {
        let now = |own: &Bounded| own.now.load(Ordering::Relaxed) as u64;
        InUse { bytes: now(&self.memory), in_flight: now(&self.in_flight) }
    }

    /// No memory yet.
    pub(crate) fn nothing(self: &Arc<Self>) -> Held {
        Held { budget: Arc::clone(self), bytes: 0 }
    }
}

/// One copy under way.
#[derive(Debug)]
pub(crate) struct Place(Arc<Budget>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.in_flight.give(1);
    }
}

/// Memory of the budget that is in use.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Held {
    /// Nothing yet, of the same budget.
    pub(crate) fn another(&self) -> Self {
        self.budget.nothing()
    }

    /// Holds this much from now on; `false`, and as before, where the budget has not so much left.
    pub(crate) fn hold(&mut self, bytes: usize) -> bool {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            if more > 0 && !self.budget.memory.take(more) {
                return false;
            }
        } else {
            self.budget.memory.give(self.bytes - bytes);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.memory.give(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_never_exceeds_the_budget_and_is_given_back() {
        let budget = Budget::new(100, 1);
        let (mut a, mut b) = (budget.nothing(), budget.nothing());
        assert!(a.hold(60) && b.hold(40));
        assert!(!a.hold(61), "nothing is left");
        assert!(a.hold(10) && b.hold(90));
        assert!(!a.hold(11));
        drop(b);
        assert!(a.hold(100));
        assert!(!a.hold(usize::MAX));
        drop(a);
        assert_eq!(budget.memory.now.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_place_is_free_again_when_its_copy_ends() {
        let budget = Budget::new(0, 2);
        let (first, second) = (budget.place(), budget.place());
        assert!(first.is_some() && second.is_some() && budget.place().is_none());
        drop(first);
        assert!(budget.place().is_some());
        budget.limit(0, 0);
        assert!(budget.place().is_none(), "a reload holds at once");
    }
}
