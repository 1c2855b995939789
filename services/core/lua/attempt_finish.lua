-- Record how an attempt ended. The first report wins; repeating one is no error, also after the attempt is over.
-- KEYS attempts, attempt
-- ARGV attempt id, report, log complete ('1') or not ('0'), controller's channel
-- -> 'ok' | 'seen' | 'over' (the attempt is not live)
if redis.call('HEXISTS', KEYS[2], 'finish') == 1 then return 'seen' end
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 'over' end
redis.call('HSET', KEYS[2], 'finish', ARGV[2], 'log_complete', ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[1])
return 'ok'
