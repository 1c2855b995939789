-- Give a lease back without an event; the run is due at its wake-up time.
-- KEYS run, due
-- ARGV run id, generation
-- -> 1 released, 0 it was not this generation's any more
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'lease_until', 0, 'owner', '')
local wake = tonumber(redis.call('HGET', KEYS[1], 'wake_at'))
if wake == 0 then redis.call('ZREM', KEYS[2], ARGV[1]) else redis.call('ZADD', KEYS[2], wake, ARGV[1]) end
return 1
