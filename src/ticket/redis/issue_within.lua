-- Stores a ticket and raises counters, if none is at its limit. KEYS[2]: the ticket; KEYS[3…]:
-- counters. ARGV[3]: the value; 4: its TTL; ARGV[5…]: limit and window of each counter. Returns the
-- time to wait, or 0, or -1 without space, or -2 if the key is taken.
local key, value, ttl = KEYS[2], ARGV[3], tonumber(ARGV[4])
local wait, new = time_to_wait(3, 5)
if wait > 0 then return wait end
if redis.call('EXISTS', key) == 1 then return -2 end
if not raise_all(3, 5, new) then return -1 end
local pool = pool_of(TICKETS)
if not make_space(pool, #value, 1) then return -1 end
local done = set(key, value, ttl)
if done.err then return done end
forget(key)
charge(key, pool, #value, payer, ttl)
return 0
