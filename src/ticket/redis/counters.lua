-- What the scripts with counters share. Their keys are KEYS[first…], and limit and window of each
-- are ARGV[at…].

-- Returns the time until no counter is at its limit, or 0, and how many of them are new.
local function time_to_wait(first, at)
  local wait, new = 0, 0
  for i = first, #KEYS do
    local limit, window = tonumber(ARGV[at + 2 * (i - first)]), tonumber(ARGV[at + 2 * (i - first) + 1])
    local count = tonumber(redis.call('GET', KEYS[i]) or 0)
    if count == 0 then new = new + 1 end
    if count >= limit then
      local left = redis.call('PTTL', KEYS[i])
      if left == -2 then left = window end
      wait = math.max(wait, left, 1)
    end
  end
  return wait, new
end

-- Raises all counters, of which so many are new. Returns false without space.
local function raise_all(first, at, new)
  local pool = pool_of(COUNTERS)
  if new > 0 and not make_space(pool, 0, new) then return false end
  for i = first, #KEYS do
    if redis.call('INCR', KEYS[i]) == 1 then
      local window = tonumber(ARGV[at + 2 * (i - first) + 1])
      redis.call('PEXPIRE', KEYS[i], window)
      forget(KEYS[i])
      charge(KEYS[i], pool, 0, payer, window)
    else
      touch(KEYS[i])
    end
  end
  return true
end

