-- Where the bytes of one part of an attempt's log are, at one moment.
-- KEYS attempts, attempt, tail, segments
-- ARGV attempt id, offset, limit
-- -> {size, 1 if bytes may still come, segments that overlap [offset, offset + limit), bytes of the tail in it}
local size = tonumber(redis.call('HGET', KEYS[2], 'log_bytes') or '0')
local open = 0
if redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('HEXISTS', KEYS[2], 'finish') == 0 then open = 1 end
local from = tonumber(ARGV[2])
local to = math.min(size, from + tonumber(ARGV[3]))
if from >= to then return {size, open, {}, ''} end
local segments = {}
local first = redis.call('ZREVRANGEBYSCORE', KEYS[4], string.format('%d', from), '-inf', 'LIMIT', 0, 1)
if first[1] then
  local start = redis.call('ZSCORE', KEYS[4], first[1])
  segments = redis.call('ZRANGEBYSCORE', KEYS[4], start, '(' .. string.format('%d', to))
end
local begin = size - redis.call('STRLEN', KEYS[3])
local tail = ''
if to > begin then
  tail = redis.call('GETRANGE', KEYS[3], string.format('%d', math.max(0, from - begin)), string.format('%d', to - begin - 1))
end
return {size, open, segments, tail}
