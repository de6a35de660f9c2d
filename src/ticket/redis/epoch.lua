-- Records when the data began. KEYS[2]: the epoch. ARGV[3]: now; 4: its TTL. An existing epoch keeps
-- its value. Also takes expired entries off the account, for times without requests.
forget_expired(512)
if tonumber(redis.call('GET', KEYS[2]) or '') then return redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return 1
