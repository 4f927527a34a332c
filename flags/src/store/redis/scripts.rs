//! What runs inside Redis, but for the one script that changes state ([`super::REPLACE`]).
//!
//! # Why everything is bounded here
//!
//! What somebody wrote by hand under one of our keys is shipped to every router at every change. So a
//! script looks at sizes and types first, leaves out what is too large or of a wrong type, says
//! why, and reads on: one damaged key costs what it holds and nothing else.

use std::sync::LazyLock;

use redis::Script;

/// The largest document that is read, in bytes; ours have less than a tenth of it, and 32 KiB of accepted rules at most.
pub(super) const DOCUMENT_BYTES_MAX: usize = 64 * 1024;

/// The largest pin that is read, in bytes.
pub(super) const PIN_BYTES_MAX: usize = 4 * 1024;

/// Documents that are read, twice as many as a file may name.
pub(super) const DOCUMENTS_MAX: usize = 20_000;

/// Routers whose words are read.
pub(super) const REPLICAS_MAX: usize = 1_000;

/// The longest word of a router, in bytes.
pub(super) const WORD_BYTES_MAX: usize = 4 * 1024;

/// Answers the revision or why it does not read, the documents, what of them is refused, the pins
/// of those that have any or why they do not read, why documents may be missing, and the newest word on
/// a freeze or why it does not read.
///
/// Its arguments: the prefix of pins, and the limits of document, documents, pin, pins and word.
pub(super) static LOAD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local function failed(answer)
            return type(answer) == 'table' and answer.err
        end
        local document_max, documents_max = tonumber(ARGV[2]), tonumber(ARGV[3])
        local pin_max, pins_max = tonumber(ARGV[4]), tonumber(ARGV[5])
        local revision = redis.pcall('GET', KEYS[1])
        local no_revision = failed(revision) or ''
        if no_revision ~= '' then revision = '' end
        local documents, refused, incomplete = {}, {}, ''
        local function take(id, document)
            if #document > document_max then
                refused[#refused + 1] = {id, 'its document has ' .. #document .. ' bytes, ' .. document_max .. ' are read at most'}
            else
                documents[#documents + 1] = id
                documents[#documents + 1] = document
            end
        end
        local count = redis.pcall('HLEN', KEYS[2])
        if failed(count) then
            incomplete = failed(count)
        elseif count <= documents_max then
            local all = redis.call('HGETALL', KEYS[2])
            for i = 1, #all, 2 do take(all[i], all[i + 1]) end
        else
            incomplete = KEYS[2] .. ' holds ' .. count .. ' documents, ' .. documents_max .. ' are read at most'
            local cursor = '0'
            repeat
                local part = redis.call('HSCAN', KEYS[2], cursor, 'COUNT', 1000)
                cursor = part[1]
                for i = 1, #part[2], 2 do take(part[2][i], part[2][i + 1]) end
            until cursor == '0' or #documents >= 2 * documents_max
        end
        local pins = {}
        for i = 1, #documents, 2 do
            local key = ARGV[1] .. documents[i]
            local count = redis.pcall('HLEN', key)
            if failed(count) then
                pins[#pins + 1] = {documents[i], failed(count), {}}
            elseif count > pins_max then
                pins[#pins + 1] = {documents[i], 'there are ' .. count .. ' of them, ' .. pins_max .. ' are read at most', {}}
            elseif count > 0 then
                local of, problem = redis.call('HGETALL', key), ''
                for pin = 1, #of, 2 do
                    if #of[pin] + #of[pin + 1] > pin_max then
                        problem = 'one has ' .. #of[pin] + #of[pin + 1] .. ' bytes, ' .. pin_max .. ' are read at most'
                        of = {}
                        break
                    end
                end
                pins[#pins + 1] = {documents[i], problem, of}
            end
        end
        local word, no_word = redis.pcall('LINDEX', KEYS[3], 0), ''
        if failed(word) then
            no_word, word = failed(word), false
        elseif word and #word > tonumber(ARGV[6]) then
            no_word, word = 'it has ' .. #word .. ' bytes, ' .. ARGV[6] .. ' are read at most', false
        end
        return {revision or '0', no_revision, documents, refused, pins, incomplete, {{word or nil}, no_word}}
        ",
    )
});

/// Answers the server's time and what its replicas said; its arguments are the limits.
pub(super) static REPLICAS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        local count = redis.call('HLEN', KEYS[1])
        if count > tonumber(ARGV[1]) then
            return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' holds ' .. count .. ' words of routers, ' .. ARGV[1] .. ' are read at most')
        end
        local words = {}
        for _, word in ipairs(redis.call('HVALS', KEYS[1])) do
            if #word <= tonumber(ARGV[2]) then words[#words + 1] = word end
        end
        return {now, words}
        ",
    )
});

/// Says that a replica lives, stores what it has counted, and answers the revision and the
/// server's time, so that at rest nothing else is asked.
///
/// A count is the whole of its slot and not a difference: written twice, it is the same.
///
/// Its arguments: the replica, its word, how many milliseconds a silent one is remembered (empty: not
/// looked at this time), how many seconds a count is kept, and for each further key a field and
/// its value.
pub(super) static BEAT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
        local problem = ''
        local function tried(...)
            local answer = redis.pcall(...)
            if type(answer) == 'table' and answer.err then
                problem = answer.err
                return nil
            end
            return answer
        end
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        tried('HSET', KEYS[1], ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2])
        if ARGV[3] ~= '' then
            local known = tried('HGETALL', KEYS[1]) or {}
            for i = 1, #known, 2 do
                local heard = tonumber(string.match(known[i + 1], '^(%d+) '))
                if not heard or now - heard > tonumber(ARGV[3]) then
                    redis.call('HDEL', KEYS[1], known[i])
                end
            end
        end
        for i = 3, #KEYS do
            local at = 5 + (i - 3) * 2
            if tried('HSET', KEYS[i], ARGV[at], ARGV[at + 1]) == 1 then
                redis.call('EXPIRE', KEYS[i], ARGV[4])
            end
        end
        local revision = tried('GET', KEYS[2])
        if string.sub(problem, 1, 8) == 'READONLY' then
            -- A demoted primary is to be left, which the caller does by this error.
            return redis.error_reply(problem)
        end
        if revision == nil then revision = '' end
        return {revision or '0', now, problem}
        ",
    )
});
