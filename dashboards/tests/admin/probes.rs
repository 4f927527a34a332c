//! What machines ask without a token.

use dashboards::health::Readiness;

use crate::world::World;

#[tokio::test]
async fn a_live_router_is_live() {
    let world = World::new().await;
    let answer = world.call("", "GET", "/livez", "").await;
    assert_eq!((answer.status.as_u16(), answer.text.trim()), (200, "ok"));
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let answer = World::new().await.call("", "GET", "/metrics", "").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"), "{answer:?}");
    assert!(answer.text.contains("crossfade_up 1"), "{answer:?}");
}

#[tokio::test]
async fn a_router_is_ready_while_it_listens_and_does_not_drain() {
    let world = World::new().await;
    for (listening, draining, status, word) in
        [(true, false, 200, "ok"), (false, false, 503, "bound"), (true, true, 503, "draining")]
    {
        *world.plane.0.lock().unwrap() = Readiness { listening, draining };
        let answer = world.call("", "GET", "/readyz", "").await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.text.contains(word), "{answer:?}");
    }
}

#[tokio::test]
async fn a_lost_store_degrades_and_stays_ready() {
    let world = World::new().await;
    world.take_the_store_away();
    world.watch.refresh().await;
    world.watch.set_killed(true);
    world.until("the kill file", |watch| watch.current().killed()).await;
    let answer = world.call("", "GET", "/readyz", "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text.starts_with("ok\n"), "{answer:?}");
    assert!(answer.text.contains("degraded: the store is not reachable"), "{answer:?}");
    assert!(answer.text.contains("degraded: the kill file"), "{answer:?}");
}
