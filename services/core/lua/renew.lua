-- Extend a lease, as long as it is still this generation's.
-- KEYS run, due
-- ARGV run id, generation, lease ms
-- -> the run's status, or '' when the lease is lost
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[2] then return '' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if tonumber(redis.call('HGET', KEYS[1], 'lease_until')) < now then return '' end
redis.call('HSET', KEYS[1], 'lease_until', now + tonumber(ARGV[3]))
-- A run that is over is due to nobody.
if redis.call('HGET', KEYS[1], 'wake_at') ~= '0' then
  redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]) + 500, ARGV[1])
end
return redis.call('HGET', KEYS[1], 'status')
