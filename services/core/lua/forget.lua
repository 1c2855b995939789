-- Let a run that has left Redis before be forgotten: its stub, and where it is listed.
-- KEYS run, then the listings that could name it
-- ARGV run id
-- -> 'ok' | 'gone' | 'here' (the run has not left)
if redis.call('EXISTS', KEYS[1]) == 0 then return 'gone' end
if redis.call('HEXISTS', KEYS[1], 'pruned') == 0 then return 'here' end
redis.call('DEL', KEYS[1])
for number = 2, #KEYS do redis.call('ZREM', KEYS[number], ARGV[1]) end
return 'ok'
