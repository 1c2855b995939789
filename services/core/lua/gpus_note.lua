-- Note that an attempt holds GPUs, whatever the quota: it runs.
-- KEYS held, waiting
-- ARGV attempt, GPUs
-- -> 1 noted now, 0 it was known
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2])
