-- Count what a forgotten run has spent among what forgotten runs have, once.
-- KEYS ledger, forgetting
-- ARGV run id
-- -> 1 counted now, 0 before
local spent = redis.call('HGET', KEYS[2], ARGV[1])
if not spent then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'forgotten', spent)
return 1
