-- Stores an identifier once. KEYS[2]: the epoch; 3: the identifier. ARGV[3]: now and 4: the epoch's
-- TTL; 5: the value and 6: its TTL. Returns the epoch for a first use, 0 for a further
-- one, -1 without an epoch, -2 without space.
local since = tonumber(redis.call('GET', KEYS[2]) or '')
if not since then
  redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
  return -1
end
if redis.call('EXISTS', KEYS[3]) == 1 then return 0 end
local pool, value, ttl = pool_of(PROOFS), ARGV[5], tonumber(ARGV[6])
if not make_space(pool, #value, 1) then return -2 end
local done = set(KEYS[3], value, ttl)
if done.err then return done end
forget(KEYS[3])
charge(KEYS[3], pool, #value, payer, ttl)
return since
