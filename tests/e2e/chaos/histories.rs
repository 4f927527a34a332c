//! Random faults under load, each run judged by the checker. `docs/fleet.md` tells how to run many.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use harness::Fleet;
use harness::fleet::{Finished, ROUTERS};
use harness::plan::plan;
use tokio::task::JoinSet;

/// Runs of an ordinary test run, from the first seed on.
const HISTORIES: u64 = 4;

/// Runs at the same time: most of each is waiting.
const AT_ONCE: usize = 2;

fn from_environment<T: FromStr>(name: &str, otherwise: T) -> T {
    let Ok(text) = std::env::var(name) else { return otherwise };
    text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number"))
}

#[tokio::test]
async fn random_faults_break_no_promise() {
    let (first, runs) = (from_environment("SEED", 1_u64), from_environment("HISTORIES", HISTORIES));
    let at_once = from_environment("AT_ONCE", AT_ONCE);
    let (mut running, mut report) = (JoinSet::new(), Report::default());
    for seed in first..first + runs {
        if running.len() >= at_once
            && let Some(ended) = running.join_next().await
        {
            report.add(ended.unwrap());
        }
        running.spawn(guarded(seed));
    }
    while let Some(ended) = running.join_next().await {
        report.add(ended.unwrap());
    }
    report.judge();
}

struct Ended {
    seed: u64,
    /// None where there is no Redis to do it with.
    finished: Option<Result<Finished, String>>,
}

/// One run; its panic is its result, so that the others go on.
async fn guarded(seed: u64) -> Ended {
    let finished = match tokio::spawn(run(seed)).await {
        Ok(finished) => finished.map(Ok),
        Err(error) => Some(Err(error.to_string())),
    };
    Ended { seed, finished }
}

async fn run(seed: u64) -> Option<Finished> {
    let mut fleet = Fleet::start().await?;
    let acts = plan(seed, &fleet.keys, fleet.means().await);
    for act in acts {
        fleet.perform(act).await;
    }
    fleet.heal();
    Some(fleet.finish().await)
}

#[derive(Default)]
struct Report {
    good: Vec<Duration>,
    requests: usize,
    changes: usize,
    bad: Vec<u64>,
}

impl Report {
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
        println!("seed {seed}: BAD\n{violations}{}", planned(seed));
    }

    fn judge(mut self) {
        self.good.sort_unstable();
        let Self { good, requests, changes, bad } = self;
        let (median, last) = (good.get(good.len() / 2), good.last());
        println!("{} good, {} bad; {requests} requests, {changes} changes", good.len(), bad.len());
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
    text
}

/// What was done, for whoever wants to do it by hand.
fn planned(seed: u64) -> String {
    let keys = harness::fleet::keys();
    let mut text = format!("  what was done, if nothing can be written back (HISTORIES=1 SEED={seed}):\n");
    let means = harness::plan::Means { routers: ROUTERS, can_reseed: false };
    for act in plan(seed, &keys, means) {
        let _ = writeln!(text, "    {act:?}");
    }
    text
}
