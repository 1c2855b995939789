-- Let an attempt hold GPUs of its tenant's quota, in the order of the scores of those that wait.
-- KEYS held, waiting
-- ARGV attempt, GPUs, quota, score
-- -> {'held'} | {'waits', GPUs held by others, attempts that come before} | {'never', GPUs held by others, 0} (the quota is less)
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then return {'held'} end
local held = 0
for _, gpus in ipairs(redis.call('HVALS', KEYS[1])) do held = held + tonumber(gpus) end
local wanted, quota = tonumber(ARGV[2]), tonumber(ARGV[3])
if wanted > quota then
  -- It stands in nobody's way until the quota is raised.
  redis.call('ZREM', KEYS[2], ARGV[1])
  return {'never', held, 0}
end
redis.call('ZADD', KEYS[2], 'NX', ARGV[4], ARGV[1])
local before = redis.call('ZRANK', KEYS[2], ARGV[1])
if before > 0 or held + wanted > quota then return {'waits', held, before} end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return {'held'}
