-- Where everything is: keys, indexes and counters. `P` is the prefix of one migration's ledger.
local BUCKETS = 32768
local NUMBERS = {'lease_ms', 'silent_ms', 'waiting', 'claim_ms', 'token', 'ended_token', 'attempt', 'refused', 'due_ms'}
local MODES = {l = 'legacy_only', p = 'parallel', g = 'gradual', n = 'new_only', e = 'emergency_rollback'}
local SIDES = {l = 'legacy', n = 'new'}
local LANES = {o = 'only', l = 'legacy', n = 'new'}

local function bucket_of(text)
    return tonumber(string.sub(redis.sha1hex(text), 1, 4), 16) % BUCKETS
end

local function number(n) return string.format('%d', n) end

local function to_short(r)
    local success = '-'
    if r.success ~= nil then success = r.success and 'y' or 'n' end
    return table.concat({string.sub(r.owner, 1, 1), number(r.epoch), number(r.token), number(r.changed_ms), success,
        string.sub(r.mode, 1, 1), number(r.share), r.bucket and number(r.bucket) or '-', number(r.revision)}, ' ')
end

local function from_short(text)
    local owner, epoch, token, changed, success, mode, share, bucket, revision =
        string.match(text, '^([ln]) (%d+) (%d+) (%d+) ([-yn]) ([lpgne]) (%d+) ([-%d]+) (%d+)$')
    if not owner then return nil end
    local pin = {mode = MODES[mode], share = tonumber(share), bucket = tonumber(bucket), revision = tonumber(revision)}
    local r = pinned(SIDES[owner], tonumber(epoch), pin)
    r.run, r.token, r.changed_ms = 'ended', tonumber(token), tonumber(changed)
    if success ~= '-' then r.success = success == 'y' end
    return r
end

-- What of a record the indexes follow from.
local function indexed(at, r)
    local s = state(r)
    return {state = s, owner = r.owner, waiting = r.waiting, ended = s == 'ended', ready = ready_at(r),
        lease = leased_until(r), parked = r.parked and r.changed_ms or nil, epoch = r.epoch,
        move = r.moving and lane_of(at) == 'o' and string.format('%d', movable_at(r)) or nil}
end

-- A record and what its indexes hold, or nothing.
local function get(at)
    local text = redis.call('GET', P .. ':i:' .. at)
    local r
    if text then
        r = cjson.decode(text)
        for _, name in ipairs(NUMBERS) do r[name] = r[name] or 0 end
    else
        text = redis.call('HGET', P .. ':f:' .. bucket_of(at), at)
        r = text and from_short(text)
    end
    if not r then return nil end
    return r, indexed(at, r)
end

local function index(name, at, before, after)
    if before == after then return end
    if after then
        redis.call('ZADD', P .. ':' .. name, after, at)
    else
        redis.call('ZREM', P .. ':' .. name, at)
    end
end

local function count(name, by)
    if by ~= 0 then redis.call('HINCRBY', P .. ':n', name, by) end
end

local NONE = {waiting = 0}

-- What is to be sent is kept by side, so that a side that hangs holds up none but itself.
local function index_ready(at, before, after)
    for _, side in ipairs({'legacy', 'new'}) do
        local was, is = before.owner == side and before.ready or nil, after.owner == side and after.ready or nil
        index('ready:' .. side, at, was, is)
    end
end

-- Writes a record, or removes it, and moves it in every index.
local function put(at, old, r)
    local before, after = old or NONE, r and indexed(at, r) or NONE
    if old then
        if not r or before.state ~= after.state or before.owner ~= after.owner then
            count(before.owner .. ':' .. before.state, -1)
            if r then count(after.owner .. ':' .. after.state, 1) end
        end
    elseif r then
        count(after.owner .. ':' .. after.state, 1)
    end
    count('waiting', after.waiting - before.waiting)
    local was_active, is_active = old and not before.ended, r and not after.ended
    index('all', at, was_active and 0 or nil, is_active and 0 or nil)
    if is_active then
        index_ready(at, before, after)
        index('lease', at, before.lease, after.lease)
        index('move', at, before.move, after.move)
        index('dlq', at, before.parked, after.parked)
        local kept = {}
        for name, value in pairs(r) do kept[name] = value end
        for _, name in ipairs(NUMBERS) do if kept[name] == 0 then kept[name] = nil end end
        redis.call('SET', P .. ':i:' .. at, cjson.encode(kept))
        if old and before.ended then redis.call('HDEL', P .. ':f:' .. bucket_of(at), at) end
        return
    end
    if was_active then
        index_ready(at, before, NONE)
        index('lease', at, before.lease, nil)
        index('move', at, before.move, nil)
        index('dlq', at, before.parked, nil)
        redis.call('DEL', P .. ':i:' .. at)
    end
    if r then
        redis.call('HSET', P .. ':f:' .. bucket_of(at), at, to_short(r))
    elseif old and before.ended then
        redis.call('HDEL', P .. ':f:' .. bucket_of(at), at)
    end
end

-- An event in a queue: when it came, and its name.
local function queued(text)
    if not text then return nil end
    local received, id = string.match(text, '^(%d+) (.*)$')
    return id, received
end

local function first(at) return queued(redis.call('LINDEX', P .. ':q:' .. at, 0)) end

local function push(at, id)
    local length = redis.call('RPUSH', P .. ':q:' .. at, number(now) .. ' ' .. id)
    if length == 1 then redis.call('ZADD', P .. ':waits', now, at) end
end

local function pop(at)
    redis.call('LPOP', P .. ':q:' .. at)
    local _, received = first(at)
    if received then
        redis.call('ZADD', P .. ':waits', received, at)
    else
        redis.call('ZREM', P .. ':waits', at)
    end
end

-- Deliveries and bodies that were there, by periods of 4 days: kept for 8 to 12.
local PERIOD_MS, PERIODS = 345600000, 3

local function seen(field)
    local period, place = math.floor(now / PERIOD_MS), ':' .. bucket_of(field)
    for back = 0, PERIODS - 1 do
        local value = redis.call('HGET', P .. ':d:' .. number(period - back) .. place, field)
        if value then return value end
    end
end

local function see(field, value)
    local key = P .. ':d:' .. number(math.floor(now / PERIOD_MS)) .. ':' .. bucket_of(field)
    if redis.call('HSET', key, field, value) == 1 and redis.call('HLEN', key) == 1 then
        redis.call('PEXPIRE', key, PERIOD_MS * PERIODS)
    end
end

-- One record is done with an event, perhaps because it was delivered there to this side.
local function let_go(id, kept_s, at, had)
    local key = P .. ':b:' .. id
    if redis.call('EXISTS', key) == 0 then return end
    if had then redis.call('HSET', key, 'had:' .. lane_of(at), had) end
    if redis.call('HINCRBY', key, 'left', -1) <= 0 then
        redis.call('HSET', key, 'gone', number(now + kept_s * 1000))
        redis.call('EXPIRE', key, kept_s)
    end
end

local function generation()
    local known = redis.call('HGET', P .. ':meta', 'generation')
    if not known then
        known = number(math.floor(now / 1000))
        redis.call('HSET', P .. ':meta', 'generation', known)
    end
    return tonumber(known)
end

local EVENTS_MAX, KEPT_S = 100000, 86400

local function tell(at, what, detail, by)
    local event = {at_ms = now, lane = LANES[lane_of(at)], issue = string.sub(at, 3), what = what, detail = detail}
    if by then event.actor, event.reason = by.actor, by.reason end
    local text = cjson.encode(event)
    redis.call('XADD', P .. ':ev', 'MAXLEN', '~', EVENTS_MAX, '*', 'e', text)
    if by then redis.call('XADD', P .. ':audit', 'MAXLEN', '~', EVENTS_MAX, '*', 'e', text) end
end

local function tell_moved(at, r, by)
    tell(at, 'handed_over', r.owner .. ' epoch ' .. number(r.epoch), by)
end

-- The first event of a record that waits for a person: record, delivery, why, since when, whose.
local function letter(at, r)
    local id = r.parked and first(at)
    if id then return {at, id, r.parked, number(r.changed_ms), r.owner} end
end

local function tell_parked(at, r, detail)
    local one = letter(at, r)
    if one then
        tell(at, r.parked == 'dead' and 'dead' or 'parked', one[2] .. ' ' .. r.parked .. ': ' .. detail)
    end
    return one
end
