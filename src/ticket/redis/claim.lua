-- Replaces a live value (its first byte is `L`) by its tombstone. KEYS[2]: its key. ARGV[3]: the
-- tombstone; 4: its TTL. Returns the value before.
local found = redis.call('GET', KEYS[2])
if found and string.byte(found, 1) == 76 then
  redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
  recharge(KEYS[2], #ARGV[3], tonumber(ARGV[4]))
end
return found
