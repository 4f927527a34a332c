//! Per-worker counters in, one aggregator out.
//!
//! # Why shards
//!
//! A counter that all workers share is a cache line that all workers fight over, and a label
//! look-up per request costs more than the decision. So each worker counts into cells of its own
//! [`Shard`], resolved when its definitions change, and the scrape sums the shards. An [`Observer`]
//! never runs on the path of a request.
//!
//! A migration or endpoint that the file no longer names disappears from the scrape once no worker
//! holds its cells, so that reloads do not add up.
//!
//! Not here: what the counts mean (guards), and any label that a caller can choose.

mod attempts;
mod cells;
mod dispersion;
mod exposition;
mod histogram;
mod issues;
mod notifications;
mod process;
mod recent;
mod totals;
mod webhooks;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use flags::{MigrationId, Side, Snapshot};
use prometheus::Registry;

pub use attempts::{AGE_MIN, Age, AttemptTotals, GROUPS, Group, SideAttempts};
pub use cells::{Fallback, MigrationCells, MirrorDrop, Pair, TunnelEnd, UpstreamCells, WorkerCells};
use dispersion::Dispersion;
pub use histogram::{CELLS, Durations, cell_of_duration, cell_start_us};
pub(crate) use histogram::{DURATION_BOUNDS_US, DURATION_BUCKETS};
pub use issues::{Arrival, IssueCells, Turn};
pub use notifications::{Delivery, NotificationCells};
pub use process::{OutcomeResult, ProcessCells};
pub use recent::RecentKeys;
use recent::Taken;
pub use totals::{MigrationTotals, SideTotals};
pub use webhooks::{Reconciled, Unsigned, WebhookCells};

use crate::mismatch::{ComparisonCells, Mismatches};
use crate::status::Board;

/// How far back the observed share looks.
pub const OBSERVED_WINDOW: Duration = Duration::from_secs(60);

/// Ticks kept for the observed share; more frequent ticks shorten its window, never grow its memory.
const TICKS_MAX: usize = 128;

/// Names of one endpoint: its upstream and its address.
type EndpointName = (String, String);

/// What the copies of one migration have of their budget now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    pub bytes: u64,
    pub in_flight: u64,
}

/// Whoever makes copies of requests.
pub trait CopiesInUse: std::fmt::Debug + Send + Sync {
    /// By migration; of one that is not named nothing is in use.
    fn in_use(&self) -> Vec<(MigrationId, InUse)>;
}

/// Everything this process has seen; one per process.
#[derive(Debug)]
pub struct Observer {
    registry: Registry,
    refusal_codes: &'static [&'static str],
    shards: Mutex<Vec<Arc<ShardCells>>>,
    /// Holds the cells of everything declared, so that its series exist before the first request.
    resident: Arc<ShardCells>,
    process: ProcessCells,
    issues: IssueCells,
    notifications: notifications::Notifications,
    webhooks: webhooks::Webhooks,
    ticks: Mutex<VecDeque<Tick>>,
    board: Arc<Board>,
    dispersion: Mutex<Dispersion>,
    taken: Mutex<BTreeMap<MigrationId, Taken>>,
    comparisons: Mutex<BTreeMap<MigrationId, Arc<ComparisonCells>>>,
    copies: OnceLock<Arc<dyn CopiesInUse>>,
    /// Weak, because whoever knows of mismatches counts here.
    mismatches: OnceLock<Weak<Mismatches>>,
}

/// The cells of one worker.
#[derive(Debug)]
struct ShardCells {
    worker: Arc<WorkerCells>,
    migrations: Mutex<HashMap<MigrationId, Arc<MigrationCells>>>,
    upstreams: Mutex<BTreeMap<EndpointName, Arc<UpstreamCells>>>,
}

/// Decisions by side at one instant.
#[derive(Debug)]
struct Tick {
    at: Instant,
    decisions: BTreeMap<MigrationId, [u64; 2]>,
}

/// A lock over plain data is as good as before when a holder has panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ShardCells {
    fn new(refusal_codes: usize) -> Arc<Self> {
        let worker = Arc::new(WorkerCells::new(refusal_codes));
        Arc::new(Self { worker, migrations: Mutex::default(), upstreams: Mutex::default() })
    }

    fn migration(&self, id: &MigrationId) -> Arc<MigrationCells> {
        Arc::clone(lock(&self.migrations).entry(id.clone()).or_default())
    }

    fn upstream(&self, upstream: &str, endpoint: &str) -> Arc<UpstreamCells> {
        Arc::clone(lock(&self.upstreams).entry((upstream.into(), endpoint.into())).or_default())
    }
}

/// Where one thread counts. Each thread takes its own, because its cells have one writer.
#[derive(Debug)]
pub struct Shard {
    cells: Arc<ShardCells>,
}

impl Shard {
    /// The cells of a migration; to be kept, because finding them takes a lock.
    pub fn migration(&self, id: &MigrationId) -> Arc<MigrationCells> {
        self.cells.migration(id)
    }

    /// The cells of an endpoint; to be kept, because finding them takes a lock.
    pub fn upstream(&self, upstream: &str, endpoint: &str) -> Arc<UpstreamCells> {
        self.cells.upstream(upstream, endpoint)
    }

    pub fn worker(&self) -> &Arc<WorkerCells> {
        &self.cells.worker
    }
}

impl Observer {
    /// `refusal_codes` are the codes of the router's own errors, in the order of their indices.
    pub fn new(refusal_codes: &'static [&'static str]) -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::new();
        let observer = Arc::new(Self {
            registry: registry.clone(),
            refusal_codes,
            shards: Mutex::default(),
            resident: ShardCells::new(refusal_codes.len()),
            process: ProcessCells::new(Instant::now()),
            issues: IssueCells::default(),
            notifications: notifications::Notifications::default(),
            webhooks: webhooks::Webhooks::default(),
            ticks: Mutex::default(),
            board: Arc::default(),
            dispersion: Mutex::default(),
            taken: Mutex::default(),
            comparisons: Mutex::default(),
            copies: OnceLock::new(),
            mismatches: OnceLock::new(),
        });
        registry.register(Box::new(exposition::Exposition::of(&observer)?))?;
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(observer)
    }

    /// Cells for one more writing thread. They count until the process ends.
    pub fn shard(&self) -> Shard {
        let cells = ShardCells::new(self.refusal_codes.len());
        lock(&self.shards).push(Arc::clone(&cells));
        Shard { cells }
    }

    /// What came of comparing the answers of both sides; to be kept, because finding it takes a lock.
    pub fn comparisons(&self, id: &MigrationId) -> Arc<ComparisonCells> {
        Arc::clone(lock(&self.comparisons).entry(id.clone()).or_default())
    }

    /// Whose findings are told with the metrics; the first that is given is.
    pub fn tell_findings_of(&self, mismatches: &Arc<Mismatches>) {
        self.mismatches.get_or_init(|| Arc::downgrade(mismatches));
    }

    /// Who knows what copies of requests use; the first that is given is asked by each scrape.
    pub fn tell_copies_of(&self, copies: Arc<dyn CopiesInUse>) {
        self.copies.get_or_init(|| copies);
    }

    fn mismatches(&self) -> Option<Arc<Mismatches>> {
        self.mismatches.get().and_then(Weak::upgrade)
    }

    /// Events about issues, of the migrations that have any.
    pub const fn issues(&self) -> &IssueCells {
        &self.issues
    }

    /// What belongs to the process and to no worker: snapshot, store, file.
    pub const fn process(&self) -> &ProcessCells {
        &self.process
    }

    /// What the guards say, for whoever looks.
    pub const fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// The router serves from this snapshot now.
    pub fn snapshot_swapped(&self, snapshot: &Snapshot) {
        self.process.snapshot_swapped(snapshot);
    }

    /// Every family in the text format of Prometheus.
    pub fn gather(&self) -> Result<String, prometheus::Error> {
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Says which migrations the file names; their series exist from now on, at 0.
    pub fn declare_migrations(&self, ids: &[MigrationId]) {
        let named: BTreeSet<&MigrationId> = ids.iter().collect();
        self.process.declare_migrations(&named);
        lock(&self.resident.migrations).retain(|id, _| named.contains(id));
        for id in ids {
            self.resident.migration(id);
        }
    }

    /// Says which endpoints (upstream, address) the file names; their series exist from now on, at 0.
    pub fn declare_upstreams(&self, endpoints: &[(String, String)]) {
        let named: BTreeSet<&EndpointName> = endpoints.iter().collect();
        lock(&self.resident.upstreams).retain(|name, _| named.contains(name));
        for (upstream, endpoint) in endpoints {
            self.resident.upstream(upstream, endpoint);
        }
    }

    /// Says which targets of notices the file names; their series exist from now on, at 0. Gives their cells in this order.
    pub fn declare_notifications(&self, targets: &[String]) -> Vec<Arc<NotificationCells>> {
        self.notifications.declare(targets)
    }

    /// Says that a migration receives issues as webhooks, and gives its cells.
    pub fn declare_webhooks(&self, migration: &MigrationId) -> Arc<WebhookCells> {
        self.webhooks.declare(migration)
    }

    /// Forgets what the file no longer names and no worker holds.
    fn prune(&self) {
        let migrations: BTreeSet<MigrationId> = lock(&self.resident.migrations).keys().cloned().collect();
        let upstreams: BTreeSet<EndpointName> = lock(&self.resident.upstreams).keys().cloned().collect();
        for shard in lock(&self.shards).iter() {
            lock(&shard.migrations).retain(|id, cells| migrations.contains(id) || Arc::strong_count(cells) > 1);
            lock(&shard.upstreams).retain(|name, cells| upstreams.contains(name) || Arc::strong_count(cells) > 1);
        }
        lock(&self.comparisons).retain(|id, cells| migrations.contains(id) || Arc::strong_count(cells) > 1);
    }

    /// Takes the decisions so far as the newest point of the observed share, and forgets what is
    /// no longer named; called each second.
    pub fn tick(&self, now: Instant) {
        self.prune();
        let totals = self.totals();
        lock(&self.dispersion).tick(&totals, now);
        let decisions =
            totals.iter().map(|(id, total)| (id.clone(), Side::ALL.map(|side| total.side(side).decided()))).collect();
        let mut ticks = lock(&self.ticks);
        // One tick from before the window stays, so that the window is covered whole.
        while ticks.get(1).is_some_and(|second| now.saturating_duration_since(second.at) >= OBSERVED_WINDOW)
            || ticks.len() >= TICKS_MAX
        {
            ticks.pop_front();
        }
        ticks.push_back(Tick { at: now, decisions });
        drop(ticks);
        let mut taken = lock(&self.taken);
        taken.retain(|id, _| totals.contains_key(id));
        for id in totals.keys() {
            let of_migration = taken.entry(id.clone()).or_insert_with(|| Taken::new(now));
            of_migration.tick(self.cells_of(id).iter().map(|cells| &cells.recent), now);
        }
    }

    /// The keys that this router has seen in the last five to ten minutes, and how many of them lie in a range of buckets.
    pub fn recent_keys(&self, id: &MigrationId, buckets: Range<u16>) -> RecentKeys {
        let mut seen = lock(&self.taken).get(id).map(Taken::seen).unwrap_or_default();
        self.cells_of(id).iter().for_each(|cells| seen.add(&cells.recent));
        RecentKeys::of(&seen, buckets)
    }

    fn cells_of(&self, id: &MigrationId) -> Vec<Arc<MigrationCells>> {
        self.all_shards().iter().filter_map(|shard| lock(&shard.migrations).get(id).cloned()).collect()
    }

    /// The share of new among the decisions of about the last minute; `None` without any.
    pub fn observed_ratio(&self, id: &MigrationId) -> Option<f64> {
        let (_, legacy, new) = self.observed(id)?;
        let total = legacy.saturating_add(new);
        (total > 0).then(|| new as f64 / total as f64)
    }

    /// How many decisions were for legacy and for new, over which window; `None` before the first tick.
    pub fn observed(&self, id: &MigrationId) -> Option<(Duration, u64, u64)> {
        let ticks = lock(&self.ticks);
        let of = |tick: &Tick| tick.decisions.get(id).copied().unwrap_or_default();
        let (front, back) = (ticks.front()?, ticks.back()?);
        let (first, last) = (of(front), of(back));
        let [legacy, new] = [0, 1].map(|side| last[side].saturating_sub(first[side]));
        Some((back.at.saturating_duration_since(front.at), legacy, new))
    }

    /// Counts of every migration since the start, summed over workers.
    pub fn totals(&self) -> BTreeMap<MigrationId, MigrationTotals> {
        let mut totals = BTreeMap::<MigrationId, MigrationTotals>::new();
        for shard in self.all_shards() {
            for (id, cells) in lock(&shard.migrations).iter() {
                totals.entry(id.clone()).or_default().add(cells);
            }
        }
        for (id, cells) in lock(&self.comparisons).iter() {
            if let Some(totals) = totals.get_mut(id) {
                totals.comparisons = cells.totals();
            }
        }
        lock(&self.dispersion).add_to(&mut totals);
        totals
    }

    /// How first attempts at legacy and at new ended since the start, and the groups in which any failed since the last call.
    ///
    /// Light enough to be asked many times a second; by one reader, because asking takes the groups away.
    pub fn attempts(&self) -> BTreeMap<MigrationId, [SideAttempts; 2]> {
        let mut attempts = BTreeMap::<MigrationId, [SideAttempts; 2]>::new();
        for shard in self.all_shards() {
            for (id, cells) in lock(&shard.migrations).iter() {
                let sums = match attempts.get_mut(id) {
                    Some(sums) => sums,
                    None => attempts.entry(id.clone()).or_default(),
                };
                sums.iter_mut().zip(&cells.sides).for_each(|(sum, side)| side.attempts.take(sum));
            }
        }
        attempts
    }

    /// How long first attempts at one side took since the start, at full resolution.
    pub fn durations(&self, id: &MigrationId, side: Side) -> Durations {
        let mut durations = Durations::default();
        for shard in self.all_shards() {
            if let Some(cells) = lock(&shard.migrations).get(id) {
                cells.side(side).attempts.add_durations(&mut durations);
            }
        }
        durations
    }

    fn all_shards(&self) -> Vec<Arc<ShardCells>> {
        let mut shards = lock(&self.shards).clone();
        shards.push(Arc::clone(&self.resident));
        shards
    }
}

#[cfg(test)]
mod tests;
