//! What is damaged by hand among records costs what it holds and nothing else, and everything ends.

use super::servers::Server;
use super::*;
use crate::freeze::FreezeKind;
use crate::store::Records;
use crate::store::records::outcome::{Outcome, OutcomeId, Quality, Recorded};
use crate::store::records::{FINDINGS_KEPT_S, FindingsWrite, JudgedWrite, LEASE_MS_MAX, Minute};

fn judgement(migration: &str, expected: u64) -> JudgedWrite {
    JudgedWrite { migration: id(migration), expected, engine: "e".into(), status: "s".into() }
}

fn now_s() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap()
}

/// How many seconds a key still lives; it must end.
#[track_caller]
fn check_ends_within(key: &str, seconds: &Value, longest: u64) {
    let Value::Int(seconds) = seconds else { panic!("{key}: {seconds:?}") };
    assert!((1..=i64::try_from(longest).unwrap()).contains(seconds), "{key} ends in {seconds} s");
}

#[tokio::test]
async fn a_lease_without_an_end_is_nobodys() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    let key = "crossfade:{e}:judge";
    assert!(store.lease("a", LEASE_MS_MAX).await.unwrap());
    check_ends_within(key, &server.run(&["TTL", key]).await, LEASE_MS_MAX / 1_000);
    for damage in [vec!["SET", key, "b"], vec!["SET", key, "b", "EX", "3600"]] {
        server.run(&damage).await;
        assert!(store.lease("a", LEASE_MS_MAX).await.unwrap(), "{damage:?}");
        assert!(!store.lease("c", LEASE_MS_MAX).await.unwrap(), "{damage:?}");
    }
    server.run(&["DEL", key]).await;
    server.run(&["LPUSH", key, "x"]).await;
    store.release("a").await.unwrap();
    assert!(store.lease("a", LEASE_MS_MAX).await.unwrap());
}

#[tokio::test]
async fn evidence_under_a_wrong_type_begins_anew() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    for key in ["crossfade:{e}:evidence", "crossfade:{e}:judged"] {
        store.put_judged(vec![judgement("m", 0)]).await.unwrap();
        server.run(&["DEL", key]).await;
        server.run(&["SET", key, "text"]).await;
        assert!(store.judged().await.unwrap().is_empty(), "{key}");
        assert_eq!(store.put_judged(vec![judgement("m", 0), judgement("n", 0)]).await.unwrap(), [true, true], "{key}");
        assert_eq!((store.judged().await.unwrap().len(), store.judged_status().await.unwrap().len()), (2, 2));
        server.run(&["DEL", "crossfade:{e}:evidence", "crossfade:{e}:judged"]).await;
    }
    // Members that are no migration or no text.
    server.run(&["HSET", "crossfade:{e}:evidence", "NO ID", "1 e", "m", "1 e"]).await;
    server.run(&["HSET", "crossfade:{e}:judged", "NO ID", "1 s"]).await;
    server.run(&["EVAL", "redis.call('HSET', 'crossfade:{e}:judged', 'm', '1 \\255')", "0"]).await;
    assert_eq!(store.judged().await.unwrap().keys().collect::<Vec<_>>(), [&id("m")]);
    assert_eq!(store.put_judged(vec![judgement("m", 1)]).await.unwrap(), [true], "it is not stuck");

    fill(&server, "crossfade:{e}:evidence", DOCUMENTS_MAX).await;
    let refused = store.put_judged(vec![judgement("one-more", 0)]).await.unwrap_err();
    assert!(refused.to_string().contains("are kept at most"), "{refused}");
    assert_eq!(store.put_judged(vec![judgement("m", 2)]).await.unwrap(), [true], "those that are there go on");
    let refused = store.judged().await.unwrap_err();
    assert!(matches!(&refused, StoreError::Corrupt(why) if why.to_string().contains("evidence holds")), "{refused}");
}

#[tokio::test]
async fn minutes_end_and_what_is_damaged_among_them_is_left_out() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    let now = now_s() / 60;
    let minute = |ago: u64| Minute { migration: id("m"), minute: now - ago, text: "t".into() };
    let key = |ago: u64| format!("crossfade:{{e}}:minutes:m:{}", (now - ago) / 1_440);
    store.put_minutes(vec![minute(0), minute(1_440), minute(2_880)]).await.unwrap();
    for ago in [0, 1_440, 2_880] {
        check_ends_within(&key(ago), &server.run(&["TTL", &key(ago)]).await, 31 * 24 * 60 * 60);
    }
    let known = async || {
        let minutes = store.minutes(&id("m"), 0..=u64::MAX).await.unwrap();
        minutes.into_iter().map(|(minute, _)| now - minute).collect::<Vec<_>>()
    };
    assert_eq!(known().await, [2_880, 1_440, 0]);
    server.run(&["SET", &key(1_440), "text"]).await;
    let large = "x".repeat(5_000);
    server
        .run(&["HSET", &key(2_880), "x", "t", "-1", "t", "1e9", "t", "1.5", "t", &(now - 2_881).to_string(), &large])
        .await;
    assert_eq!(known().await, [2_880, 0]);
    fill(&server, &key(2_880), 2_000).await;
    assert_eq!(known().await, [0]);
    store.put_minutes(vec![minute(1_440)]).await.unwrap();
    assert_eq!(known().await, [1_440, 0]);
}

#[tokio::test]
async fn findings_end_and_what_is_damaged_among_them_is_as_good_as_absent() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    let (texts, times) = ("crossfade:{e}:findings:m", "crossfade:{e}:findings_at:m");
    let put = async |finder: &str| {
        let write = FindingsWrite { migration: id("m"), finder: finder.into(), text: "t".into(), adopted: Vec::new() };
        assert!(store.put_findings(write).await.unwrap());
    };
    let known = async || store.findings(&id("m")).await.unwrap().into_keys().collect::<Vec<_>>();
    put("a").await;
    for key in [texts, times] {
        check_ends_within(key, &server.run(&["TTL", key]).await, FINDINGS_KEPT_S);
    }
    let large = "x".repeat(70_000);
    server.run(&["HSET", texts, "large", &large, "untold", "t", "old", "t", "odd", "t"]).await;
    server.run(&["HSET", times, "large", &now_s().to_string(), "old", "1000", "odd", "soon"]).await;
    assert_eq!(known().await, ["a"]);
    put("b").await;
    assert_eq!(known().await, ["a", "b"]);
    assert_eq!(server.run(&["HEXISTS", texts, "old"]).await, Value::Int(0), "what is too old goes at the next word");
    for key in [texts, times] {
        server.run(&["DEL", key]).await;
        server.run(&["SET", key, "text"]).await;
        assert!(known().await.is_empty(), "{key}");
        put("c").await;
        assert!(known().await.contains(&"c".to_owned()), "{key}");
    }
    fill(&server, texts, 2_000).await;
    assert!(known().await.is_empty());
    put("d").await;
    assert_eq!(known().await, ["d"]);
}

/// More than one answer holds, with what is damaged among it.
#[tokio::test]
async fn counts_of_a_large_fleet_are_read_in_parts() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    let now = Slot::of(Timestamp::now());
    let script = "for slot = 0, 59 do for router = 1, 20 do
        redis.call('HSET', KEYS[1] .. ARGV[1] - slot, 'r' .. router .. ':new', 'a=1 ' .. string.rep('x=0 ', 1800))
    end end";
    for migration in ["m", "n"] {
        server.run(&["EVAL", script, "1", &format!("crossfade:{{e}}:counts:{migration}:"), &now.to_string()]).await;
    }
    let damaged = format!("crossfade:{{e}}:counts:m:{now}");
    server.run(&["HSET", &damaged, "large:new", &" a=1".repeat(3_000)]).await;
    server.run(&["HSET", &damaged, "no side", "a=1", "r:other", "a=1"]).await;
    server.run(&["EVAL", "redis.call('HSET', KEYS[1], '\\255:new', 'a=1', 'r:legacy', '\\255')", "1", &damaged]).await;
    let migrations = [id("m"), id("none"), id("n")];
    let counted = store.counts_of(&migrations, now.minus(100)..=now).await.unwrap();
    assert_eq!(counted.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["m", "n"]);
    for (id, slots) in counted {
        assert!(slots.iter().map(|counts| counts.slot).eq((0..60).rev().map(|ago| now.minus(ago))), "{id}");
        assert!(slots.iter().all(|counts| counts.new.get("a") == 20 && counts.legacy.is_empty()), "{id}");
    }
    // However many slots are asked for, no more are looked at than are kept.
    assert_eq!(store.counts(&id("m"), now.minus(100)..=Slot(u64::MAX)).await.unwrap().len(), 60);
}

fn report(job: &str) -> Outcome {
    let quality = Quality { pr_accepted: Some(true), ..Quality::default() };
    let (id, work) = (OutcomeId::new(job).unwrap(), Some(Tally::parse("work_ok=1")));
    Outcome { id, side: Side::New, routed_at: now_s() - 1_000, work, quality }
}

#[tokio::test]
async fn everything_about_outcomes_ends() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    store.record_outcome(&id("m"), report("a")).await.unwrap();
    let score = Quality { score_milli: Some(5), ..Quality::default() };
    store.record_outcome(&id("m"), Outcome { quality: score, ..report("a") }).await.unwrap();
    let keys: Vec<String> = redis::from_redis_value(server.run(&["KEYS", "*"]).await).unwrap();
    let mut kinds = Vec::new();
    for key in &keys {
        let kind = key.split(':').nth(2).unwrap();
        let days = match kind {
            "outcome" => 30,
            "remembered" => 2,
            "cohorts" => 6,
            "counts" => 1,
            other => panic!("{other}"),
        };
        check_ends_within(key, &server.run(&["TTL", key]).await, days * 86_400);
        kinds.push(kind);
    }
    kinds.sort_unstable();
    assert_eq!(kinds, ["cohorts", "counts", "outcome", "remembered"]);
}

/// A report that could not be counted whole is not remembered either, so that it may come again.
#[tokio::test]
async fn a_wrong_type_refuses_the_outcomes_of_its_migration_and_no_others() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    let day = now_s() - 1_000;
    let cohorts = format!("crossfade:{{e}}:cohorts:m:{}", (day - day % 300) / 86_400);
    server.run(&["SET", &cohorts, "text"]).await;
    let refused = store.record_outcome(&id("m"), report("a")).await.unwrap_err();
    assert!(refused.to_string().contains("cohorts:m") && refused.to_string().contains("delete it"), "{refused}");
    assert_eq!(store.cohorts(&id("m")).await.unwrap(), []);
    assert_eq!(server.run(&["EXISTS", "crossfade:{e}:outcome:m:a"]).await, Value::Int(0));
    assert!(matches!(store.record_outcome(&id("n"), report("a")).await.unwrap(), Recorded::New(_)));
    server.run(&["DEL", &cohorts]).await;
    assert!(matches!(store.record_outcome(&id("m"), report("a")).await.unwrap(), Recorded::New(parts) if parts.work));
    // Of the others a wrong type is written over.
    server.run(&["DEL", "crossfade:{e}:outcome:m:a"]).await;
    server.run(&["LPUSH", "crossfade:{e}:outcome:m:a", "x"]).await;
    server.run(&["DEL", &format!("crossfade:{{e}}:remembered:m:{}", now_s() / 86_400)]).await;
    server.run(&["LPUSH", &format!("crossfade:{{e}}:remembered:m:{}", now_s() / 86_400), "x"]).await;
    assert!(matches!(store.record_outcome(&id("m"), report("a")).await.unwrap(), Recorded::New(parts) if parts.work));
    assert_eq!(store.record_outcome(&id("m"), report("a")).await.unwrap(), Recorded::Known);
    let sums = store.cohorts(&id("m")).await.unwrap();
    assert_eq!(sums.iter().map(|cohort| cohort.sums.jobs).sum::<u64>(), 2);
    // Fields that are no cohort are left out.
    server
        .run(&["HSET", &cohorts, "x", "1 1 1 1 1 1 1", "new:x", "1 1 1 1 1 1 1", "new:99999999999", "1 1 1 1 1 1 1"])
        .await;
    assert_eq!(store.cohorts(&id("m")).await.unwrap(), sums);
    fill(&server, &cohorts, 2_000).await;
    assert_eq!(store.cohorts(&id("m")).await.unwrap(), []);
}

/// Whatever took the place of our words, moves toward new wait for a person, and the next word repairs it.
#[tokio::test]
async fn a_key_of_another_type_holds_as_a_freeze_until_somebody_says_something() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = open(&server.address());
    let loaded = store.load().await.unwrap();
    store.replace(loaded.revision, next_write(&loaded, &id("m"), 100)).await.unwrap();
    server.run(&["SET", "crossfade:{e}:freezes", "text"]).await;
    let loaded = store.load().await.unwrap();
    let freeze = loaded.freeze.unwrap();
    assert!(freeze.holds_at(Timestamp::now()) && freeze.reason.contains("WRONGTYPE"), "{freeze:?}");
    assert_eq!(store.freezes().await.unwrap(), std::slice::from_ref(&freeze));
    let thaw = FreezeEntry { revision: Revision(2), kind: FreezeKind::Thaw, reason: "r".into(), ..freeze };
    store.freeze(Revision(1), thaw.clone()).await.unwrap();
    assert_eq!(store.load().await.unwrap().freeze, Some(thaw));
}
