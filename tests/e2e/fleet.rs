//! What a fleet on one Redis knows of itself: who has applied what, what was lost, what everybody counted.

use harness::router::crossfade_in;
use harness::{Backend, RedisServer, Router, Setup, wait_for};
use serde_json::{Value, json};

/// Two backends, one Redis, and so many routers.
struct Fleet {
    redis: RedisServer,
    routers: Vec<Router>,
    legacy: Backend,
    new: Backend,
}

impl Fleet {
    async fn of(count: usize) -> Option<Self> {
        let redis = RedisServer::start().await?;
        let (legacy, new) = (Backend::start("legacy").await, Backend::start("new").await);
        let mut fleet = Self { redis, routers: Vec::new(), legacy, new };
        for _ in 0..count {
            fleet.join().await;
        }
        Some(fleet)
    }

    async fn join(&mut self) {
        let setup = Setup::new(self.legacy.address, self.new.address).with_redis(&self.redis.url());
        self.routers.push(setup.with_workers(1).start().await);
        let count = self.routers.len();
        wait_for("everybody is heard", || async {
            (self.replicas(0).await["live"].as_u64() == Some(count as u64)).then_some(())
        })
        .await;
    }

    async fn replicas(&self, at: usize) -> Value {
        self.routers[at].api("GET", "/replicas", None).await.json()
    }

    async fn name(&self, at: usize) -> String {
        let replicas = self.replicas(at).await;
        let own = replicas["replicas"].as_array().and_then(|all| all.iter().find(|replica| replica["this"] == true));
        own.and_then(|own| own["name"].as_str()).unwrap().to_owned()
    }

    /// Asks for a mode with a query such as `?wait=1s` and further members.
    async fn ask(&self, at: usize, mode: &str, query: &str, more: Value) -> harness::Answer {
        let mut body = json!({"mode": mode, "reason": "test"});
        body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.routers[at].api("PUT", &format!("/migrations/shop/mode{query}"), Some(body)).await
    }

    async fn command(&self, at: usize, arguments: &[&str]) -> harness::router::Finished {
        let router = &self.routers[at];
        let environment = [
            ("CROSSFADE_ADMIN".to_owned(), format!("http://{}", router.admin)),
            ("CROSSFADE_TOKEN".to_owned(), "admin-secret".to_owned()),
        ];
        crossfade_in(router.directory(), arguments, &environment).await
    }
}

/// A router that is stopped is waited for as long as it is not missed, which is 5 s; so each of these tests asks little of it.
async fn lagging(count: usize) -> Option<(Fleet, String)> {
    let fleet = Fleet::of(count).await?;
    let change = fleet.routers[0].mode("parallel").await;
    assert_eq!((&change["converged"], change["applied_by"].as_array().map(Vec::len)), (&json!(true), Some(count)));
    let name = fleet.name(count - 1).await;
    fleet.routers[count - 1].signal("STOP").await;
    Some((fleet, name))
}

fn names(value: &Value, name: &str) -> bool {
    value.as_array().is_some_and(|names| names.contains(&json!(name)))
}

#[tokio::test]
async fn who_lags_is_named() {
    let Some((fleet, name)) = lagging(3).await else { return };
    let change = fleet.ask(0, "gradual", "?wait=200ms", json!({})).await.json();
    assert!(change["converged"] == false && names(&change["pending"], &name), "{change}");
    let replicas = wait_for("the other one has it", || async {
        let replicas = fleet.replicas(1).await;
        (replicas["current"] == 2).then_some(replicas)
    })
    .await;
    assert_eq!((&replicas["live"], &replicas["behind"]), (&json!(3), &json!([name])), "{replicas}");
    let status = fleet.command(1, &["status"]).await;
    let line = format!("2/3 routers at revision {}; behind: {name}", change["revision"]);
    assert!(status.stdout.contains(&line), "{line}: {status:?}");

    fleet.routers[2].signal("CONT").await;
    wait_for("the one that lagged has everything", || async {
        (fleet.replicas(1).await["behind"] == json!([])).then_some(())
    })
    .await;
    assert_eq!(fleet.routers[2].migration().await["mode"], "gradual");
}

#[tokio::test]
async fn only_moves_toward_new_wait_for_who_lags() {
    let Some((fleet, name)) = lagging(2).await else { return };
    assert_eq!(fleet.ask(0, "gradual", "", json!({})).await.status(), 200);
    let refused = fleet.ask(0, "new_only", "", json!({})).await;
    assert_eq!((refused.status(), &refused.json()["code"]), (409, &json!("not_converged")), "{refused:?}");
    assert_eq!(refused.json()["replicas"], json!([name]), "{refused:?}");
    // By force nobody is waited for, and toward legacy nobody either.
    let forced = fleet.ask(0, "new_only", "", json!({"force": true})).await;
    assert_eq!(forced.status(), 200, "{forced:?}");
    let rollback = fleet.routers[0].api("POST", "/migrations/shop/rollback", Some(json!({"reason": "x"}))).await;
    assert!(rollback.status() == 200 && names(&rollback.json()["pending"], &name), "{rollback:?}");
    fleet.routers[1].signal("CONT").await;
    wait_for("it has the rollback", || async {
        (fleet.routers[1].migration().await["mode"] == "emergency_rollback").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_router_that_ends_in_order_is_not_waited_for() {
    let Some(mut fleet) = Fleet::of(2).await else { return };
    let mut leaving = fleet.routers.pop().unwrap();
    leaving.signal("TERM").await;
    assert_eq!(leaving.ended().await.code(), Some(0));
    assert_eq!(fleet.replicas(0).await["replicas"].as_array().map(Vec::len), Some(1), "it said goodbye");
    for mode in ["parallel", "gradual"] {
        let change = fleet.ask(0, mode, "?wait=10s", json!({})).await;
        assert_eq!((change.status(), &change.json()["converged"]), (200, &json!(true)), "{change:?}");
    }
}

/// Says something to Redis and waits for the answer.
async fn redis(fleet: &Fleet, command: &str) {
    let mut raw = harness::Client::connect(fleet.redis.address).await;
    raw.send(format!("{command}\r\n")).await;
    raw.until(b"\r\n").await;
}

#[tokio::test]
async fn a_damaged_key_is_told_and_the_rest_goes_on() {
    let Some(fleet) = Fleet::of(1).await else { return };
    let router = &fleet.routers[0];
    router.mode("new_only").await;
    for (damage, words) in [
        ("SET crossfade:{test}:pins:shop text", "its pins do not read"),
        ("HSET crossfade:{test}:migrations shop '{\"schema\":9}'", "its schema is 9"),
        ("SET crossfade:{test}:migrations text", "the stored migrations do not read"),
    ] {
        redis(&fleet, damage).await;
        redis(&fleet, "INCR crossfade:{test}:revision").await;
        let problem = wait_for(words, || async {
            let problem = router.migration().await["problem"].as_str().unwrap_or_default().to_owned();
            problem.contains(words).then_some(problem)
        })
        .await;
        assert!(fleet.command(0, &["status"]).await.stdout.contains(&problem), "{problem}");
        assert_eq!(router.connect().await.get("/").await.text(), "new", "{damage}");
        redis(&fleet, "DEL crossfade:{test}:pins:shop").await;
    }
    wait_for("each damage is counted", || async {
        (router.metric("crossfade_store_documents_refused_total", "").await >= Some(3.0)).then_some(())
    })
    .await;
    let changed = fleet.ask(0, "parallel", "", json!({"force": true})).await;
    assert_eq!((changed.status(), &changed.json()["code"]), (500, &json!("state_unreadable")), "{changed:?}");
    let written = fleet.command(0, &["reseed", "--reason", "damaged by hand"]).await;
    assert_eq!(written.code, Some(0), "{written:?}");
    assert_eq!(router.migration().await["problem"], Value::Null);
    assert_eq!(router.mode("parallel").await["converged"], true);
}

#[tokio::test]
async fn a_flushed_redis_is_alarmed_and_written_back_on_command() {
    let Some(fleet) = Fleet::of(2).await else { return };
    fleet.routers[0].mode("gradual").await;
    fleet.routers[0].rollout(100.0).await;
    fleet.routers[1].pin("ann", "legacy").await;
    let nothing = fleet.command(0, &["reseed", "--reason", "x"]).await;
    assert_eq!(nothing.code, Some(6), "{nothing:?}");

    redis(&fleet, "FLUSHALL").await;
    for router in &fleet.routers {
        wait_for("the alarm is raised", || async {
            (router.metric("crossfade_store_state_lost", "").await == Some(1.0)).then_some(())
        })
        .await;
        assert_eq!(router.connect().await.get("/").await.text(), "new", "the last good state serves on");
        assert_eq!(router.metric("crossfade_store_writes_lost_total", "").await, Some(1.0));
        assert_eq!(router.readiness().await, 200);
    }
    assert!(fleet.routers[0].printed().contains("has lost a change that it had acknowledged"));
    let status = fleet.command(0, &["status"]).await.stdout;
    assert!(status.contains("lost revision 3 of migration shop") && status.contains("crossfade reseed"), "{status}");

    let body = json!({"reason": "x"});
    let operator = fleet.routers[0].call("operator-secret", "POST", "/api/v1/reseed", "", Some(&body)).await;
    assert_eq!(operator.status(), 403, "{operator:?}");
    let done = fleet.command(0, &["reseed", "--reason", "it was flushed"]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("applied by 2 of 2 live routers"), "{done:?}");
    for router in &fleet.routers {
        let migration = router.migration().await;
        assert_eq!((&migration["revision"], &migration["pins"]), (&json!(4), &json!(1)), "{migration}");
        assert_eq!(router.connect().await.get_with("/", "X-User-Id: ann\r\n").await.text(), "legacy");
    }
    let history = fleet.routers[1].api("GET", "/migrations/shop/history", None).await.json();
    assert_eq!((&history["history"][0]["kind"], &history["history"][0]["actor"]), (&json!("reseed"), &json!("ann")));
    assert_eq!(fleet.routers[1].mode("new_only").await["revision"], 5);
}

#[tokio::test]
async fn a_change_that_was_lost_is_named_although_others_wrote_on() {
    let Some(mut fleet) = Fleet::of(1).await else { return };
    fleet.routers[0].mode("gradual").await;
    fleet.routers[0].rollout(50.0).await;
    redis(&fleet, "FLUSHALL").await;
    // One that knows nothing of what was lost goes on from nothing, to the same revision.
    fleet.join().await;
    for mode in ["parallel", "gradual"] {
        let change = fleet.ask(1, mode, "", json!({"force": true})).await;
        assert_eq!(change.status(), 200, "{change:?}");
    }
    wait_for("both agree on what is stored", || async {
        let migration = fleet.routers[0].migration().await;
        (migration["percent"] == 0.0 && migration["revision"] == 2).then_some(())
    })
    .await;
    let status = fleet.command(0, &["status"]).await.stdout;
    assert!(status.contains("lost revision 2 of migration shop, by which \"ann\" set gradual 50 %"), "{status}");
    wait_for("it is counted", || async {
        (fleet.routers[0].metric("crossfade_store_writes_lost_total", "").await == Some(1.0)).then_some(())
    })
    .await;
    let written = fleet.command(0, &["reseed", "--reason", "ann was right"]).await;
    assert_eq!(written.code, Some(0), "{written:?}");
    for router in &fleet.routers {
        let migration = router.migration().await;
        assert_eq!((&migration["mode"], &migration["percent"]), (&json!("gradual"), &json!(50.0)), "{migration}");
    }
    assert_eq!(fleet.routers[0].api("GET", "/migrations/shop/history", None).await.json()["chain"], "ok");
}

#[tokio::test]
async fn any_router_tells_what_the_whole_fleet_counted() {
    let Some(fleet) = Fleet::of(2).await else { return };
    fleet.routers[0].mode("new_only").await;
    for router in &fleet.routers {
        for _ in 0..30 {
            assert_eq!(router.connect().await.get("/").await.status(), 200);
        }
    }
    for router in &fleet.routers {
        wait_for("every request of both is in the fleet's counts", || async {
            let counts = router.api("GET", "/migrations/shop/counts?window=60s", None).await.json();
            (counts["total"]["new"]["requests"]["2xx"] == json!(60)).then_some(())
        })
        .await;
        assert_eq!(router.metric("crossfade_store_counts_lost_total", "").await, Some(0.0));
    }
}

#[tokio::test]
async fn what_was_counted_while_redis_was_away_is_stored_late_and_once() {
    let Some(mut fleet) = Fleet::of(1).await else { return };
    fleet.routers[0].mode("new_only").await;
    let count = async |fleet: &Fleet| {
        let answer = fleet.routers[0].api("GET", "/migrations/shop/counts", None).await;
        if answer.status() == 200 { answer.json()["total"]["new"]["requests"]["2xx"].as_u64().unwrap_or(0) } else { 0 }
    };
    assert_eq!(fleet.routers[0].connect().await.get("/").await.status(), 200);
    wait_for("the first request is counted", || async { (count(&fleet).await == 1).then_some(()) }).await;
    fleet.redis.kill().await;
    for _ in 0..20 {
        assert_eq!(fleet.routers[0].connect().await.get("/").await.status(), 200);
    }
    fleet.redis.restart().await;
    wait_for("the others are counted too", || async { (count(&fleet).await == 21).then_some(()) }).await;
}
