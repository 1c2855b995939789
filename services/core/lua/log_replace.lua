-- Replace all segments and the tail of a closed log by segments that hold the same bytes and are stored.
-- KEYS attempt, tail, segments
-- ARGV size of the log, n old segments, their names, n new ones, n times: offset, name
-- -> 1 replaced | 0 the log is not what the caller read; nothing was changed
local size = tonumber(redis.call('HGET', KEYS[1], 'log_bytes') or '0')
if size ~= tonumber(ARGV[1]) then return 0 end
local n = tonumber(ARGV[2])
if redis.call('ZCARD', KEYS[3]) ~= n then return 0 end
local at = 3
for index = at, at + n - 1 do
  if not redis.call('ZSCORE', KEYS[3], ARGV[index]) then return 0 end
end
at = at + n
redis.call('DEL', KEYS[2], KEYS[3])
n = tonumber(ARGV[at])
at = at + 1
for _ = 1, n do
  redis.call('ZADD', KEYS[3], ARGV[at], ARGV[at + 1])
  at = at + 2
end
return 1
