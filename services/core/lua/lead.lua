-- Become or stay the leader of a role.
-- KEYS leader
-- ARGV name, lease ms (0: to lead no longer)
-- -> generation (> 0) when this name leads, 0 when another does
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local holder = redis.call('HGET', KEYS[1], 'name')
local lease = tonumber(redis.call('HGET', KEYS[1], 'until') or '0')
if holder == ARGV[1] and lease > now then
  redis.call('HSET', KEYS[1], 'until', now + tonumber(ARGV[2]))
  return tonumber(redis.call('HGET', KEYS[1], 'generation'))
end
if lease > now then return 0 end
redis.call('HSET', KEYS[1], 'name', ARGV[1], 'until', now + tonumber(ARGV[2]))
return redis.call('HINCRBY', KEYS[1], 'generation', 1)
