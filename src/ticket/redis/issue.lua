-- Stores a ticket. KEYS[2]: its key. ARGV[3]: the value; 4: its TTL. Returns 1, or 0 if
-- the key is taken, or -1 without space.
local key, value, ttl = KEYS[2], ARGV[3], tonumber(ARGV[4])
if redis.call('EXISTS', key) == 1 then return 0 end
local pool = pool_of(TICKETS)
if not make_space(pool, #value, 1) then return -1 end
local done = set(key, value, ttl)
if done.err then return done end
forget(key)
charge(key, pool, #value, payer, ttl)
return 1
