-- Raises counters if none is at its limit. KEYS[2…]: counters. ARGV[3…]: limit and window of
-- each. Reads all before it raises any. Returns the time to wait, or 0, or
-- -1 without space.
local wait, new = time_to_wait(2, 3)
if wait > 0 then return wait end
if not raise_all(2, 3, new) then return -1 end
return 0
