-- Note the newest version of an attempt's checkpoint directory, once it is whole in the artifact store.
-- KEYS attempts, attempt
-- ARGV attempt id, version's number, its snapshot
-- -> 'ok' | 'seen' (that number or a later one is known) | 'over' (the attempt is not live)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 'over' end
local known = tonumber(redis.call('HGET', KEYS[2], 'checkpoint_number') or '0')
if tonumber(ARGV[2]) <= known then return 'seen' end
redis.call('HSET', KEYS[2], 'checkpoint', ARGV[3], 'checkpoint_number', ARGV[2])
return 'ok'
