-- Replace the tail of an attempt's log, and the bytes that are to follow it, by a segment that holds both and is stored.
-- KEYS attempts, attempt, tail, segments, order of the ranks
-- ARGV 1 attempt id, 2 size before, 3 tail's length before, 4 bytes that follow, 5 segment, 6 its offset, 7 channel,
--      8 attempt without its rank, 9 rank, 10 most turns noted
-- -> {'ok', size} | {'offset', size} (the log has moved on meanwhile; nothing was changed) | {'over'}
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) or redis.call('HEXISTS', KEYS[2], 'finish') == 1 then return {'over'} end
local size = tonumber(redis.call('HGET', KEYS[2], 'log_bytes') or '0')
if size ~= tonumber(ARGV[2]) or redis.call('STRLEN', KEYS[3]) ~= tonumber(ARGV[3]) then return {'offset', size} end
redis.call('ZADD', KEYS[4], ARGV[6], ARGV[5])
redis.call('DEL', KEYS[3])
size = size + tonumber(ARGV[4])
local text = string.format('%d', size)
local t = redis.call('TIME')
local now = string.format('%d.%06d', t[1], t[2])
redis.call('HSETNX', KEYS[2], 'first_output_at', now)
redis.call('HSET', KEYS[2], 'log_bytes', text, 'last_output_at', now)
redis.call('PUBLISH', ARGV[7], '{"attempt":"' .. ARGV[1] .. '","log_bytes":' .. text .. '}')
-- Of an attempt on several nodes, note whose turn it was.
if ARGV[9] ~= '0' or redis.call('ZSCORE', KEYS[1], ARGV[8] .. '.1') then
  local last = redis.call('LINDEX', KEYS[5], -1)
  if last and string.match(last, '^%d+') == ARGV[9] then
    redis.call('LSET', KEYS[5], -1, ARGV[9] .. ':' .. text)
  elseif redis.call('LLEN', KEYS[5]) < tonumber(ARGV[10]) then
    redis.call('RPUSH', KEYS[5], ARGV[9] .. ':' .. text)
  end
end
return {'ok', size}
