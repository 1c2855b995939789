-- Replace the tail of an attempt's log, and the bytes that are to follow it, by a segment that holds both and is stored.
-- KEYS attempts, attempt, tail, segments
-- ARGV attempt id, size before, tail's length before, bytes that follow, segment, its offset, channel
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
return {'ok', size}
