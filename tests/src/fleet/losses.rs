//! What a fleet does when its store has lost something, and what is written down of it.

use crate::fleet::{Fleet, LOOK_AGAIN};
use crate::history::Side;
use crate::router::Router;
use crate::setup::MIGRATION;
use crate::{DEADLINE, wait_for};

impl Fleet {
    /// The store loses everything between two changes, and one router writes back what it knows.
    pub(super) async fn flush_and_reseed(&mut self, router: usize) {
        self.answered().await;
        self.settled().await;
        let line = self.line().await;
        if line.entries.is_empty() {
            // Of nothing, nothing can be lost, and nothing be written back.
            return;
        }
        self.lost.push(line);
        self.redis.flush().await;
        self.reseed(router).await;
    }

    /// Writes down what the store holds, because it is about to lose it.
    pub async fn note_loss(&mut self) {
        let line = self.line().await;
        self.lost.push(line);
    }

    /// Has a router write back what it knows, once it has noticed the loss, and waits until all follow.
    pub async fn reseed(&mut self, router: usize) {
        wait_for("the loss is noticed and written back", || async { self.try_reseed(router).await.ok() }).await;
        self.settled().await;
        self.note_restored(router).await;
    }

    /// Has a router write back what it knows; why it does not.
    async fn try_reseed(&self, router: usize) -> Result<(), String> {
        let body = serde_json::json!({"reason": "reseed"});
        let answer = self.routers[router].api("POST", "/reseed", Some(body)).await;
        if answer.status() == 200 { Ok(()) } else { Err(answer.text()) }
    }

    /// Writes down what is pinned now that a lost state was written back; nothing is asked meanwhile.
    async fn note_restored(&mut self, router: usize) {
        let page = self.routers[router].api("GET", &format!("/migrations/{MIGRATION}/pins"), None).await.json();
        let pins = page["pins"].as_array().expect("pins").iter().map(|pin| {
            let text = |name: &str| pin[name].as_str().expect("a text");
            (text("key").to_owned(), text("side").parse::<Side>().expect("a side"))
        });
        let history = self.routers[router].api("GET", &format!("/migrations/{MIGRATION}/history"), None).await.json();
        // Not always the newest: a rollback that waited for a store to believe in is stored at once.
        let entries = history["history"].as_array().expect("a history");
        let reseed = entries.iter().find(|entry| entry["kind"] == "reseed").expect("an entry tells of it");
        self.restored.insert(reseed["revision"].as_u64().expect("a revision"), pins.collect());
    }

    /// Waits until the fleet has settled; where a router misses something in its store, an admin has it write back what it
    /// knows.
    pub(super) async fn recovered(&mut self) {
        self.answered().await;
        self.one_primary().await;
        let mut refused = String::new();
        let recovering = async {
            while self.is_settled().await.is_err() {
                for (number, router) in self.routers.iter().enumerate() {
                    let health = router.call("", "GET", "/readyz", "", None).await.text();
                    if health.contains("the store lost") {
                        match self.try_reseed(number).await {
                            Ok(()) => return Some(number),
                            Err(why) => refused = why,
                        }
                    }
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            None
        };
        let Ok(wrote) = tokio::time::timeout(DEADLINE, recovering).await else {
            panic!("the fleet neither settles nor is anything written back: {refused}; {:?}", self.is_settled().await)
        };
        self.settled().await;
        if let Some(router) = wrote {
            self.note_restored(router).await;
        }
    }

    /// Revisions that some router told to be lost.
    pub(super) fn reported(&self) -> Vec<u64> {
        let lost = |line: &str| {
            let told = line.contains("has lost a change that it had acknowledged");
            let revision = line.split_whitespace().find_map(|word| word.strip_prefix("revision="))?;
            if told { revision.parse().ok() } else { None }
        };
        let of_router = |router: &Router| router.printed().lines().filter_map(lost).collect::<Vec<u64>>();
        self.routers.iter().flat_map(of_router).collect()
    }
}
