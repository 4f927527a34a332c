//! The threads of the workers: one single-threaded runtime each, started together and ended together.

use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::observe::Observer;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::occupancy::Handed;
use crate::worker::{Parts, Worker};
use crate::{listener, tunnel};

/// How often a worker that finishes looks whether it has.
const FINISHED_POLL: Duration = Duration::from_millis(20);

/// The running workers.
#[derive(Debug)]
pub(crate) struct Workers {
    /// Once set: take nothing new, and end at this moment at the latest.
    end: watch::Sender<Option<Instant>>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts one thread for each worker; `listeners` holds for each address one socket a worker, `receivers` what each worker
/// gets from the others.
pub(crate) fn start(
    parts: &Parts,
    observer: &Arc<Observer>,
    listeners: Vec<Vec<StdListener>>,
    receivers: Vec<mpsc::Receiver<Handed>>,
) -> io::Result<Workers> {
    let (end, ending) = watch::channel(None);
    let mut by_worker: Vec<Vec<StdListener>> = (0..parts.workers).map(|_| Vec::new()).collect();
    for address in listeners {
        for (own, listener) in by_worker.iter_mut().zip(address) {
            own.push(listener);
        }
    }
    let mut threads = Vec::new();
    for (number, (own, receiver)) in by_worker.into_iter().zip(receivers).enumerate() {
        let seed = getrandom::u64().map_err(io::Error::other)?;
        let (parts, shard, ending) = (parts.clone(), observer.shard(), ending.clone());
        let thread = std::thread::Builder::new().name(format!("worker-{number}"));
        let (started, starting) = std::sync::mpsc::channel();
        // A local runtime belongs to the thread that builds it.
        threads.push(thread.spawn(move || {
            match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => {
                    let _ = started.send(Ok(()));
                    let Some(worker) = Worker::new(parts, shard, number, seed) else {
                        tracing::error!(
                            "a worker found no configuration to serve from; this is a defect of the router"
                        );
                        return;
                    };
                    runtime.block_on(run(worker, own, receiver, ending));
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?);
        starting.recv().map_err(io::Error::other)??;
    }
    Ok(Workers { end, threads })
}

async fn run(
    worker: Rc<Worker>,
    listeners: Vec<StdListener>,
    mut handed: mpsc::Receiver<Handed>,
    ending: watch::Receiver<Option<Instant>>,
) {
    let (mut listening, mut accepting) = (Vec::new(), Vec::new());
    for own in listeners {
        match TcpListener::from_std(own).map(Rc::new) {
            Ok(own) => {
                accepting.push(tokio::task::spawn_local(listener::accept(Rc::clone(&worker), Rc::clone(&own))));
                listening.push(own);
            }
            Err(error) => tracing::error!(%error, "a worker cannot use its listening socket"),
        }
    }
    tokio::task::spawn_local(Rc::clone(&worker).tend());
    tokio::task::spawn_local(Rc::clone(&worker.attempts).watch());
    tokio::task::spawn_local(tunnel::follow(Rc::clone(&worker)));
    let Some(deadline) = receive(&worker, &mut handed, ending).await else { return };
    let turned_away = listening.iter().filter(|own| listener::turn_away(own)).count();
    if turned_away > 0 {
        tokio::time::sleep_until(deadline.min(Instant::now() + listener::HANDSHAKE_TIMEOUT)).await;
    }
    for task in accepting {
        task.abort();
        let _ = task.await;
    }
    for own in listening {
        listener::take_waiting(&worker, &own);
    }
    handed.close();
    while let Some(own) = handed.recv().await {
        listener::take_handed(&worker, own);
    }
    while worker.connections.get() > 0 && Instant::now() < deadline {
        tokio::time::sleep(FINISHED_POLL).await;
    }
    let connections = worker.connections.get();
    if connections > 0 {
        tracing::warn!(connections, "`drain.timeout` is over: connections that are still open are cut");
    }
}

/// Takes what other workers hand over until the worker is to end, and answers when that must be done.
async fn receive(
    worker: &Rc<Worker>,
    handed: &mut mpsc::Receiver<Handed>,
    mut ending: watch::Receiver<Option<Instant>>,
) -> Option<Instant> {
    let mut ending = std::pin::pin!(async move { ending.wait_for(Option::is_some).await.ok().and_then(|end| *end) });
    worker.occupancy.set_takes(worker.number, true);
    let deadline = loop {
        tokio::select! {
            biased;
            deadline = &mut ending => break deadline,
            own = handed.recv() => match own {
                Some(own) => listener::take_handed(worker, own),
                None => break ending.await,
            }
        }
    };
    worker.occupancy.set_takes(worker.number, false);
    deadline
}

impl Workers {
    /// Closes the listeners and waits for what is open, at most for `timeout`.
    pub(crate) async fn finish(self, timeout: Duration) {
        self.end.send_replace(Some(Instant::now() + timeout));
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a worker ended by a panic; this is a defect of the router");
                }
            }
        });
        let _ = joined.await;
    }
}
