-- Let Redis know again of a run that only the archive has: as a run that has left it.
-- KEYS run, then the listings that name it
-- ARGV 1 run id, 2 request, 3 status, 4 tenant, 5 last seq, 6 microdollars, 7 created ms
-- -> 'ok' | 'there' (Redis has the run)
if redis.call('EXISTS', KEYS[1]) == 1 then return 'there' end
local t = redis.call('TIME')
redis.call('HSET', KEYS[1], 'request', ARGV[2], 'status', ARGV[3], 'tenant', ARGV[4],
  'pruned', t[1] * 1000 + math.floor(t[2] / 1000), 'last_seq', ARGV[5], 'microdollars', ARGV[6])
for number = 2, #KEYS do redis.call('ZADD', KEYS[number], ARGV[7], ARGV[1]) end
return 'ok'
