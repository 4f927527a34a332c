//! Whether a replica that may take over has what was written.
//!
//! # Why before something is sent, and not before an answer
//!
//! Redis answers before its replicas have a write. If it dies then, the one that takes over does not know that an event was
//! settled, and gives it out again after its successor, or does not know who owns an issue. What was accepted the
//! journals still have; what was sent nobody can take back. So whoever is about to send waits for a replica: it then has the
//! claim, and everything that was written before it, in the order of the primary.
//!
//! # When there is no replica
//!
//! Then none can take over, and nobody waits. But a primary that was frozen while another one took its place has lost its
//! replicas too, and does not know why: so one that had a replica a moment ago is not believed at once, until the
//! connection was made anew to whoever is the primary then. Against a primary that is cut off for longer Redis itself
//! has `min-replicas-to-write`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::super::Redis;
use crate::store::StoreError;

/// How long a replica may take.
const WAIT_MS: u64 = 1_000;

/// How often the server is asked for its replicas while all have followed.
pub(in crate::store::redis) const LOOK: Duration = Duration::from_secs(5);

/// How long a replica that has gone is awaited.
pub(in crate::store::redis) const MISSED: Duration = Duration::from_secs(10);

/// Who waits for a replica.
#[derive(Default)]
pub(super) struct Copying {
    /// Waits that were asked for.
    asked: AtomicU64,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Waits up to this one are over.
    done: u64,
    connection: Option<MultiplexedConnection>,
    /// Of which way to the server the rest is known.
    renewals: u64,
    looked: Option<Instant>,
    has_replica: bool,
    /// When there was a replica.
    had_replica: Option<Instant>,
}

impl Redis {
    /// Many who wait at the same time share one wait.
    pub(super) async fn copied_writes(&self) -> Result<(), StoreError> {
        let copying = &self.own_ledger.copying;
        let own = copying.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let mut shared = copying.shared.lock().await;
        if shared.done >= own {
            return Ok(());
        }
        let covered = copying.asked.load(Ordering::SeqCst);
        let renewals = self.link.renewals();
        if shared.renewals != renewals {
            *shared = Shared { done: shared.done, renewals, ..Shared::default() };
        }
        let copied = self.wait_for_replica(&mut shared).await;
        if copied.is_err() {
            (shared.connection, shared.looked) = (None, None);
        } else {
            shared.done = covered;
        }
        copied
    }

    async fn wait_for_replica(&self, shared: &mut Shared) -> Result<(), StoreError> {
        if shared.looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
            shared.has_replica = self.has_replica().await?;
            let now = Instant::now();
            shared.looked = Some(now);
            if shared.has_replica {
                shared.had_replica = Some(now);
            }
        }
        if !shared.has_replica {
            return match shared.had_replica {
                Some(had) if had.elapsed() < MISSED => Err(StoreError::unavailable(
                    "the replica of Redis has gone, and has perhaps taken over; it is awaited for ten seconds: see whether it runs, or do nothing if it is to stay away",
                )),
                Some(_) | None => Ok(()),
            };
        }
        let mut wait = redis::cmd("WAIT");
        wait.arg(1).arg(WAIT_MS);
        let replicas: u64 = self.mark_and(&mut shared.connection, &wait).await?;
        if replicas >= 1 {
            return Ok(());
        }
        Err(StoreError::unavailable(
            "no replica of Redis follows within a second, and what it lacks would be sent again if it took over; see its log and its network",
        ))
    }

    /// Where the server does not tell, nobody can wait. `ROLE` is what every user of a router may ask.
    async fn has_replica(&self) -> Result<bool, StoreError> {
        match self.link.query(&redis::cmd("ROLE")).await {
            // The word, how much it has written, and its replicas.
            Ok(Value::Array(parts)) => Ok(matches!(parts.get(2), Some(Value::Array(replicas)) if !replicas.is_empty())),
            Ok(_) | Err(StoreError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
