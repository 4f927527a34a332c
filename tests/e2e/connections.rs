//! The life of connections: how they are spread over workers, limited, half closed, kept, and what ends them.

use harness::{Client, Setup, wait_for};

use crate::world::World;

/// Of the router, by worker.
async fn by_worker(world: &World, workers: usize) -> Vec<f64> {
    let mut open = Vec::new();
    for worker in 0..workers {
        let labels = format!("worker=\"{worker}\"");
        open.push(world.router.metric("crossfade_worker_connections", &labels).await.unwrap_or(f64::NAN));
    }
    open
}

/// Connections on which one request was answered, and which stay.
async fn kept_alive(world: &World, connections: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..connections {
        let mut client = world.router.connect().await;
        assert_eq!(client.get("/").await.text(), "legacy");
        clients.push(client);
    }
    clients
}

/// The hash of the kernel alone leaves 64 connections even over 4 workers about once in a thousand times.
#[tokio::test]
async fn long_lived_connections_are_spread_evenly_over_the_workers() {
    let world = World::with(|setup| setup.with_workers(4)).await;
    let mut clients = kept_alive(&world, 64).await;
    let open = by_worker(&world, 4).await;
    assert!(open.iter().all(|own| *own <= 18.0), "a share of 16 and a tolerance of 2: {open:?}");
    assert!((open.iter().sum::<f64>() - 64.0).abs() < 0.5, "{open:?}");
    let handed = world.router.metric("crossfade_connections_handed_over_total", "").await;
    assert!(handed.is_some_and(|handed| handed > 0.0), "{handed:?}");

    let file = Setup::new(world.legacy.address, world.new.address).with_workers(4).file(world.router.directory());
    world.router.reload(&file).await;
    world.router.wait_until_printed("generation=2").await;
    for client in &mut clients {
        assert_eq!(client.get("/").await.text(), "legacy", "a connection that was handed over is one like any other");
    }
    clients.truncate(10);
    wait_for("the others are let go", || async {
        let open: f64 = by_worker(&world, 4).await.iter().sum();
        ((open - 10.0).abs() < 0.5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_drain_ends_connections_that_were_handed_over() {
    let mut world = World::with(|setup| setup.with_workers(4)).await;
    let mut clients = kept_alive(&world, 32).await;
    world.router.signal("TERM").await;
    for client in &mut clients {
        assert!(client.closes().await);
    }
    assert_eq!(world.router.ended().await.code(), Some(0));
}
