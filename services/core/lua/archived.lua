-- Take an ended run off the list of those to archive, and note it among those that are.
-- KEYS run, ended, archived
-- ARGV run id
-- -> 1 noted, 0 there is no such run, or it is not over
local status = redis.call('HGET', KEYS[1], 'status')
redis.call('ZREM', KEYS[2], ARGV[1])
if not status or redis.call('HEXISTS', KEYS[1], 'snapshot') == 0 then return 0 end
local t = redis.call('TIME')
redis.call('ZADD', KEYS[3], t[1] * 1000 + math.floor(t[2] / 1000), ARGV[1])
return 1
