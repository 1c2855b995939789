-- Append observations of an attempt, each once however often it is sent.
-- KEYS attempts, attempt, metrics, samples, warnings
-- ARGV 1 attempt id, 2 index of the first metric, 3 progress ('' = as it was), 4 channel, 5 announcement
--      6 most metrics kept, 7 most samples kept, 8 most warnings kept
--      9 n metrics, then n times: entry; then n samples, then n times: time, entry; then n warnings, n times: entry
-- -> 'ok' | 'over' (the attempt is not live)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 'over' end

local counts = redis.call('HMGET', KEYS[2], 'metrics_count', 'metrics_dropped', 'sampled_at')
local count = tonumber(counts[1] or '0')
local dropped = tonumber(counts[2] or '0')
local index = tonumber(ARGV[2])
-- What the sender says came before and never came is counted, not passed over in silence.
if index > count then
  dropped = dropped + index - count
  count = index
end
local at = 9
local n = tonumber(ARGV[at])
local room = tonumber(ARGV[6]) - redis.call('LLEN', KEYS[3])
at = at + 1
for _ = 1, n do
  if index >= count then
    if room > 0 then
      redis.call('RPUSH', KEYS[3], ARGV[at])
      room = room - 1
    else
      dropped = dropped + 1
    end
    count = count + 1
  end
  index = index + 1
  at = at + 1
end
redis.call('HSET', KEYS[2], 'metrics_count', string.format('%d', count), 'metrics_dropped', string.format('%d', dropped))

local sampled = tonumber(counts[3] or '0')
n = tonumber(ARGV[at])
at = at + 1
for _ = 1, n do
  -- Samples have no index; their time rises, so what is not newer was here before.
  if tonumber(ARGV[at]) > sampled then
    redis.call('RPUSH', KEYS[4], ARGV[at + 1])
    redis.call('HSET', KEYS[2], 'sampled_at', ARGV[at])
    sampled = tonumber(ARGV[at])
  end
  at = at + 2
end
redis.call('LTRIM', KEYS[4], -tonumber(ARGV[7]), -1)

n = tonumber(ARGV[at])
at = at + 1
for _ = 1, n do
  if redis.call('ZCARD', KEYS[5]) < tonumber(ARGV[8]) then
    redis.call('ZADD', KEYS[5], 'NX', redis.call('ZCARD', KEYS[5]), ARGV[at])
  end
  at = at + 1
end
if n > 0 then redis.call('HSET', KEYS[2], 'warnings_count', redis.call('ZCARD', KEYS[5])) end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[2], 'progress', ARGV[3]) end
if ARGV[5] ~= '' then redis.call('PUBLISH', ARGV[4], ARGV[5]) end
return 'ok'
