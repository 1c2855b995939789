-- Let a run that is over and archived leave Redis, all of it at once. What stays is a stub that nobody can write to.
-- KEYS run, due, ended, archived, then every other key of the run and of its attempts
-- ARGV 1 run id, 2 seq that the archive ends with, 3 final statuses joined by ',', 4 microdollars that its log says were spent
-- -> 'ok' | 'gone' (or it has left before) | 'moved' (it is not over, not archived, or was written since)
local known = redis.call('HMGET', KEYS[1], 'seq', 'status', 'lease_until')
if not known[1] then return 'gone' end
if known[1] ~= ARGV[2] or not string.find(',' .. ARGV[3] .. ',', ',' .. known[2] .. ',', 1, true) then return 'moved' end
if redis.call('ZSCORE', KEYS[3], ARGV[1]) or not redis.call('ZSCORE', KEYS[4], ARGV[1]) then return 'moved' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if tonumber(known[3] or '0') > now then return 'moved' end

for number = 5, #KEYS do redis.call('UNLINK', KEYS[number]) end
local kept = redis.call('HMGET', KEYS[1], 'request', 'status', 'tenant')
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'request', kept[1] or '', 'status', kept[2], 'tenant', kept[3], 'pruned', now,
  'last_seq', ARGV[2], 'microdollars', ARGV[4])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[4], ARGV[1])
return 'ok'
