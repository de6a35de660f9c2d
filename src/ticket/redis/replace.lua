-- Replaces a value that still has its version. KEYS[2]: its key. ARGV[3]: the version; 4: the new
-- value.
local found = redis.call('GET', KEYS[2])
if not found or string.sub(found, 1, 13) ~= ARGV[3] then return 0 end
redis.call('SET', KEYS[2], ARGV[4], 'KEEPTTL')
recharge(KEYS[2], #ARGV[4], redis.call('PTTL', KEYS[2]))
return 1
