//! Five routers on one Redis, each by a wire of its own, under load, with operators: what a fault is done to.
//!
//! # Why the notes are taken here
//!
//! A sentence or a plan says what is done. Whatever it is, the same is written down, and [`Fleet::finish`] gives it to the
//! checker: so no fault can be tried and its effect be overlooked.
//!
//! Not here: what is a violation (`checker`), and which faults there are (`plan`).

mod losses;
mod sentinels;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::backend::{Backend, Step};
use crate::checker::{Violation, check};
use crate::history::{Ask, Change, Entry, History, Line, Pins, Position, Side, Told};
use crate::http::Head;
use crate::load::{Caller, Clock, Load};
use crate::operator::Errand;
use crate::plan::{Act, Means};
use crate::redis_server::RedisServer;
use crate::router::Router;
use crate::setup::{MIGRATION, Setup};
use crate::tcp_proxy::TcpProxy;
use crate::{DEADLINE, within};

pub use sentinels::Sentinels;

/// Routers of a fleet.
pub const ROUTERS: usize = 5;

/// Between two looks at a fleet that settles.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Keys that callers come with.
const KEYS: usize = 16;

/// A running fleet.
#[derive(Debug)]
pub struct Fleet {
    /// The only one, or the primary at the start.
    pub redis: RedisServer,
    pub sentinels: Option<Sentinels>,
    pub wires: Vec<TcpProxy>,
    pub routers: Vec<Router>,
    pub keys: Vec<String>,
    pub load: Load,
    clock: Clock,
    asked: JoinSet<Change>,
    changes: Vec<Change>,
    lost: Vec<Line>,
    /// What was pinned by a revision that wrote a lost state back.
    restored: BTreeMap<u64, Pins>,
    _backends: [Backend; 2],
}

/// What is left of a fleet when all is over.
#[derive(Debug)]
pub struct Finished {
    pub history: History,
    pub violations: Vec<Violation>,
    /// Warnings and errors, by router.
    pub said: Vec<String>,
    /// From the last fault's end until every router served the last revision.
    pub settled_after: Duration,
}

/// The keys of a fleet's callers.
pub fn keys() -> Vec<String> {
    (0..KEYS).map(|number| format!("user-{number}")).collect()
}

/// A backend that tells by which revision it was asked.
async fn telling(name: &'static str) -> Backend {
    let backend = Backend::start(name).await;
    let tell = |name: &str, head: &Head| {
        let revision = head.value("crossfade-revision").unwrap_or_default();
        crate::backend::response("200 OK", &format!("{name} {revision}"))
    };
    backend.on_all(Some(vec![Step::ReadBody, Step::Answer(tell)]));
    backend
}

impl Fleet {
    /// Starts everything; none, with a visible line, when the machine has no `redis-server`.
    pub async fn start() -> Option<Self> {
        let redis = RedisServer::start().await?;
        Some(Self::on(redis, None).await)
    }

    async fn on(redis: RedisServer, sentinels: Option<Sentinels>) -> Self {
        let backends = [telling("legacy").await, telling("new").await];
        let wires: Vec<_> = (0..ROUTERS).map(|_| TcpProxy::start(redis.address)).collect();
        let mut starting = JoinSet::new();
        for (number, wire) in wires.iter().enumerate() {
            let url = match &sentinels {
                Some(known) => format!("redis+sentinel://{}/main", known.sentinel.address),
                None => format!("redis://{}", wire.address),
            };
            let setup = Setup::new(backends[0].address, backends[1].address)
                .with_redis(&url)
                .with_workers(1)
                .with_top("expose: true");
            starting.spawn(async move { (number, setup.start().await) });
        }
        let mut routers = starting.join_all().await;
        routers.sort_by_key(|(number, _)| *number);
        let routers: Vec<Router> = routers.into_iter().map(|(_, router)| router).collect();
        let keys = keys();
        let addresses: Vec<_> = routers.iter().map(|router| router.data).collect();
        let clock = Clock::start();
        let load = Load::start(&addresses, &keys, clock);
        let (asked, changes, lost, restored) = Default::default();
        Self {
            redis,
            sentinels,
            wires,
            routers,
            keys,
            load,
            clock,
            asked,
            changes,
            lost,
            restored,
            _backends: backends,
        }
    }

    /// What this fleet can meet.
    pub async fn means(&self) -> Means {
        let body = serde_json::json!({"reason": "is there such a call?"});
        let answer = self.routers[0].api("POST", "/reseed", Some(body)).await;
        Means { routers: ROUTERS, can_reseed: answer.status() != 404 }
    }

    /// Does one thing of a plan.
    pub async fn perform(&mut self, act: Act) {
        match act {
            Act::Requests(requests) => self.load.more(requests).await,
            Act::Ask(errand) => self.begin(errand),
            Act::Wire(router, fault) => self.wires[router].set(fault),
            Act::Cut(router) => self.wires[router].cut(),
            Act::CutAnnouncements(router) => self.wires[router].cut_subscriptions(),
            Act::Refuse(router) => self.wires[router].refuse(),
            Act::Heal(router) => self.wires[router].heal(),
            Act::Kill => self.redis.kill().await,
            Act::Restart => self.redis.restart().await,
            Act::Pause => self.redis.pause().await,
            Act::Resume => self.redis.resume().await,
            Act::FailOver => self.fail_over().await,
            Act::TakeOver => self.replica_is_primary().await,
            Act::FlushAndReseed(router) => self.flush_and_reseed(router).await,
        }
    }

    /// Asks for a change and does not wait for the answer.
    pub fn begin(&mut self, errand: Errand) {
        let admin = self.routers[errand.router].admin;
        self.asked.spawn(errand.run(admin, self.clock));
    }

    /// Asks for a change and gives what was told.
    pub async fn ask(&mut self, router: usize, ask: Ask) -> Told {
        let reason = format!("change {}", self.changes.len() + self.asked.len() + 1);
        let errand = Errand { router, ask, force: false, reason };
        let change = errand.run(self.routers[router].admin, self.clock).await;
        self.changes.push(change.clone());
        change.answer
    }

    /// Asks until it is so, and gives the revision; what was refused meanwhile is judged as well.
    pub async fn ask_until_made(&mut self, router: usize, ask: Ask) -> u64 {
        let asking = async {
            loop {
                if let Told::Made(revision) | Told::Already(revision) = self.ask(router, ask.clone()).await {
                    return revision;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        within("a change is taken", asking).await
    }

    /// Waits for the answers to everything that was asked.
    pub async fn answered(&mut self) {
        while let Some(change) = self.asked.join_next().await {
            self.changes.push(change.expect("an operator writes down what comes"));
        }
    }

    /// Ends every fault of the wires.
    pub fn heal(&mut self) {
        self.wires.iter_mut().for_each(TcpProxy::heal);
    }

    /// Waits until every router has a healthy store, and serves by its newest revision.
    ///
    /// # Panics
    ///
    /// When that takes too long, naming who does not.
    pub async fn settled(&self) {
        let mut lags = String::new();
        let settling = async {
            while let Err(why) = self.is_settled().await {
                lags = why;
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        if tokio::time::timeout(DEADLINE, settling).await.is_err() {
            panic!("the fleet does not settle within {DEADLINE:?}: {lags}");
        }
    }

    async fn is_settled(&self) -> Result<(), String> {
        let entry = self.newest_entry().await?;
        let newest = entry["revision"].as_u64().unwrap_or(0);
        for (number, router) in self.routers.iter().enumerate() {
            let migration = router.migration().await;
            let health = router.call("", "GET", "/readyz", "", None).await.text();
            // After a fail-over two changes may have had the same revision; only one of them is in the audit.
            let same = migration["revision"] == newest && migration["last_change"]["reason"] == entry["reason"];
            let serves = same && migration["effective_mode"] == migration["mode"];
            if !serves || health.lines().any(is_unsettled) {
                return Err(format!("the store is at {newest}; router {number}: {health:?} {migration}"));
            }
        }
        Ok(())
    }

    /// The newest entry of the audit; null where there is none.
    async fn newest_entry(&self) -> Result<Value, String> {
        let path = format!("/migrations/{MIGRATION}/history?limit=1");
        let answer = self.routers[0].api("GET", &path, None).await;
        if answer.status() != 200 {
            return Err(format!("router 0 does not tell the history: {answer:?}"));
        }
        Ok(answer.json()["history"][0].clone())
    }

    /// The audit as the store holds it.
    async fn line(&self) -> Line {
        let path = format!("/migrations/{MIGRATION}/history?limit=200");
        let page = self.routers[0].api("GET", &path, None).await.json();
        assert!(page.get("next").is_none(), "a run makes fewer changes than fit on a page");
        let read = |value| entry(value, &self.restored);
        let entries: Vec<_> = page["history"].as_array().expect("a history").iter().rev().map(read).collect();
        // What was written back may be chained to entries that are gone.
        let is_whole = entries.iter().all(|entry| entry.restored.is_none());
        assert!(!is_whole || page["chain"] == "ok", "the audit is whole: {page}");
        Line { entries }
    }

    /// Ends the run and judges it.
    pub async fn finish(mut self) -> Finished {
        let healed = Instant::now();
        self.recovered().await;
        let settled_after = healed.elapsed();
        let mut settled = Vec::new();
        for (number, router) in self.routers.iter().enumerate() {
            let mut caller = Caller::new(number, router.data, self.clock);
            for key in &self.keys {
                settled.push(caller.ask(key).await);
            }
        }
        let (line, reported) = (self.line().await, self.reported());
        let said = self.routers.iter().map(complaints).collect();
        let Self { load, keys, changes, lost, .. } = self;
        let requests = load.stop().await;
        let history = History { routers: ROUTERS, keys, requests, changes, line, lost, reported, settled };
        let violations = check(&history);
        Finished { history, violations, said, settled_after }
    }
}

fn complaints(router: &Router) -> String {
    let printed = router.printed();
    let worse = printed.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR "));
    worse.collect::<Vec<_>>().join("\n")
}

fn entry(value: &Value, restored: &BTreeMap<u64, Pins>) -> Entry {
    let revision = value["revision"].as_u64().expect("a revision");
    let after = &value["after"];
    let percent = after["percent"].as_f64().expect("a percent");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percent is 0 to 100")]
    let share = (percent * 100.0).round() as u16;
    let mode = after["mode"].as_str().and_then(|mode| mode.parse().ok()).expect("a mode");
    let pin = value.get("pin").filter(|pin| pin.is_object()).map(|pin| {
        let side = pin["after"]["side"].as_str().map(|side| side.parse::<Side>().expect("a side"));
        (pin["key"].as_str().expect("a key").to_owned(), side)
    });
    Entry {
        revision,
        reason: value["reason"].as_str().expect("a reason").to_owned(),
        after: Position { mode, share },
        pin,
        restored: (value["kind"] == "reseed").then(|| restored.get(&revision).cloned().unwrap_or_default()),
    }
}

/// Whether a line of `/readyz` tells of something that is still to come right. What was lost and changed since is told for a day.
fn is_unsettled(line: &str) -> bool {
    line.starts_with("degraded") && !line.contains("the migration was changed since")
}
