//! Tokens that only one side has issued, as hashes: the latest of them.
//!
//! Deliberately not supported: telling who issued one, and remembering all. Where an older one comes back the request is compared.

use std::collections::{HashSet, VecDeque};

/// What is remembered of one migration.
pub(super) const ISSUED_MAX: usize = 10_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Issued {
    known: HashSet<u64>,
    /// The oldest first.
    order: VecDeque<u64>,
}

impl Issued {
    pub(super) fn add(&mut self, token: u64) {
        if !self.known.insert(token) {
            return;
        }
        self.order.push_back(token);
        if self.order.len() > ISSUED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    pub(super) fn has_any(&self, tokens: &[u64]) -> bool {
        tokens.iter().any(|token| self.known.contains(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut issued = Issued::default();
        (0..=ISSUED_MAX as u64).for_each(|token| issued.add(token));
        issued.add(1);
        assert_eq!((issued.known.len(), issued.order.len()), (ISSUED_MAX, ISSUED_MAX));
        assert!(!issued.has_any(&[0]) && issued.has_any(&[0, 1]) && !issued.has_any(&[]));
    }
}
