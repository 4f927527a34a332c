//! The ledger of issues in a real Redis.

use std::sync::atomic::Ordering;

use super::servers::Server;
use super::*;
use crate::store::conformance::ledger as suite;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_ledger_does_what_every_ledger_does() {
    let Some(server) = Server::start(&[]).await else { return };
    let empty = async || {
        server.run(&["FLUSHALL"]).await;
        let store = Arc::new(open(&server.address()));
        let clock = Arc::clone(&store);
        let set_time = move |now| clock.ledger_now.store(now, Ordering::SeqCst);
        suite::Subject { store, set_time: Box::new(set_time), _keeps: Box::new(()) }
    };
    suite::run(empty).await;
}
