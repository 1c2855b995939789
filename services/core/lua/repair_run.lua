-- Make a run's snapshot, status and indexes what its log says, unless something moved since the log was read.
-- KEYS run, due, ended, archived, then the listings that could name it
-- ARGV 1 run id, 2 seq that the log was read to, 3 generation then, 4 status, 5 snapshot, 6 over ('1') or not (''),
--      7 when it is due if it must be and is not, then for each listing its score there, '' where it must not be
-- -> 'ok' | 'moved' (it was written or claimed since) | 'busy' (somebody holds its lease) | 'gone'
local known = redis.call('HMGET', KEYS[1], 'seq', 'generation', 'lease_until', 'wake_at')
if not known[1] then return 'gone' end
if known[1] ~= ARGV[2] or (known[2] or '0') ~= ARGV[3] then return 'moved' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if tonumber(known[3] or '0') > now then return 'busy' end

redis.call('HSET', KEYS[1], 'status', ARGV[4], 'snapshot', ARGV[5])
for number = 5, #KEYS do
  local score = ARGV[number + 3]
  if score == '' then redis.call('ZREM', KEYS[number], ARGV[1]) else redis.call('ZADD', KEYS[number], score, ARGV[1]) end
end
if ARGV[6] == '1' then
  redis.call('HSET', KEYS[1], 'wake_at', 0)
  redis.call('ZREM', KEYS[2], ARGV[1])
  if not redis.call('ZSCORE', KEYS[4], ARGV[1]) then redis.call('ZADD', KEYS[3], 'NX', now, ARGV[1]) end
else
  redis.call('ZREM', KEYS[3], ARGV[1])
  redis.call('ZREM', KEYS[4], ARGV[1])
  redis.call('ZADD', KEYS[2], 'NX', ARGV[7], ARGV[1])
end
return 'ok'
