-- Take a command back that no pod has taken.
-- KEYS sandbox, queue
-- ARGV call
-- -> 'ok' | 'begun'
if redis.call('HEXISTS', KEYS[1], ARGV[1] .. ':attempt') == 1 then return 'begun' end
redis.call('LREM', KEYS[2], 0, ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1] .. ':order', ARGV[1] .. ':queued_at', ARGV[1] .. ':gpus')
return 'ok'
