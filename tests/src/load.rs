//! A steady load on a fleet, of callers who come back, and what each of them was served.
//!
//! # Why at a fixed rate
//!
//! A request that fails is found only where one is made, and a fault lasts for so many requests rather than for so long: a
//! plan says "until a hundred more were made", which is a condition. The rate is low, because what is tested is the
//! fleet and not the machine.
//!
//! Limits: notes of `NOTES_MAX` requests are kept; past that the load stops and the run fails.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::client::Client;
use crate::history::{Moment, Request, Served};
use crate::http::Answer;
use crate::wait_until;

/// Callers of each router, at the same time.
const CALLERS: usize = 2;

/// Between two requests of one caller: ten callers make two hundred requests a second.
const EVERY: Duration = Duration::from_millis(50);

/// Requests that are certainly made within the harness's deadline.
const PIECE: usize = 40;

/// Requests of which notes are kept.
const NOTES_MAX: usize = 100_000;

/// The one clock of a run.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(self) -> Moment {
        u64::try_from(self.0.elapsed().as_micros()).expect("no run lasts that long")
    }
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    done: Arc<AtomicUsize>,
    notes: Arc<Mutex<Vec<Request>>>,
    stop: watch::Sender<bool>,
    callers: JoinSet<()>,
}

impl Load {
    /// Begins; each caller goes through all keys in turn.
    pub fn start(routers: &[SocketAddr], keys: &[String], clock: Clock) -> Self {
        let stop = watch::Sender::new(false);
        let mut load = Self { done: Arc::default(), notes: Arc::default(), stop, callers: JoinSet::new() };
        for (router, address) in routers.iter().enumerate() {
            for caller in 0..CALLERS {
                let keys: Vec<String> =
                    keys.iter().cycle().skip(router + caller * 3).take(keys.len()).cloned().collect();
                let caller = Caller::new(router, *address, clock);
                let (done, notes) = (Arc::clone(&load.done), Arc::clone(&load.notes));
                load.callers.spawn(call(caller, keys, done, notes, load.stop.subscribe()));
            }
        }
        load
    }

    /// Requests made so far.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Waits until so many more requests were made; piece by piece, because a busy machine makes fewer than it should.
    pub async fn more(&self, requests: usize) {
        let enough = self.done() + requests;
        while self.done() < enough {
            let piece = enough.min(self.done() + PIECE);
            wait_until("the load goes on", || self.done() >= piece).await;
        }
    }

    /// Ends, and gives the notes.
    ///
    /// # Panics
    ///
    /// When a caller did, or when there were more requests than notes are kept of.
    pub async fn stop(mut self) -> Vec<Request> {
        self.stop.send_replace(true);
        while let Some(caller) = self.callers.join_next().await {
            caller.expect("no caller waits for ever");
        }
        let notes = std::mem::take(&mut *self.notes.lock().expect("not poisoned"));
        assert!(notes.len() < NOTES_MAX, "the run lasted longer than notes are kept");
        notes
    }
}

async fn call(
    mut caller: Caller,
    keys: Vec<String>,
    done: Arc<AtomicUsize>,
    notes: Arc<Mutex<Vec<Request>>>,
    stop: watch::Receiver<bool>,
) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for key in keys.iter().cycle() {
        ticks.tick().await;
        if *stop.borrow() {
            return;
        }
        let note = caller.ask(key).await;
        let mut notes = notes.lock().expect("not poisoned");
        if notes.len() >= NOTES_MAX {
            return;
        }
        notes.push(note);
        done.fetch_add(1, Ordering::SeqCst);
    }
}

/// One caller of one router, who keeps the connection.
#[derive(Debug)]
pub struct Caller {
    router: usize,
    address: SocketAddr,
    clock: Clock,
    client: Option<Client>,
}

impl Caller {
    pub const fn new(router: usize, address: SocketAddr, clock: Clock) -> Self {
        Self { router, address, clock, client: None }
    }

    /// Makes one request and takes a note of it.
    pub async fn ask(&mut self, key: &str) -> Request {
        let began = self.clock.now();
        let outcome = self.answer(key).await;
        if outcome.is_err() {
            self.client = None;
        }
        Request { router: self.router, key: key.into(), began, ended: self.clock.now(), outcome }
    }

    async fn answer(&mut self, key: &str) -> Result<Served, String> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::try_connect(self.address).await.map_err(|error| error.to_string())?,
        };
        client.send(format!("GET / HTTP/1.1\r\nHost: shop.test\r\nX-User-Id: {key}\r\n\r\n")).await;
        let answer = client.answer_or_end("GET").await.ok_or("the connection ended without an answer")?;
        if answer.value("connection").as_deref() != Some("close") {
            self.client = Some(client);
        }
        served(&answer)
    }
}

/// What the router says of its decision and what the system behind it saw must be the same.
fn served(answer: &Answer) -> Result<Served, String> {
    let text = answer.text();
    let saw = text.split_once(' ').and_then(|(side, revision)| Some((side.parse().ok()?, revision.parse().ok()?)));
    let said = answer.value("crossfade-side").and_then(|side| side.parse().ok());
    match (answer.status(), answer.whole, saw, said) {
        (200, true, Some((side, revision)), Some(named)) if side == named => {
            let rolled_back = answer.value("crossfade-reason").as_deref() == Some("emergency_rollback");
            Ok(Served { side, revision, rolled_back })
        }
        _ => Err(format!("{answer:?}")),
    }
}
