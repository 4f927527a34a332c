//! Tells people and their machines what happens to migrations: webhooks, Slack, Alertmanager, PagerDuty.
//!
//! # Why it never waits
//!
//! A notice is made where a rollback is made. So [`Notifier::notify`] puts it into a bounded queue for each target and
//! returns; a task for each target carries it from there. A queue that is full refuses, and that is counted.
//!
//! What was told within the last hour is not told again. A fleet may tell of one event from several routers: the id is the
//! same, and where a receiver knows no ids one router speaks ([`Notifier::tell`]).
//!
//! Not supported: notices that outlive the process. The history in the store is what is complete.

mod alertmanager;
mod courier;
pub(crate) mod message;
mod pagerduty;
mod recent;
mod retry;
mod sender;
mod slack;
mod trial;
mod webhook;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use metrics::events::NoticeDropped;
use metrics::notice::{Notice, Notify};
use metrics::observe::{NotificationCells, Observer};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::config::notify::names;
use crate::config::{Config, NotifyTarget};
use courier::Courier;
use recent::Recent;
pub(crate) use trial::{Trial, attempt_all};

/// Notices that wait for one target; more in a quarter of an hour is a storm of which the first ones tell enough.
const WAITING_MAX: usize = 64;

/// How long a router that ends waits for what is under way.
const FAREWELL: Duration = Duration::from_secs(5);

/// Takes notices for every target of the file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Notifier(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    observer: Arc<Observer>,
    environment: Arc<str>,
    recent: Mutex<Recent>,
    running: Mutex<Vec<Running>>,
    /// Where a person sees more, for notices that do not say.
    dashboard_url: Mutex<Option<String>>,
}

/// A target and the task that carries to it.
#[derive(Debug)]
struct Running {
    label: Arc<ArcSwap<Label>>,
    target: NotifyTarget,
    queue: mpsc::Sender<Arc<Notice>>,
    retire: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What a target is called, which is its place in the file, and its counts.
#[derive(Debug)]
struct Label {
    name: String,
    cells: Arc<NotificationCells>,
}

/// A lock over plain data is as good as before when a holder has panicked.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Notifier {
    /// Must be called within a runtime, which carries.
    pub fn start(observer: Arc<Observer>, config: &Config) -> Self {
        let environment = config.environment.as_str().into();
        let (recent, running, dashboard_url) = (Mutex::default(), Mutex::default(), Mutex::default());
        let notifier = Self(Arc::new(Shared { observer, environment, recent, running, dashboard_url }));
        notifier.reload(&config.notify, config.admin.url.as_deref());
        notifier
    }

    /// Takes the targets of another file. One that stays as it was keeps what waits for it, wherever in the file it is now
    /// and whatever it is called there; what waits for one that goes gets a last try.
    pub fn reload(&self, targets: &[NotifyTarget], dashboard_url: Option<&str>) {
        *lock(&self.0.dashboard_url) = dashboard_url.map(String::from);
        let names = names(targets);
        let cells = self.0.observer.declare_notifications(&names);
        let mut running = lock(&self.0.running);
        let mut before = std::mem::take(&mut *running);
        for ((name, target), cells) in names.into_iter().zip(targets).zip(cells) {
            let label = Label { name, cells };
            let same = before.iter().position(|own| own.target == *target);
            running.push(match same {
                Some(at) => before.remove(at).renamed(label),
                None => self.launch(label, target.clone()),
            });
        }
        before.into_iter().for_each(|gone| drop(gone.retire()));
    }

    fn launch(&self, label: Label, target: NotifyTarget) -> Running {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let (retire, retired) = watch::channel(false);
        let (label, environment) = (Arc::new(ArcSwap::from_pointee(label)), Arc::clone(&self.0.environment));
        let courier = Courier { label: Arc::clone(&label), target: target.clone(), environment };
        let task = tokio::spawn(courier.run(waiting, retired));
        Running { label, target, queue, retire, task }
    }

    /// Tells every target that wants to know; one that could not tell a repetition only if `speaks`.
    pub fn tell(&self, mut notice: Notice, speaks: bool) {
        if !lock(&self.0.recent).is_new(&notice.id, Instant::now()) {
            return;
        }
        if notice.dashboard_url.is_none() {
            notice.dashboard_url.clone_from(&lock(&self.0.dashboard_url));
        }
        let notice = Arc::new(notice);
        for own in lock(&self.0.running).iter() {
            let wanted = own.target.wants(notice.kind) && (speaks || own.target.channel.knows_repetitions());
            if wanted && own.queue.try_send(Arc::clone(&notice)).is_err() {
                let label = own.label.load();
                NoticeDropped { target: &label.name, notice: &notice, waiting: WAITING_MAX }.emit(&label.cells);
            }
        }
    }

    /// Whether there is a target that [`Notifier::tell`] must know a speaker for.
    pub fn needs_a_speaker(&self) -> bool {
        lock(&self.0.running).iter().any(|own| !own.target.channel.knows_repetitions())
    }

    /// Gives what waits a last try, and ends.
    pub async fn shutdown(&self) {
        let running = std::mem::take(&mut *lock(&self.0.running));
        let carrying: Vec<(Arc<Label>, JoinHandle<()>)> = running.into_iter().map(Running::retire).collect();
        let deadline = tokio::time::Instant::now() + FAREWELL;
        for (label, task) in carrying {
            let abort = task.abort_handle();
            if tokio::time::timeout_at(deadline, task).await.is_err() {
                abort.abort();
                tracing::warn!(
                    target = label.name,
                    "ended before every notice was sent; the history has what they tell"
                );
            }
        }
    }
}

impl Notify for Notifier {
    fn notify(&self, notice: Notice) {
        self.tell(notice, true);
    }
}

impl Running {
    fn renamed(self, label: Label) -> Self {
        self.label.store(Arc::new(label));
        self
    }

    /// Closes the queue and says that there is no time for pauses any more.
    fn retire(self) -> (Arc<Label>, JoinHandle<()>) {
        self.retire.send_replace(true);
        (self.label.load_full(), self.task)
    }
}
