//! A fleet whose primary can be replaced: a replica that follows it, and a sentinel that sees to it.
//!
//! One sentinel, whose word is enough: what is tested is the routers, not how sentinels agree.

use crate::fleet::{Fleet, LOOK_AGAIN};
use crate::redis_server::{RedisServer, Role};
use crate::router::crossfade_in;
use crate::setup::Setup;
use crate::{DEADLINE, wait_for};

/// The `environment` of the file, which is in the name of every key of the store.
const ENVIRONMENT: &str = "test";

/// What replaces a primary: its replica, and who sees to it.
#[derive(Debug)]
pub struct Sentinels {
    pub replica: RedisServer,
    pub sentinel: RedisServer,
}

impl Sentinels {
    /// A replica of this primary, and a sentinel that knows both.
    pub async fn start(redis: &RedisServer) -> Option<Self> {
        let replica = RedisServer::start_as(Role::ReplicaOf(redis.address)).await?;
        let sentinel = RedisServer::start_as(Role::SentinelOf(redis.address)).await?;
        wait_for("the sentinel knows the replica", || async {
            let told = sentinel.command("SENTINEL CKQUORUM main").await;
            let follows =
                replica.command("ROLE").await == "*5" && sentinel.command("SENTINEL REPLICAS main").await == "*1";
            (follows && told.starts_with("+OK")).then_some(())
        })
        .await;
        Some(Self { replica, sentinel })
    }

    pub fn url(&self) -> String {
        format!("redis+sentinel://{}/main", self.sentinel.address)
    }

    /// Waits until the sentinel has made the replica the primary.
    pub async fn replica_is_primary(&self) {
        let replica = &self.replica;
        wait_for("the replica takes over", || async { (replica.command("ROLE").await == "*3").then_some(()) }).await;
    }
}

impl Fleet {
    /// The same on a primary with a replica, watched by a sentinel. The routers reach them without a wire, because a
    /// sentinel tells one address to all.
    pub async fn start_behind_sentinels() -> Option<Self> {
        let redis = RedisServer::start().await?;
        let sentinels = Sentinels::start(&redis).await?;
        let url = sentinels.url();
        let directory = tempfile::TempDir::new().expect("a temporary directory");
        let file = directory.path().join("crossfade.yaml");
        let setup = Setup::new(redis.address, redis.address).with_redis(&url);
        std::fs::write(&file, setup.file(directory.path())).expect("the directory is writable");
        let checked = crossfade_in(directory.path(), &["check", "-c", "crossfade.yaml"], &[]).await;
        if checked.stderr.contains("not supported by this version") {
            eprintln!("SKIPPED: this version does not ask a sentinel for its Redis");
            return None;
        }
        Some(Self::on(redis, Some(sentinels)).await)
    }

    fn sentinels(&mut self) -> &mut Sentinels {
        self.sentinels.as_mut().expect("the fleet was started behind a sentinel")
    }

    /// Waits until the replica has this revision, also on its disk.
    pub async fn replica_has(&mut self, revision: u64) {
        let Sentinels { replica, .. } = self.sentinels();
        let key = format!("crossfade:{{{ENVIRONMENT}}}:revision");
        wait_for("the replica has everything", || async {
            let has = replica.command(&format!("GET {key}")).await == revision.to_string();
            let is_kept = replica.info("persistence").await.contains("aof_rewrite_in_progress:0");
            (has && is_kept).then_some(())
        })
        .await;
    }

    /// The replica is gone, so that it misses what comes.
    pub async fn replica_falls_behind(&mut self) {
        self.sentinels().replica.kill().await;
    }

    /// The replica is back, with what it had.
    pub async fn replica_goes_on(&mut self) {
        self.sentinels().replica.restart().await;
    }

    /// Waits until the sentinel has made the replica the primary.
    pub async fn replica_is_primary(&mut self) {
        self.sentinels().replica_is_primary().await;
    }

    /// Has the sentinel replace a primary that is well.
    pub async fn fail_over(&mut self) {
        let Sentinels { sentinel, .. } = self.sentinels();
        wait_for("the sentinel agrees", || async {
            (sentinel.command("SENTINEL FAILOVER main").await == "+OK").then_some(())
        })
        .await;
        self.replica_is_primary().await;
    }

    /// Waits until the sentinel has made a replica of a primary that came back; one server alone is one primary.
    ///
    /// # Panics
    ///
    /// When that takes too long. A sentinel waits ten seconds before it corrects a server that was corrected before.
    pub(super) async fn one_primary(&self) {
        let Some(Sentinels { replica, .. }) = self.sentinels.as_ref().filter(|_| self.redis.runs()) else { return };
        let agreeing = async {
            while self.redis.command("ROLE").await == replica.command("ROLE").await {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        assert!(tokio::time::timeout(3 * DEADLINE, agreeing).await.is_ok(), "two servers go on as primaries");
    }
}
