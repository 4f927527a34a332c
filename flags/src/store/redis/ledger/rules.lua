-- What becomes of one record: a translation of flags/src/ledger/rules.rs, held to it by the suite of all stores.
local CLAIM_MS, LEASE_MS, GRACE_MS, SILENT_MS_MAX = 30000, 60000, 5000, 86400000
local BACKOFF_MS = {0, 2000, 10000, 60000, 300000, 1800000, 7200000, 21600000}
local REFUSED_MAX = 3

local function lane_of(at) return string.sub(at, 1, 1) end

local function pinned(owner, epoch, pin)
    return {owner = owner, epoch = epoch, run = 'free', lease_ms = 0, silent_ms = 0, waiting = 0, claim_ms = 0,
        token = 0, ended_token = 0, attempt = 0, refused = 0, due_ms = 0, mode = pin.mode, share = pin.share,
        bucket = pin.bucket, revision = pin.revision, changed_ms = now}
end

local function state(r)
    if r.parked then return 'parked' end
    if r.claim_ms > 0 then return 'sending' end
    if r.moving then return 'moving' end
    if r.waiting > 0 then return 'waiting' end
    if r.run == 'free' then return 'idle' end
    return r.run
end

local function leased_until(r)
    if r.run == 'running' or r.run == 'unsure' then return r.lease_ms end
end

local function movable_at(r)
    local till = leased_until(r)
    if till then return till + GRACE_MS end
    return 0
end

local function ready_at(r)
    if r.waiting == 0 or r.parked then return nil end
    if r.claim_ms > 0 then return r.claim_ms end
    if r.moving then return movable_at(r) end
    return r.due_ms
end

local function may_move(r) return r.claim_ms == 0 and now >= movable_at(r) end

local function is_at_rest(r) return r.waiting == 0 and may_move(r) end

local function enqueue(r)
    if r.waiting == 0 then
        r.attempt, r.refused, r.due_ms = 0, 0, now
    end
    r.waiting = r.waiting + 1
    r.changed_ms = now
end

local function park(r, why)
    r.parked = why
    r.changed_ms = now
end

-- The only place where an owner changes.
local function give(r, to)
    r.owner = to
    r.epoch = r.epoch + 1
    r.run = 'free'
    r.lease_ms, r.silent_ms, r.ended_token = 0, 0, 0
    r.success, r.workflow, r.last = nil, nil, nil
    r.attempt, r.refused, r.due_ms = 0, 0, now
    r.parked, r.moving = nil, nil
    r.changed_ms = now
end

local function move_on(r, lane)
    if not r.moving or lane ~= 'o' or not may_move(r) then return false end
    give(r, r.moving)
    return true
end

local function lease_length(r) return math.max(r.silent_ms, LEASE_MS) end

local function was_sent(r, run, by)
    if r.ended_token == r.token and r.run == 'ended' then return end
    if r.run ~= 'running' then r.run = run end
    r.success = nil
    r.lease_ms = math.max(r.lease_ms, by + lease_length(r))
end

local function next_event(r)
    r.waiting = r.waiting - 1
    r.attempt, r.refused, r.due_ms = 0, 0, now
    r.parked = nil
end

local function moved_or_again(r, lane)
    if move_on(r, lane) then return 'reassigned' end
    local wait = BACKOFF_MS[math.max(r.attempt, 1)]
    if wait then
        r.due_ms = now + wait
        return 'again'
    end
    park(r, 'dead')
    return 'dead'
end

-- Answers what followed, and whether the first event is done with.
local function settle(r, lane, token, answer)
    if r.claim_ms == 0 or r.token ~= token then return 'fenced', false end
    local claimed_till = r.claim_ms
    r.claim_ms = 0
    r.changed_ms = now
    if answer == 'accepted' or answer == 'in_progress' then
        was_sent(r, 'running', now)
        next_event(r)
        move_on(r, lane)
        return 'delivered', true
    elseif answer == 'not_accepted' then
        r.refused = r.refused + 1
        local is_refused = lane == 'o' and r.owner == 'new' and r.refused >= REFUSED_MAX
        if is_refused and not r.moving and may_move(r) then
            give(r, 'legacy')
            return 'reassigned', false
        end
        return moved_or_again(r, lane), false
    elseif answer == 'rejected' then
        if move_on(r, lane) then return 'reassigned', false end
        park(r, 'rejected')
        return 'parked', false
    end
    r.refused = 0
    was_sent(r, 'unsure', math.max(now, claimed_till))
    return moved_or_again(r, lane), false
end

local function expire(r, lane)
    if r.claim_ms > 0 and now >= r.claim_ms then settle(r, lane, r.token, 'ambiguous') end
end

-- Answers 'send', 'parked', 'moved' or nothing.
local function claim(r, lane, first_id)
    if r.waiting == 0 or r.parked or now < r.claim_ms then return nil end
    local epoch = r.epoch
    expire(r, lane)
    if r.parked then return 'parked' end
    if r.epoch ~= epoch then return 'moved' end
    if r.moving then
        if not may_move(r) then return nil end
        if lane ~= 'o' then
            park(r, 'rolled_back')
            return 'parked'
        end
        give(r, r.moving)
        return 'moved'
    end
    if now < r.due_ms then return nil end
    r.token = r.token + 1
    r.claim_ms = now + CLAIM_MS
    r.attempt = r.attempt + 1
    r.last = first_id
    r.changed_ms = now
    return 'send'
end

local function report(r, lane, side, epoch, word, delivery)
    if r.owner ~= side or r.epoch ~= epoch then return 'fenced' end
    local is_last = delivery == r.last
    if not word.heartbeat and delivery and not is_last then return 'ended', false end
    r.changed_ms = now
    if word.heartbeat then
        if word.max_ms then r.silent_ms = math.min(word.max_ms, SILENT_MS_MAX) end
        r.run = 'running'
        r.ended_token = 0
        r.success = nil
        r.lease_ms = now + lease_length(r)
        return 'renewed'
    end
    if r.claim_ms > 0 and (is_last or r.run == 'free') then r.ended_token = r.token end
    r.run = 'ended'
    r.lease_ms, r.silent_ms = 0, 0
    r.success = word.success
    if move_on(r, lane) then return 'handed_over' end
    return 'ended'
end

local function hand_over(r, epoch, to, is_operator)
    expire(r, 'o')
    if r.epoch ~= epoch then return 'fenced' end
    if r.owner == to then
        r.moving = nil
        return 'already'
    end
    if r.claim_ms > 0 then return 'busy' end
    if is_operator or may_move(r) then
        give(r, to)
        return 'over'
    end
    r.moving = to
    r.changed_ms = now
    return 'waiting'
end

local function roll_back(r, lane)
    expire(r, lane)
    if r.owner ~= 'new' then return 'stays' end
    if lane ~= 'o' then
        if r.waiting > 0 and r.claim_ms == 0 and not r.parked then
            park(r, 'rolled_back')
            return 'parked'
        end
        local waits = r.waiting > 0 and not r.parked
        r.moving = waits and 'legacy' or nil
        return waits and 'waits' or 'stays'
    end
    if may_move(r) then
        give(r, 'legacy')
        return 'moved'
    end
    r.moving = 'legacy'
    r.changed_ms = now
    return 'waits'
end

local function replay(r)
    if not r.parked then return false end
    r.parked, r.moving = nil, nil
    r.attempt, r.refused, r.due_ms = 0, 0, now
    r.changed_ms = now
    return true
end

local function may_resend(r, had, is_rolled_back, queue_max)
    if r.owner ~= had or r.moving then return 'moved' end
    if is_rolled_back and had == 'new' then return 'rolled_back' end
    if r.waiting >= queue_max then return 'full' end
    return 'again'
end

local function pass_over(r)
    next_event(r)
    r.changed_ms = now
end

local function discard(r)
    if not r.parked or r.waiting == 0 then return false end
    next_event(r)
    r.changed_ms = now
    return true
end

local function forget_if_idle(r, idle_ms)
    if not is_at_rest(r) or r.changed_ms + idle_ms > now or r.run == 'ended' then return false end
    r.run = 'ended'
    r.lease_ms = 0
    r.moving = nil
    return true
end
