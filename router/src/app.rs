//! The composition root: builds, wires and, in order, shuts down.
//!
//! # Why in this order
//!
//! Everything that can fail (store, ports) fails before a thread starts, so a bad start binds nothing. Going down runs the
//! other way: first balancers are told (`/readyz`), then callers (`Connection: close`), then listeners close, then what is
//! open gets its time, and the state is saved last.
//!
//! The data plane runs on one thread a worker; the admin side, the store, health checks and timers share an ordinary
//! runtime, so that a slow store call cannot delay a request.

mod admin;
mod announce;
mod fixed;
mod guards;
mod issues;
mod mismatches;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flags::control::Control;
use flags::store::embedded::Embedded;
use flags::store::redis::Redis;
use flags::store::{Store, StoreError};
use flags::tally::Slot;
use flags::watch::{Background, ReloadError, Watch, WatchOptions};
use metrics::events;
use metrics::fleet::Ledger;
use metrics::mismatch::Mismatches;
use metrics::observe::Observer;
use thiserror::Error;
use tokio::task::{JoinHandle, JoinSet};

use fixed::Fixed;
use guards::Guards;
use issues::Issues;
use mismatches::Sharing;

use crate::config::{self, Config, StoreConfig};
use crate::error::CODES;
use crate::issues::intake::Desk;
use crate::mirror::comparer::Comparer;
use crate::notify::Notifier;
use crate::occupancy::Occupancy;
use crate::worker::{Catalog, Draining, Generation, Parts};
use crate::{health, listener, runtime};

/// How often the kill file is looked for.
const KILL_FILE_INTERVAL: Duration = Duration::from_millis(200);

/// How long a router that ends may take to hand what it has announced to its couriers.
const TELL_MAX: Duration = Duration::from_secs(3);

/// How long after the end of a slot its counts are summed, at least: as long as two clocks may differ that were compared
/// over a network. Each router adds some milliseconds of its own, so that a fleet does not speak in step.
const TALLY_DELAY: Duration = Duration::from_millis(4);
const TALLY_DELAY_OWN_MS: u32 = 12;

/// Why a router did not start. Nothing is bound then.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("the store cannot be opened: {0}")]
    Store(#[from] StoreError),
    #[error(
        "{0}. Nothing is saved in `snapshot` from an earlier run either, so that this router would send everything to legacy without knowing the state"
    )]
    Refused(String),
    #[error("cannot listen on {address}: {source}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("issues cannot be received: {0}")]
    Issues(String),
    #[error("the metrics cannot be registered: {0}")]
    Metrics(String),
    #[error("the system gives no random numbers or no threads: {0}")]
    System(#[from] io::Error),
}

/// A running router.
pub struct App {
    data: Vec<SocketAddr>,
    admin: SocketAddr,
    token: Option<String>,
    shared: Arc<Shared>,
    background: Background,
    tasks: JoinSet<()>,
    /// Ends when it has told everything and nobody can announce more.
    teller: JoinHandle<()>,
    guards: Guards,
    issues: Issues,
    sharing: Sharing,
    workers: runtime::Workers,
    fixed: Fixed,
}

/// What reloads and the admin side share.
pub(crate) struct Shared {
    pub(crate) watch: Arc<Watch>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) draining: Arc<Draining>,
    pub(crate) notifier: Notifier,
    pub(crate) mismatches: Arc<Mismatches>,
    /// What is counted for the fleet and not stored yet.
    ledger: Arc<Ledger>,
    /// The health checks of the generation in use.
    checks: Mutex<JoinSet<()>>,
}

impl Shared {
    /// What workers are made from.
    fn parts(&self, desk: Desk, occupancy: Arc<Occupancy>, workers: usize) -> io::Result<Parts> {
        Ok(Parts {
            snapshots: Arc::clone(self.watch.snapshots()),
            catalog: Arc::clone(&self.catalog),
            draining: Arc::clone(&self.draining),
            desk,
            occupancy,
            workers,
            comparer: Comparer::start(Arc::clone(&self.mismatches))?,
        })
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("data", &self.data).field("admin", &self.admin).finish_non_exhaustive()
    }
}

impl App {
    /// Binds everything and serves. Must be called within a multi-threaded runtime.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let observer = Observer::new(CODES).map_err(|error| StartError::Metrics(error.to_string()))?;
        let (listeners, data) = bind(&config)?;
        let (admin_listener, admin_address) = admin::bind(config.admin.address).await?;
        let generation = Arc::new(Generation::new(&config, None));
        declare(&observer, &config);
        health::resolve_all(&generation).await;
        let store = open(&config).await?;
        let replica = replica_name()?;
        let fixed = Fixed::of(&config);
        let kill_file = config.kill_file.clone();
        let (token, tokens) = admin::tokens(&config.admin)?;
        let environment = config.environment.clone();
        let notifier = Notifier::start(Arc::clone(&observer), &config);
        let mismatches = mismatches::new(&observer, &config)?;
        let workers = config.workers;
        let routes: Vec<_> = config.routes.iter().filter_map(|route| route.issues.clone()).collect();
        let options = WatchOptions::new(replica.clone(), config.snapshot.clone());
        let (watch, background) = Watch::start(store, config.definitions, options).await;
        if let Some(problem) = watch.unusable_store() {
            return Err(StartError::Refused(problem));
        }
        if let Some(path) = &kill_file {
            watch.set_killed(path.exists());
        }
        let catalog = Arc::new(Catalog::default());
        catalog.insert(watch.current().generation(), Arc::clone(&generation));
        observer.tell_copies_of(Arc::clone(&catalog) as _);
        let ledger = Arc::<Ledger>::default();
        watch.set_tallies(Arc::clone(&ledger) as _);
        let shared = Arc::new(Shared {
            watch: Arc::clone(&watch),
            observer,
            catalog,
            draining: Arc::default(),
            notifier,
            mismatches,
            ledger,
            checks: Mutex::new(health::watch(&generation)),
        });
        let (occupancy, receivers) = Occupancy::new(workers);
        let (desk, arrivals) = Desk::new();
        let control = Arc::new(Control::new(Arc::clone(&watch)));
        let issues = Issues::start(&shared, &control, &routes, arrivals).await?;
        let parts = shared.parts(desk, occupancy, workers)?;
        let workers = runtime::start(&parts, &shared.observer, listeners, receivers)?;
        let (mut tasks, teller) = watchers(&shared, &control, &replica, kill_file);
        let guards = Guards::start(&shared, &control);
        let sharing = Sharing::start(&shared, &control, &replica);
        let own = (issues.asker(), (replica, environment));
        let state = admin_state(&shared, control, own, tokens, (&config.admin, admin_address));
        tasks.spawn(admin::serve(admin_listener, dashboards::app(state)));
        Ok(Self {
            data,
            admin: admin_address,
            token,
            shared,
            background,
            tasks,
            teller,
            guards,
            issues,
            sharing,
            workers,
            fixed,
        })
    }

    pub fn data_addresses(&self) -> &[SocketAddr] {
        &self.data
    }

    pub const fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The token that was made because the file names none; shown once and kept nowhere.
    pub fn admin_token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Takes a new file without dropping a request. What is `Fixed` stays as it was at the start, and the log says so.
    pub async fn reload(&self, config: Config) -> Result<(), ReloadError> {
        let shared = &self.shared;
        let fixed = Fixed::of(&config);
        let generation = Arc::new(Generation::new(&config, shared.catalog.newest().as_deref()));
        health::resolve_all(&generation).await;
        declare(&shared.observer, &config);
        // Workers find the generation before a snapshot can name it.
        shared.catalog.insert(shared.watch.current().generation() + 1, Arc::clone(&generation));
        let compared = mismatches::settings(&config);
        shared.watch.reload(config.definitions)?;
        shared.mismatches.configure(compared);
        shared.mismatches.follow(&shared.watch.current());
        shared.notifier.reload(&config.notify, config.admin.url.as_deref());
        *shared.checks.lock().unwrap_or_else(PoisonError::into_inner) = health::watch(&generation);
        self.issues.reload(config.routes.iter().filter_map(|route| route.issues.clone())).await;
        for key in self.fixed.differing(&fixed) {
            tracing::warn!("`{key}` has changed in the file; that takes a restart, until then the old value holds");
        }
        Ok(())
    }

    /// Finishes what is open, takes nothing new, and ends.
    pub async fn shutdown(mut self) {
        let drain = self.shared.catalog.newest().map(|generation| generation.drain);
        let config::Drain { delay, timeout } =
            drain.unwrap_or(config::Drain { delay: Duration::ZERO, timeout: Duration::ZERO });
        events::Draining { delay, timeout }.emit(&self.shared.observer);
        self.shared.draining.begin();
        self.shared.watch.set_draining();
        tokio::time::sleep(delay).await;
        self.shared.draining.close_idle();
        // Whoever stays judges from here on, also what this one still answers.
        self.guards.shutdown().await;
        tokio::join!(self.workers.finish(timeout), self.issues.finish(timeout));
        self.issues.shutdown().await;
        self.sharing.shutdown().await;
        self.tasks.shutdown().await;
        // What has been announced is still told; nothing more is announced.
        if tokio::time::timeout(TELL_MAX, &mut self.teller).await.is_err() {
            tracing::warn!("notices that waited for the store were not sent: `crossfade history` has what happened");
        }
        self.background.shutdown().await;
        self.shared.notifier.shutdown().await;
    }
}

/// What the admin side needs of the rest.
fn admin_state(
    shared: &Arc<Shared>,
    control: Arc<Control>,
    (reconcile, (replica, environment)): (Arc<dyn dashboards::reconcile::Reconcile>, (String, String)),
    tokens: Vec<dashboards::auth::Token>,
    (admin, address): (&config::Admin, SocketAddr),
) -> dashboards::State {
    dashboards::State {
        control,
        watch: Arc::clone(&shared.watch),
        health: Arc::new(admin::Seen(Arc::clone(shared))),
        observer: Arc::clone(&shared.observer),
        board: Arc::clone(shared.observer.board()),
        mismatches: Arc::clone(&shared.mismatches),
        reconcile,
        gather: admin::gather(Arc::clone(&shared.observer)),
        replica,
        environment,
        tokens,
        #[cfg(feature = "oidc")]
        oidc: admin::oidc(admin),
        address,
        public_host: admin::public_host(admin),
    }
}

/// What looks at the data plane and tells of it for as long as the router runs.
fn watchers(
    shared: &Arc<Shared>,
    control: &Arc<Control>,
    replica: &str,
    kill_file: Option<PathBuf>,
) -> (JoinSet<()>, JoinHandle<()>) {
    let mut tasks = JoinSet::new();
    tasks.spawn(observe(Arc::clone(shared)));
    tasks.spawn(tally(Arc::clone(shared)));
    if let Some(path) = kill_file {
        tasks.spawn(watch_kill_file(Arc::clone(&shared.watch), path));
    }
    let (telling, announced) = announce::queue();
    tasks.spawn(announce::announce(Arc::clone(shared), telling));
    let teller = announce::tell(shared.notifier.clone(), Arc::clone(control), replica.to_owned(), announced);
    (tasks, tokio::spawn(teller))
}

/// One socket a worker for each address of the file, and where they listen.
fn bind(config: &Config) -> Result<(Vec<Vec<TcpListener>>, Vec<SocketAddr>), StartError> {
    let (mut listeners, mut data) = (Vec::new(), Vec::new());
    for address in &config.listen {
        let bound = listener::bind(*address, config.workers)
            .map_err(|source| StartError::Bind { address: *address, source })?;
        data.push(bound[0].local_addr()?);
        listeners.push(bound);
    }
    Ok((listeners, data))
}

fn declare(observer: &Observer, config: &Config) {
    let migrations: Vec<_> = config.definitions.migrations().iter().map(|migration| migration.id.clone()).collect();
    let endpoints =
        config.upstreams.iter().flat_map(|own| own.endpoints.iter().map(|end| (own.name.clone(), end.url.clone())));
    observer.declare_migrations(&migrations);
    let issues = config.routes.iter().filter_map(|route| Some(route.issues.as_ref()?.migration.clone()));
    observer.issues().declare(&issues.collect());
    observer.declare_upstreams(&endpoints.collect::<Vec<_>>());
}

async fn open(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match &config.store {
        StoreConfig::Embedded(path) => Arc::new(Embedded::open(path.clone()).await?),
        StoreConfig::Redis { options, .. } => Arc::new(Redis::open(options.clone(), &config.environment)),
    })
}

/// The host's name for people, and random digits because several routers may share a host.
fn replica_name() -> Result<String, StartError> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let random = getrandom::u32().map_err(io::Error::other)?;
    let host: String =
        host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).take(64).collect();
    Ok(format!("{}-{random:08x}", if host.is_empty() { "router" } else { &host }))
}

/// Feeds what only time tells to the metrics: shares over the last minute, and how the store is.
async fn observe(shared: Arc<Shared>) {
    let process = shared.observer.process();
    let mut had_gone_back = false;
    // The window of the observed share begins now, and not with what the first second brought.
    shared.observer.tick(Instant::now());
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        shared.observer.tick(Instant::now());
        let health = shared.watch.store_health();
        if health.reachable {
            process.store_answered(health.revision, Instant::now());
        } else {
            process.store_failed();
        }
        process.store_counts(shared.watch.counts());
        process.counts_lost(shared.ledger.lost());
        process.store_believed(!health.revision_went_back);
        if health.revision_went_back && !had_gone_back {
            process.revision_went_back();
        }
        had_gone_back = health.revision_went_back;
    }
}

/// Counts for the fleet, just after the end of each slot of the store's clock.
async fn tally(shared: Arc<Shared>) {
    // Without randomness the fleet speaks in step, which is no reason not to speak.
    let own = Duration::from_millis((getrandom::u32().unwrap_or_default() % TALLY_DELAY_OWN_MS).into());
    loop {
        shared.ledger.tick(&shared.observer, shared.watch.store_time(), Instant::now());
        shared.watch.counted();
        tokio::time::sleep(Slot::left_of(shared.watch.store_time()) + TALLY_DELAY + own).await;
    }
}

async fn watch_kill_file(watch: Arc<Watch>, path: PathBuf) {
    loop {
        watch.set_killed(path.exists());
        tokio::time::sleep(KILL_FILE_INTERVAL).await;
    }
}

/// Runs until TERM or INT; HUP reads the file again.
pub async fn serve(path: &Path, config: Config) -> Result<(), StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut hup, mut term, mut int) =
        (signal(SignalKind::hangup())?, signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tell_notes(path, &config);
    let hash = config.definitions.config_hash.clone();
    let app = App::start(config).await?;
    events::ConfigReloaded { path, hash: &hash, generation: 1 }.emit(&app.shared.observer);
    if let Some(token) = app.admin_token() {
        eprintln!(
            "No admin token is configured. This one holds until the router stops, and is shown only now:\n{token}"
        );
    }
    let data = app.data_addresses().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    println!("ready data={data} admin={}", app.admin_address());
    loop {
        tokio::select! {
            _ = hup.recv() => reload(&app, path).await,
            _ = term.recv() => break,
            _ = int.recv() => break,
        }
    }
    tokio::select! {
        () = app.shutdown() => {}
        _ = term.recv() => tracing::warn!("told twice to end: open requests are cut"),
        _ = int.recv() => tracing::warn!("told twice to end: open requests are cut"),
    }
    Ok(())
}

/// Tells what the file asks for and does not get, or likely does not mean.
fn tell_notes(path: &Path, config: &Config) {
    for warning in &config.warnings {
        tracing::warn!("{}: {warning}", path.display());
    }
    for key in &config.without_effect {
        tracing::warn!("{}: `{key}` has no effect in this version", path.display());
    }
}

async fn reload(app: &App, path: &Path) {
    let observer = &app.shared.observer;
    let refused = |problem: &str| events::ConfigRefused { path, problem }.emit(observer);
    match Config::load(path) {
        Err(errors) => refused(&errors.to_string()),
        Ok(config) => {
            tell_notes(path, &config);
            let hash = config.definitions.config_hash.clone();
            match app.reload(config).await {
                Ok(()) => {
                    let generation = app.shared.watch.current().generation();
                    events::ConfigReloaded { path, hash: &hash, generation }.emit(observer);
                }
                Err(error) => refused(&error.to_string()),
            }
        }
    }
}
