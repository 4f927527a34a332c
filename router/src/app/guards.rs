//! The tasks of the guards: one that judges in turn with the other routers of the fleet, one that trips alone.

use std::sync::Arc;
use std::time::Duration;

use flags::control::Control;
use flags::tally::Slot;
use metrics::fast::{self, Fast};
use metrics::judge::{Judge, Probe, SETTLE};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Shared;

/// How long a router that ends waits for a judgement on its way.
const FAREWELL: Duration = Duration::from_secs(2);

/// The running tasks; dropped, they end with their next turn.
pub(super) struct Guards {
    stop: watch::Sender<bool>,
    tasks: [JoinHandle<()>; 2],
}

impl Guards {
    pub(super) fn start(shared: &Arc<Shared>, control: &Control) -> Self {
        let (stop, stopped) = watch::channel(false);
        let notify = Arc::new(shared.notifier.clone());
        let judge = Judge::new(
            control.clone(),
            Arc::clone(&shared.watch),
            Arc::clone(&shared.observer),
            Arc::clone(&notify) as _,
            probe(shared),
        );
        let fast =
            Fast::new(control.clone(), Arc::clone(&shared.watch), Arc::clone(&shared.observer), notify, probe(shared));
        let tasks = [
            tokio::spawn(judge_in_turn(Arc::clone(shared), judge, stopped.clone())),
            tokio::spawn(trip_alone(fast, stopped)),
        ];
        Self { stop, tasks }
    }

    /// Lets another router judge, and ends.
    pub(super) async fn shutdown(self) {
        self.stop.send_replace(true);
        for task in self.tasks {
            let abort = task.abort_handle();
            if tokio::time::timeout(FAREWELL, task).await.is_err() {
                abort.abort();
            }
        }
    }
}

async fn judge_in_turn(shared: Arc<Shared>, mut judge: Judge, mut stopped: watch::Receiver<bool>) {
    loop {
        let left = Slot::left_of(shared.watch.store_time()) + SETTLE;
        tokio::select! {
            _ = stopped.changed() => return judge.leave().await,
            () = tokio::time::sleep(left) => judge.turn().await,
        }
    }
}

async fn trip_alone(mut fast: Fast, mut stopped: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(fast::BLOCK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            _ = ticks.tick() => {
                for trip in fast.turn() {
                    // Held here at once; the store may take its time, and the next block must not wait for it.
                    tokio::spawn(trip.carry_out());
                }
            }
        }
    }
}

/// What this router's health checks and ejections say of an upstream: whether some endpoint answers.
fn probe(shared: &Arc<Shared>) -> Box<Probe> {
    let shared = Arc::clone(shared);
    Box::new(move |upstream| {
        let newest = shared.catalog.newest()?;
        let own = newest.upstreams.iter().find(|own| own.settings.name == upstream)?;
        Some(own.endpoints.iter().any(|endpoint| endpoint.is_up() && !endpoint.is_ejected()))
    })
}
