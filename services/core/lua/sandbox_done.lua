-- Record how a command ended. The first report wins; repeating one is no error, also after the attempt is over.
-- KEYS attempts, attempt, sandbox, begun
-- ARGV attempt id, pod uid, call, outcome
-- -> 'ok' | 'seen' | 'over' (the attempt is not live) | 'taken' | 'strange' (the attempt has no such command)
if redis.call('HGET', KEYS[3], ARGV[3] .. ':attempt') ~= ARGV[1] then
  if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 'over' end
  return 'strange'
end
if redis.call('HEXISTS', KEYS[3], ARGV[3] .. ':outcome') == 1 then return 'seen' end
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 'over' end
if redis.call('HGET', KEYS[2], 'pod_uid') ~= ARGV[2] then return 'taken' end
local t = redis.call('TIME')
local now = string.format('%d', t[1] * 1000 + math.floor(t[2] / 1000))
redis.call('HSET', KEYS[3], ARGV[3] .. ':outcome', ARGV[4], 'used_at', now)
if redis.call('HGET', KEYS[3], ARGV[3] .. ':gpus') ~= '0' then redis.call('HSET', KEYS[3], 'gpus_used_at', now) end
redis.call('SREM', KEYS[4], ARGV[3])
return 'ok'
