-- Forget what an attempt holds of its tenant's quota, and that it waits.
-- KEYS held, waiting
-- ARGV attempt
-- -> 1 it held some, 0 it held none
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
