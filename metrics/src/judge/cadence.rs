//! In which turns something is done, because a store that many routers share is asked little at rest.
//!
//! Not here: what is done.

use flags::Revision;

/// Every how many turns something is done, by who judges and by the others, while new has traffic somewhere.
const EVERY: [u64; 2] = [1, 4];

/// The same while new has none anywhere, so that there is nothing to judge but what legacy is like.
const IDLE_EVERY: [u64; 2] = [6, 20];

/// After how many turns a change is followed anyway, by who judges and by the others, who read what that has found.
const FOLLOWED_AFTER: [u64; 2] = [0, 2];

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cadence {
    turns: u64,
    /// Of the newest state that a turn has seen, and the turns since.
    revision: Revision,
    unchanged: u64,
}

impl Cadence {
    /// Whether something is done in the turn that begins.
    pub(super) fn is_due(&mut self, revision: Revision, judges: bool, is_idle: bool) -> bool {
        // What ends a stretch of evidence is followed soon, also where nothing is left to judge.
        let is_unchanged = std::mem::replace(&mut self.revision, revision) == revision;
        self.unchanged = if is_unchanged { self.unchanged.saturating_add(1) } else { 0 };
        let role = usize::from(!judges);
        let every = if is_idle { IDLE_EVERY } else { EVERY }[role];
        let is_due = self.turns.is_multiple_of(every) || self.unchanged == FOLLOWED_AFTER[role];
        self.turns = self.turns.wrapping_add(1);
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The turns of 24 in which something is done, where the state changes with the ninth.
    #[track_caller]
    fn check(judges: bool, is_idle: bool, due: &[u64]) {
        let mut cadence = Cadence::default();
        let revision = |turn: u64| Revision(if turn < 8 { 1 } else { 2 });
        let found: Vec<u64> = (0..24).filter(|turn| cadence.is_due(revision(*turn), judges, is_idle)).collect();
        assert_eq!(found, due, "judges {judges}, idle {is_idle}");
    }

    #[test]
    fn little_is_done_at_rest_and_a_change_is_followed() {
        check(true, false, &(0..24).collect::<Vec<_>>());
        check(false, false, &[0, 2, 4, 8, 10, 12, 16, 20]);
        check(true, true, &[0, 6, 8, 12, 18]);
        check(false, true, &[0, 2, 10, 20]);
    }
}
