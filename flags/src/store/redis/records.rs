//! Evidence, the lease to judge and the history by the minute, in Redis.
//!
//! # Why what is damaged is written over
//!
//! All of it can be made again from counts. A key of a wrong type, a version that does not read and a text that is too
//! large are therefore as good as absent, here and in [`crate::store::records`] alike: a judgement that one of them took
//! for stored and the other did not could never be made again.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use async_trait::async_trait;
use jiff::Timestamp;
use redis::Script;

use super::Redis;
use super::scripts::DOCUMENTS_MAX;
use crate::migration::MigrationId;
use crate::store::StoreError;
use crate::store::records::outcome::{Cohort, Outcome, Recorded};
use crate::store::records::{
    ENGINE_BYTES_MAX, FindingsWrite, Judged, JudgedStatus, JudgedWrite, LEASE_MS_MAX, MINUTES_PER_DAY, Minute,
    RecordError, Records, STATUS_BYTES_MAX, check_findings, check_judged, check_lease, check_minutes, newest_of,
    read_judged, read_status, versioned,
};
use crate::tally::{Slot, SlotCounts};

/// What one call reads or writes, about; what is more takes more calls.
const PART_BYTES: usize = 4 * 1024 * 1024;

/// A minute is kept for 30 days, and a key holds a day of them.
const MINUTES_EXPIRE_S: u64 = 31 * 24 * 60 * 60;

/// Its arguments: who asks, for how many milliseconds, and the longest lease. One that has no end, or a later one, was
/// not taken by a router.
pub(super) static LEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local holder = redis.pcall('GET', KEYS[1])
        local left = redis.call('PTTL', KEYS[1])
        if type(holder) == 'string' and holder ~= ARGV[1] and left >= 0 and left <= tonumber(ARGV[3]) then
            return 0
        end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return 1
        ",
    )
});

pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        if redis.pcall('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
        return 1
        ",
    )
});

/// Answers the members of a hash with those of a second one, if any, from one name on, and after which name to go on.
/// Its arguments: how many members a hash may have, the longest value, what a part reads, and the name.
static JUDGED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local value_max, left, found = tonumber(ARGV[2]), tonumber(ARGV[3]), {}
        local count = redis.pcall('HLEN', KEYS[1])
        if type(count) ~= 'number' then return {'', found} end
        if count > tonumber(ARGV[1]) then
            return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' holds ' .. count .. ' migrations, ' .. ARGV[1] .. ' are read at most; delete it, and evidence is gathered anew')
        end
        local ids = redis.call('HKEYS', KEYS[1])
        table.sort(ids)
        local at = 1
        while ids[at] and ids[at] <= ARGV[4] do at = at + 1 end
        while ids[at] do
            local last, values_of = math.min(at + 63, #ids), {}
            for i = 1, #KEYS do values_of[i] = redis.pcall('HMGET', KEYS[i], unpack(ids, at, last)) end
            for j = at, last do
                local values = {ids[j]}
                for i = 1, #KEYS do
                    local value = values_of[i][j - at + 1]
                    if value and #value <= value_max then values[#values + 1] = value end
                end
                if #values == #KEYS + 1 then found[#found + 1] = values end
                for i = 1, #values do left = left - #values[i] end
            end
            if left <= 0 then return {ids[last], found} end
            at = last + 1
        end
        return {'', found}
        ",
    )
});

/// Answers for each judgement whether it was stored. Its arguments: the longest engine and status, how many migrations
/// there may be, and of each judgement the migration, the expected version, and both values.
static PUT_JUDGED: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local limits = {tonumber(ARGV[1]), tonumber(ARGV[2])}
        for i = 1, 2 do
            local found = redis.call('TYPE', KEYS[i]).ok
            if found ~= 'none' and found ~= 'hash' then redis.call('DEL', KEYS[i]) end
        end
        local function version(i, id)
            local value = redis.call('HGET', KEYS[i], id)
            local version = value and string.match(value, '^([1-9]%d*) ')
            if version and #version <= 15 and version ~= '999999999999999' and #value - #version - 1 <= limits[i] then return version end
        end
        local stored, count = {}, redis.call('HLEN', KEYS[1])
        for at = 4, #ARGV, 4 do
            local id = ARGV[at]
            local actual = version(1, id)
            if not actual or actual ~= version(2, id) then actual = '0' end
            if actual ~= ARGV[at + 1] then
                stored[#stored + 1] = 0
            else
                if redis.call('HEXISTS', KEYS[1], id) == 0 then
                    if count >= tonumber(ARGV[3]) then
                        return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' holds ' .. count .. ' migrations, ' .. ARGV[3] .. ' are kept at most; delete it, and evidence is gathered anew')
                    end
                    count = count + 1
                end
                redis.call('HSET', KEYS[1], id, ARGV[at + 2])
                redis.call('HSET', KEYS[2], id, ARGV[at + 3])
                stored[#stored + 1] = 1
            end
        end
        return stored
        ",
    )
});

/// Each key is that of a migration's day. Its arguments: how many seconds a day is kept, and for each key a minute and
/// its text.
static PUT_MINUTES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        for i = 1, #KEYS do
            local found = redis.call('TYPE', KEYS[i]).ok
            if found ~= 'none' and found ~= 'hash' then redis.call('DEL', KEYS[i]) end
            redis.call('HSET', KEYS[i], ARGV[2 * i], ARGV[2 * i + 1])
            if redis.call('TTL', KEYS[i]) < 0 then redis.call('EXPIRE', KEYS[i], ARGV[1]) end
        end
        return 1
        ",
    )
});

/// Answers the minutes of a range from one day on, and at which day to go on. Its key is that of a day but for its
/// number. Its arguments: the range, the longest text, how many minutes a day may hold, what a part reads, and the day.
static MINUTES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local first, last = tonumber(ARGV[1]), tonumber(ARGV[2])
        local text_max, day_max, left, day = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
        local found = {}
        while day * 1440 <= last do
            if left <= 0 then return {day, found} end
            local key = KEYS[1] .. string.format('%d', day)
            local count = redis.pcall('HLEN', key)
            if type(count) == 'number' and count > 0 and count <= day_max then
                local all = redis.call('HGETALL', key)
                for i = 1, #all, 2 do
                    local minute = tonumber(all[i])
                    if minute and minute >= first and minute <= last and #all[i + 1] <= text_max then
                        found[#found + 1] = {all[i], all[i + 1]}
                        left = left - #all[i + 1] - 64
                    end
                end
            end
            day = day + 1
        end
        return {-1, found}
        ",
    )
});

type Values = Vec<Vec<Vec<u8>>>;

#[async_trait]
impl Records for Redis {
    async fn counts_of(
        &self,
        migrations: &[MigrationId],
        slots: RangeInclusive<Slot>,
    ) -> Result<Vec<(MigrationId, Vec<SlotCounts>)>, StoreError> {
        self.counted(migrations, slots).await
    }

    async fn lease(&self, holder: &str, for_ms: u64) -> Result<bool, RecordError> {
        check_lease(holder, for_ms)?;
        let mut call = LEASE.prepare_invoke();
        call.key(self.key("judge")).arg(holder).arg(for_ms).arg(LEASE_MS_MAX);
        let is_taken: u8 = self.link.invoke(&call).await?;
        Ok(is_taken == 1)
    }

    async fn release(&self, holder: &str) -> Result<(), StoreError> {
        let mut call = RELEASE.prepare_invoke();
        call.key(self.key("judge")).arg(holder);
        let _: u8 = self.link.invoke(&call).await?;
        Ok(())
    }

    async fn judged(&self) -> Result<BTreeMap<MigrationId, Judged>, StoreError> {
        let members = self.members(&["evidence", "judged"], ENGINE_BYTES_MAX).await?;
        let read = members.iter().filter_map(|values| {
            let [id, engine, status] = values.as_slice() else { return None };
            Some((migration(id)?, read_judged(engine, status)?))
        });
        Ok(read.collect())
    }

    async fn judged_status(&self) -> Result<BTreeMap<MigrationId, JudgedStatus>, StoreError> {
        let members = self.members(&["judged"], STATUS_BYTES_MAX).await?;
        let read = members.iter().filter_map(|values| {
            let [id, status] = values.as_slice() else { return None };
            Some((migration(id)?, read_status(status)?))
        });
        Ok(read.collect())
    }

    async fn put_judged(&self, writes: Vec<JudgedWrite>) -> Result<Vec<bool>, RecordError> {
        check_judged(&writes)?;
        let mut stored = Vec::with_capacity(writes.len());
        for part in parts(&writes, |write| write.engine.len() + write.status.len() + 256) {
            let mut call = PUT_JUDGED.prepare_invoke();
            call.key(self.key("evidence")).key(self.key("judged"));
            call.arg(ENGINE_BYTES_MAX).arg(STATUS_BYTES_MAX).arg(DOCUMENTS_MAX);
            for JudgedWrite { migration, expected, engine, status } in part {
                call.arg(migration.as_str()).arg(*expected);
                call.arg(versioned(expected + 1, engine)).arg(versioned(expected + 1, status));
            }
            let of_part: Vec<u8> = self.link.invoke(&call).await?;
            stored.extend(of_part.into_iter().map(|is_stored| is_stored == 1));
        }
        Ok(stored)
    }

    async fn put_minutes(&self, minutes: Vec<Minute>) -> Result<(), RecordError> {
        check_minutes(&minutes)?;
        for part in parts(&minutes, |minute| minute.text.len() + 256) {
            let mut call = PUT_MINUTES.prepare_invoke();
            call.arg(MINUTES_EXPIRE_S);
            for Minute { migration, minute, text } in part {
                call.key(format!("{}:{}", self.key_of("minutes", migration), minute / MINUTES_PER_DAY));
                call.arg(*minute).arg(text);
            }
            let _: u8 = self.link.invoke(&call).await?;
        }
        Ok(())
    }

    async fn minutes(
        &self,
        migration: &MigrationId,
        minutes: RangeInclusive<u64>,
    ) -> Result<Vec<(u64, String)>, StoreError> {
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default() / 60;
        let Some((first, last)) = newest_of(&minutes, now) else { return Ok(Vec::new()) };
        let mut read = BTreeMap::new();
        let mut day = i64::try_from(first / MINUTES_PER_DAY).unwrap_or(-1);
        // Each part goes on at least by one day, so that it ends.
        while day >= 0 {
            let mut call = MINUTES.prepare_invoke();
            call.key(format!("{}:", self.key_of("minutes", migration))).arg(first).arg(last);
            call.arg(STATUS_BYTES_MAX).arg(MINUTES_PER_DAY).arg(PART_BYTES).arg(day);
            let found: Vec<(Vec<u8>, Vec<u8>)>;
            (day, found) = self.link.invoke(&call).await?;
            read.extend(found.iter().filter_map(|(minute, text)| {
                let minute: u64 = std::str::from_utf8(minute).ok()?.parse().ok()?;
                Some((minute, String::from_utf8_lossy(text).into_owned()))
            }));
        }
        Ok(read.into_iter().collect())
    }

    async fn put_findings(&self, write: FindingsWrite) -> Result<bool, RecordError> {
        check_findings(&write)?;
        Ok(self.keep_findings(&write).await?)
    }

    async fn findings(&self, migration: &MigrationId) -> Result<BTreeMap<String, String>, StoreError> {
        self.findings_of(migration).await
    }

    async fn record_outcome(&self, migration: &MigrationId, outcome: Outcome) -> Result<Recorded, RecordError> {
        self.record(migration, &outcome).await
    }

    async fn cohorts(&self, migration: &MigrationId) -> Result<Vec<Cohort>, StoreError> {
        self.cohorts_of(migration).await
    }
}

impl Redis {
    /// The members of these hashes that are in all of them: a name and a value of each.
    async fn members(&self, hashes: &[&str], text_bytes_max: usize) -> Result<Values, StoreError> {
        let (mut members, mut after) = (Values::new(), Vec::<u8>::new());
        loop {
            let mut call = JUDGED.prepare_invoke();
            for hash in hashes {
                call.key(self.key(hash));
            }
            // A version stands before the text.
            call.arg(DOCUMENTS_MAX).arg(text_bytes_max + 32).arg(PART_BYTES).arg(&after);
            let found: Values;
            (after, found) = self.link.invoke(&call).await?;
            members.extend(found);
            // Each part goes on at least by one name, so that it ends.
            if after.is_empty() {
                return Ok(members);
            }
        }
    }
}

fn migration(id: &[u8]) -> Option<MigrationId> {
    MigrationId::new(std::str::from_utf8(id).ok()?).ok()
}

/// Splits what is to be written so that no call is too large.
fn parts<T>(all: &[T], bytes: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut parts = Vec::new();
    let (mut begin, mut sum) = (0, 0);
    for (at, one) in all.iter().enumerate() {
        sum += bytes(one);
        if sum > PART_BYTES && at > begin {
            parts.push(&all[begin..at]);
            (begin, sum) = (at, bytes(one));
        }
    }
    if begin < all.len() {
        parts.push(&all[begin..]);
    }
    parts
}
