//! Whether what was written is on a disk, and whether Redis may hold issues at all.
//!
//! # Why on a connection of its own
//!
//! `WAITAOF` holds up whatever stands behind it on its connection, for as long as a second. So a small write and the wait
//! for it go on another one than the calls; what was written before them is confirmed with them. Many who wait at
//! the same time share one wait.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisError, Value};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::super::Redis;
use super::super::address::Topology;
use super::super::primary::Connected;
use super::super::words::timed_out;
use crate::store::StoreError;
use crate::store::ledger::{Durability, Preflight};

/// How long Redis may take to sync a file that it syncs every second.
const SYNC_MS: u64 = 2_500;

const SYNC_TIMEOUT: Duration = Duration::from_millis(SYNC_MS + 500);

/// How long it is believed what the server does: settings change, and replicas come and go.
const KNOWN: Duration = Duration::from_secs(5);

/// Who waits for what was written.
#[derive(Default)]
pub(super) struct Confirming {
    /// Waits that were asked for.
    asked: AtomicU64,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Waits up to this one are over.
    done: u64,
    last: Durability,
    connection: Option<MultiplexedConnection>,
    /// What the server does, and when it was asked.
    known: Option<(Instant, Durability)>,
}

impl Redis {
    pub(super) async fn confirm_writes(&self) -> Result<Durability, StoreError> {
        let own = self.own_ledger.confirming.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut shared = self.own_ledger.confirming.shared.lock().await;
        if shared.done >= own {
            return Ok(shared.last);
        }
        let covered = self.own_ledger.confirming.asked.load(Ordering::SeqCst);
        let (asked, known) = match shared.known {
            Some((asked, known)) if asked.elapsed() < KNOWN => (asked, known),
            Some(_) | None => (Instant::now(), self.ledger_preflight().await?.durability),
        };
        shared.known = Some((asked, known));
        let confirmed = match known {
            Durability::Soon => self.wait_for_disk(&mut shared).await,
            Durability::Synced | Durability::Memory => Ok(known),
        };
        if confirmed.is_err() {
            // Another server may be the primary by now, and may do otherwise.
            (shared.connection, shared.known) = (None, None);
        }
        shared.last = confirmed?;
        shared.done = covered;
        Ok(shared.last)
    }

    async fn wait_for_disk(&self, shared: &mut Shared) -> Result<Durability, StoreError> {
        let mut wait = redis::cmd("WAITAOF");
        wait.arg(1).arg(0).arg(SYNC_MS);
        let (local, _): (u64, u64) = self.mark_and(&mut shared.connection, &wait).await?;
        if local >= 1 {
            return Ok(Durability::Synced);
        }
        Err(StoreError::unavailable(
            "Redis has not synced its append-only file in time (`store.redis`); see its log and its disk",
        ))
    }

    /// Writes a little, and waits for it: what was written before, by any connection, is then where this is.
    pub(super) async fn mark_and<T: FromRedisValue>(
        &self,
        kept: &mut Option<MultiplexedConnection>,
        wait: &Cmd,
    ) -> Result<T, StoreError> {
        let mut connection = match kept {
            Some(connection) => connection.clone(),
            None => {
                let Connected { connection, host, .. } = self.link.servers().connect(&[]).await?;
                // Another server's word says nothing of what this one was told.
                if !self.link.is_to(&host) {
                    return Err(StoreError::unavailable(format!(
                        "another server of `store.redis` is the primary now ({host}); this router follows in a second"
                    )));
                }
                connection
            }
        };
        *kept = Some(connection.clone());
        let mut mark = redis::cmd("INCR");
        mark.arg(self.key("issues:confirmed"));
        let _: i64 = self.ask(&mut connection, &mark).await?;
        self.ask(&mut connection, wait).await
    }

    async fn ask<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let answer = timeout(SYNC_TIMEOUT, command.query_async(connection)).await;
        let answer: Result<T, RedisError> = answer.unwrap_or_else(|_| Err(timed_out()));
        answer.map_err(|error| {
            StoreError::unavailable(format!("Redis does not confirm what was written (`store.redis`): {error}"))
        })
    }

    pub(super) async fn ledger_preflight(&self) -> Result<Preflight, StoreError> {
        let info: Value = match self.link.query(redis::cmd("INFO").arg("everything")).await {
            Ok(info) => info,
            Err(StoreError::Refused(why)) => {
                let warning = format!(
                    "Redis does not tell its settings, so nobody knows whether it evicts keys or keeps a file; allow INFO to the user of `store.redis` ({why})"
                );
                return Ok(Preflight { warnings: vec![warning], ..Preflight::default() });
            }
            Err(error) => return Err(error),
        };
        let info = String::from_redis_value(info).map_err(StoreError::corrupt)?;
        let mut config = redis::cmd("CONFIG");
        config.arg("GET").arg("appendfsync");
        // Managed servers do not tell it.
        let fsync: Option<Vec<String>> = self.link.query(&config).await.ok();
        let fsync = fsync.and_then(|pair| pair.into_iter().nth(1));
        let stands_in = *self.link.address().topology() != Topology::Single;
        Ok(judge(&info, fsync.as_deref(), stands_in))
    }
}

/// `stands_in`: another server may take over, although none may follow at this moment.
fn judge(info: &str, fsync: Option<&str>, stands_in: bool) -> Preflight {
    let value = |name: &str| {
        info.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':').map(str::to_owned))
    };
    let mut preflight = Preflight::default();
    if let Some(policy) = value("maxmemory_policy").filter(|policy| policy != "noeviction") {
        preflight.refusals.push(format!(
            "Redis (`store.redis`) may evict keys (its maxmemory-policy is {policy}), and with them events that were accepted; set maxmemory-policy to noeviction"
        ));
    }
    if value("aof_enabled").as_deref() != Some("1") {
        preflight.warnings.push(
            "Redis (`store.redis`) keeps no append-only file, so that a crash of it loses events that no journal has; set appendonly to yes".into(),
        );
        return preflight;
    }
    let version = value("redis_version").or_else(|| value("valkey_version")).unwrap_or_default();
    let mut numbers = version.split('.').map(|part| part.parse::<u64>().unwrap_or_default());
    let version = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    // What is on the disk of this server is not yet at the replica that may take over from it.
    let is_alone = !stands_in && value("connected_slaves").is_none_or(|count| count == "0");
    preflight.durability = match fsync {
        Some("always") if is_alone => Durability::Synced,
        Some("no") => {
            preflight.warnings.push(
                "Redis (`store.redis`) leaves it to the system when its append-only file is synced; set appendfsync to everysec or always".into(),
            );
            Durability::Memory
        }
        _ if version >= (7, 2) => Durability::Soon,
        _ => {
            preflight.warnings.push(
                "Redis (`store.redis`) is older than 7.2 and does not say when a write is on its disk; with appendfsync always it need not, else the journal answers for the last second".into(),
            );
            Durability::Memory
        }
    };
    preflight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(info: &str, fsync: Option<&str>, refused: &str, warned: &str, durability: Durability) {
        let Preflight { refusals, warnings, durability: found } = judge(info, fsync, false);
        let is_told = |texts: &[String], word: &str| {
            if word.is_empty() { texts.is_empty() } else { texts.len() == 1 && texts[0].contains(word) }
        };
        assert!(is_told(&refusals, refused), "{refusals:?}");
        assert!(is_told(&warnings, warned), "{warnings:?}");
        assert_eq!(found, durability);
    }

    #[test]
    fn what_loses_events_is_refused_or_told() {
        let of = |policy: &str, aof: u8, version: &str| {
            format!("redis_version:{version}\r\nmaxmemory_policy:{policy}\r\naof_enabled:{aof}\r\n")
        };
        let good = of("noeviction", 1, "7.4.1");
        check(&good, Some("everysec"), "", "", Durability::Soon);
        check(&good, None, "", "", Durability::Soon);
        check(&good, Some("always"), "", "", Durability::Synced);
        check(&good, Some("no"), "", "set appendfsync", Durability::Memory);
        check(&of("noeviction", 1, "7.0.15"), Some("everysec"), "", "older than 7.2", Durability::Memory);
        check(&of("noeviction", 1, "7.0.15"), Some("always"), "", "", Durability::Synced);
        check(&format!("{good}connected_slaves:0\r\n"), Some("always"), "", "", Durability::Synced);
        check(&format!("{good}connected_slaves:1\r\n"), Some("always"), "", "", Durability::Soon);
        assert_eq!(judge(&good, Some("always"), true).durability, Durability::Soon, "its replica may come back");
        check(&of("noeviction", 0, "7.4.1"), Some("always"), "", "set appendonly", Durability::Memory);
        check(&of("allkeys-lru", 1, "8.0.0"), None, "to noeviction", "", Durability::Soon);
    }
}
