-- Raises counters if none is at its limit. KEYS[2…]: counters. ARGV[3…]: limit and window of
-- each. Reads all before it raises any. Returns the time to wait, or 0, or
-- -1 without space.
local wait, new = 0, 0
for i = 2, #KEYS do
  local count = tonumber(redis.call('GET', KEYS[i]) or 0)
  if count == 0 then new = new + 1 end
  if count >= tonumber(ARGV[2 * i - 1]) then
    local left = redis.call('PTTL', KEYS[i])
    if left == -2 then left = tonumber(ARGV[2 * i]) end
    wait = math.max(wait, left, 1)
  end
end
if wait > 0 then return wait end
local pool = pool_of(COUNTERS)
if new > 0 and not make_space(pool, 0, new) then return -1 end
for i = 2, #KEYS do
  if redis.call('INCR', KEYS[i]) == 1 then
    local window = tonumber(ARGV[2 * i])
    redis.call('PEXPIRE', KEYS[i], window)
    forget(KEYS[i])
    charge(KEYS[i], pool, 0, payer, window)
  else
    touch(KEYS[i])
  end
end
return 0
