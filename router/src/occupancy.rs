//! How full the router is, over all workers, and which worker takes the next connection.
//!
//! # Why connections are evened out
//!
//! The kernel spreads connections over the workers' sockets by a hash of their addresses. For thousands of callers that is
//! even. A few dozen connections that stay for hours (WebSockets, the pool of a balancer in front) stay where the hash has
//! put them, and one core works while another one sleeps. So a worker that accepts a connection and then has clearly more
//! than the least loaded one hands the socket over before it reads from it, as Envoy's exact balancer does. Below a
//! tolerance nothing moves, because a hand-over wakes a second thread and would win nothing.
//!
//! # Why limits are counted here
//!
//! A limit that is divided among workers refuses callers while there is room elsewhere. Opening and closing a connection
//! may touch a counter that all workers share; a request never does.
//!
//! Not here: moving a connection that is served already, and balance by work instead of number.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

/// Sockets on their way to one worker; when they are more, whoever accepted a connection keeps it.
const HANDED_MAX: usize = 128;

/// How many connections more than the least loaded worker one may have: this, or an eighth of what that one has.
///
/// Two, because connections that come and go make a difference of one all the time.
const TOLERANCE: usize = 2;

/// Whether a worker gives its newest connection, counted in `own`, to one that has `least`.
fn is_uneven(own: usize, least: usize) -> bool {
    own > least + TOLERANCE.max(least / 8)
}

/// An accepted connection on its way to another worker.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) io: TcpStream,
    pub(crate) address: SocketAddr,
    pub(crate) place: Place,
}

/// One worker as the others see it. Padded, so that two workers do not fight over a cache line.
#[derive(Debug)]
#[repr(align(128))]
struct Seat {
    open: AtomicUsize,
    /// It runs and does not end yet.
    takes: AtomicBool,
    sender: mpsc::Sender<Handed>,
}

/// Everything that is open, shared by all workers.
#[derive(Debug)]
pub(crate) struct Occupancy {
    connections: AtomicUsize,
    tunnels: AtomicUsize,
    seats: Vec<Seat>,
    room: Notify,
}

/// Takes one more if there are fewer than `limit`.
fn take(count: &AtomicUsize, limit: usize) -> bool {
    let taken = count.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |now| (now < limit).then_some(now + 1));
    taken.is_ok()
}

impl Occupancy {
    /// With what each worker receives from the others, by its number.
    pub(crate) fn new(workers: usize) -> (Arc<Self>, Vec<mpsc::Receiver<Handed>>) {
        let (mut seats, mut receivers) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let (sender, receiver) = mpsc::channel(HANDED_MAX);
            seats.push(Seat { open: AtomicUsize::new(0), takes: AtomicBool::new(false), sender });
            receivers.push(receiver);
        }
        let (connections, tunnels) = (AtomicUsize::new(0), AtomicUsize::new(0));
        (Arc::new(Self { connections, tunnels, seats, room: Notify::new() }), receivers)
    }

    /// Says whether a worker takes what others hand over.
    pub(crate) fn set_takes(&self, worker: usize, takes: bool) {
        self.seats[worker].takes.store(takes, Ordering::Release);
    }

    /// A place for one more connection at a worker; `None` when there are `limit` of them.
    pub(crate) fn enter(self: &Arc<Self>, worker: usize, limit: usize) -> Option<Place> {
        take(&self.connections, limit).then(|| {
            self.seats[worker].open.fetch_add(1, Ordering::AcqRel);
            Place { occupancy: Arc::clone(self), worker }
        })
    }

    /// Resolves when a place may have become free.
    pub(crate) async fn room(&self) {
        self.room.notified().await;
    }

    /// Lets everybody who waits for room look again, because the limit may have changed.
    pub(crate) fn look_again(&self) {
        self.room.notify_waiters();
    }

    /// Counts one more tunnel until [`Self::tunnel_closed`]; false when there are `limit` of them.
    pub(crate) fn open_tunnel(&self, limit: usize) -> bool {
        take(&self.tunnels, limit)
    }

    pub(crate) fn tunnel_closed(&self) {
        self.tunnels.fetch_sub(1, Ordering::AcqRel);
    }

    /// The worker with the fewest connections of those that take any, but for `worker` itself.
    fn least(&self, worker: usize) -> Option<(usize, usize)> {
        let others = (1..self.seats.len()).map(|step| (worker + step) % self.seats.len());
        let taking = others.filter(|other| self.seats[*other].takes.load(Ordering::Acquire));
        taking.map(|other| (other, self.seats[other].open.load(Ordering::Acquire))).min_by_key(|(_, open)| *open)
    }
}

/// The place of one open connection among those of all workers, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    occupancy: Arc<Occupancy>,
    worker: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.occupancy.seats[self.worker].open.fetch_sub(1, Ordering::AcqRel);
        self.occupancy.connections.fetch_sub(1, Ordering::AcqRel);
        self.occupancy.room.notify_one();
    }
}

impl Place {
    /// Moves the place to a worker with clearly fewer connections, where there is one with room in its queue.
    ///
    /// Two workers that see the same least loaded one at the same time do not both count on it: the second one looks again
    /// at its next connection.
    pub(crate) fn even_out(&mut self) -> Option<mpsc::OwnedPermit<Handed>> {
        let seats = &self.occupancy.seats;
        let (to, least) = self.occupancy.least(self.worker)?;
        if !is_uneven(seats[self.worker].open.load(Ordering::Acquire), least) {
            return None;
        }
        let way = seats[to].sender.clone().try_reserve_owned().ok()?;
        seats[to].open.compare_exchange(least, least + 1, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        seats[self.worker].open.fetch_sub(1, Ordering::AcqRel);
        self.worker = to;
        Some(way)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(own: usize, least: usize, expected: bool) {
        assert_eq!(is_uneven(own, least), expected, "{own} against {least}");
    }

    #[test]
    fn a_connection_moves_only_for_a_clear_difference() {
        check(1, 0, false);
        check(2, 0, false);
        check(3, 0, true);
        check(18, 16, false);
        check(19, 16, true);
        check(900, 800, false);
        check(901, 800, true);
    }

    /// A router whose workers all take, with one place after the other at the first of them.
    fn crowded(workers: usize, connections: usize) -> (Arc<Occupancy>, Vec<mpsc::Receiver<Handed>>, Vec<Place>) {
        let (occupancy, receivers) = Occupancy::new(workers);
        (0..workers).for_each(|worker| occupancy.set_takes(worker, true));
        let place = || {
            let mut place = occupancy.enter(0, usize::MAX).unwrap();
            place.even_out();
            place
        };
        let places = (0..connections).map(|_| place()).collect();
        (occupancy, receivers, places)
    }

    fn open(occupancy: &Occupancy) -> Vec<usize> {
        occupancy.seats.iter().map(|seat| seat.open.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn connections_that_all_meet_one_worker_are_spread() {
        let (occupancy, _receivers, places) = crowded(4, 64);
        let open = open(&occupancy);
        assert!(open.iter().all(|own| *own <= 16 + TOLERANCE), "{open:?}");
        assert_eq!(open.iter().sum::<usize>(), 64);
        drop(places);
        assert_eq!(occupancy.connections.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn nothing_is_given_to_a_worker_that_is_not_there() {
        let (occupancy, mut receivers, _places) = crowded(2, 2);
        occupancy.set_takes(1, false);
        let mut places: Vec<_> = (0..9).map(|_| occupancy.enter(0, usize::MAX).unwrap()).collect();
        assert!(places.iter_mut().all(|place| place.even_out().is_none()));
        occupancy.set_takes(1, true);
        receivers[1].close();
        assert!(places.iter_mut().all(|place| place.even_out().is_none()), "it ends just now");
        assert_eq!(open(&occupancy), [11, 0]);
    }

    #[test]
    fn a_limit_is_one_of_all_workers() {
        let (occupancy, _receivers) = Occupancy::new(3);
        let mut places: Vec<_> = (0..3).map(|_| occupancy.enter(1, 3).unwrap()).collect();
        assert!(occupancy.enter(0, 3).is_none());
        places.pop();
        assert!(occupancy.enter(0, 3).is_some());
        assert!(occupancy.open_tunnel(1) && !occupancy.open_tunnel(1));
        occupancy.tunnel_closed();
        assert!(occupancy.open_tunnel(1));
    }
}
