-- Have a sandbox take no more commands.
-- KEYS sandbox, begun
-- ARGV attempt, run's channel, announcement
-- -> how many commands are under way
redis.call('HSET', KEYS[1], 'retired', ARGV[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return redis.call('SCARD', KEYS[2])
