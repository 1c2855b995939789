-- Put a command back into the queue, once, after the attempt that took it said that it never began it.
-- KEYS sandbox, queue
-- ARGV call, attempt, run's channel, announcement
-- -> 'ok' | 'seen' (somebody was quicker, or it has no outcome of that attempt)
local taken_by = redis.call('HGET', KEYS[1], ARGV[1] .. ':attempt')
if taken_by ~= ARGV[2] or redis.call('HEXISTS', KEYS[1], ARGV[1] .. ':outcome') == 0 then return 'seen' end
redis.call('HDEL', KEYS[1], ARGV[1] .. ':attempt', ARGV[1] .. ':outcome')
redis.call('LPUSH', KEYS[2], ARGV[1])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 'ok'
