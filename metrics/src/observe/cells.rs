//! What a worker counts into: plain cells, resolved once, added to without a lock.
//!
//! # Why an atomic that is never added to atomically
//!
//! Each cell has one writer, the worker whose shard it is of, so an increment is a load, an add and
//! a store, all relaxed: a nanosecond, and no cache line is fought over. The scrape reads the same
//! cells from another thread, which is what the atomic is for. A second writer would lose counts
//! (never memory), so a thread takes its own [`Shard`](super::Shard).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use flags::{Bucket, Reason, Side};

use super::attempts::{Age, AttemptCells, Group};
use super::histogram::{ADDED, Buckets, DURATION};
use super::recent::RecentCells;
use crate::events::LogLimit;
use crate::outcome::{CodeClass, Failure, Outcome};

/// A monotonic count with one writer and any number of readers.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters indexed by a closed enum.
pub(super) type Counters<const N: usize> = [Counter; N];

pub(super) const REASONS: usize = Reason::ALL.len();
pub(super) const CLASSES: usize = CodeClass::ALL.len();
pub(super) const FAILURES: usize = Failure::ALL.len();
pub(super) const DROPS: usize = MirrorDrop::ALL.len();
pub(super) const FALLBACKS: usize = Fallback::ALL.len();
pub(super) const PAIRS: usize = Pair::ALL.len();
pub(super) const TUNNEL_ENDS: usize = TunnelEnd::ALL.len();

/// Why a copy was not sent, or not compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MirrorDrop {
    /// As many copies as allowed are under way already.
    Busy,
    /// The bytes kept for copies and their answers are used up.
    Memory,
    /// It had waited for too long before it could be sent.
    Age,
    /// Most copies got no answer of late.
    Breaker,
    /// The body is longer than a copy may be.
    BodyTooLarge,
    /// The router is draining.
    Draining,
    /// Every endpoint is down.
    NoEndpoint,
    /// The caller left before its body was whole.
    Cancelled,
    /// The serving side failed, or answered before it had the whole body.
    Refused,
    /// As many pairs of answers as allowed wait to be compared; the copy itself was sent.
    ComparerBusy,
}

impl MirrorDrop {
    pub const ALL: [Self; 10] = [
        Self::Busy,
        Self::Memory,
        Self::Age,
        Self::Breaker,
        Self::BodyTooLarge,
        Self::Draining,
        Self::NoEndpoint,
        Self::Cancelled,
        Self::Refused,
        Self::ComparerBusy,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Memory => "memory",
            Self::Age => "age",
            Self::Breaker => "breaker",
            Self::BodyTooLarge => "body_too_large",
            Self::Draining => "draining",
            Self::NoEndpoint => "no_endpoint",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::ComparerBusy => "comparer_busy",
        }
    }
}

/// What came of asking legacy for what new had failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fallback {
    /// Legacy answered below 500.
    Answered,
    /// Legacy failed as well, or the caller left first.
    Failed,
    /// Legacy had no place free, so the caller met what new did.
    Refused,
}

impl Fallback {
    pub const ALL: [Self; 3] = [Self::Answered, Self::Failed, Self::Refused];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// Who failed of two that were given the same request, in mode `parallel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pair {
    /// Both or neither.
    Same,
    OnlyNew,
    OnlyLegacy,
}

impl Pair {
    pub const ALL: [Self; 3] = [Self::Same, Self::OnlyNew, Self::OnlyLegacy];
}

/// Why a tunnel is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TunnelEnd {
    /// Its ends closed it, or one of them broke.
    Ended,
    /// Nothing moved for too long.
    Idle,
    /// Its key has moved to the other side.
    Moved,
    /// The router drains.
    Drained,
}

impl TunnelEnd {
    pub const ALL: [Self; 4] = [Self::Ended, Self::Idle, Self::Moved, Self::Drained];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Idle => "idle",
            Self::Moved => "moved",
            Self::Drained => "drained",
        }
    }
}

/// What one worker saw of one side of one migration.
///
/// In this order and at the start of a line of memory, so that an answer that took no longer than usual counts in six lines:
/// with many migrations a request finds none of them in the cache.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct SideCells {
    pub(super) requests: Counters<CLASSES>,
    pub(super) duration: Buckets<16>,
    pub(super) added: Buckets<13>,
    pub(super) decisions: Counters<REASONS>,
    pub(super) attempts: AttemptCells,
    pub(super) failures: Counters<FAILURES>,
    pub(super) mirrored: Counter,
    pub(super) mirror_finished: Counter,
    pub(super) mirror_failed: Counter,
}

/// What one worker saw of one migration.
#[derive(Debug, Default)]
pub struct MigrationCells {
    pub(super) sides: [SideCells; 2],
    pub(super) fallbacks: Counters<FALLBACKS>,
    pub(super) pairs: Counters<PAIRS>,
    pub(super) mirrors_dropped: Counters<DROPS>,
    pub(crate) mirror_breaker_opened: Counter,
    pub(super) recent: RecentCells,
    pub(crate) mirror_log: LogLimit,
}

impl MigrationCells {
    #[inline]
    pub(super) const fn side(&self, side: Side) -> &SideCells {
        match side {
            Side::Legacy => &self.sides[0],
            Side::New => &self.sides[1],
        }
    }

    /// A request was decided, of a key in this bucket. Every request of a migration, exactly once.
    #[inline]
    pub fn decided(&self, side: Side, reason: Reason, bucket: Option<Bucket>) {
        self.side(side).decisions[reason as usize].add(1);
        if let Some(bucket) = bucket {
            self.recent.saw(bucket);
        }
    }

    /// A request is over: the side that answered the caller (the decided one if none did), the
    /// status that the caller met (0: none), the whole time and the router's own part of it.
    ///
    /// Every request of a migration, exactly once.
    #[inline]
    pub fn answered(&self, side: Side, status: u16, duration: Duration, added: Duration) {
        let cells = self.side(side);
        cells.requests[CodeClass::of(status) as usize].add(1);
        cells.duration.record(&DURATION, duration);
        cells.added.record(&ADDED, added);
    }

    /// An attempt at a side failed, whether or not another one then saved the caller.
    #[inline]
    pub fn failed(&self, side: Side, failure: Failure) {
        self.side(side).failures[failure as usize].add(1);
    }

    /// The first attempt at the side that was decided is over, or that of a copy. Not legacy's for what new had failed.
    ///
    /// Every forwarded request of a migration, exactly once; one whose caller left counts nowhere.
    #[inline]
    pub fn attempted(&self, side: Side, group: Group, outcome: &Outcome) {
        self.side(side).attempts.ended(group, outcome);
    }

    /// An attempt in flight has reached another age, `from` none when it was not noticed before; or it ended (`to` none).
    ///
    /// An end comes together with [`Self::attempted`], so that nobody reads one without the other for long.
    #[inline]
    pub fn aged(&self, side: Side, from: Option<Age>, to: Option<Age>) {
        self.side(side).attempts.aged(from, to);
    }

    /// Legacy was asked for what new had failed.
    #[inline]
    pub fn fallback(&self, result: Fallback) {
        self.fallbacks[result as usize].add(1);
    }

    /// Both attempts at one request of mode `parallel` are over.
    #[inline]
    pub fn paired(&self, pair: Pair) {
        self.pairs[pair as usize].add(1);
    }

    /// A copy was sent to this side.
    #[inline]
    pub fn mirrored(&self, side: Side) {
        self.side(side).mirrored.add(1);
    }

    /// A copy to this side ended, with an answer or without one.
    #[inline]
    pub fn mirror_finished(&self, side: Side, answered: bool) {
        let cells = self.side(side);
        if answered { cells.mirror_finished.add(1) } else { cells.mirror_failed.add(1) }
    }

    /// A copy was not sent; [`crate::events::MirrorDropped`] also logs it.
    #[inline]
    pub fn mirror_dropped(&self, why: MirrorDrop) {
        self.mirrors_dropped[why as usize].add(1);
    }
}

/// What one worker saw of one endpoint of one upstream.
#[derive(Debug)]
pub struct UpstreamCells {
    pub(super) connected: Counter,
    pub(super) reused: Counter,
    pub(super) connect_failed: Counter,
    pub(super) started: Counter,
    pub(super) finished: Counter,
    pub(super) ejected: Counter,
    pub(super) shed: Counter,
    pub(super) up: AtomicBool,
}

impl Default for UpstreamCells {
    fn default() -> Self {
        Self {
            connected: Counter::default(),
            reused: Counter::default(),
            connect_failed: Counter::default(),
            started: Counter::default(),
            finished: Counter::default(),
            ejected: Counter::default(),
            shed: Counter::default(),
            up: AtomicBool::new(true),
        }
    }
}

impl UpstreamCells {
    /// A request goes out on a new connection.
    #[inline]
    pub fn connected(&self) {
        self.connected.add(1);
    }

    /// A request goes out on a pooled connection.
    #[inline]
    pub fn reused(&self) {
        self.reused.add(1);
    }

    /// A connection could not be made.
    #[inline]
    pub fn connect_failed(&self) {
        self.connect_failed.add(1);
    }

    /// A request is under way; each is followed by one [`Self::finished`].
    #[inline]
    pub fn started(&self) {
        self.started.add(1);
    }

    #[inline]
    pub fn finished(&self) {
        self.finished.add(1);
    }

    /// The endpoint was taken out for its failures; [`crate::events::EndpointEjected`] also logs it.
    #[inline]
    pub fn ejected(&self) {
        self.ejected.add(1);
    }

    /// Whether this worker sends requests to the endpoint.
    #[inline]
    pub fn up(&self, up: bool) {
        self.up.store(up, Ordering::Relaxed);
    }

    /// A request was refused because the admission limit was reached.
    #[inline]
    pub fn shed(&self) {
        self.shed.add(1);
    }
}

/// What one worker saw that belongs to no migration.
#[derive(Debug)]
pub struct WorkerCells {
    pub(super) connections_opened: Counter,
    pub(super) connections_closed: Counter,
    pub(super) handed_over: Counter,
    pub(crate) limit_reached: Counter,
    pub(crate) limit_log: LogLimit,
    pub(super) tunnels_opened: Counter,
    pub(super) tunnels_closed: Counters<TUNNEL_ENDS>,
    pub(super) refused: Box<[Counter]>,
    pub(super) unrouted: Counters<CLASSES>,
    pub(super) other: Counters<CLASSES>,
    pub(super) other_duration: Buckets<16>,
    pub(super) access_log_dropped: Counter,
}

impl WorkerCells {
    pub(super) fn new(refusal_codes: usize) -> Self {
        Self {
            connections_opened: Counter::default(),
            connections_closed: Counter::default(),
            handed_over: Counter::default(),
            limit_reached: Counter::default(),
            limit_log: LogLimit::default(),
            tunnels_opened: Counter::default(),
            tunnels_closed: Counters::default(),
            refused: (0..refusal_codes).map(|_| Counter::default()).collect(),
            unrouted: Counters::default(),
            other: Counters::default(),
            other_duration: Buckets::default(),
            access_log_dropped: Counter::default(),
        }
    }

    /// A client connected; each is followed by one [`Self::connection_closed`].
    #[inline]
    pub fn connection_opened(&self) {
        self.connections_opened.add(1);
    }

    #[inline]
    pub fn connection_closed(&self) {
        self.connections_closed.add(1);
    }

    /// A connection was given to a worker that had fewer; that one counts it as opened.
    #[inline]
    pub fn handed_over(&self) {
        self.handed_over.add(1);
    }

    /// A connection became a tunnel; each is followed by one [`Self::tunnel_closed`].
    #[inline]
    pub fn tunnel_opened(&self) {
        self.tunnels_opened.add(1);
    }

    #[inline]
    pub fn tunnel_closed(&self, why: TunnelEnd) {
        self.tunnels_closed[why as usize].add(1);
    }

    /// The router itself refused a request; the index is that of the code in the list given to
    /// [`Observer::new`](super::Observer::new).
    #[inline]
    pub fn refused(&self, code_index: usize) {
        if let Some(counter) = self.refused.get(code_index) {
            counter.add(1);
        }
    }

    /// A request that no route takes.
    #[inline]
    pub fn unrouted(&self, status: u16) {
        self.unrouted[CodeClass::of(status) as usize].add(1);
    }

    /// A request of a route without a migration: a plain upstream or a fixed answer.
    #[inline]
    pub fn request_without_migration(&self, status: u16, duration: Duration) {
        self.other[CodeClass::of(status) as usize].add(1);
        self.other_duration.record(&DURATION, duration);
    }

    /// A line of the access log was lost because the log could not keep up.
    #[inline]
    pub fn access_log_dropped(&self) {
        self.access_log_dropped.add(1);
    }
}
