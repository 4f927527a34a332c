//! Outcomes of work that ends later, in Redis: what [`crate::store::records::outcome`] computes, in one script.
//!
//! # Why written twice
//!
//! What is known of a job, the counts and the cohort are read and written in one step, or two reports of one job would
//! both be new. The suite of all stores runs the same reports through both, and they must answer the same.

use std::sync::LazyLock;

use redis::Script;

use super::Redis;
use crate::migration::{MigrationId, Side};
use crate::store::records::outcome::{
    COHORTS_KEPT_S, Cohort, CohortSums, DAY_S, OUTCOMES_REPLICA, Outcome, Parts, REMEMBERED_MAX, REMEMBERED_S,
    Recorded, full, is_kept,
};
use crate::store::records::{RecordError, outcome::COHORT_S};
use crate::store::{Pairs, StoreError};
use crate::tally::{KEPT_SECONDS, NAMES_MAX, ROW_BYTES_MAX};

/// Cohorts of one day are twice as many as 5 minutes, and what was written by hand is not read.
const COHORTS_OF_DAY_MAX: u64 = 4 * DAY_S / COHORT_S;

/// Its keys are that of the job, and those of counts, cohorts and remembered ids but for a slot or a day. Its arguments:
/// side, time of routing, whether the job has ended, its measures, how many milliseconds a job is remembered, how many
/// jobs of a day are, the limits of a row, how long counts and cohorts are kept, the field that counts, and what it
/// counts by name.
///
/// Everything that could fail is checked before anything is written, as in [`super::REPLACE`].
static RECORD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = tonumber(time[1])
        local horizons = {3600, 86400, 259200}
        local function number(word)
            return #word <= 15 and string.match(word, '^%d+$') and tonumber(word)
        end
        -- A measure is its value and horizon, false where it was not told, nil where it does not read.
        local function measure(word)
            if word == '-' then return false end
            local milli, horizon = string.match(word, '^(%d+):([0-3])$')
            milli = milli and number(milli)
            if milli and milli <= 1000 then return {milli, tonumber(horizon)} end
        end
        local function job(text)
            if type(text) ~= 'string' or #text > 128 then return nil end
            local side, routed, seen, ended, a, b, c = string.match(text, '^(%a+) (%d+) (%d+) ([01]) ([^ ]+) ([^ ]+) ([^ ]+)$')
            if side ~= 'legacy' and side ~= 'new' then return nil end
            routed, seen, a, b, c = number(routed), number(seen), measure(a), measure(b), measure(c)
            if not routed or not seen or a == nil or b == nil or c == nil then return nil end
            return {side = side, routed = routed, seen = seen, ended = ended == '1', measures = {a, b, c}}
        end
        -- The mean of what was told within each horizon, false where nothing was.
        local function qualities(measures)
            local found = {}
            for within = 0, 2 do
                local sum, count = 0, 0
                for i = 1, 3 do
                    if measures[i] and measures[i][2] <= within then sum, count = sum + measures[i][1], count + 1 end
                end
                found[within + 1] = count > 0 and math.floor(sum / count)
            end
            return found
        end
        local known = job(redis.pcall('GET', KEYS[1]))
        local is_new = not known
        if is_new then
            known = {side = ARGV[1], routed = math.min(tonumber(ARGV[2]), now), seen = now, ended = false, measures = {false, false, false}}
        elseif known.side ~= ARGV[1] then
            return {'side', known.side}
        end
        local age, horizon = math.max(0, now - known.routed), 3
        for i = 3, 1, -1 do
            if age <= horizons[i] then horizon = i - 1 end
        end
        local before, parts, news = qualities(known.measures), {'ok', 0, 0, 0, 0, 0}, is_new
        for i = 1, 3 do
            if ARGV[3 + i] ~= '-' and not known.measures[i] then
                known.measures[i] = {tonumber(ARGV[3 + i]), horizon}
                parts[3 + i], news = 1, true
            end
        end
        local ends = ARGV[3] == '1' and not known.ended
        if ends then known.ended, parts[3], news = true, 1, true end
        if is_new then parts[2] = 1 end
        if not news then return parts end

        local function hash(key)
            local found = redis.call('TYPE', key).ok
            return (found == 'none' or found == 'hash') and key
        end
        local counts = KEYS[2] .. string.format('%d', now * 2 + math.floor(tonumber(time[2]) / 500000))
        local from = known.routed - known.routed % 300
        local cohorts = KEYS[3] .. string.format('%d', math.floor(from / 86400))
        local remembered = KEYS[4] .. string.format('%d', math.floor(now / 86400))
        for _, key in ipairs({counts, cohorts}) do
            if not hash(key) then return redis.error_reply('WRONGTYPE ' .. key .. ' is no hash; delete it, and outcomes are recorded again') end
        end
        if is_new then
            local count = redis.pcall('GET', remembered)
            count = type(count) == 'string' and number(count) or 0
            if count >= tonumber(ARGV[8]) then return {'full'} end
            redis.call('SET', remembered, string.format('%d', count + 1), 'EX', 172800)
        end
        local words = {known.side, string.format('%d', known.routed), string.format('%d', known.seen), known.ended and '1' or '0'}
        for i = 1, 3 do
            local one = known.measures[i]
            words[4 + i] = one and string.format('%d:%d', one[1], one[2]) or '-'
        end
        local text = table.concat(words, ' ')
        if is_new then redis.call('SET', KEYS[1], text, 'PX', ARGV[7]) else redis.call('SET', KEYS[1], text, 'KEEPTTL') end
        if ends and ARGV[14] then
            local names, sums = {}, {}
            local function add(name, count)
                if not sums[name] then
                    if #names >= tonumber(ARGV[10]) then return end
                    names[#names + 1] = name
                end
                sums[name] = (sums[name] or 0) + count
            end
            local row = redis.call('HGET', counts, ARGV[13])
            if row and #row <= tonumber(ARGV[9]) then
                for word in string.gmatch(row, '[^ ]+') do
                    local name, count = string.match(word, '^([^=]*)=(%d+)$')
                    if name and #name <= 24 then add(name, tonumber(count)) end
                end
            end
            for i = 14, #ARGV, 2 do add(ARGV[i], tonumber(ARGV[i + 1])) end
            for i, name in ipairs(names) do names[i] = name .. '=' .. string.format('%.0f', sums[name]) end
            row = table.concat(names, ' ')
            if #row <= tonumber(ARGV[9]) then redis.call('HSET', counts, ARGV[13], row) end
            if redis.call('TTL', counts) < 0 then redis.call('EXPIRE', counts, ARGV[11]) end
        end
        if from + tonumber(ARGV[12]) >= now then
            local field, sums = known.side .. ':' .. string.format('%d', from), {}
            local row = redis.call('HGET', cohorts, field)
            for word in string.gmatch(row or '', '[^ ]+') do sums[#sums + 1] = number(word) or nil end
            if #sums ~= 7 or #row > 128 or not string.match(row, '^%d+ %d+ %d+ %d+ %d+ %d+ %d+$') then sums = {0, 0, 0, 0, 0, 0, 0} end
            if is_new then sums[1] = sums[1] + 1 end
            local after = qualities(known.measures)
            for i = 1, 3 do
                sums[1 + i] = math.max(0, sums[1 + i] + (after[i] and 1 or 0) - (before[i] and 1 or 0))
                sums[4 + i] = math.max(0, sums[4 + i] + (after[i] or 0) - (before[i] or 0))
            end
            for i = 1, 7 do sums[i] = string.format('%.0f', sums[i]) end
            redis.call('HSET', cohorts, field, table.concat(sums, ' '))
            redis.call('EXPIRE', cohorts, tonumber(ARGV[12]) + 86400)
        end
        return parts
        ",
    )
});

/// Answers the time, and the cohorts that are kept as they are stored. Its key is that of a day but for its number; its
/// arguments are how long they are kept, and how many of a day are read.
static COHORTS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local now, found = tonumber(redis.call('TIME')[1]), {}
        for day = math.floor((now - ARGV[1]) / 86400), math.floor(now / 86400) do
            local key = KEYS[1] .. string.format('%d', day)
            local count = redis.pcall('HLEN', key)
            if type(count) == 'number' and count > 0 and count <= tonumber(ARGV[2]) then
                local all = redis.call('HGETALL', key)
                for i = 1, #all, 2 do
                    if #all[i] + #all[i + 1] <= 256 then found[#found + 1] = {all[i], all[i + 1]} end
                end
            end
        end
        return {now, found}
        ",
    )
});

impl Redis {
    pub(super) async fn record(&self, migration: &MigrationId, outcome: &Outcome) -> Result<Recorded, RecordError> {
        outcome.check()?;
        let mut call = RECORD.prepare_invoke();
        call.key(format!("{}:{}", self.key_of("outcome", migration), outcome.id.as_str()));
        for days in ["counts", "cohorts", "remembered"] {
            call.key(format!("{}:", self.key_of(days, migration)));
        }
        call.arg(outcome.side.name()).arg(outcome.routed_at).arg(u8::from(outcome.work.is_some()));
        for measure in outcome.measures() {
            call.arg(measure.map_or_else(|| "-".to_owned(), |milli| milli.to_string()));
        }
        call.arg(REMEMBERED_S * 1_000).arg(REMEMBERED_MAX).arg(ROW_BYTES_MAX).arg(NAMES_MAX);
        call.arg(KEPT_SECONDS).arg(COHORTS_KEPT_S).arg(format!("{OUTCOMES_REPLICA}:{}", outcome.side.name()));
        for (name, more) in outcome.work.iter().flat_map(|tally| tally.iter()) {
            call.arg(name).arg(more);
        }
        let answer: Vec<redis::Value> = self.link.invoke(&call).await?;
        self.recorded(migration, outcome, answer)
    }

    fn recorded(
        &self,
        migration: &MigrationId,
        outcome: &Outcome,
        answer: Vec<redis::Value>,
    ) -> Result<Recorded, RecordError> {
        let words: Result<Vec<String>, _> = answer.into_iter().map(redis::from_redis_value).collect();
        let words = words.map_err(StoreError::corrupt)?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["side", before] => {
                let before = Side::ALL.into_iter().find(|side| side.name() == *before);
                let before = before.unwrap_or(outcome.side.other());
                Err(RecordError::SideDiffers { before, reported: outcome.side })
            }
            ["full"] => Err(full(migration)),
            ["ok", job, work, pr_accepted, build_passed, score] => {
                let is = |word: &str| word == "1";
                let (pr_accepted, build_passed) = (is(pr_accepted), is(build_passed));
                Ok(Parts { job: is(job), work: is(work), pr_accepted, build_passed, score: is(score) }.into())
            }
            _ => Err(StoreError::corrupt("a script answered something else than it can").into()),
        }
    }

    pub(super) async fn cohorts_of(&self, migration: &MigrationId) -> Result<Vec<Cohort>, StoreError> {
        let mut call = COHORTS.prepare_invoke();
        call.key(format!("{}:", self.key_of("cohorts", migration))).arg(COHORTS_KEPT_S).arg(COHORTS_OF_DAY_MAX);
        let (now, found): (u64, Pairs) = self.link.invoke(&call).await?;
        let mut cohorts: Vec<_> = found
            .iter()
            .filter_map(|(field, sums)| {
                let (side, from) = std::str::from_utf8(field).ok()?.split_once(':')?;
                let side = Side::ALL.into_iter().find(|known| known.name() == side)?;
                let from = from.parse().ok().filter(|from| *from <= now && is_kept(*from, now))?;
                Some(Cohort { from, side, sums: CohortSums::parse(sums)? })
            })
            .collect();
        cohorts.sort_unstable_by_key(|cohort| (cohort.from, cohort.side));
        Ok(cohorts)
    }
}
