-- Note that a file of an attempt's output is in the artifact store.
-- KEYS attempts, attempt, outputs
-- ARGV attempt id, path, entry, most outputs kept
-- -> 'ok' | 'full' | 'over' (the attempt is not live)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 'over' end
if redis.call('HEXISTS', KEYS[3], ARGV[2]) == 0 and redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[4]) then return 'full' end
redis.call('HSET', KEYS[3], ARGV[2], ARGV[3])
return 'ok'
