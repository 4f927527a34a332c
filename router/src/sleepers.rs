//! How to wake the tasks of connections that wait, in places that are used again.

use std::task::Waker;

/// There are never more places than there were tasks at once.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    places: Vec<Option<Waker>>,
    free: Vec<usize>,
}

impl Sleepers {
    /// Remembers how to wake a task; the answer is its place.
    pub(crate) fn enter(&mut self, waker: Waker) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() - 1
        });
        self.places[place] = Some(waker);
        place
    }

    pub(crate) fn leave(&mut self, place: usize) {
        if self.places.get_mut(place).and_then(Option::take).is_some() {
            self.free.push(place);
        }
    }

    /// How to wake those in `count` places from `start` on; `None` behind the last place.
    pub(crate) fn some(&self, start: usize, count: usize) -> Option<Vec<Waker>> {
        let places = self.places.get(start..).filter(|rest| !rest.is_empty())?;
        Some(places.iter().take(count).flatten().cloned().collect())
    }
}
