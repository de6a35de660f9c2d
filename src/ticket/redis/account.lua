-- What every script begins with: the account of the store's space, by the rules of `account.rs`.
--
-- KEYS[1]: the stem of the account's keys. ARGV[1]: the most bytes of all entries. ARGV[2]: who is
-- charged, as "name:share" of each group, separated by spaces, the narrowest first; empty for the
-- service's own entries. The other keys and arguments are each script's own.
--
-- STEM:of          hash     key of an entry -> "pool cost groups"
-- STEM:ends        zset     key of an entry, by its expiry in milliseconds
-- STEM:bytes       hash     pool -> bytes
-- STEM:size:P      zset     name of a group, by its bytes divided by its share
-- STEM:in:P:NAME   zset     the narrowest groups of a wider one, by their bytes
-- STEM:queue:P:N   zset     key of an entry of a narrowest group, by its arrival
--
-- ENTRY_BYTES and GROUP_BYTES are defined before this file.
--
-- Entries expire by themselves. Each script takes some of them off the account, and more before it
-- drops or refuses an entry.
local stem, limit, payer = KEYS[1], tonumber(ARGV[1]), ARGV[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- The pools: the service's own entries, charged tickets, charged counters, charged proofs.
local OWN, TICKETS, COUNTERS, PROOFS = 'o', 't', 'c', 'p'
local SHARE = { o = 3 / 4, t = 1 / 2, c = 1 / 4, p = 1 / 2 }

-- Returns the cost of an entry with a value of this length.
local function cost_of(value, groups)
  local _, count = string.gsub(groups, ':', '')
  return value + ENTRY_BYTES + GROUP_BYTES * count
end

local function pool_of(charged)
  if payer == '' then return OWN end
  return charged
end

-- An account's key lives longer than every entry in it, so that no expiry is missed.
local function outlive(key, ttl)
  if redis.call('PTTL', key) < ttl + 3600000 then
    redis.call('PEXPIRE', key, ttl + 7200000)
  end
end

-- Adds a cost, which may be negative, to the pool and to each group. Returns the narrowest group.
local function add(pool, cost, groups, ttl)
  local narrowest
  local function raise(key, amount, member)
    local sum = redis.call('ZINCRBY', key, amount, member)
    if tonumber(sum) <= 0 then redis.call('ZREM', key, member) elseif ttl then outlive(key, ttl) end
  end
  redis.call('HINCRBY', stem .. ':bytes', pool, cost)
  if ttl then outlive(stem .. ':bytes', ttl) end
  for name, share in string.gmatch(groups, '(%S+):(%d+)') do
    raise(stem .. ':size:' .. pool, cost / share, name)
    if narrowest then
      raise(stem .. ':in:' .. pool .. ':' .. name, cost, narrowest)
    else
      narrowest = name
    end
  end
  return narrowest
end

-- Takes an entry off the account. Returns its pool and groups, if it was charged.
local function forget(key)
  local info = redis.call('HGET', stem .. ':of', key)
  if not info then return nil end
  local pool, cost, groups = string.match(info, '^(%a) (%d+) (.*)$')
  redis.call('HDEL', stem .. ':of', key)
  redis.call('ZREM', stem .. ':ends', key)
  local narrowest = add(pool, -cost, groups)
  if narrowest then redis.call('ZREM', stem .. ':queue:' .. pool .. ':' .. narrowest, key) end
  return pool, groups
end

local function charge(key, pool, value, groups, ttl)
  local cost = cost_of(value, groups)
  redis.call('HSET', stem .. ':of', key, pool .. ' ' .. cost .. ' ' .. groups)
  redis.call('ZADD', stem .. ':ends', now + ttl, key)
  outlive(stem .. ':of', ttl)
  outlive(stem .. ':ends', ttl)
  local narrowest = add(pool, cost, groups, ttl)
  if narrowest then
    local queue = stem .. ':queue:' .. pool .. ':' .. narrowest
    redis.call('ZADD', queue, now, key)
    outlive(queue, ttl)
  end
end

-- Makes an entry the newest of its payer, so that a counter in use is dropped last.
local function touch(key)
  local info = redis.call('HGET', stem .. ':of', key)
  if not info then return end
  local pool, narrowest = string.match(info, '^(%a) %d+ (%S-):%d+')
  if narrowest then redis.call('ZADD', stem .. ':queue:' .. pool .. ':' .. narrowest, 'XX', now, key) end
end

-- Charges the payer of an entry for its new content.
local function recharge(key, value, ttl)
  local pool, groups = forget(key)
  charge(key, pool or OWN, tonumber(value), groups or '', ttl)
end

-- Takes at most so many expired entries off the account. Returns how many.
local function forget_expired(most)
  local keys = redis.call('ZRANGEBYSCORE', stem .. ':ends', '-inf', now, 'LIMIT', 0, most)
  for _, key in ipairs(keys) do forget(key) end
  return #keys
end

-- Drops the oldest entry of the group that holds most beside its share. Returns false if there is
-- none.
local function drop(pool)
  for _ = 1, 4 do
    local name = redis.call('ZREVRANGE', stem .. ':size:' .. pool, 0, 0)[1]
    if not name then return false end
    local member = redis.call('ZREVRANGE', stem .. ':in:' .. pool .. ':' .. name, 0, 0)[1] or name
    local key = redis.call('ZRANGE', stem .. ':queue:' .. pool .. ':' .. member, 0, 0)[1]
    if key then
      redis.call('DEL', key)
      forget(key)
      return true
    end
    -- A group without entries is an account that was damaged from outside.
    redis.call('ZREM', stem .. ':size:' .. pool, name)
  end
  return false
end

-- Returns whether the payer of a proof may hold so much more, where the proofs of all hold `used`.
-- Proofs are never dropped: each payer may hold a 64th of what is left, for each network's worth of its
-- share.
local function admits(pool, cost, used)
  if pool ~= PROOFS then return true end
  local size, left = stem .. ':size:' .. PROOFS, limit * SHARE.p - used
  for name, share in string.gmatch(payer, '(%S+):(%d+)') do
    -- Reads the score, for which our user's permissions have no other command. If Redis itself is full
    -- there is none, and `set` decides.
    local held = tonumber(redis.pcall('ZINCRBY', size, 0, name))
    if held and held <= 0 then redis.call('ZREM', size, name) end
    if held and (held + cost / share) * 64 > left then return false end
  end
  return true
end

-- Makes space for so many entries with a value of this length. Returns false if there is none. Of the
-- expired entries that are still in the account, 512 leave before a live one is dropped or the space
-- counts as full.
local function make_space(pool, value, count)
  local cost = count * cost_of(value, payer)
  local rounds = 8
  forget_expired(32)
  if cost > limit * SHARE[pool] then return false end
  for _ = 1, 128 + rounds do
    local found = redis.call('HMGET', stem .. ':bytes', OWN, TICKETS, COUNTERS, PROOFS)
    local bytes = { o = tonumber(found[1] or 0), t = tonumber(found[2] or 0), c = tonumber(found[3] or 0) }
    bytes.p = tonumber(found[4] or 0)
    local crowded
    if bytes[pool] + cost > limit * SHARE[pool] or not admits(pool, cost, bytes.p) then
      crowded = pool
    elseif bytes.o + bytes.t + bytes.c + bytes.p + cost > limit then
      crowded = TICKETS
    else
      return true
    end
    if rounds > 0 and forget_expired(64) > 0 then
      rounds = rounds - 1
    else
      rounds = 0
      if crowded == OWN or crowded == PROOFS or not drop(crowded) then return false end
    end
  end
  return false
end

-- Stores a value. If Redis itself is full, charged tickets leave first.
local function set(key, value, ttl)
  local done = redis.pcall('SET', key, value, 'PX', ttl)
  if type(done) == 'table' and done.err and string.find(done.err, 'OOM', 1, true) then
    for _ = 1, 4 do
      if not drop(TICKETS) then break end
    end
    done = redis.pcall('SET', key, value, 'PX', ttl)
  end
  return done
end

