//! A load that goes on until it is stopped, and what callers met.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use harness::{Client, Router, wait_for};
use tokio::task::JoinSet;

/// Callers at once; each makes a request after the other.
const CALLERS: usize = 12;

/// Different users.
const USERS: usize = 600;

/// Between two requests of one caller.
const PACE: Duration = Duration::from_millis(25);

/// Where a load goes, and what it asks for.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    pub(crate) callers: usize,
    pub(crate) pace: Duration,
    /// The user of a caller's nth request.
    pub(crate) user: fn(usize, usize) -> usize,
    pub(crate) method: &'static str,
    /// The path of the nth request.
    pub(crate) path: fn(usize) -> &'static str,
    pub(crate) body: &'static str,
    /// What counts as failed.
    pub(crate) is_bad: fn(u16) -> bool,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            callers: CALLERS,
            pace: PACE,
            user: |caller, nth| (caller + nth * CALLERS) % USERS,
            method: "GET",
            path: |_| "/",
            body: "",
            is_bad: |status| status >= 500,
        }
    }
}

pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    callers: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(router: &Router) -> Self {
        Self::with(router, Manner::default())
    }

    pub(crate) fn with(router: &Router, manner: Manner) -> Self {
        let (stop, made, failed) = Default::default();
        let mut load = Self { stop, made, failed, callers: JoinSet::new() };
        for caller in 0..manner.callers {
            let (stop, made, failed) = (Arc::clone(&load.stop), Arc::clone(&load.made), Arc::clone(&load.failed));
            load.callers.spawn(call(router.data, caller, manner, stop, made, failed));
        }
        load
    }

    pub(crate) fn made(&self) -> usize {
        self.made.load(Ordering::SeqCst)
    }

    /// Waits until so many more requests were made.
    pub(crate) async fn more(&self, requests: usize) {
        let enough = self.made() + requests;
        while self.made() < enough {
            let piece = enough.min(self.made() + 200);
            wait_for("the load goes on", || async { (self.made() >= piece).then_some(()) }).await;
        }
    }

    /// Ends it, and answers how many requests failed for their callers.
    pub(crate) async fn stop(mut self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        while let Some(caller) = self.callers.join_next().await {
            caller.expect("no caller panics");
        }
        self.failed.load(Ordering::SeqCst)
    }
}

/// An answer that is cut short has failed, and so has a request without one.
async fn call(
    router: SocketAddr,
    caller: usize,
    manner: Manner,
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
) {
    let mut client = None;
    let mut pace = tokio::time::interval(manner.pace);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for nth in 1.. {
        pace.tick().await;
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let mut own = match client.take() {
            Some(own) => own,
            None => match Client::try_connect(router).await {
                Ok(own) => own,
                Err(_) => continue,
            },
        };
        let Manner { method, body, .. } = manner;
        let (path, user) = ((manner.path)(nth), (manner.user)(caller, nth));
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        own.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: shop.test\r\nX-User-Id: user-{user}\r\n{length}\r\n{body}"
        ))
        .await;
        let answer = own.answer_or_end(method).await;
        made.fetch_add(1, Ordering::SeqCst);
        if answer.as_ref().is_none_or(|answer| !answer.whole || (manner.is_bad)(answer.status())) {
            failed.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(answer) = answer
            && answer.whole
            && answer.value("connection").as_deref() != Some("close")
        {
            client = Some(own);
        }
    }
}
