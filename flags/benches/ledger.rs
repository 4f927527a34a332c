//! What the ledger of issues costs in Redis.
//!
//! To reach: events accepted with a 99th percentile of 50 ms at 500 a second with `appendfsync everysec`; a backlog of 100,000
//! events claimed and settled at 2,000 a second; 300 MB for 1,000,000 issues that have ended.
//!
//! `benches/ledger` starts a Redis for it, or `REDIS_URL=redis://… cargo bench -p crossfade-flags --bench ledger`; it writes
//! into the environment `bench` and empties nothing. `EVENTS`, `BACKLOG` and `FINISHED` make it shorter or longer.
//!
//! What issues that ended cost is the growth of Redis alone: what is fixed, the newest of what happened, is filled first. They
//! come in waves, whose bodies are removed at once, as they would be after a day, so that a million needs no gigabyte.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement ends where something fails, and prints")]

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flags::ledger::{Accepted, Answer, Delivery, DeliveryId, IssueId, Placed, Placement, Report, Reported, Word};
use flags::store::ledger::{EVENTS_MAX, Taking};
use flags::store::redis::{Address, Redis, RedisOptions};
use flags::store::{Ledger, Store};
use flags::{BasisPoints, MigrationId, Mode, Side};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

const PER_SECOND: u64 = 500;

/// A body as GitHub sends it.
const BODY_BYTES: usize = 12 * 1024;

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn delivery(event: u64, issue: u64, body_bytes: usize) -> Delivery {
    let mut body_sha256 = [0; 32];
    // Spread like a hash, so that bodies are told apart as those of real events are.
    let spread = u128::from(event).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    body_sha256[..16].copy_from_slice(&spread.to_be_bytes());
    Delivery {
        id: DeliveryId::new(&format!("72d3162e-cc78-11e3-81ab-{event:012x}")).unwrap(),
        issue: IssueId::of("octo-org/octo-repo", &issue.to_string()).unwrap(),
        action: "opened".into(),
        body_sha256,
        headers: vec![("x-github-event".into(), "issues".into()), ("x-hub-signature-256".into(), "0".repeat(71))],
        body: vec![b'x'; body_bytes],
    }
}

fn placement() -> Placement {
    let (to, mode, share) = (Placed::One(Side::New), Mode::Gradual, BasisPoints::ALL);
    Placement { to, mode, share, bucket: None, revision: 1 }
}

async fn accept(store: &Redis, migration: &MigrationId, event: u64, issue: u64, body_bytes: usize) -> Duration {
    let begun = Instant::now();
    let accepted = store.accept(migration, &delivery(event, issue, body_bytes), &placement()).await.unwrap();
    assert!(matches!(accepted, Accepted::New(_)), "{accepted:?}");
    begun.elapsed()
}

async fn accept_rate(store: &Arc<Redis>, migration: &MigrationId, events: u64) {
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(PER_SECOND).unwrap());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut running = JoinSet::new();
    let begun = Instant::now();
    for event in 0..events {
        ticks.tick().await;
        let (store, migration) = (Arc::clone(store), migration.clone());
        running.spawn(async move { accept(&store, &migration, event, event % 5_000, BODY_BYTES).await });
    }
    let mut took = running.join_all().await;
    took.sort_unstable();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    println!("accept at {rate:.0}/s: p50 {:?}, p99 {:?}, most {:?}", at(0.5), at(0.99), at(1.0));
}

/// Accepts events without a pause, so many at a time.
async fn fill(store: &Arc<Redis>, migration: &MigrationId, events: u64, issues: u64) {
    let mut running = JoinSet::new();
    for lane in 0..64 {
        let (store, migration) = (Arc::clone(store), migration.clone());
        running.spawn(async move {
            for event in (lane..events).step_by(64) {
                accept(&store, &migration, event, event % issues, 200).await;
            }
        });
    }
    running.join_all().await;
}

/// Claims and settles until nothing is left; each issue ends with its last event if it is to.
async fn drain(store: &Arc<Redis>, migration: &MigrationId, events: u64, ends: bool) -> Duration {
    let begun = Instant::now();
    let mut done = 0;
    while done < events {
        let Taking::Taken { claims, .. } = store.claim(migration, u64::MAX, Side::New, 256).await.unwrap() else {
            continue;
        };
        done += claims.len() as u64;
        let mut running = JoinSet::new();
        for claimed in claims {
            let (store, migration) = (Arc::clone(store), migration.clone());
            running.spawn(async move {
                store.settle(&migration, &claimed.claim, Answer::Accepted, "").await.unwrap();
                if ends {
                    let word = Word::Ended { success: Some(true) };
                    let (issue, epoch) = (claimed.delivery.issue, claimed.fence.epoch);
                    let report = Report { issue, side: Side::New, epoch, word, delivery: None, workflow: None };
                    assert_eq!(store.report(&migration, &report).await.unwrap(), Reported::Ended);
                }
            });
        }
        running.join_all().await;
    }
    begun.elapsed()
}

async fn used_memory(url: &str) -> f64 {
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let info: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await.unwrap();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).unwrap();
    used.trim().parse::<f64>().unwrap() / 1e6
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let Ok(url) = std::env::var("REDIS_URL") else {
        println!("SKIPPED: name a Redis in REDIS_URL, or run benches/ledger");
        return;
    };
    let options = RedisOptions { address: Address::parse(&url).unwrap(), authorities: None };
    let store = Arc::new(Redis::open(options, "bench"));
    println!("{:?}", store.ledger().preflight().await.unwrap());
    let id = |text: &str| MigrationId::new(text).unwrap();

    accept_rate(&store, &id("rate"), number("EVENTS", 5_000)).await;

    let backlog = number("BACKLOG", 100_000);
    fill(&store, &id("backlog"), backlog, 5_000).await;
    let took = drain(&store, &id("backlog"), backlog, false).await;
    println!("backlog of {backlog} over 5,000 issues: {:.0} events/s", backlog as f64 / took.as_secs_f64());

    let finished = number("FINISHED", 100_000);
    let begun = Instant::now();
    finish(&store, &url, 0..FIXED).await;
    let before = used_memory(&url).await;
    finish(&store, &url, FIXED..FIXED + finished).await;
    let grown = used_memory(&url).await - before;
    let (per_million, took) = (grown * 1e6 / finished as f64, begun.elapsed().as_secs());
    println!("{finished} issues that ended: {grown:.1} MB, {per_million:.0} MB a million, without bodies; {took} s");
}

/// Issues after which what is kept of what happened grows no more: each tells four things.
const FIXED: u64 = EVENTS_MAX as u64 / 4 + 5_000;

/// Issues that are open at the same time.
const WAVE: u64 = 10_000;

/// Calls that are under way at once; one connection sends them in a row.
const AT_ONCE: u64 = 256;

/// Takes issues from their first event to their end, and removes the bodies.
async fn finish(store: &Arc<Redis>, url: &str, issues: Range<u64>) {
    let id = MigrationId::new("ended").unwrap();
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for first in issues.clone().step_by(usize::try_from(WAVE).unwrap()) {
        let wave = first..(first + WAVE).min(issues.end);
        let mut running = JoinSet::new();
        for lane in 0..AT_ONCE {
            let (store, id, wave) = (Arc::clone(store), id.clone(), wave.clone());
            running.spawn(async move {
                for issue in wave.skip(usize::try_from(lane).unwrap()).step_by(usize::try_from(AT_ONCE).unwrap()) {
                    accept(&store, &id, issue, issue, 200).await;
                }
            });
        }
        running.join_all().await;
        drain(store, &id, wave.end - wave.start, true).await;
        let body = |event| format!("crossfade:{{bench}}:issues:{id}:b:72d3162e-cc78-11e3-81ab-{event:012x}");
        let bodies: Vec<String> = wave.clone().map(body).collect();
        let gone: u64 = redis::cmd("UNLINK").arg(bodies).query_async(&mut connection).await.unwrap();
        assert_eq!(gone, wave.end - wave.start);
    }
}
