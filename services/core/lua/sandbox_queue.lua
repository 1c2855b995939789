-- Put a command into a run's queue, once.
-- KEYS run, sandbox, queue
-- ARGV call, order, run's channel, announcement, GPUs it needs
-- -> 'ok' | 'seen' (it is known already) | 'over' (the run is not running)
if redis.call('HGET', KEYS[1], 'status') ~= 'running' then return 'over' end
if redis.call('HSETNX', KEYS[2], ARGV[1] .. ':order', ARGV[2]) == 0 then return 'seen' end
local t = redis.call('TIME')
local now = string.format('%d', t[1] * 1000 + math.floor(t[2] / 1000))
redis.call('HSET', KEYS[2], ARGV[1] .. ':queued_at', now, ARGV[1] .. ':gpus', ARGV[5], 'used_at', now)
if ARGV[5] ~= '0' then redis.call('HSET', KEYS[2], 'gpus_used_at', now) end
redis.call('RPUSH', KEYS[3], ARGV[1])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 'ok'
