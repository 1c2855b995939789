-- Accept a run: all of it, or nothing. The same request again finds what it made.
-- KEYS run, events, due, tenant index, tenant+status index, live
-- ARGV run id, request hash, created ms, tenant, status, event type, event time, event data, snapshot, write id,
--      what the index of live runs says of it ('' = nothing)
-- -> {'created', '1'} | {'exists', seq} | {'conflict', seq}
local known = redis.call('HGET', KEYS[1], 'request')
if known then
  local seq = redis.call('HGET', KEYS[1], 'seq')
  -- A client that lost the reply sends the same again: tell it what it did the first time.
  if redis.call('HGET', KEYS[1], 'write_id') == ARGV[10] then return {'created', '1'} end
  if known == ARGV[2] then return {'exists', seq} end
  return {'conflict', seq}
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('XADD', KEYS[2], '1-0', 'type', ARGV[6], 'time', ARGV[7], 'turn', '0', 'data', ARGV[8])
redis.call('HSET', KEYS[1], 'request', ARGV[2], 'seq', 1, 'status', ARGV[5], 'tenant', ARGV[4], 'generation', 0,
  'owner', '', 'lease_until', 0, 'wake_at', now, 'snapshot', ARGV[9], 'write_id', ARGV[10], 'write_seq', 1)
redis.call('ZADD', KEYS[3], now, ARGV[1])
redis.call('ZADD', KEYS[4], ARGV[3], ARGV[1])
redis.call('ZADD', KEYS[5], ARGV[3], ARGV[1])
if ARGV[11] ~= '' then redis.call('HSET', KEYS[6], ARGV[1], ARGV[11]) end
return {'created', '1'}
