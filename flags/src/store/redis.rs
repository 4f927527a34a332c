//! The store of a fleet: one Redis server that all its routers share.
//!
//! # Why scripts
//!
//! Everything at one revision, and all of a change or nothing: a script runs alone, so both are
//! one call each. The keys of an environment share a hash tag, so that they stay together where
//! keys are spread over servers.
//!
//! | Key | Holds |
//! |---|---|
//! | `crossfade:{env}:revision` | the ordinal of the whole |
//! | `crossfade:{env}:migrations` | hash: migration -> document |
//! | `crossfade:{env}:pins:<id>` | hash: key -> pin |
//! | `crossfade:{env}:history:<id>` | stream: the audit, each entry under its revision, never trimmed |
//! | `crossfade:{env}:freezes` | list: the last words on the freeze of the environment, of which the first holds |
//! | `crossfade:{env}:replicas` | hash: replica -> when it was heard, in the server's time, and what it said |
//! | `crossfade:{env}:counts:<id>:<slot>` | hash: `replica:side` -> what it counted in that half second, kept for 15 min; `outcomes:side` has the ends of jobs |
//! | `crossfade:{env}:judge` | who judges, until the lease ends |
//! | `crossfade:{env}:evidence` | hash: migration -> version and what a judge goes on from |
//! | `crossfade:{env}:judged` | hash: migration -> the same version and what is shown of it |
//! | `crossfade:{env}:minutes:<id>:<day>` | hash: minute since 1970 -> what happened in it, kept for 31 days |
//! | `crossfade:{env}:outcome:<id>:<job>` | what is known of a job that was reported, kept for 30 days |
//! | `crossfade:{env}:remembered:<id>:<day>` | how many jobs were first heard of on that day |
//! | `crossfade:{env}:cohorts:<id>:<day>` | hash: `side:second` -> the sums of the jobs routed in the 5 minutes from then on, kept for 6 days |
//! | `crossfade:{env}:issues:<id>…` | the ledger of issues; see `ledger` |
//! | `crossfade:{env}:changes` | channel: the new revision |
//!
//! Times of heartbeats are the server's, so that a router whose clock is off is not taken for gone.
//!
//! One server, the primary that Sentinel tells, or the server of a Cluster that holds the slot: which
//! is the matter of `primary`, and nothing here knows.
//!
//! Deliberately not supported: reading from replicas, whose state may be older than what was served.

mod address;
mod counts;
mod findings;
mod freezes;
mod ledger;
mod link;
mod mirror;
mod outcomes;
mod primary;
mod records;
mod scripts;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use redis::Script;
use serde::Serialize;
use tokio::task::JoinHandle;

pub use self::address::{Address, Authorities, Host, InvalidAddress, InvalidAuthorities, Topology};

use self::link::Link;
use self::mirror::Mirror;
use self::primary::Servers;
use self::scripts::{
    BEAT, DOCUMENT_BYTES_MAX, DOCUMENTS_MAX, LOAD, PIN_BYTES_MAX, REPLICAS, REPLICAS_MAX, WORD_BYTES_MAX,
};
use super::{
    Ledger, Loaded, PAGE_MAX, Page, Pairs, Pulse, REPLICA_FORGOTTEN_AFTER, Restored, Store, StoreError, Stored, Write,
    readable,
};
use crate::freeze::{FREEZE_BYTES_MAX, FREEZES_MAX, FreezeEntry};
use crate::migration::MigrationId;
use crate::mirror::{MirrorKeys, Mirrored, PlainKeys};
use crate::state::{Heartbeat, HistoryEntry, PINS_MAX, Revision};
use crate::tally::{KEPT_SECONDS, Row, Slot, SlotCounts};

/// Checks everything that could fail before it writes anything, because a script that fails midway
/// leaves what it did. Plain keys are no reason not to store a state: `mirror` looks after those that
/// could not be written. They are no declared keys, because a user who may not write them may still
/// roll back. An announcement that may not be made is found by the poll.
static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local expected = {'string', 'hash', 'stream', 'hash'}
        for i = 1, 4 do
            local found = redis.call('TYPE', KEYS[i]).ok
            if found ~= 'none' and found ~= expected[i] then
                return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' holds a ' .. found .. ', not a ' .. expected[i])
            end
        end
        local actual = tonumber(redis.call('GET', KEYS[1]) or '0')
        if not actual then
            return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' holds no number')
        end
        if actual ~= tonumber(ARGV[1]) then
            return {0, actual}
        end
        local revision = string.format('%d', actual + 1)
        redis.call('XADD', KEYS[3], revision .. '-0', 'entry', ARGV[4])
        redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
        if ARGV[5] == 'set' then
            redis.call('HSET', KEYS[4], ARGV[6], ARGV[7])
        elseif ARGV[5] == 'remove' then
            redis.call('HDEL', KEYS[4], ARGV[6])
        end
        redis.call('INCR', KEYS[1])
        for i = 9, #ARGV, 2 do
            local found = redis.pcall('TYPE', ARGV[i]).ok
            if found == 'string' or found == 'none' then
                redis.pcall('SET', ARGV[i], ARGV[i + 1])
            end
        end
        redis.pcall('PUBLISH', ARGV[8], revision)
        return {1, actual + 1}
        ",
    )
});

/// Writes migrations back whole. Like [`REPLACE`], it writes nothing before all is checked; what is
/// damaged is replaced, but for a history, of which there is no other copy.
static RESTORE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local actual = redis.pcall('GET', KEYS[1])
        actual = type(actual) ~= 'table' and tonumber(actual or '0')
        if actual and actual ~= tonumber(ARGV[1]) then
            return {0, actual}
        end
        for i = 4, #KEYS, 2 do
            local found = redis.call('TYPE', KEYS[i]).ok
            if found ~= 'none' and found ~= 'stream' then
                return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' holds a ' .. found .. ', not a stream')
            end
        end
        if redis.call('TYPE', KEYS[2]).ok ~= 'hash' then
            redis.call('DEL', KEYS[2])
        end
        local revision = ARGV[1]
        for i = 4, #KEYS, 2 do
            local at = 6 + (i - 4) / 2 * 5
            revision = ARGV[at]
            redis.call('XADD', KEYS[i], revision .. '-0', 'entry', ARGV[at + 3])
            redis.call('HSET', KEYS[2], ARGV[at + 1], ARGV[at + 2])
            redis.call('DEL', KEYS[i + 1])
            local pins = cjson.decode(ARGV[at + 4])
            for pin = 1, #pins, 2 do
                redis.call('HSET', KEYS[i + 1], pins[pin], pins[pin + 1])
            end
        end
        if ARGV[3] ~= '' then
            revision = ARGV[3]
            if redis.call('TYPE', KEYS[3]).ok ~= 'list' then redis.call('DEL', KEYS[3]) end
            redis.call('LPUSH', KEYS[3], ARGV[4])
            redis.call('LTRIM', KEYS[3], 0, ARGV[5] - 1)
        end
        redis.call('SET', KEYS[1], revision)
        redis.call('PUBLISH', ARGV[2], revision)
        return {1, tonumber(revision)}
        ",
    )
});

/// Beats after which a router looks for words of silent ones.
const BEATS_BETWEEN_LOOKS: u64 = 60;

/// What the file says of a store in Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisOptions {
    pub address: Address,
    /// Whom to believe by TLS; the system's authorities where none.
    pub authorities: Option<Authorities>,
}

/// State that a fleet shares in Redis.
pub struct Redis {
    link: Arc<Link>,
    mirror: Arc<Mirror>,
    /// `crossfade:{env}`
    prefix: String,
    tasks: [JoinHandle<()>; 4],
    beats: AtomicU64,
    own_ledger: ledger::Own,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis")
            .field("address", self.link.address())
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Redis {
    /// Begins to connect; a server that is away is not an error here.
    ///
    /// Must be called within a runtime.
    pub fn open(options: RedisOptions, environment: &str) -> Self {
        let prefix = format!("crossfade:{{{environment}}}");
        let channel = format!("{prefix}:changes");
        let RedisOptions { address, authorities } = options;
        let link = Arc::new(Link::new(Servers { address, authorities, slot_key: prefix.clone() }));
        let mirror = Arc::new(Mirror::new(Arc::clone(&link), format!("{prefix}:migrations")));
        let tasks = [
            tokio::spawn(link::keep(Arc::clone(&link))),
            tokio::spawn(link::follow(Arc::clone(&link))),
            tokio::spawn(link::listen(Arc::clone(&link), channel)),
            tokio::spawn(mirror::keep(Arc::clone(&mirror))),
        ];
        Self { link, mirror, prefix, tasks, beats: AtomicU64::new(0), own_ledger: ledger::Own::default() }
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    fn key_of(&self, name: &str, migration: &MigrationId) -> String {
        format!("{}:{name}:{migration}", self.prefix)
    }
}

#[async_trait]
impl Store for Redis {
    fn ledger(&self) -> &dyn Ledger {
        self
    }

    async fn load(&self) -> Result<Loaded, StoreError> {
        let mut call = LOAD.prepare_invoke();
        call.key(self.key("revision")).key(self.key("migrations")).key(self.key("freezes")).arg(self.key("pins:"));
        call.arg(DOCUMENT_BYTES_MAX).arg(DOCUMENTS_MAX).arg(PIN_BYTES_MAX).arg(PINS_MAX).arg(FREEZE_BYTES_MAX);
        let answer: Answer = self.link.invoke(&call).await?;
        let (revision, no_revision, documents, refused, pins, incomplete, (freeze, no_freeze)) = answer;
        let freeze = freezes::newest(&freeze, &no_freeze);
        let mut pins: BTreeMap<_, _> = pins.into_iter().map(|(id, problem, pins)| (id, (problem, pins))).collect();
        // What is no migration's name was not written by a router, and no definition asks for it.
        let name = |id: &[u8]| MigrationId::new(std::str::from_utf8(id).ok()?).ok();
        let read = documents.into_iter().filter_map(|(id, document)| {
            let pins = match pins.remove(&id) {
                Some((problem, pins)) if problem.is_empty() => Ok(pins),
                Some((problem, _)) => Err(problem),
                None => Ok(Vec::new()),
            };
            Some((name(&id)?, readable(&document, pins)))
        });
        let refused = refused.into_iter().filter_map(|(id, problem)| Some((name(&id)?, Stored::Unreadable(problem))));
        let migrations: BTreeMap<_, _> = read.chain(refused).collect();
        let incomplete = (!incomplete.is_empty()).then(|| format!("the stored migrations do not read: {incomplete}"));
        let mut problem = incomplete.clone();
        let revision = match self.revision_of(&revision, &no_revision) {
            Ok(revision) => revision,
            Err(why) => {
                problem = Some(why.to_string());
                newest(&migrations, freeze.as_ref())
            }
        };
        Ok(Loaded { revision, migrations, freeze, incomplete, problem })
    }

    async fn replace(&self, expected: Revision, write: Write) -> Result<Revision, StoreError> {
        let id = &write.migration;
        let mut call = REPLACE.prepare_invoke();
        call.key(self.key("revision"))
            .key(self.key("migrations"))
            .key(self.key_of("history", id))
            .key(self.key_of("pins", id));
        call.arg(expected.0).arg(id.as_str()).arg(encode(&write.document)?).arg(encode(&write.entry)?);
        match &write.pin {
            Some((key, Some(pin))) => call.arg("set").arg(key.as_str()).arg(encode(pin)?),
            Some((key, None)) => call.arg("remove").arg(key.as_str()).arg(""),
            None => call.arg("").arg("").arg(""),
        };
        call.arg(self.key("changes"));
        for (key, value) in self.mirror.written_with(&write) {
            call.arg(key).arg(value);
        }
        let (written, revision): (u8, u64) = self.link.invoke(&call).await?;
        let actual = Revision(revision);
        if written == 1 { Ok(actual) } else { Err(StoreError::Conflict { expected, actual }) }
    }

    async fn restore(
        &self,
        expected: Revision,
        restored: Vec<Restored>,
        freeze: Option<FreezeEntry>,
    ) -> Result<Revision, StoreError> {
        let mut call = RESTORE.prepare_invoke();
        call.key(self.key("revision")).key(self.key("migrations")).key(self.key("freezes"));
        call.arg(expected.0).arg(self.key("changes"));
        match &freeze {
            Some(freeze) => call.arg(freeze.revision.0).arg(encode(freeze)?).arg(FREEZES_MAX),
            None => call.arg("").arg("").arg(""),
        };
        for one in &restored {
            call.key(self.key_of("history", &one.migration)).key(self.key_of("pins", &one.migration));
            // As one argument, because a call has a million of them at most.
            let mut pins = Vec::with_capacity(one.pins.len() * 2);
            for (key, pin) in &one.pins {
                pins.push(key.clone());
                pins.push(serde_json::to_string(pin).map_err(StoreError::corrupt)?);
            }
            call.arg(one.document.revision.0).arg(one.migration.as_str());
            call.arg(encode(&one.document)?).arg(encode(&one.entry)?).arg(encode(&pins)?);
        }
        let (written, revision): (u8, u64) = self.link.invoke(&call).await?;
        let actual = Revision(revision);
        if written == 1 { Ok(actual) } else { Err(StoreError::Conflict { expected, actual }) }
    }

    async fn freeze(&self, expected: Revision, entry: FreezeEntry) -> Result<Revision, StoreError> {
        self.put_freeze(expected, &entry).await
    }

    async fn freezes(&self) -> Result<Vec<FreezeEntry>, StoreError> {
        self.newest_freezes().await
    }

    async fn changed(&self, seen: Revision) -> Result<(), StoreError> {
        // In this order: what is announced after the subscription wakes, what was before is read.
        let mut announced = self.link.subscribe();
        let revision: Option<Vec<u8>> = self.link.query(redis::cmd("GET").arg(self.key("revision"))).await?;
        if self.revision_of(revision.as_deref().unwrap_or(b"0"), "")? != seen {
            return Ok(());
        }
        announced.changed().await.map_err(StoreError::unavailable)
    }

    async fn history(&self, migration: &MigrationId, page: Page) -> Result<Vec<HistoryEntry>, StoreError> {
        let newest = match page.before {
            Some(Revision(0)) => return Ok(Vec::new()),
            Some(before) => (before.0 - 1).to_string(),
            None => "+".into(),
        };
        let mut command = redis::cmd("XREVRANGE");
        command.arg(self.key_of("history", migration)).arg(newest).arg("-");
        command.arg("COUNT").arg(page.limit.min(PAGE_MAX));
        let rows: Vec<(String, Vec<(String, Vec<u8>)>)> = self.link.query(&command).await?;
        let entry = |(id, fields): (String, Vec<(String, Vec<u8>)>)| {
            let entry = fields.into_iter().find(|(name, _)| name == "entry").map(|(_, entry)| entry);
            let damaged = |why: String| StoreError::corrupt(format!("entry {id} of the history of {migration}: {why}"));
            let entry = entry.ok_or_else(|| damaged("it has no field named entry".into()))?;
            serde_json::from_slice(&entry).map_err(|error| damaged(error.to_string()))
        };
        rows.into_iter().map(entry).collect()
    }

    async fn beat(&self, heartbeat: &Heartbeat, counted: &[Row]) -> Result<Pulse, StoreError> {
        let mut call = BEAT.prepare_invoke();
        call.key(self.key("replicas")).key(self.key("revision"));
        call.arg(heartbeat.replica.as_str()).arg(encode(heartbeat)?);
        // Looking for silent ones reads every word, so it is done at the first beat and then about once a minute.
        let looks = self.beats.fetch_add(1, Ordering::Relaxed).is_multiple_of(BEATS_BETWEEN_LOOKS);
        call.arg(if looks { REPLICA_FORGOTTEN_AFTER.as_millis().to_string() } else { String::new() });
        call.arg(KEPT_SECONDS);
        for row in counted {
            call.key(format!("{}:{}", self.key_of("counts", &row.migration), row.slot));
            call.arg(format!("{}:{}", heartbeat.replica, row.side.name())).arg(row.tally.to_text());
        }
        let (revision, now, problem): (Vec<u8>, i64, String) = self.link.invoke(&call).await?;
        let revision = std::str::from_utf8(&revision).ok().and_then(|text| text.parse().ok()).map(Revision);
        let time = Timestamp::from_millisecond(now).map_err(StoreError::corrupt)?;
        Ok(Pulse { revision, time, problem: (!problem.is_empty()).then_some(problem) })
    }

    async fn counts(
        &self,
        migration: &MigrationId,
        slots: RangeInclusive<Slot>,
    ) -> Result<Vec<SlotCounts>, StoreError> {
        let mut counted = self.counted(std::slice::from_ref(migration), slots).await?;
        Ok(counted.pop().map(|(_, counts)| counts).unwrap_or_default())
    }

    async fn leave(&self, replica: &str) -> Result<(), StoreError> {
        self.link.query(redis::cmd("HDEL").arg(self.key("replicas")).arg(replica)).await
    }

    async fn replicas(&self) -> Result<Vec<Heartbeat>, StoreError> {
        let mut call = REPLICAS.prepare_invoke();
        call.key(self.key("replicas")).arg(REPLICAS_MAX).arg(WORD_BYTES_MAX);
        let (server_now, words): (i64, Vec<Vec<u8>>) = self.link.invoke(&call).await?;
        let now = Timestamp::now();
        let beats: BTreeMap<String, Heartbeat> = words
            .iter()
            .filter_map(|word| heard(word, server_now, now))
            .map(|beat| (beat.replica.clone(), beat))
            .collect();
        Ok(beats.into_values().collect())
    }

    fn mirror(&self, mirrored: Vec<Mirrored>) {
        self.mirror.renew(mirrored);
    }

    async fn plain_keys(&self, keys: &MirrorKeys) -> Result<PlainKeys, StoreError> {
        self.mirror.read(keys).await
    }
}

impl Redis {
    fn revision_of(&self, text: &[u8], error: &str) -> Result<Revision, StoreError> {
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        number.map(Revision).ok_or_else(|| {
            let key = self.key("revision");
            let holds = if error.is_empty() { format!("\"{}\"", text.escape_ascii()) } else { error.to_owned() };
            StoreError::corrupt(format!(
                "the key {key} holds no number ({holds}), so that nothing can be changed; crossfade reseed repairs it where state was lost, or set it to the highest revision of a document"
            ))
        })
    }
}

/// The revision of the whole as what is stored tells it, while the key itself does not read.
fn newest(migrations: &BTreeMap<MigrationId, Stored>, freeze: Option<&FreezeEntry>) -> Revision {
    let revisions = migrations.values().map(|stored| match stored {
        Stored::State { document, .. } => document.revision,
        Stored::Unreadable(_) => Revision::ZERO,
    });
    revisions.chain(freeze.map(|freeze| freeze.revision)).max().unwrap_or_default()
}

/// What a replica said, with the time in which this router counts; none if it does not read or is
/// too old.
fn heard(word: &[u8], server_now: i64, now: Timestamp) -> Option<Heartbeat> {
    let (heard, beat) = std::str::from_utf8(word).ok()?.split_once(' ')?;
    let age = SignedDuration::from_millis(server_now.checked_sub(heard.parse().ok()?)?);
    let beat: Heartbeat = serde_json::from_str(beat).ok()?;
    (age <= REPLICA_FORGOTTEN_AFTER).then_some(Heartbeat { time: now.checked_sub(age).ok()?, ..beat })
}

/// What [`LOAD`] answers.
type Answer =
    (Vec<u8>, String, Pairs, Vec<(Vec<u8>, String)>, Vec<(Vec<u8>, String, Pairs)>, String, (Vec<Vec<u8>>, String));

fn encode(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(StoreError::corrupt)
}
