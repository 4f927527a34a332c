//! Random faults under load, each run judged by the checker. `docs/fleet.md` tells how to run many.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use harness::Fleet;
use harness::fleet::{Finished, ROUTERS, keys};
use harness::plan::{Act, Means, plan, plan_of_fail_over};
use tokio::task::JoinSet;

/// Runs of an ordinary test run, from the first seed on.
const HISTORIES: u64 = 4;

/// Fail-overs of an ordinary test run.
const FAIL_OVERS: u64 = 1;

/// Runs at the same time: most of each is waiting.
const AT_ONCE: usize = 2;

fn from_environment<T: FromStr>(name: &str, otherwise: T) -> T {
    let Ok(text) = std::env::var(name) else { return otherwise };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}

#[tokio::test]
async fn random_faults_break_no_promise() {
    judge(Kind::Faults, from_environment("HISTORIES", HISTORIES)).await;
}

#[tokio::test]
async fn random_fail_overs_break_no_promise() {
    judge(Kind::FailOver, from_environment("FAIL_OVERS", FAIL_OVERS)).await;
}

/// What is drawn from a seed.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Four episodes on one Redis.
    Faults,
    /// One fail-over among changes, behind a sentinel.
    FailOver,
}

impl Kind {
    fn plan(self, seed: u64, means: Means) -> Vec<Act> {
        match self {
            Self::Faults => plan(seed, &keys(), means),
            Self::FailOver => plan_of_fail_over(seed, &keys(), means),
        }
    }
}

async fn judge(kind: Kind, runs: u64) {
    let (first, at_once) = (from_environment("SEED", 1_u64), from_environment("AT_ONCE", AT_ONCE));
    let (mut running, mut report) = (JoinSet::new(), Report::new(kind));
    for seed in first..first + runs {
        if running.len() >= at_once
            && let Some(ended) = running.join_next().await
        {
            report.add(ended.unwrap());
        }
        running.spawn(guarded(kind, seed));
    }
    while let Some(ended) = running.join_next().await {
        report.add(ended.unwrap());
    }
    report.judge();
}

struct Ended {
    seed: u64,
    /// None where there is nothing to do it with.
    finished: Option<Result<Finished, String>>,
}

/// One run; its panic is its result, so that the others go on.
async fn guarded(kind: Kind, seed: u64) -> Ended {
    let finished = match tokio::spawn(run(kind, seed)).await {
        Ok(finished) => finished.map(Ok),
        Err(error) => Some(Err(error.to_string())),
    };
    Ended { seed, finished }
}

async fn run(kind: Kind, seed: u64) -> Option<Finished> {
    let mut fleet = match kind {
        Kind::Faults => Fleet::start().await?,
        Kind::FailOver => Fleet::start_behind_sentinels().await?,
    };
    let means = fleet.means().await;
    if matches!(kind, Kind::FailOver) && !means.can_reseed {
        eprintln!("SKIPPED: this version does not name the changes that a store lost");
        return None;
    }
    for act in kind.plan(seed, means) {
        fleet.perform(act).await;
    }
    fleet.heal();
    Some(fleet.finish().await)
}

struct Report {
    kind: Kind,
    good: Vec<Duration>,
    requests: usize,
    changes: usize,
    bad: Vec<u64>,
}

impl Report {
    const fn new(kind: Kind) -> Self {
        Self { kind, good: Vec::new(), requests: 0, changes: 0, bad: Vec::new() }
    }

    fn add(&mut self, ended: Ended) {
        let Ended { seed, finished } = ended;
        let violations = match finished {
            None => return,
            Some(Ok(finished)) => {
                self.requests += finished.history.requests.len();
                self.changes += finished.history.changes.len();
                if finished.violations.is_empty() {
                    println!("seed {seed}: good, settled after {:?}", finished.settled_after);
                    self.good.push(finished.settled_after);
                    return;
                }
                told(&finished)
            }
            Some(Err(error)) => format!("  it did not end: {error}\n"),
        };
        self.bad.push(seed);
        println!("seed {seed}: BAD\n{violations}{}", planned(self.kind, seed));
    }

    fn judge(mut self) {
        self.good.sort_unstable();
        let Self { kind, good, requests, changes, bad } = self;
        let (median, last) = (good.get(good.len() / 2), good.last());
        println!("{kind:?}: {} good, {} bad; {requests} requests, {changes} changes", good.len(), bad.len());
        println!("settled after {median:?} in the middle, {last:?} at most");
        assert!(bad.is_empty(), "bad seeds: {bad:?}; run one again by HISTORIES=1 SEED={}", bad[0]);
    }
}

fn told(finished: &Finished) -> String {
    let mut text = String::new();
    for violation in &finished.violations {
        let _ = writeln!(text, "  {violation}");
    }
    let _ = writeln!(text, "  what was asked:");
    for change in &finished.history.changes {
        let _ = writeln!(text, "    {change:?}");
    }
    let _ = writeln!(text, "  what the store holds: {:#?}", finished.history.line);
    for (router, said) in finished.said.iter().enumerate() {
        let _ = writeln!(text, "  router {router} said:\n{said}");
    }
    text
}

/// What was done, for whoever wants to do it by hand.
fn planned(kind: Kind, seed: u64) -> String {
    let mut text = String::new();
    for can_reseed in [false, true] {
        let _ = writeln!(text, "  what was done, where can_reseed is {can_reseed} (HISTORIES=1 SEED={seed}):");
        for act in kind.plan(seed, Means { routers: ROUTERS, can_reseed }) {
            let _ = writeln!(text, "    {act:?}");
        }
    }
    text
}
