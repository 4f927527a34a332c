//! Where a tunnel stands: what it takes to decide its request again, and when it has to leave.
//!
//! # Why the head is kept
//!
//! What decides is in the request that opened the tunnel: any field may be a key or the subject of a rule, and a new file may
//! ask for other ones. So its bytes are kept, some hundred of them, and parsed again when the state has changed. Nothing of
//! this happens while bytes flow.
//!
//! A tunnel that the state now places on the other side is not cut: it has until a deadline, and a state that places it here
//! again takes the deadline away. Deadlines are spread, so that callers do not all return at once.
//!
//! Not here: tunnels of routes without a migration, and of requests with a body, whose key cannot be read again. They stay.

use std::time::{Duration, Instant};

use flags::{Decision, MigrationId, Reason, Side};

use crate::h1::head::{FIELDS_MAX, HeadLimits, RequestHead};
use crate::headers::Peer;
use crate::proxy::place::{Destination, KeyBody, Looked, Place, look};
use crate::worker::Worker;

/// What the present state says to a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Stays,
    /// Its key is on the other side now.
    Moved,
    /// New is given up, and it is a tunnel to new.
    RolledBack,
}

/// What placed a tunnel, and would place it now.
#[derive(Debug)]
pub(crate) struct Standing {
    head: Box<[u8]>,
    migration: MigrationId,
    side: Side,
    /// The die that was cast for a request without a key stays cast.
    chance: u32,
}

impl Standing {
    /// `None` for what no flip can move.
    pub(crate) fn new(worker: &Worker, place: &Place, request: &RequestHead, served: Option<Side>) -> Option<Self> {
        let Destination::Migration(at, decision) = &place.to else { return None };
        if request.has_body() {
            return None;
        }
        let migration =
            worker.with_view(|snapshot, _| snapshot.definitions().migrations().get(at.0).map(|own| own.id.clone()))?;
        Some(Self {
            head: request.bytes.as_slice().into(),
            migration,
            side: served.unwrap_or(decision.serve),
            chance: place.chance,
        })
    }

    /// Decides again, by the present snapshot.
    pub(crate) fn judge(&self, worker: &Worker, peer: &Peer) -> Verdict {
        let mut exchange = worker.take_exchange();
        let verdict = self.decide(worker, peer, &mut exchange.request).map_or(Verdict::Stays, |decision| {
            match (decision.serve == self.side, decision.reason) {
                (true, _) => Verdict::Stays,
                (false, Reason::EmergencyRollback | Reason::KillFile) => Verdict::RolledBack,
                (false, _) => Verdict::Moved,
            }
        });
        worker.give_exchange(exchange);
        verdict
    }

    /// `None` when the file has no place for such a request any more, or leads it to another migration.
    fn decide(&self, worker: &Worker, peer: &Peer, head: &mut RequestHead) -> Option<Decision> {
        // The limits of a newer file are for newer requests.
        let limits = HeadLimits { bytes: self.head.len(), fields: FIELDS_MAX, target: self.head.len() };
        let length = head.parse(&self.head, &limits).ok().flatten()?;
        head.bytes.clear();
        head.bytes.extend_from_slice(&self.head[..length]);
        let body = KeyBody::Read(Some(&[]));
        worker.with_view(|snapshot, tables| match look(worker, peer, snapshot, tables, head, body, self.chance) {
            Ok(Looked::Placed(Place { to: Destination::Migration(at, decision), .. })) => {
                (snapshot.migration(at).id == self.migration).then_some(decision)
            }
            Ok(_) | Err(_) => None,
        })
    }
}

/// When a tunnel that was placed elsewhere has to leave.
#[derive(Debug, Default)]
pub(crate) struct Departure {
    pub(crate) at: Option<Instant>,
}

impl Departure {
    /// Takes a verdict over. A moved tunnel leaves between half of `flip` and all of it, one that was rolled back within
    /// `rollback`; a deadline only ever comes closer, until the tunnel may stay.
    pub(crate) fn follow(&mut self, verdict: Verdict, now: Instant, chance: u64, flip: Duration, rollback: Duration) {
        let by = match verdict {
            Verdict::Stays => {
                self.at = None;
                return;
            }
            Verdict::Moved if self.at.is_some() => return,
            Verdict::Moved => now + flip / 2 + part(flip - flip / 2, chance),
            Verdict::RolledBack => now + part(rollback, chance),
        };
        self.at = Some(self.at.map_or(by, |at| at.min(by)));
    }
}

/// An even part of a time, by a random number.
pub(crate) fn part(of: Duration, chance: u64) -> Duration {
    let millis = u64::try_from(of.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(chance % millis.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLIP: Duration = Duration::from_secs(600);
    const ROLLBACK: Duration = Duration::from_secs(30);

    /// After these verdicts, given with the largest and the smallest chance, the deadline lies between these seconds.
    #[track_caller]
    fn check(verdicts: &[Verdict], expected: Option<(u64, u64)>) {
        let now = Instant::now();
        let left = |chance: &dyn Fn(Duration) -> u64| {
            let mut departure = Departure::default();
            for verdict in verdicts {
                let of = if *verdict == Verdict::RolledBack { ROLLBACK } else { FLIP / 2 };
                departure.follow(*verdict, now, chance(of), FLIP, ROLLBACK);
            }
            departure.at.map(|at| (at - now).as_secs())
        };
        let last = |of: Duration| u64::try_from(of.as_millis()).unwrap();
        assert_eq!(left(&|_| 0).zip(left(&last)), expected, "{verdicts:?}");
    }

    #[test]
    fn a_tunnel_leaves_when_its_key_is_elsewhere_and_sooner_after_a_rollback() {
        use Verdict::{Moved, RolledBack, Stays};
        check(&[Stays], None);
        check(&[Moved], Some((300, 600)));
        check(&[RolledBack], Some((0, 30)));
        check(&[Moved, Moved], Some((300, 600)));
        check(&[Moved, RolledBack], Some((0, 30)));
        check(&[RolledBack, Moved], Some((0, 30)));
        check(&[RolledBack, Stays], None);
        check(&[RolledBack, Stays, Moved], Some((300, 600)));
    }
}
