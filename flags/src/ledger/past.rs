//! Events that were delivered, as people ask for them to be sent once more.
//!
//! Plain values; what becomes of one is told in [`super::book`].

use serde::{Deserialize, Serialize};

use super::view::{Event, What};
use super::{DeliveryId, IssueId, IssueLane};
use crate::migration::Side;

/// Events that one call asks for at most.
pub const RESENT_MAX: usize = 200;

/// The newest of what happened in which delivered events are looked for.
pub const LOOKED_MAX: usize = 20_000;

/// Which delivered events are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// All unless said.
    pub issue: Option<IssueId>,
    /// Delivered no earlier than this, and before that.
    pub since_ms: u64,
    pub until_ms: u64,
}

/// Delivered events, in the order in which they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    pub events: Vec<DeliveryId>,
    /// There are more: when the first of those was delivered.
    pub next_ms: Option<u64>,
    /// There may be older ones that were asked for: what was delivered before this was not looked at.
    pub from_ms: Option<u64>,
}

impl Delivered {
    /// Those that are meant among what happened, the newest first.
    pub fn among(events: &[Event], past: &Past, limit: usize) -> Self {
        let is_meant = |event: &&Event| {
            event.what == What::Delivered
                && (past.since_ms..past.until_ms).contains(&event.at_ms)
                && past.issue.as_ref().is_none_or(|issue| event.issue.as_ref() == Some(issue))
        };
        let oldest = events.last().filter(|_| events.len() >= LOOKED_MAX).map(|event| event.at_ms);
        let mut found = Self { from_ms: oldest.filter(|oldest| past.since_ms < *oldest), ..Self::default() };
        for event in events.iter().rev().filter(is_meant) {
            // One of parallel mode was delivered to both.
            let Ok(id) = DeliveryId::new(&event.detail) else { continue };
            if found.events.contains(&id) {
                continue;
            }
            if found.events.len() == limit {
                found.next_ms = Some(event.at_ms);
                break;
            }
            found.events.push(id);
        }
        found
    }
}

/// What becomes of one delivered event that is asked for again, in one record of its issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Again {
    pub delivery: DeliveryId,
    pub resent: Resent,
    /// Where it was delivered, and to whom.
    pub had: Option<(IssueLane, Side)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resent {
    /// It waits behind the others of its issue.
    Again,
    /// Nobody has heard of it.
    Unknown,
    /// Its body is not kept any more.
    Gone,
    /// It waits or is being sent already.
    Waits,
    /// It never was: a person gave it up.
    NotDelivered,
    /// The issue is not in the ledger any more.
    Forgotten,
    /// The issue is the other side's by now, or goes there; nobody does again what the other has done.
    Moved,
    /// It was delivered to new, from which everything was taken by a rollback.
    RolledBack,
    /// As much waits as may.
    Full,
}

impl Resent {
    pub const ALL: [Self; 9] = [
        Self::Again,
        Self::Unknown,
        Self::Gone,
        Self::Waits,
        Self::NotDelivered,
        Self::Forgotten,
        Self::Moved,
        Self::RolledBack,
        Self::Full,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Again => "again",
            Self::Unknown => "unknown",
            Self::Gone => "gone",
            Self::Waits => "waits",
            Self::NotDelivered => "not_delivered",
            Self::Forgotten => "forgotten",
            Self::Moved => "moved",
            Self::RolledBack => "rolled_back",
            Self::Full => "full",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at_ms: u64, issue: &str, what: What, detail: &str) -> Event {
        let issue = Some(IssueId::new(issue).unwrap());
        Event { at_ms, lane: None, issue, what, detail: detail.into(), actor: None, reason: None }
    }

    #[test]
    fn delivered_events_are_found_in_their_order_and_a_few_at_a_time() {
        let mut events = vec![
            event(1, "a", What::Delivered, "a1"),
            event(2, "b", What::Delivered, "b1"),
            event(3, "a", What::Received, "a2"),
            event(4, "a", What::Delivered, "a2"),
            event(4, "a", What::Delivered, "a2"),
            event(5, "a", What::Delivered, "a3"),
        ];
        events.reverse();
        let check = |issue: Option<&str>, since_ms, until_ms, limit, expected: &[&str], next_ms| {
            let past = Past { issue: issue.map(|own| IssueId::new(own).unwrap()), since_ms, until_ms };
            let found = Delivered::among(&events, &past, limit);
            assert_eq!(found.events.iter().map(DeliveryId::as_str).collect::<Vec<_>>(), expected);
            assert_eq!((found.next_ms, found.from_ms), (next_ms, None), "there is nothing older");
        };
        check(None, 0, 10, 9, &["a1", "b1", "a2", "a3"], None);
        check(Some("a"), 0, 10, 2, &["a1", "a2"], Some(5));
        check(Some("a"), 2, 5, 9, &["a2"], None);
        check(Some("c"), 0, 10, 9, &[], None);
    }

    #[test]
    fn it_is_told_how_far_back_was_looked_where_there_may_be_more() {
        let check = |events: usize, since_ms, from_ms| {
            let events = vec![event(7, "a", What::Received, "a1"); events];
            let past = Past { issue: None, since_ms, until_ms: 10 };
            assert_eq!(Delivered::among(&events, &past, 9).from_ms, from_ms, "{} since {since_ms}", events.len());
        };
        check(0, 0, None);
        check(LOOKED_MAX - 1, 0, None);
        check(LOOKED_MAX, 0, Some(7));
        check(LOOKED_MAX, 6, Some(7));
        check(LOOKED_MAX, 7, None);
    }
}
