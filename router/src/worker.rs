//! One worker: a single-threaded runtime with its own listener, pools, counters and view of the snapshot.
//!
//! # Why nothing is shared on the way of a request
//!
//! A request is read, decided, forwarded and counted on one thread. So pools and buffers are plain cells, the snapshot is
//! read through a cache that only compares a pointer, and counters have one writer. What workers do share (health of
//! endpoints, admission, the snapshot itself) changes rarely.
//!
//! What depends on the file is a [`Tables`] of one generation, rebuilt when a snapshot of another generation arrives; the
//! two are always used as a pair.

mod draining;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
pub(crate) use draining::Draining;
use flags::fallback::Fallback;
use flags::route::{self, Route, Target};
use flags::snapshot::{MigrationIndex, Snapshot};
use flags::{MigrationId, Side};
use ipnet::IpNet;
use metrics::observe::{CopiesInUse, InUse, MigrationCells, Shard};
use tokio::time::Instant;

use crate::attempts::Attempts;
use crate::buffers::Buffers;
use crate::config::{self, Limits, RouteSettings, Timeouts};
use crate::h1::head::HeadLimits;
use crate::h1::write;
use crate::issues::intake::Desk;
use crate::mirror::comparer::Comparer;
use crate::mirror::pipeline::{Counted, Pipeline};
use crate::occupancy::Occupancy;
use crate::proxy::Exchange;
use crate::sleepers::Sleepers;
use crate::upstream::{Upstream, UpstreamState};

/// How often a worker looks after its idle connections and its clock.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// Access log lines a worker writes a second at most; further ones are counted instead.
const LOG_LINES_PER_SECOND: u32 = 200;

/// Exchanges whose memory is kept for the next request.
const EXCHANGES_KEPT: usize = 64;

/// Generations kept for workers that still serve from an older snapshot.
const GENERATIONS_KEPT: usize = 4;

/// What the data plane needs of one file, shared by all workers.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) upstreams: Vec<Arc<UpstreamState>>,
    pub(crate) routes: Vec<RouteSettings>,
    pub(crate) timeouts: Timeouts,
    pub(crate) limits: Limits,
    pub(crate) trusted_proxies: Vec<IpNet>,
    pub(crate) default_host: String,
    /// With which keys are hashed, so that a caller is the same one on every router.
    pub(crate) environment: String,
    pub(crate) expose: bool,
    pub(crate) access_sample: u64,
    pub(crate) drain: config::Drain,
    /// By the index of their migrations.
    pub(crate) pipelines: Vec<Arc<Pipeline>>,
    /// Routes of migrations, by their index.
    pub(crate) counted: Vec<Option<Counted>>,
}

impl Generation {
    /// Upstreams that `before` has keep what is known of their endpoints.
    pub(crate) fn new(config: &config::Config, before: Option<&Self>) -> Self {
        let known: Vec<_> =
            before.iter().flat_map(|g| &g.upstreams).flat_map(|u| u.endpoints.iter().cloned()).collect();
        let upstream = |own: &config::Upstream| Arc::new(UpstreamState::new(own.clone(), &known));
        let counted =
            |route: &Route| matches!(route.target, Target::Migration(_)).then(|| Counted::new(&route.path.to_string()));
        Self {
            upstreams: config.upstreams.iter().map(upstream).collect(),
            routes: config.routes.clone(),
            timeouts: config.timeouts,
            limits: config.limits,
            trusted_proxies: config.trusted_proxies.clone(),
            default_host: config.default_host.clone(),
            environment: config.environment.clone(),
            expose: config.expose,
            access_sample: config.log.access_sample,
            drain: config.drain,
            pipelines: Pipeline::all(config, before.map_or(&[], |before| &before.pipelines)),
            counted: config.definitions.routes().iter().map(counted).collect(),
        }
    }
}

/// The generations by their number. Locked when a file is loaded and when a worker meets a new one, never by a request.
#[derive(Debug, Default)]
pub(crate) struct Catalog(Mutex<BTreeMap<u64, Arc<Generation>>>);

impl Catalog {
    pub(crate) fn insert(&self, number: u64, generation: Arc<Generation>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(number, generation);
        while known.len() > GENERATIONS_KEPT {
            known.pop_first();
        }
    }

    pub(crate) fn get(&self, number: u64) -> Option<Arc<Generation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&number).map(Arc::clone)
    }

    pub(crate) fn newest(&self) -> Option<Arc<Generation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).last_key_value().map(|(_, newest)| Arc::clone(newest))
    }
}

impl CopiesInUse for Catalog {
    fn in_use(&self) -> Vec<(MigrationId, InUse)> {
        let newest = self.newest();
        let pipelines = newest.iter().flat_map(|generation| &generation.pipelines);
        pipelines.map(|own| (own.id.clone(), own.budget.in_use())).collect()
    }
}

/// One migration as a worker serves it, in one line of memory: with many of them a request finds none in the cache.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct MigrationTable {
    pub(crate) cells: Arc<MigrationCells>,
    upstreams: [u32; 2],
    /// `Crossfade-Migration`, `-Side` and `-Revision` of either side, as whole lines.
    stamps: [Box<[u8]>; 2],
    pub(crate) reads_body: bool,
    /// None where nothing falls back.
    pub(crate) fallback: Option<Box<Fallback>>,
}

impl MigrationTable {
    pub(crate) fn stamp(&self, side: Side) -> &[u8] {
        &self.stamps[side as usize]
    }

    pub(crate) const fn upstream(&self, side: Side) -> usize {
        self.upstreams[side as usize] as usize
    }
}

/// Everything of one snapshot that a worker resolves ahead, so that a request looks nothing up.
#[derive(Debug)]
pub(crate) struct Tables {
    number: u64,
    pub(crate) generation: Arc<Generation>,
    pub(crate) upstreams: Rc<Vec<Rc<Upstream>>>,
    migrations: Vec<MigrationTable>,
    pub(crate) head_limits: HeadLimits,
}

impl Tables {
    pub(crate) fn migration(&self, at: MigrationIndex) -> &MigrationTable {
        &self.migrations[at.0]
    }

    pub(crate) fn route(&self, at: route::RouteIndex) -> &RouteSettings {
        &self.generation.routes[at.0]
    }

    fn new(
        number: u64,
        generation: Arc<Generation>,
        upstreams: Rc<Vec<Rc<Upstream>>>,
        snapshot: &Snapshot,
        shard: &Shard,
    ) -> Self {
        let migrations = snapshot.iter().map(|(_, migration, placed)| {
            let named = |name: &str| {
                let at = upstreams.iter().position(|own| own.state.settings.name == name);
                at.and_then(|at| u32::try_from(at).ok()).unwrap_or(0)
            };
            let stamp = |side: Side| {
                let mut lines = Vec::with_capacity(128);
                write::field(&mut lines, "Crossfade-Migration", migration.id.as_str().as_bytes());
                write::field(&mut lines, "Crossfade-Side", side.name().as_bytes());
                write::field(&mut lines, "Crossfade-Revision", placed.document.revision.to_string().as_bytes());
                lines.into_boxed_slice()
            };
            MigrationTable {
                cells: shard.migration(&migration.id),
                upstreams: Side::ALL.map(|side| named(migration.upstream(side))),
                stamps: Side::ALL.map(stamp),
                reads_body: migration.key.iter().any(flags::KeySource::reads_body)
                    || migration.rules.iter().any(flags::rule::Rule::reads_body),
                // What new has written legacy may not know.
                fallback: (migration.reversible && !migration.fallback.when.is_empty())
                    .then(|| Box::new(migration.fallback.clone())),
            }
        });
        let migrations = migrations.collect();
        let limits = &generation.limits;
        let head_limits = HeadLimits { bytes: limits.head_bytes, fields: limits.fields, target: limits.target_bytes };
        Self { number, upstreams, migrations, head_limits, generation }
    }
}

/// A snapshot with its tables.
type View = (Arc<Snapshot>, Rc<Tables>);

pub(crate) struct Worker {
    snapshots: RefCell<arc_swap::Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>>,
    /// The tables in use and the snapshot that they belong to.
    tables: RefCell<View>,
    catalog: Arc<Catalog>,
    shard: Shard,
    buffers: Rc<Buffers>,
    workers: usize,
    /// Which of the workers this is.
    pub(crate) number: usize,
    pub(crate) occupancy: Arc<Occupancy>,
    pub(crate) draining: Arc<Draining>,
    /// Takes webhooks about issues.
    pub(crate) desk: Desk,
    random: Cell<u64>,
    unix_seconds: Cell<i64>,
    ticked: Cell<Instant>,
    log_budget: Cell<u32>,
    pub(crate) connections: Cell<usize>,
    pub(crate) comparer: Comparer,
    pub(crate) attempts: Rc<Attempts>,
    /// One entry a connection, so that a drain can wake those that wait for a request.
    sleepers: RefCell<Sleepers>,
    /// One entry a tunnel, so that a change of state can wake them.
    pub(crate) tunnels: RefCell<Sleepers>,
    /// How often the state has changed, as far as tunnels were told.
    pub(crate) changes: Cell<u64>,
    #[allow(
        clippy::vec_box,
        reason = "an exchange changes hands for each request, by its pointer and not by its bytes"
    )]
    exchanges: RefCell<Vec<Box<Exchange>>>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("number", &self.number)
            .field("connections", &self.connections)
            .finish_non_exhaustive()
    }
}

/// What every worker is made from.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) snapshots: Arc<ArcSwap<Snapshot>>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) draining: Arc<Draining>,
    pub(crate) desk: Desk,
    pub(crate) occupancy: Arc<Occupancy>,
    pub(crate) workers: usize,
    pub(crate) comparer: Comparer,
}

impl Worker {
    /// `None` when the snapshot's file was never put into the catalog.
    pub(crate) fn new(parts: Parts, shard: Shard, number: usize, seed: u64) -> Option<Rc<Self>> {
        let snapshot = parts.snapshots.load_full();
        let generation = parts.catalog.get(snapshot.generation()).or_else(|| parts.catalog.newest())?;
        let upstreams = upstreams(&generation, &shard, parts.workers);
        let tables = Tables::new(snapshot.generation(), generation, upstreams, &snapshot, &shard);
        Some(Rc::new(Self {
            snapshots: RefCell::new(arc_swap::Cache::new(parts.snapshots)),
            tables: RefCell::new((snapshot, Rc::new(tables))),
            catalog: parts.catalog,
            shard,
            buffers: Rc::default(),
            workers: parts.workers,
            number,
            occupancy: parts.occupancy,
            draining: parts.draining,
            desk: parts.desk,
            random: Cell::new(seed | 1),
            unix_seconds: Cell::new(unix_now()),
            ticked: Cell::new(Instant::now()),
            log_budget: Cell::new(LOG_LINES_PER_SECOND),
            connections: Cell::new(0),
            comparer: parts.comparer,
            attempts: Rc::default(),
            sleepers: RefCell::default(),
            tunnels: RefCell::default(),
            changes: Cell::new(0),
            exchanges: RefCell::default(),
        }))
    }

    /// Runs `work` on the current snapshot and its tables, without touching a shared counter.
    pub(crate) fn with_view<T>(&self, work: impl FnOnce(&Snapshot, &Rc<Tables>) -> T) -> T {
        let mut cache = self.snapshots.borrow_mut();
        let snapshot = cache.load();
        if !Arc::ptr_eq(snapshot, &self.tables.borrow().0) {
            self.refresh(snapshot);
        }
        let view = self.tables.borrow();
        work(&view.0, &view.1)
    }

    /// Resolves the tables of a new snapshot. Pools survive as long as the file does.
    #[cold]
    fn refresh(&self, snapshot: &Arc<Snapshot>) {
        let (number, generation, pools) = {
            let view = self.tables.borrow();
            (view.1.number, Arc::clone(&view.1.generation), Rc::clone(&view.1.upstreams))
        };
        let new = if snapshot.generation() == number { None } else { self.catalog.get(snapshot.generation()) };
        let tables = match new {
            Some(generation) => {
                // Tunnels and late answers may hold on to them for long.
                self.tables.borrow().1.upstreams.iter().for_each(|upstream| upstream.retire());
                let pools = upstreams(&generation, &self.shard, self.workers);
                Tables::new(snapshot.generation(), generation, pools, snapshot, &self.shard)
            }
            None => Tables::new(snapshot.generation(), generation, pools, snapshot, &self.shard),
        };
        *self.tables.borrow_mut() = (Arc::clone(snapshot), Rc::new(tables));
    }

    pub(crate) fn tables(&self) -> Rc<Tables> {
        self.with_view(|_, tables| Rc::clone(tables))
    }

    pub(crate) fn buffers(&self) -> Rc<Buffers> {
        Rc::clone(&self.buffers)
    }

    pub(crate) fn cells(&self) -> &metrics::observe::WorkerCells {
        self.shard.worker()
    }

    /// An even random number: xorshift64* (Vigna, 2016), seeded by the system. For spreading, not for secrets.
    pub(crate) fn chance(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// What is cast for a request that the file leaves to chance.
    #[allow(clippy::cast_possible_truncation, reason = "half of the random bits are enough")]
    pub(crate) fn die(&self) -> u32 {
        self.chance() as u32
    }

    /// 128 random bits for a request id.
    pub(crate) fn identity(&self) -> u128 {
        u128::from(self.chance()) << 64 | u128::from(self.chance())
    }

    pub(crate) fn take_exchange(&self) -> Box<Exchange> {
        self.exchanges.borrow_mut().pop().unwrap_or_default()
    }

    pub(crate) fn give_exchange(&self, mut exchange: Box<Exchange>) {
        exchange.release(&self.buffers);
        let mut kept = self.exchanges.borrow_mut();
        if kept.len() < EXCHANGES_KEPT {
            kept.push(exchange);
        }
    }

    /// Seconds since the Unix epoch, as of the last tick.
    pub(crate) const fn unix_seconds(&self) -> i64 {
        self.unix_seconds.get()
    }

    /// When the last tick was: the present, but for [`TICK`].
    pub(crate) const fn ticked(&self) -> Instant {
        self.ticked.get()
    }

    /// Whether one more log line may be written this second.
    pub(crate) fn may_log(&self) -> bool {
        let left = self.log_budget.get().checked_sub(1);
        left.inspect(|left| self.log_budget.set(*left)).is_some()
    }

    /// Remembers how to wake a connection; the answer is its place.
    pub(crate) fn register(&self, waker: Waker) -> usize {
        self.sleepers.borrow_mut().enter(waker)
    }

    pub(crate) fn unregister(&self, place: usize) {
        self.sleepers.borrow_mut().leave(place);
    }

    fn wake_all(&self) {
        let wakers = self.sleepers.borrow().some(0, usize::MAX).unwrap_or_default();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Looks after the clock, the log budget, idle connections and a drain that began.
    pub(crate) async fn tend(self: Rc<Self>) {
        let mut ticks: u32 = 0;
        let mut told_to_drain = false;
        loop {
            tokio::time::sleep(TICK).await;
            ticks = ticks.wrapping_add(1);
            self.unix_seconds.set(unix_now());
            self.ticked.set(Instant::now());
            // A reload may have raised the limit that listeners wait for.
            self.occupancy.look_again();
            if ticks.is_multiple_of(4) {
                self.log_budget.set(LOG_LINES_PER_SECOND);
                self.tables().upstreams.iter().for_each(|upstream| upstream.sweep());
            }
            if self.draining.closes_idle() && !told_to_drain {
                told_to_drain = true;
                self.wake_all();
            }
        }
    }
}

fn upstreams(generation: &Generation, shard: &Shard, workers: usize) -> Rc<Vec<Rc<Upstream>>> {
    let upstream = |own: &Arc<UpstreamState>| Rc::new(Upstream::new(Arc::clone(own), shard, workers));
    Rc::new(generation.upstreams.iter().map(upstream).collect())
}

fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
