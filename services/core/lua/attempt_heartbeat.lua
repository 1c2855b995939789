-- Note that the execution which claimed an attempt is alive.
-- KEYS attempts, attempt
-- ARGV attempt id, pod uid
-- -> 'ok' | 'taken' (claimed by another execution, or by none) | 'over' (the attempt is not live)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 'over' end
if redis.call('HGET', KEYS[2], 'pod_uid') ~= ARGV[2] then return 'taken' end
local t = redis.call('TIME')
redis.call('HSET', KEYS[2], 'heartbeat_at', string.format('%d.%06d', t[1], t[2]))
return 'ok'
