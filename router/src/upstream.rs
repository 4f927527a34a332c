//! The services behind the sides: endpoints, their health, admission and each worker's idle connections.
//!
//! # Why shared health and private pools
//!
//! Whether an endpoint is well is one fact, so all workers share it in a few atomics. Connections belong to the worker that
//! opened them, so taking one costs no lock and no message. Balance is by power of two choices over the requests that this
//! worker has in flight (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001): near the best
//! possible spread from two looks.
//!
//! A pool belongs to one endpoint of one generation of the file, so a connection opened under other settings is never
//! reused. Nothing is pooled that is not clean: a connection on which anything arrives while it is idle is closed, and one
//! whose last answer announced a body that it must not have rests first, because there are servers that send it late, and it
//! would be taken for the next answer.
//!
//! Not here: TLS and HTTP/2 to upstreams.

mod bound;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
pub(crate) use bound::{Bound, Own, asks_to_sign_in, signs_in};
use metrics::events::EndpointEjected;
use metrics::observe::{Shard, UpstreamCells};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config;
use crate::h1::conn::Conn;
use crate::h1::head::ResponseHead;

/// Failures in a row until an endpoint is passed over for a while.
const FAILURES_UNTIL_EJECTION: u32 = 5;

/// The first ejection lasts this long, each following one in a row that much longer, up to six times.
const EJECTION: Duration = Duration::from_secs(10);
const EJECTION_STEPS_MAX: u32 = 6;

/// An endpoint that came back takes its full share after this time.
const SLOW_START: Duration = Duration::from_secs(10);

/// One address of an upstream and how it is doing, shared by all workers.
#[derive(Debug)]
pub(crate) struct EndpointState {
    pub(crate) url: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What the host resolves to; replaced by the resolver, never emptied.
    pub(crate) addresses: ArcSwap<Vec<SocketAddr>>,
    /// What the active checks say; true without checks.
    up: AtomicBool,
    failures: AtomicU32,
    ejections: AtomicU32,
    /// Milliseconds since [`Self::born`]; 0 is never.
    ejected_until: AtomicU64,
    returned_at: AtomicU64,
    born: Instant,
}

impl EndpointState {
    pub(crate) fn new(endpoint: &config::Endpoint) -> Self {
        let literal = endpoint.host.trim_matches(['[', ']']).parse().ok().map(|ip| SocketAddr::new(ip, endpoint.port));
        Self {
            url: endpoint.url.clone(),
            host: endpoint.host.clone(),
            port: endpoint.port,
            addresses: ArcSwap::from_pointee(literal.into_iter().collect()),
            up: AtomicBool::new(true),
            failures: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            returned_at: AtomicU64::new(0),
            born: Instant::now(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    pub(crate) fn is_ejected(&self) -> bool {
        let until = self.ejected_until.load(Ordering::Relaxed);
        until != 0 && self.now() < until
    }

    /// An active check changed its mind.
    pub(crate) fn set_up(&self, up: bool) {
        if up && !self.up.swap(up, Ordering::Relaxed) {
            self.failures.store(0, Ordering::Relaxed);
            self.returned_at.store(self.now().max(1), Ordering::Relaxed);
        }
        self.up.store(up, Ordering::Relaxed);
    }

    /// How much heavier a request weighs here than elsewhere, because the endpoint has just come back.
    fn slow_start_factor(&self) -> usize {
        let returned = self.returned_at.load(Ordering::Relaxed).max(self.ejected_until.load(Ordering::Relaxed));
        if returned == 0 {
            return 1;
        }
        let since = self.now().saturating_sub(returned);
        let ramp = u64::try_from(SLOW_START.as_millis()).unwrap_or(u64::MAX);
        if since >= ramp { 1 } else { usize::try_from(ramp / since.max(ramp / 10)).unwrap_or(1) }
    }
}

/// How many requests an upstream takes at once, over all workers.
#[derive(Debug)]
struct Admission {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// One upstream, shared by all workers.
#[derive(Debug)]
pub(crate) struct UpstreamState {
    pub(crate) settings: config::Upstream,
    pub(crate) endpoints: Vec<Arc<EndpointState>>,
    admission: Option<Admission>,
}

impl UpstreamState {
    /// Endpoints that `before` knows keep what is known of their health.
    pub(crate) fn new(settings: config::Upstream, before: &[Arc<EndpointState>]) -> Self {
        let endpoint = |own: &config::Endpoint| {
            let known = before.iter().find(|known| known.url == own.url);
            // What only a check can bring back must not stay down when nobody checks any more.
            known.filter(|_| settings.health.is_none()).into_iter().for_each(|known| known.set_up(true));
            known.map_or_else(|| Arc::new(EndpointState::new(own)), Arc::clone)
        };
        let endpoints = settings.endpoints.iter().map(endpoint).collect();
        let admission = (settings.in_flight > 0).then(|| Admission {
            places: Arc::new(Semaphore::new(settings.in_flight.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
        });
        Self { settings, endpoints, admission }
    }

    /// Ejects unless more than half of the endpoints would then be out.
    fn eject(&self, endpoint: &EndpointState) -> bool {
        let out = self.endpoints.iter().filter(|own| own.is_ejected()).count();
        if (out + 1) * 2 > self.endpoints.len() {
            return false;
        }
        let steps = (endpoint.ejections.fetch_add(1, Ordering::Relaxed) + 1).min(EJECTION_STEPS_MAX);
        let span = u64::try_from((EJECTION * steps).as_millis()).unwrap_or(u64::MAX);
        endpoint.ejected_until.store(endpoint.now() + span, Ordering::Relaxed);
        endpoint.failures.store(0, Ordering::Relaxed);
        true
    }
}

/// How long a connection rests when its last answer announced a body and had none. What comes late comes by then.
const REST: Duration = Duration::from_secs(1);

/// An idle connection and since when it is one.
#[derive(Debug)]
struct Idle {
    conn: Box<Conn>,
    since: Instant,
    /// It is not used before it has rested.
    rests: bool,
}

/// One endpoint as one worker uses it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) state: Arc<EndpointState>,
    pub(crate) cells: Arc<UpstreamCells>,
    in_flight: Cell<usize>,
    /// The most recently used last. Mirrors have their own, so that a hung mirror cannot take a caller's connection.
    idle: RefCell<Vec<Idle>>,
    idle_for_mirrors: RefCell<Vec<Idle>>,
    idle_max: Cell<usize>,
    idle_timeout: Duration,
    next_address: Cell<usize>,
}

/// For whom a connection is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Forward,
    Mirror,
}

impl Endpoint {
    fn pool(&self, purpose: Purpose) -> &RefCell<Vec<Idle>> {
        match purpose {
            Purpose::Forward => &self.idle,
            Purpose::Mirror => &self.idle_for_mirrors,
        }
    }

    /// An idle connection on which nothing has happened meanwhile.
    pub(crate) fn take_idle(&self, purpose: Purpose, now: Instant) -> Option<Box<Conn>> {
        let mut pool = self.pool(purpose).borrow_mut();
        for at in (0..pool.len()).rev() {
            let idle = &pool[at];
            let age = now.saturating_duration_since(idle.since);
            let is_usable = !idle.conn.is_disturbed() && age < self.idle_timeout;
            if is_usable && idle.rests && age < REST {
                continue;
            }
            let idle = pool.remove(at);
            if is_usable {
                self.cells.reused();
                return Some(idle.conn);
            }
        }
        None
    }

    /// Keeps a connection whose last exchange ended with this answer and without doubt.
    pub(crate) fn keep(&self, mut conn: Box<Conn>, purpose: Purpose, answer: &ResponseHead, now: Instant) {
        conn.release();
        let mut pool = self.pool(purpose).borrow_mut();
        if answer.reusable && pool.len() < self.idle_max.get() && conn.pending().is_empty() {
            pool.push(Idle { conn, since: now, rests: answer.announces_absent_body() });
        }
    }

    /// Closes connections that the upstream closed or that were idle for too long, and says how the endpoint is.
    fn sweep(&self) {
        self.cells.up(self.state.is_up() && !self.state.is_ejected());
        for pool in [&self.idle, &self.idle_for_mirrors] {
            pool.borrow_mut().retain(|idle| !idle.conn.is_disturbed() && idle.since.elapsed() < self.idle_timeout);
        }
    }

    /// The next address in turn; `None` while the name does not resolve.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let addresses = self.state.addresses.load();
        let at = self.next_address.get();
        self.next_address.set(at.wrapping_add(1));
        addresses.get(at % addresses.len().max(1)).copied()
    }

    /// The endpoint took a connection and answered.
    pub(crate) fn succeeded(&self) {
        if self.state.failures.load(Ordering::Relaxed) != 0 {
            self.state.failures.store(0, Ordering::Relaxed);
        }
        if self.state.ejections.load(Ordering::Relaxed) != 0 && !self.state.is_ejected() {
            self.state.ejections.store(0, Ordering::Relaxed);
        }
    }
}

/// Counts a request in flight or a tunnel at an endpoint for as long as it lives.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) endpoint: Rc<Endpoint>,
}

impl InFlight {
    fn new(endpoint: Rc<Endpoint>) -> Self {
        endpoint.in_flight.set(endpoint.in_flight.get() + 1);
        endpoint.cells.started();
        Self { endpoint }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.endpoint.in_flight.set(self.endpoint.in_flight.get() - 1);
        self.endpoint.cells.finished();
    }
}

/// A place among the requests in flight of an upstream; none where there is no limit.
pub(crate) type Admitted = Option<OwnedSemaphorePermit>;

/// The limit of requests in flight is reached, and the queue before it is full or was too slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

/// Retries are paid for by requests, ten for one, so that they cannot multiply an outage.
///
/// In the manner of tower's retry budget; a small reserve lets a quiet service retry at all.
#[derive(Debug)]
pub(crate) struct RetryBudget(Cell<u32>);

const RETRY_PRICE: u32 = 10;
const RETRY_RESERVE: u32 = 100;
const RETRY_SAVINGS_MAX: u32 = 1_000;

impl RetryBudget {
    fn deposit(&self) {
        self.0.set((self.0.get() + 1).min(RETRY_SAVINGS_MAX));
    }

    pub(crate) fn withdraw(&self) -> bool {
        let left = self.0.get().checked_sub(RETRY_PRICE);
        left.inspect(|left| self.0.set(*left)).is_some()
    }
}

/// One upstream as one worker uses it.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) state: Arc<UpstreamState>,
    pub(crate) retries: RetryBudget,
    endpoints: Vec<Rc<Endpoint>>,
}

impl Upstream {
    pub(crate) fn new(state: Arc<UpstreamState>, shard: &Shard, workers: usize) -> Self {
        let settings = &state.settings;
        let endpoint = |own: &Arc<EndpointState>| {
            Rc::new(Endpoint {
                cells: shard.upstream(&settings.name, &own.url),
                state: Arc::clone(own),
                in_flight: Cell::new(0),
                idle: RefCell::default(),
                idle_for_mirrors: RefCell::default(),
                idle_max: Cell::new(settings.idle_connections.div_ceil(workers.max(1))),
                idle_timeout: settings.idle_timeout,
                next_address: Cell::new(0),
            })
        };
        let endpoints = state.endpoints.iter().map(endpoint).collect();
        Self { endpoints, retries: RetryBudget(Cell::new(RETRY_RESERVE)), state }
    }

    /// A place among the requests in flight that is free at once. Without one, [`Self::wait_for_place`].
    ///
    /// Mirrors do not ask: what limits them is their own, and they must not take a caller's place.
    pub(crate) fn admit(&self) -> Option<Admitted> {
        self.retries.deposit();
        self.free_place()
    }

    /// A place that is free now at an upstream of which something is up; `None` otherwise. Waits for nothing.
    pub(crate) fn admit_now(&self) -> Option<Admitted> {
        if !self.endpoints.iter().any(|endpoint| endpoint.state.is_up()) {
            return None;
        }
        let place = self.free_place()?;
        self.retries.deposit();
        Some(place)
    }

    fn free_place(&self) -> Option<Admitted> {
        match &self.state.admission {
            None => Some(None),
            Some(admission) => Arc::clone(&admission.places).try_acquire_owned().ok().map(Some),
        }
    }

    /// Chooses an endpoint that is well; `None` when there is none. One that was `avoid`ed is taken only if it is the last.
    pub(crate) fn enter(&self, chance: u64, avoid: Option<&Rc<Endpoint>>) -> Option<InFlight> {
        self.choose(chance, avoid).map(InFlight::new)
    }

    /// Waits in the queue for a place among the requests in flight.
    pub(crate) async fn wait_for_place(&self) -> Result<Admitted, Busy> {
        let Some(admission) = &self.state.admission else { return Ok(None) };
        let shed = || {
            self.endpoints.iter().take(1).for_each(|endpoint| endpoint.cells.shed());
            Busy
        };
        let waiting = Waiting::enter(&admission.waiting, self.state.settings.queue).ok_or_else(shed)?;
        let place = Arc::clone(&admission.places).acquire_owned();
        let place = tokio::time::timeout(self.state.settings.queue_timeout, place).await;
        drop(waiting);
        place.ok().and_then(Result::ok).map(Some).ok_or_else(shed)
    }

    /// The less loaded of two endpoints that are well.
    fn choose(&self, chance: u64, avoid: Option<&Rc<Endpoint>>) -> Option<Rc<Endpoint>> {
        if let [only] = self.endpoints.as_slice() {
            return only.state.is_up().then(|| Rc::clone(only));
        }
        let avoided = |endpoint: &Rc<Endpoint>| avoid.is_some_and(|own| Rc::ptr_eq(own, endpoint));
        let is_well = |endpoint: &Rc<Endpoint>| endpoint.state.is_up() && !endpoint.state.is_ejected();
        let well = |endpoint: &&Rc<Endpoint>| is_well(endpoint) && !avoided(endpoint);
        let count = self.endpoints.iter().filter(well).count();
        if count == 0 {
            // Ejection is a guess from few requests; with nothing else left it must not take the service down.
            let up = || self.endpoints.iter().filter(|endpoint| endpoint.state.is_up());
            return up().find(|endpoint| !avoided(endpoint)).or_else(|| up().next()).map(Rc::clone);
        }
        #[allow(clippy::cast_possible_truncation, reason = "reduced modulo the number of endpoints")]
        let pick = |chance: u64, among: usize| (chance % among as u64) as usize;
        let first = pick(chance >> 32, count);
        let second = (first + 1 + if count > 1 { pick(chance & 0xffff_ffff, count - 1) } else { 0 }) % count;
        let nth = |at: usize| self.endpoints.iter().filter(well).nth(at);
        let (first, second) = (nth(first)?, nth(second)?);
        let load = |endpoint: &Rc<Endpoint>| (endpoint.in_flight.get() + 1) * endpoint.state.slow_start_factor();
        Some(Rc::clone(if load(second) < load(first) { second } else { first }))
    }

    /// An attempt failed in a way that speaks against the endpoint.
    pub(crate) fn failed(&self, endpoint: &Endpoint) {
        let failures = endpoint.state.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures >= FAILURES_UNTIL_EJECTION && !endpoint.state.is_ejected() && self.state.eject(&endpoint.state) {
            let (upstream, url) = (&self.state.settings.name, &endpoint.state.url);
            EndpointEjected { upstream, endpoint: url, failures }.emit(&endpoint.cells);
        }
    }

    /// Closes what is idle, and keeps nothing from now on: a new file has pools of its own.
    pub(crate) fn retire(&self) {
        for endpoint in &self.endpoints {
            endpoint.idle_max.set(0);
            endpoint.idle.borrow_mut().clear();
            endpoint.idle_for_mirrors.borrow_mut().clear();
        }
    }

    pub(crate) fn sweep(&self) {
        self.endpoints.iter().for_each(|endpoint| endpoint.sweep());
    }
}

/// Counts one waiting request for as long as it waits.
#[derive(Debug)]
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize, max: usize) -> Option<Self> {
        let entered = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < max).then_some(now + 1));
        entered.ok().map(|_| Self(waiting))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
