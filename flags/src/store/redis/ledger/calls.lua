-- What each call does: a translation of flags/src/ledger/book.rs.
local calls = {}

local function owners(issue)
    local found = {}
    for _, lane in ipairs({'o', 'l', 'n'}) do
        local r = get(lane .. ':' .. issue)
        if r then found[#found + 1] = {lane, r.owner, number(r.epoch)} end
    end
    return found
end

local function rolled_back(at_least)
    local known = tonumber(redis.call('HGET', P .. ':meta', 'rolled_back') or '0')
    if at_least > known then
        redis.call('HSET', P .. ':meta', 'rolled_back', number(at_least))
        return at_least
    end
    return known
end

-- Which records an event concerns: {at, old, record or nothing, whether the event waits there}.
local function places(issue, pin)
    local is_stale = pin.revision < rolled_back(0)
    local is_rolled_back = is_stale or pin.mode == 'emergency_rollback'
    local function place(at, r, old, epoch, owner, is_target)
        r = r or pinned(owner, epoch, pin)
        if is_rolled_back then roll_back(r, lane_of(at)) end
        return {at = at, old = old, r = r, is_target = is_target}
    end
    local only, legacy, new = 'o:' .. issue, 'l:' .. issue, 'n:' .. issue
    local r, old = get(only)
    if r then return {place(only, r, old, 1, 'legacy', true)} end
    local of_legacy, old_legacy = get(legacy)
    local of_new, old_new = get(new)
    local to = is_stale and 'legacy' or pin.to
    local rests = (not of_legacy or is_at_rest(of_legacy)) and (not of_new or is_at_rest(of_new))
    if to ~= 'both' and rests then
        local epoch = math.max(of_legacy and of_legacy.epoch or 0, of_new and of_new.epoch or 0)
        local found = {place(only, nil, nil, epoch + 1, to, true)}
        if old_legacy then found[#found + 1] = {at = legacy, old = old_legacy} end
        if old_new then found[#found + 1] = {at = new, old = old_new} end
        return found
    end
    return {place(legacy, of_legacy, old_legacy, 1, 'legacy', true), place(new, of_new, old_new, 1, 'new', not is_rolled_back)}
end

-- delivery, issue, mark of the body, meta, body, placement, most that wait, most of one issue
function calls.accept(id, issue, mark, meta, body, pin, waiting_max, queue_max)
    local known = seen('d' .. id)
    if known == mark then return {'duplicate', owners(issue)} end
    if known then return {'conflict'} end
    if seen('s' .. mark) then return {'same_body'} end
    if tonumber(redis.call('HGET', P .. ':n', 'waiting') or '0') >= tonumber(waiting_max) then
        return {'full_migration'}
    end
    pin = cjson.decode(pin)
    local found, copies = places(issue, pin), 0
    for _, place in ipairs(found) do
        if place.is_target then
            if place.r.waiting >= tonumber(queue_max) then return {'full_issue'} end
            copies = copies + 1
        end
    end
    see('d' .. id, mark)
    see('s' .. mark, '')
    redis.call('DEL', P .. ':b:' .. id)
    redis.call('HSET', P .. ':b:' .. id, 'meta', meta, 'body', body, 'at', number(now), 'left', copies)
    local told = {}
    for _, place in ipairs(found) do
        local at, r, old = place.at, place.r, place.old
        if place.is_target then
            if old and old.epoch ~= r.epoch then tell_moved(at, r) end
            if not old then tell(at, 'pinned', r.owner .. ' epoch ' .. number(r.epoch) .. ' in ' .. r.mode) end
            enqueue(r)
            push(at, id)
            told[#told + 1] = {lane_of(at), r.owner, number(r.epoch)}
            tell(at, 'received', id)
        end
        put(at, old, r)
    end
    return {'new', told}
end

-- revision, side, most events, most bytes
function calls.claim(revision, side, limit, bytes_max)
    local actual = tonumber(redis.call('GET', KEYS[2]) or '0')
    if actual and actual > tonumber(revision) then return {'stale', number(actual)} end
    local generation = generation()
    local claims, parked, moved, bytes = {}, {}, {}, 0
    local ready = P .. ':ready:' .. side
    for _, at in ipairs(redis.call('ZRANGEBYSCORE', ready, '-inf', number(now), 'LIMIT', 0, limit)) do
        local r, old = get(at)
        if not r or not first(at) then
            redis.call('ZREM', ready, at)
        else
            local id = first(at)
            local key = P .. ':b:' .. id
            local had = redis.call('HGET', key, 'had:' .. lane_of(at))
            local is_others = had and had ~= r.owner
            local size = redis.call('HSTRLEN', key, 'body')
            if not is_others and #claims > 0 and bytes + size > tonumber(bytes_max) then break end
            local taken
            if is_others then
                pass_over(r)
                pop(at)
                let_go(id, KEPT_S)
                tell(at, 'passed_over', id)
            else
                taken = claim(r, lane_of(at), id)
            end
            if taken == 'send' then
                local kept = redis.call('HMGET', key, 'meta', 'body', 'at')
                if kept[1] then
                    bytes = bytes + size
                    claims[#claims + 1] = {at, r.owner, number(r.epoch), number(r.token), number(r.attempt), id, kept[1],
                        kept[2], kept[3]}
                else
                    r.claim_ms = 0
                    park(r, 'dead')
                    taken = 'parked'
                end
            end
            if taken == 'parked' then parked[#parked + 1] = tell_parked(at, r, '') end
            if r.epoch ~= old.epoch then
                tell_moved(at, r)
                moved[#moved + 1] = {lane_of(at), r.owner, number(r.epoch)}
            end
            put(at, old, r)
        end
    end
    return {'taken', number(generation), claims, parked, moved}
end

-- record, token, answer, detail, how long a body is kept in seconds
function calls.settle(at, token, answer, detail, kept_s)
    local r, old = get(at)
    if not r then return {'fenced'} end
    local settled, is_done = settle(r, lane_of(at), tonumber(token), answer)
    if settled == 'fenced' then return {'fenced'} end
    local id = first(at)
    if settled == 'delivered' then
        tell(at, 'delivered', id or '')
    elseif settled == 'again' or settled == 'reassigned' then
        tell(at, 'failed', (id or '') .. ' ' .. answer .. ': ' .. detail)
    else
        tell_parked(at, r, detail)
    end
    if is_done and id then
        pop(at)
        let_go(id, kept_s, at, settled == 'delivered' and old.owner or nil)
    end
    if r.epoch ~= old.epoch then tell_moved(at, r) end
    put(at, old, r)
    return {settled, number(r.due_ms), r.owner, number(r.epoch)}
end

-- issue, side, epoch, word, workflow or nothing, delivery or nothing
function calls.report(issue, side, epoch, word, workflow, delivery)
    local at = 'o:' .. issue
    local r, old = get(at)
    if not r then
        at = string.sub(side, 1, 1) .. ':' .. issue
        r, old = get(at)
    end
    if not r then return {'unknown'} end
    word = cjson.decode(word)
    if delivery == '' then delivery = nil end
    local reported, is_news = report(r, lane_of(at), side, tonumber(epoch), word, delivery)
    if reported == 'fenced' then
        if r.owner ~= side then tell(at, 'split_brain', side .. ' reported for epoch ' .. epoch) end
        return {'fenced', r.owner, number(r.epoch)}
    end
    if is_news == false then return {reported, r.owner, number(r.epoch), number(r.lease_ms)} end
    if r.epoch == old.epoch and workflow ~= '' then r.workflow = workflow end
    if not word.heartbeat then
        local detail = ''
        if word.success ~= nil then detail = word.success and 'well' or 'badly' end
        tell(at, 'ended', detail)
    end
    if r.epoch ~= old.epoch then tell_moved(at, r) end
    put(at, old, r)
    return {reported, r.owner, number(r.epoch), number(r.lease_ms)}
end

-- issue, epoch, side, person or nothing, whether it is said to be safe
function calls.hand_over(issue, epoch, to, by, is_forced)
    local at = 'o:' .. issue
    local r, old = get(at)
    if not r then return {#owners(issue) > 0 and 'parallel' or 'unknown'} end
    by = by ~= '' and cjson.decode(by) or nil
    local handed = hand_over(r, tonumber(epoch), to, is_forced == '1')
    if handed == 'over' then
        tell_moved(at, r, by)
    elseif handed == 'waiting' then
        tell(at, 'handoff_asked', to, by)
    end
    put(at, old, r)
    return {handed, number(r.epoch), number(handed == 'busy' and r.claim_ms or r.lease_ms)}
end

function calls.sweep(limit)
    local moved, waiting = 0, 0
    for _, at in ipairs(redis.call('ZRANGEBYSCORE', P .. ':move', '-inf', number(now), 'LIMIT', 0, limit)) do
        local r, old = get(at)
        if not r then
            redis.call('ZREM', P .. ':move', at)
        else
            expire(r, lane_of(at))
            if move_on(r, lane_of(at)) then
                tell_moved(at, r)
                moved = moved + 1
            elseif r.moving then
                waiting = waiting + 1
            end
            put(at, old, r)
        end
    end
    return {moved, waiting, 0, ''}
end

local function active(after, limit)
    local from = after == '' and '-' or '(' .. after
    return redis.call('ZRANGEBYLEX', P .. ':all', from, '+', 'LIMIT', 0, limit)
end

-- revision, behind which record, most records
function calls.roll_back(revision, after, limit)
    rolled_back(tonumber(revision))
    local counts = {moved = 0, waits = 0, parked = 0, stays = 0}
    local found = active(after, limit)
    for _, at in ipairs(found) do
        local r, old = get(at)
        if r then
            local rolled = roll_back(r, lane_of(at))
            counts[rolled] = counts[rolled] + 1
            if r.epoch ~= old.epoch then tell_moved(at, r) end
            if r.parked and old.state ~= 'parked' then tell_parked(at, r, '') end
            put(at, old, r)
        end
    end
    return {counts.moved, counts.waits, counts.parked, #found == tonumber(limit) and found[#found] or ''}
end

-- 'replay' or 'discard', issue or nothing, kind or nothing, person, whether it is a dry run, how long bodies are kept
function calls.touch(how, issue, kind, by, is_dry, kept_s, page_max, letters_max)
    local lanes
    if issue ~= '' then
        lanes = {'o:' .. issue, 'l:' .. issue, 'n:' .. issue}
    else
        lanes = redis.call('ZRANGEBYSCORE', P .. ':dlq', '-inf', '+inf', 'LIMIT', 0, letters_max)
    end
    by = cjson.decode(by)
    local letters, more = {}, 0
    for _, at in ipairs(lanes) do
        local r, old = get(at)
        local one = r and letter(at, r)
        if one and (kind == '' or kind == r.parked) then
            if #letters == tonumber(page_max) then
                more = 1
                break
            end
            letters[#letters + 1] = one
            if is_dry == '0' then
                if how == 'replay' then
                    if replay(r) then tell(at, 'replayed', one[2], by) end
                elseif discard(r) then
                    pop(at)
                    let_go(one[2], kept_s)
                    tell(at, 'discarded', one[2], by)
                end
                put(at, old, r)
            end
        end
    end
    return {letters, more}
end

-- deliveries, mode, revision, person, whether it is a dry run, most that wait, most of one issue
function calls.resend(ids, mode, revision, by, is_dry, waiting_max, queue_max)
    local is_rolled_back = mode == 'emergency_rollback' or tonumber(revision) < rolled_back(0)
    by = cjson.decode(by)
    local told = {}
    for _, id in ipairs(cjson.decode(ids)) do
        local key = P .. ':b:' .. id
        local kept = redis.call('HMGET', key, 'meta', 'left', 'gone', 'had:o', 'had:l', 'had:n')
        if not kept[1] or (tonumber(kept[2]) <= 0 and kept[3] and tonumber(kept[3]) <= now) then
            told[#told + 1] = {id, seen('d' .. id) and 'gone' or 'unknown', '', ''}
        elseif tonumber(kept[2]) > 0 then
            told[#told + 1] = {id, 'waits', '', ''}
        elseif not (kept[4] or kept[5] or kept[6]) then
            told[#told + 1] = {id, 'not_delivered', '', ''}
        else
            local issue, lanes = cjson.decode(kept[1]).issue, {}
            local is_full = tonumber(redis.call('HGET', P .. ':n', 'waiting') or '0') >= tonumber(waiting_max)
            for i, lane in ipairs({'o', 'l', 'n'}) do
                local at, had = lane .. ':' .. issue, kept[3 + i]
                if had then
                    local r = get(at)
                    local resent = not r and 'forgotten' or is_full and 'full' or may_resend(r, had, is_rolled_back, tonumber(queue_max))
                    if resent == 'again' then lanes[#lanes + 1] = at end
                    told[#told + 1] = {id, resent, at, had}
                end
            end
            if is_dry == '0' and #lanes > 0 then
                redis.call('HSET', key, 'left', #lanes)
                redis.call('HDEL', key, 'gone')
                redis.call('PERSIST', key)
                for _, at in ipairs(lanes) do
                    local r, old = get(at)
                    enqueue(r)
                    push(at, id)
                    tell(at, 'resent', id, by)
                    put(at, old, r)
                end
            end
        end
    end
    return told
end

function calls.standing(issue) return {number(generation()), owners(issue)} end

local function listed(at, r)
    local waits = redis.call('ZSCORE', P .. ':waits', at)
    for _, name in ipairs(NUMBERS) do if r[name] == 0 then r[name] = nil end end
    return {at, cjson.encode(r), waits or ''}
end

-- state or nothing, owner or nothing, prefix, behind which record, most records, how many are looked at
function calls.list(wanted, owner, prefix, after, limit, look_max)
    local found, looked, last = {}, 0, after
    repeat
        local lanes = active(last, 500)
        for _, at in ipairs(lanes) do
            last, looked = at, looked + 1
            local r = string.sub(at, 3, 2 + #prefix) == prefix and get(at)
            if r and (wanted == '' or state(r) == wanted) and (owner == '' or r.owner == owner) then
                found[#found + 1] = listed(at, r)
                if #found == tonumber(limit) then return {found, last} end
            end
        end
    until #lanes < 500 or looked >= tonumber(look_max)
    return {found, looked >= tonumber(look_max) and last or ''}
end

-- issue, how many waiting events are told
function calls.show(issue, waiting_max)
    local found = {}
    for _, lane in ipairs({'o', 'l', 'n'}) do
        local at = lane .. ':' .. issue
        local r = get(at)
        if r then
            local ids = {}
            for _, text in ipairs(redis.call('LRANGE', P .. ':q:' .. at, 0, waiting_max - 1)) do
                ids[#ids + 1] = queued(text)
            end
            found[#found + 1] = {listed(at, r), ids}
        end
    end
    return {number(generation()), number(now), found}
end

function calls.totals()
    local oldest = redis.call('ZRANGE', P .. ':waits', 0, 0, 'WITHSCORES')
    local lapsed = redis.call('ZCOUNT', P .. ':lease', '-inf', number(now - GRACE_MS))
    return {redis.call('HGETALL', P .. ':n'), oldest[2] or '', redis.call('ZCARD', P .. ':dlq'),
        redis.call('XLEN', P .. ':quarantine'), redis.call('ZCARD', P .. ':lease') - lapsed, lapsed, number(now)}
end

function calls.dead_letters(limit)
    local found = {}
    for _, at in ipairs(redis.call('ZRANGE', P .. ':dlq', 0, limit - 1)) do
        local r = get(at)
        found[#found + 1] = r and letter(at, r)
    end
    return found
end

function calls.quarantine(text, limit)
    redis.call('XADD', P .. ':quarantine', 'MAXLEN', '~', limit, '*', 'at', number(now), 'q', text)
    return 1
end

-- ended before this age, most that ended, idle for this, behind which record or bucket, most records
function calls.trim(ended_ms, ended_max, idle_ms, after, limit)
    local gone = 0
    local kind, place = string.match(after, '^([af])(.*)$')
    if kind ~= 'f' then
        local found = active(place or '', limit)
        for _, at in ipairs(found) do
            local r, old = get(at)
            if r and forget_if_idle(r, tonumber(idle_ms)) then
                gone = gone + 1
                put(at, old, r)
            end
        end
        return {gone, #found == tonumber(limit) and 'a' .. found[#found] or 'f0'}
    end
    local bucket = tonumber(place)
    local looked = 0
    while bucket < BUCKETS and looked < tonumber(limit) do
        local key = P .. ':f:' .. bucket
        local all, known = redis.call('HGETALL', key), {}
        for i = 1, #all, 2 do
            local r = from_short(all[i + 1])
            known[#known + 1] = {at = all[i], changed_ms = r and r.changed_ms or 0, owner = r and r.owner}
        end
        table.sort(known, function(a, b) return a.changed_ms < b.changed_ms end)
        local total = tonumber(redis.call('HGET', P .. ':n', 'legacy:ended') or '0') + tonumber(redis.call('HGET', P .. ':n', 'new:ended') or '0')
        local over = total > tonumber(ended_max) and math.ceil(#known * (total - ended_max) / total) or 0
        for i, one in ipairs(known) do
            if i <= over or one.changed_ms + tonumber(ended_ms) <= now then
                redis.call('HDEL', key, one.at)
                if one.owner then count(one.owner .. ':ended', -1) end
                gone = gone + 1
            end
        end
        bucket = bucket + 1
        looked = looked + 1 + #known
    end
    return {gone, bucket < BUCKETS and 'f' .. bucket or ''}
end

local arguments = {}
for i = 3, #ARGV do arguments[i - 2] = ARGV[i] end
return calls[ARGV[2]](unpack(arguments))
