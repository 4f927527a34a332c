//! Keeps the plain keys of migrations as their state is.
//!
//! # Why in two ways
//!
//! One server and Sentinel: a change of a state writes its plain keys in the same script, so that
//! nobody can see one without the other. In a Cluster they are in other slots, which no script
//! reaches, so that they follow: each write there leaves the revision it was made from beside the
//! key, and a router that lags behind cannot write over what a newer one wrote.
//!
//! In both, every router looks every two seconds, and when a change is announced, whether the keys
//! are as they should be, and writes only what is not: somebody else may have written there, a
//! store may have been restored, the follow-up may have failed.
//!
//! A key that holds something else than a text is somebody else's and left alone.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::{Script, cmd};
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use super::address::Topology;
use super::link::{Link, jittered};
use super::primary::Servers;
use super::scripts::DOCUMENT_BYTES_MAX;
use crate::mirror::{MirrorKeys, Mirrored, PlainKeys, VALUE_BYTES_MAX, slot_tag};
use crate::mode::Mode;
use crate::state::{Document, SCHEMA};
use crate::store::{StoreError, Write};

/// How often the keys are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// What passes at least between two looks, however often a change is announced.
const PAUSE: Duration = Duration::from_millis(100);

/// How long the revision beside a key is kept. Longer than any router lags that has not given up,
/// and short enough that a fleet which begins anew at revision 1 is not held back by the old one.
const REVISION_KEPT: Duration = Duration::from_secs(600);

/// Answers the keys that were written, and those that could not be with the reason.
///
/// Its arguments: the form and the size of documents that are read, then of each migration its name,
/// its keys and the words of its modes.
static KEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local changed = {}
        local modes = {legacy_only = 3, parallel = 4, gradual = 5, new_only = 6, emergency_rollback = 7}
        for i = 3, #ARGV, 8 do
            local is_read = redis.call('HSTRLEN', KEYS[1], ARGV[i]) <= tonumber(ARGV[2])
            local stored = is_read and redis.call('HGET', KEYS[1], ARGV[i])
            local read, state = pcall(cjson.decode, stored or '')
            if stored and read and type(state) == 'table' and state.schema == tonumber(ARGV[1])
                    and modes[state.mode] and type(state.percent_bp) == 'number' then
                local values = {ARGV[i + modes[state.mode]], string.format('%d', math.floor(state.percent_bp / 100))}
                for j = 1, 2 do
                    local key = ARGV[i + j]
                    local held = redis.pcall('GET', key)
                    if type(held) ~= 'table' and held ~= values[j] then
                        held = redis.pcall('SET', key, values[j])
                        if not held.err then
                            changed[#changed + 1] = {key, ''}
                        end
                    end
                    if type(held) == 'table' and held.err then
                        changed[#changed + 1] = {key, held.err}
                    end
                end
            end
        end
        return changed
        ",
    )
});

/// Answers the documents of some migrations, and nothing for those that are too large.
static DOCUMENTS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local documents = {}
        for i = 2, #ARGV do
            local is_read = redis.call('HSTRLEN', KEYS[1], ARGV[i]) <= tonumber(ARGV[1])
            documents[i - 1] = is_read and redis.call('HGET', KEYS[1], ARGV[i])
        end
        return documents
        ",
    )
});

/// Writes a key in a slot of its own, unless a newer state wrote it.
static FOLLOW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local newest = tonumber(redis.call('GET', KEYS[2]) or '0') or 0
        if newest > tonumber(ARGV[1]) then
            return 0
        end
        local held = redis.call('GET', KEYS[1])
        if newest < tonumber(ARGV[1]) then
            redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[3])
        end
        if held == ARGV[2] then
            return 0
        end
        redis.call('SET', KEYS[1], ARGV[2])
        return 1
        ",
    )
});

/// The plain keys of all migrations of the file.
pub(super) struct Mirror {
    link: Arc<Link>,
    /// The hash of the documents.
    documents: String,
    mirrored: ArcSwap<Vec<Mirrored>>,
    renewed: Notify,
    /// In a Cluster, the way to each plain key.
    links: Mutex<BTreeMap<String, Arc<Link>>>,
}

impl Mirror {
    pub(super) fn new(link: Arc<Link>, documents: String) -> Self {
        Self { link, documents, mirrored: ArcSwap::default(), renewed: Notify::new(), links: Mutex::default() }
    }

    pub(super) fn renew(&self, mirrored: Vec<Mirrored>) {
        self.mirrored.store(Arc::new(mirrored));
        self.renewed.notify_one();
    }

    /// The keys and values that a change writes with it.
    pub(super) fn written_with(&self, write: &Write) -> Vec<(String, String)> {
        if self.is_cluster() {
            return Vec::new();
        }
        let mirrored = self.mirrored.load();
        let own = mirrored.iter().find(|mirrored| mirrored.migration == write.migration);
        let values = own.map(|own| own.values(write.document.position()));
        values.into_iter().flatten().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    pub(super) async fn read(&self, keys: &MirrorKeys) -> Result<PlainKeys, StoreError> {
        let read = async |key: &str| {
            let mut command = cmd("GETRANGE");
            command.arg(key).arg(0).arg(VALUE_BYTES_MAX);
            let link = if self.is_cluster() { self.link_of(key).await } else { Arc::clone(&self.link) };
            link.query::<Vec<u8>>(&command).await
        };
        Ok(PlainKeys { mode: read(&keys.mode).await?, percent: read(&keys.percent).await? })
    }

    fn is_cluster(&self) -> bool {
        *self.link.address().topology() == Topology::Cluster
    }

    async fn link_of(&self, key: &str) -> Arc<Link> {
        let mut links = self.links.lock().await;
        let mirrored = self.mirrored.load();
        let is_known = |key: &String| mirrored.iter().any(|own| own.keys.mode == *key || own.keys.percent == *key);
        links.retain(|key, _| is_known(key));
        let link = links.entry(key.to_owned()).or_insert_with(|| {
            let Servers { address, authorities, .. } = self.link.servers().clone();
            Arc::new(Link::new(Servers { address, authorities, slot_key: key.to_owned() }))
        });
        Arc::clone(link)
    }

    /// Writes what is not as it should be; answers each key that was written or could not be, with
    /// the reason, empty where it was written.
    async fn keep_all(&self, mirrored: &[Mirrored]) -> Result<Vec<(String, String)>, StoreError> {
        if self.is_cluster() {
            return self.follow_all(mirrored).await;
        }
        let mut call = KEEP.prepare_invoke();
        call.key(&self.documents).arg(SCHEMA).arg(DOCUMENT_BYTES_MAX);
        for own in mirrored {
            call.arg(own.migration.as_str()).arg(&own.keys.mode).arg(&own.keys.percent);
            let modes = [Mode::LegacyOnly, Mode::Parallel, Mode::Gradual, Mode::NewOnly, Mode::EmergencyRollback];
            modes.into_iter().for_each(|mode| {
                call.arg(own.mode_word(mode));
            });
        }
        self.link.invoke(&call).await
    }

    async fn follow_all(&self, mirrored: &[Mirrored]) -> Result<Vec<(String, String)>, StoreError> {
        let mut call = DOCUMENTS.prepare_invoke();
        call.key(&self.documents).arg(DOCUMENT_BYTES_MAX);
        mirrored.iter().for_each(|own| {
            call.arg(own.migration.as_str());
        });
        let documents: Vec<Option<Vec<u8>>> = self.link.invoke(&call).await?;
        let mut changed = Vec::new();
        for (own, document) in mirrored.iter().zip(documents) {
            let document = document.and_then(|text| serde_json::from_slice::<Document>(&text).ok());
            let Some(document) = document.filter(|document| document.schema == SCHEMA) else { continue };
            for (key, value) in own.values(document.position()) {
                match self.follow(key, &value, &document).await {
                    Ok(true) => changed.push((key.to_owned(), String::new())),
                    Ok(false) => {}
                    Err(error) => changed.push((key.to_owned(), error.to_string())),
                }
            }
        }
        Ok(changed)
    }

    pub(super) async fn follow(&self, key: &str, value: &str, document: &Document) -> Result<bool, StoreError> {
        let beside = if slot_tag(key).is_some() { key.to_owned() } else { format!("{{{key}}}") };
        let mut call = FOLLOW.prepare_invoke();
        call.key(key).key(format!("crossfade:mirrored:{beside}"));
        call.arg(document.revision.0).arg(value).arg(REVISION_KEPT.as_secs());
        let written: u8 = self.link_of(key).await.invoke(&call).await?;
        Ok(written == 1)
    }
}

/// Keeps the plain keys for as long as the store lives.
pub(super) async fn keep(mirror: Arc<Mirror>) {
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    loop {
        // In this order: what is announced after the subscription wakes, what was before is seen.
        let mut announced = mirror.link.subscribe();
        let mirrored = mirror.mirrored.load_full();
        if mirrored.is_empty() {
            mirror.renewed.notified().await;
            continue;
        }
        // That the store is away is told by those who read it.
        let changed = mirror.keep_all(&mirrored).await.unwrap_or_default();
        let failed: BTreeMap<_, _> = changed.iter().filter(|(_, problem)| !problem.is_empty()).cloned().collect();
        for (key, _) in changed.iter().filter(|(_, problem)| problem.is_empty()) {
            tracing::info!(key, "a plain key was not as the state of its migration and was written");
        }
        for (key, problem) in failed.iter().filter(|(key, problem)| told.get(*key) != Some(*problem)) {
            tracing::error!(
                key,
                problem,
                "a plain key cannot be kept as the state of its migration is; who reads it decides by an older state"
            );
        }
        told = failed;
        tokio::time::sleep(PAUSE).await;
        let woken = async {
            tokio::select! {
                _ = announced.changed() => {}
                () = mirror.renewed.notified() => {}
            }
        };
        let _ = timeout(jittered(EVERY), woken).await;
    }
}
