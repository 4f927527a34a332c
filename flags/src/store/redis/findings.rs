//! What runs of routers have found, in Redis: one hash of texts a migration, and one of when each spoke last.
//!
//! What is damaged is as good as absent and is written over, as with all records: findings can be made again.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use redis::Script;

use super::Redis;
use crate::migration::MigrationId;
use crate::store::StoreError;
use crate::store::records::{FINDERS_MAX, FINDINGS_BYTES_MAX, FINDINGS_KEPT_S, FindingsWrite, HOLDER_BYTES_MAX};

/// Answers whether it was kept. Its arguments: who has found it, the text, how many seconds it is kept, of how many runs, and
/// the runs that it adopts.
static PUT_FINDINGS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local kept, runs_max = tonumber(ARGV[3]), tonumber(ARGV[4])
        local now = tonumber(redis.call('TIME')[1])
        for i = 1, 2 do
            local found = redis.call('TYPE', KEYS[i]).ok
            if found ~= 'none' and (found ~= 'hash' or redis.call('HLEN', KEYS[i]) > 4 * runs_max) then
                redis.call('DEL', KEYS[i])
            end
        end
        for i = 5, #ARGV do
            if redis.call('HEXISTS', KEYS[1], ARGV[i]) == 0 then return 0 end
        end
        local function forget(run)
            redis.call('HDEL', KEYS[1], run)
            redis.call('HDEL', KEYS[2], run)
        end
        for i = 5, #ARGV do forget(ARGV[i]) end
        redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
        redis.call('HSET', KEYS[2], ARGV[1], now)
        local left = {}
        for _, run in ipairs(redis.call('HKEYS', KEYS[1])) do
            local spoke = tonumber(redis.call('HGET', KEYS[2], run) or '')
            if not spoke or spoke + kept < now then forget(run) else left[#left + 1] = {spoke, run} end
        end
        table.sort(left, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
        for i = 1, #left - runs_max do
            if left[i][2] ~= ARGV[1] then forget(left[i][2]) end
        end
        redis.call('EXPIRE', KEYS[1], kept)
        redis.call('EXPIRE', KEYS[2], kept)
        return 1
        ",
    )
});

/// Answers names and texts. Its arguments: of how many runs, the longest name and text, and how many seconds they are kept.
static FINDINGS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local now, found = tonumber(redis.call('TIME')[1]), {}
        local count = redis.pcall('HLEN', KEYS[1])
        if type(count) ~= 'number' or count > 4 * tonumber(ARGV[1]) then return found end
        local runs = redis.call('HKEYS', KEYS[1])
        table.sort(runs)
        for _, run in ipairs(runs) do
            if #found >= tonumber(ARGV[1]) then break end
            local spoke = redis.pcall('HGET', KEYS[2], run)
            spoke = type(spoke) == 'string' and tonumber(spoke) or nil
            local fits = #run <= tonumber(ARGV[2]) and redis.call('HSTRLEN', KEYS[1], run) <= tonumber(ARGV[3])
            if fits and spoke and spoke + tonumber(ARGV[4]) >= now then
                found[#found + 1] = {run, redis.call('HGET', KEYS[1], run)}
            end
        end
        return found
        ",
    )
});

impl Redis {
    pub(super) async fn keep_findings(&self, write: &FindingsWrite) -> Result<bool, StoreError> {
        let mut call = PUT_FINDINGS.prepare_invoke();
        call.key(self.key_of("findings", &write.migration)).key(self.key_of("findings_at", &write.migration));
        call.arg(&write.finder).arg(&write.text).arg(FINDINGS_KEPT_S).arg(FINDERS_MAX);
        for run in &write.adopted {
            call.arg(run);
        }
        let is_kept: u8 = self.link.invoke(&call).await?;
        Ok(is_kept == 1)
    }

    pub(super) async fn findings_of(&self, migration: &MigrationId) -> Result<BTreeMap<String, String>, StoreError> {
        let mut call = FINDINGS.prepare_invoke();
        call.key(self.key_of("findings", migration)).key(self.key_of("findings_at", migration));
        call.arg(FINDERS_MAX).arg(HOLDER_BYTES_MAX).arg(FINDINGS_BYTES_MAX).arg(FINDINGS_KEPT_S);
        let found: Vec<(Vec<u8>, Vec<u8>)> = self.link.invoke(&call).await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(found.into_iter().map(|(run, found)| (text(run), text(found))).collect())
    }
}
