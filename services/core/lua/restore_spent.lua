-- Count what a restored run has spent, once.
-- KEYS ledger, restoring
-- ARGV run id, microdollars
-- -> 1 counted now, 0 before
if redis.call('SADD', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[1], 'spent', ARGV[2])
return 1
