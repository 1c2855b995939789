-- Make one execution of an attempt its only one.
-- KEYS attempts, attempt
-- ARGV attempt id, pod uid, controller's channel
-- -> 'ok' | 'taken' (by another execution) | 'over' (the attempt is not live)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 'over' end
local owner = redis.call('HGET', KEYS[2], 'pod_uid')
if owner then
  if owner == ARGV[2] then return 'ok' end
  return 'taken'
end
local t = redis.call('TIME')
local now = string.format('%d.%06d', t[1], t[2])
redis.call('HSET', KEYS[2], 'pod_uid', ARGV[2], 'claimed_at', now, 'heartbeat_at', now)
redis.call('PUBLISH', ARGV[3], ARGV[1])
return 'ok'
