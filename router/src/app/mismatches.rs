//! What is known of mismatches while the router runs: configured by the file, kept in step with the state, shared with the fleet.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use flags::MigrationId;
use flags::control::Control;
use jiff::Timestamp;
use metrics::mismatch::{CompareSettings, Mismatches, share};
use metrics::observe::Observer;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Shared;
use crate::config::Config;

/// How long a router that ends waits for its last word.
const FAREWELL: Duration = Duration::from_secs(2);

/// Made with a key that is of this process alone.
pub(super) fn new(observer: &Arc<Observer>, config: &Config) -> io::Result<Arc<Mismatches>> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let mismatches = Arc::new(Mismatches::new(Arc::clone(observer), secret));
    observer.tell_findings_of(&mismatches);
    mismatches.configure(settings(config));
    Ok(mismatches)
}

/// How each migration of the file is compared.
pub(super) fn settings(config: &Config) -> Vec<(MigrationId, CompareSettings)> {
    let ids = config.definitions.migrations().iter().map(|migration| migration.id.clone());
    let settings = config.mirroring.iter().map(|own| CompareSettings {
        rules: own.rules.clone(),
        raw_paths: own.raw_paths.clone(),
        version_header: own.version_header.clone(),
        ..CompareSettings::default()
    });
    ids.zip(settings).collect()
}

/// The running task; dropped, it ends with its next turn.
pub(super) struct Sharing {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sharing {
    pub(super) fn start(shared: &Arc<Shared>, control: &Arc<Control>, replica: &str) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(Arc::clone(shared), Arc::clone(control), replica.to_owned(), stopped));
        Self { stop, task }
    }

    /// Says what is new a last time, and ends.
    pub(super) async fn shutdown(self) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(FAREWELL, self.task).await.is_err() {
            abort.abort();
        }
    }
}

async fn run(shared: Arc<Shared>, control: Arc<Control>, replica: String, mut stopped: watch::Receiver<bool>) {
    let mut swaps = shared.watch.subscribe();
    let mut due = tokio::time::interval(share::EVERY);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_away = false;
    shared.mismatches.follow(&shared.watch.current());
    loop {
        let ends = tokio::select! {
            _ = stopped.changed() => true,
            swapped = swaps.changed() => {
                shared.mismatches.follow(&shared.watch.current());
                // A closed channel means that the router is going down.
                if swapped.is_ok() {
                    continue;
                }
                true
            }
            _ = due.tick() => false,
        };
        match shared.mismatches.share(&control, &replica, Timestamp::now()).await {
            Ok(()) => is_away = false,
            // That the store is away is told by others; that it does not keep this, once.
            Err(error) if !is_away => {
                is_away = true;
                tracing::debug!(%error, "what was found to differ could not be shared; it is tried again");
            }
            Err(_) => {}
        }
        if ends {
            return;
        }
    }
}
