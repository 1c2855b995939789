-- Forget what an attempt's log holds, because it is not what the runner sent; once only.
-- KEYS attempts, attempt, tail, segments
-- ARGV attempt id
-- -> 1 forgotten | 0 it was reset before, is finished or over
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
if redis.call('HEXISTS', KEYS[2], 'finish') == 1 or redis.call('HEXISTS', KEYS[2], 'log_reset') == 1 then return 0 end
redis.call('DEL', KEYS[3], KEYS[4])
redis.call('HSET', KEYS[2], 'log_bytes', 0, 'log_reset', 1)
return 1
