-- Append events, move the status, set the wake-up time and the indexes, all or nothing.
-- KEYS run, events, talk, seen, due, tenant+old status, tenant+new status, attempts, ended, live, overdue
-- ARGV 1 run id, 2 expected seq, 3 generation ('' = an outside fact), 4 write id, new for every write
--      5 created ms, 6 old status, 7 new status, 8 wake ('' keep, 'never', or milliseconds from now), 9 snapshot ('' = keep)
--      10 channel, 11 release the lease ('1') or not (''), 12 ended ('1') or '', 13 dedupe key of an outside fact
--      14 what the index of live runs says of it ('' = it is not in there)
--      15 n events, then n times: type, time, turn, data; then n talk, then n times: entry;
--      then n attempts begun, their ids; then n attempts over, their ids
-- -> {'ok', seq} | {'seen', seq} | {'fenced', generation} | {'stale', seq} | {'missing', ''}
local seq = redis.call('HGET', KEYS[1], 'seq')
if not seq then return {'missing', ''} end
local outside = ARGV[3] == ''
-- A client that lost the reply sends the same write again: tell it what it did the first time.
if outside then
  local before = redis.call('HGET', KEYS[4], ARGV[13])
  if before and redis.call('HGET', KEYS[1], 'fact_id') == ARGV[4] then return {'ok', before} end
  if before then return {'seen', before} end
else
  local generation = redis.call('HGET', KEYS[1], 'generation')
  if generation ~= ARGV[3] then return {'fenced', generation} end
  if redis.call('HGET', KEYS[1], 'write_id') == ARGV[4] then
    return {'ok', redis.call('HGET', KEYS[1], 'write_seq')}
  end
end
if seq ~= ARGV[2] then return {'stale', seq} end

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local at = 15
local last = tonumber(seq)
local n = tonumber(ARGV[at])
at = at + 1
for _ = 1, n do
  last = last + 1
  redis.call('XADD', KEYS[2], last .. '-0', 'type', ARGV[at], 'time', ARGV[at + 1], 'turn', ARGV[at + 2], 'data', ARGV[at + 3])
  at = at + 4
end
n = tonumber(ARGV[at])
at = at + 1
for _ = 1, n do
  redis.call('RPUSH', KEYS[3], ARGV[at])
  at = at + 1
end
n = tonumber(ARGV[at])
at = at + 1
for _ = 1, n do
  redis.call('ZADD', KEYS[8], now, ARGV[at])
  at = at + 1
end
n = tonumber(ARGV[at])
at = at + 1
for _ = 1, n do
  redis.call('ZREM', KEYS[8], ARGV[at])
  at = at + 1
end

local text = string.format('%d', last)
redis.call('HSET', KEYS[1], 'seq', text)
if ARGV[9] ~= '' then redis.call('HSET', KEYS[1], 'snapshot', ARGV[9]) end
if outside then
  redis.call('HSET', KEYS[4], ARGV[13], text)
  redis.call('HSET', KEYS[1], 'fact_id', ARGV[4])
else
  redis.call('HSET', KEYS[1], 'write_id', ARGV[4], 'write_seq', text)
end
if ARGV[6] ~= ARGV[7] then
  redis.call('HSET', KEYS[1], 'status', ARGV[7])
  redis.call('ZREM', KEYS[6], ARGV[1])
  redis.call('ZADD', KEYS[7], ARGV[5], ARGV[1])
end
if ARGV[14] == '' then
  redis.call('HDEL', KEYS[10], ARGV[1])
elseif ARGV[6] ~= ARGV[7] then
  redis.call('HSET', KEYS[10], ARGV[1], ARGV[14])
else
  -- Of a run that was there before this index was.
  redis.call('HSETNX', KEYS[10], ARGV[1], ARGV[14])
end
-- Who writes under a lease has the run: it waits for nobody.
if not outside then redis.call('ZREM', KEYS[11], ARGV[1]) end
if ARGV[11] == '1' then redis.call('HSET', KEYS[1], 'lease_until', 0, 'owner', '') end
if ARGV[8] == 'never' then
  redis.call('HSET', KEYS[1], 'wake_at', 0)
  redis.call('ZREM', KEYS[5], ARGV[1])
elseif ARGV[8] ~= '' then
  local wake = now + tonumber(ARGV[8])
  redis.call('HSET', KEYS[1], 'wake_at', wake)
  -- Under a live lease the due entry is the lease's horizon: an early hint would only find the run busy.
  local lease = tonumber(redis.call('HGET', KEYS[1], 'lease_until'))
  if lease < now then redis.call('ZADD', KEYS[5], wake, ARGV[1]) end
end
if ARGV[12] == '1' then redis.call('ZADD', KEYS[9], now, ARGV[1]) end
redis.call('PUBLISH', ARGV[10], text)
return {'ok', text}
