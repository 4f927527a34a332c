//! Flips under load: nobody notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use harness::{Client, wait_until};

use crate::world::World;

const CONNECTIONS: usize = 8;
const FLIPS: usize = 20;

/// Requests that are certainly made between two flips.
const REQUESTS_PER_FLIP: usize = 250;

#[tokio::test]
async fn no_request_fails_while_the_mode_flips() {
    let world = World::start().await;
    let (done, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let (done, failed, stop) = (Arc::clone(&done), Arc::clone(&failed), Arc::clone(&stop));
            let data = world.router.data;
            tokio::spawn(async move {
                let mut client = Client::connect(data).await;
                while !stop.load(Ordering::SeqCst) {
                    let method = if number % 2 == 0 { "GET" } else { "POST" };
                    let body = if number % 2 == 0 { "" } else { "a=1" };
                    let answer = client.request(method, "/", "X-User-Id: u\r\n", body).await;
                    let served = matches!(answer.text().as_str(), "legacy" | "new") && answer.status() == 200;
                    failed.fetch_add(usize::from(!served), Ordering::SeqCst);
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for flip in 0..FLIPS {
        let mode = ["new_only", "parallel", "legacy_only"][flip % 3];
        world.router.mode(mode).await;
        let enough = done.load(Ordering::SeqCst) + REQUESTS_PER_FLIP;
        wait_until("the load goes on", || done.load(Ordering::SeqCst) >= enough).await;
    }
    stop.store(true, Ordering::SeqCst);
    for task in load {
        task.await.unwrap();
    }
    assert_eq!(failed.load(Ordering::SeqCst), 0, "of {} requests", done.load(Ordering::SeqCst));
    assert!(world.legacy.count() > 0 && world.new.count() > 0);
}
