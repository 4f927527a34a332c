//! Sends what was selected, a few at a time, and hands each outcome to whoever counts.
//!
//! # Why a write waits
//!
//! What is read after a write may depend on it, so a write is sent when all before it have ended, and the next after it has.
//!
//! A system that never answers is not asked a hundred thousand times: after the first twenty it is given up, and what was not sent is
//! told as such.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::compare::{Comparison, Limits, Redaction, Rules, compare_unkept};
use metrics::mismatch::Kept;
use tokio::task::{Id, JoinSet};

use super::select::Selected;
use super::send::{Sender, Unanswered};

/// Requests after which a system that has never answered is given up.
const PATIENCE: u64 = 20;

/// What became of one request.
#[derive(Debug)]
pub(crate) enum Outcome {
    Compared {
        comparison: Comparison,
        /// The same with raw values, where they were asked for and something differs.
        raw: Option<Comparison>,
        /// What legacy has with itself, where it was asked twice and has answered.
        noise: Option<Comparison>,
    },
    Unanswered {
        legacy: Option<Unanswered>,
        new: Option<Unanswered>,
    },
    /// Sent to new alone.
    Written(Result<u16, Unanswered>),
    /// One side was given up.
    NotSent,
    /// Asking or comparing panicked, which is on stderr.
    Broken,
}

/// Both systems, and how their answers are compared.
#[derive(Debug)]
pub(crate) struct Systems {
    pub(crate) legacy: Sender,
    pub(crate) new: Sender,
    pub(crate) rules: Rules,
    pub(crate) limits: Limits,
    /// Also compares with raw values, for examples.
    pub(crate) raw: bool,
    /// Asks legacy twice.
    pub(crate) noise: bool,
}

/// How often a system was asked and has answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reached {
    asked: u64,
    answered: u64,
}

impl Reached {
    fn count(&mut self, answered: bool) {
        self.asked += 1;
        self.answered += u64::from(answered);
    }

    pub(crate) const fn never(self) -> bool {
        self.asked > 0 && self.answered == 0
    }

    const fn given_up(self) -> bool {
        self.answered == 0 && self.asked >= PATIENCE
    }
}

/// Which systems were there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BothReached {
    pub(crate) legacy: Reached,
    pub(crate) new: Reached,
}

impl BothReached {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Compared { .. } => {
                self.legacy.count(true);
                self.new.count(true);
            }
            Outcome::Unanswered { legacy, new } => {
                self.legacy.count(legacy.is_none());
                self.new.count(new.is_none());
            }
            Outcome::Written(result) => self.new.count(result.is_ok()),
            Outcome::NotSent | Outcome::Broken => {}
        }
    }
}

/// Sends all; `ended` is called once for each, in the order in which they end.
pub(crate) async fn run(
    systems: Systems,
    requests: Vec<Selected>,
    concurrency: usize,
    mut ended: impl FnMut(&Selected, Outcome),
) -> BothReached {
    let (systems, requests) = (Arc::new(systems), Arc::new(requests));
    let mut open = Open { tasks: JoinSet::new(), places: HashMap::new() };
    let mut reached = BothReached::default();
    let mut take = |reached: &mut BothReached, (at, outcome): (usize, Outcome)| {
        reached.count(&outcome);
        ended(&requests[at], outcome);
    };
    for (at, request) in requests.iter().enumerate() {
        let room = if request.write { 1 } else { concurrency };
        while open.places.len() >= room {
            let Some(done) = open.next().await else { break };
            take(&mut reached, done);
        }
        if reached.legacy.given_up() || reached.new.given_up() {
            take(&mut reached, (at, Outcome::NotSent));
            continue;
        }
        let (systems, all) = (Arc::clone(&systems), Arc::clone(&requests));
        let task = open.tasks.spawn(async move { systems.ask(&all[at]).await });
        open.places.insert(task.id(), at);
        if request.write
            && let Some(done) = open.next().await
        {
            take(&mut reached, done);
        }
    }
    while let Some(done) = open.next().await {
        take(&mut reached, done);
    }
    reached
}

/// What is under way, and for which request.
struct Open {
    tasks: JoinSet<Outcome>,
    places: HashMap<Id, usize>,
}

impl Open {
    /// Waits for one to end. None is lost: one that panicked has an outcome, too.
    async fn next(&mut self) -> Option<(usize, Outcome)> {
        let (id, outcome) = match self.tasks.join_next_with_id().await? {
            Ok(done) => done,
            Err(error) => (error.id(), Outcome::Broken),
        };
        self.places.remove(&id).map(|at| (at, outcome))
    }
}

impl Systems {
    async fn ask(&self, request: &Selected) -> Outcome {
        if request.write {
            return Outcome::Written(self.new.ask(request, &self.limits).await.map(|answer| answer.status));
        }
        let (legacy, new) = tokio::join!(self.legacy.ask(request, &self.limits), self.new.ask(request, &self.limits));
        let (legacy, new) = match (legacy, new) {
            (Ok(legacy), Ok(new)) => (legacy, new),
            (legacy, new) => return Outcome::Unanswered { legacy: legacy.err(), new: new.err() },
        };
        let rules = self.rules.for_route(&request.route);
        let compared = |other: &Kept, limits: &Limits| {
            let unkept = [legacy.unkept(), other.unkept()];
            compare_unkept(&legacy.answer(), &other.answer(), unkept, &rules, limits)
        };
        let comparison = compared(&new, &self.limits);
        let differs = matches!(comparison, Comparison::Mismatched { .. });
        let raw =
            (self.raw && differs).then(|| compared(&new, &Limits { redaction: Redaction::Raw, ..self.limits.clone() }));
        let again = if self.noise { self.legacy.ask(request, &self.limits).await.ok() } else { None };
        let noise = again.map(|again| compared(&again, &self.limits));
        Outcome::Compared { comparison, raw, noise }
    }
}
