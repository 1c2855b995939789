-- Append bytes to an attempt's log, at exactly its end.
-- KEYS attempts, attempt, tail, order of the ranks
-- ARGV 1 attempt id, 2 offset, 3 bytes, 4 longest tail, 5 channel, 6 attempt without its rank, 7 rank, 8 most turns noted
-- -> {'ok', size} | {'offset', size} (the bytes do not begin at the end) | {'full'} (make a segment first) | {'over'}
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) or redis.call('HEXISTS', KEYS[2], 'finish') == 1 then return {'over'} end
local size = tonumber(redis.call('HGET', KEYS[2], 'log_bytes') or '0')
if size ~= tonumber(ARGV[2]) then return {'offset', size} end
if redis.call('STRLEN', KEYS[3]) + #ARGV[3] > tonumber(ARGV[4]) then return {'full'} end
redis.call('APPEND', KEYS[3], ARGV[3])
size = size + #ARGV[3]
local text = string.format('%d', size)
local t = redis.call('TIME')
local now = string.format('%d.%06d', t[1], t[2])
redis.call('HSETNX', KEYS[2], 'first_output_at', now)
redis.call('HSET', KEYS[2], 'log_bytes', text, 'last_output_at', now)
redis.call('PUBLISH', ARGV[5], '{"attempt":"' .. ARGV[1] .. '","log_bytes":' .. text .. '}')
-- Of an attempt on several nodes, note whose turn it was.
if ARGV[7] ~= '0' or redis.call('ZSCORE', KEYS[1], ARGV[6] .. '.1') then
  local last = redis.call('LINDEX', KEYS[4], -1)
  if last and string.match(last, '^%d+') == ARGV[7] then
    redis.call('LSET', KEYS[4], -1, ARGV[7] .. ':' .. text)
  elseif redis.call('LLEN', KEYS[4]) < tonumber(ARGV[8]) then
    redis.call('RPUSH', KEYS[4], ARGV[7] .. ':' .. text)
  end
end
return {'ok', size}
