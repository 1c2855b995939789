-- Strike an entry off an index that names nothing.
-- KEYS index, run
-- ARGV entry, seq that the run's log had when the entry was judged by it ('' = the run was not there)
-- -> 'ok' | 'moved' (the run was made or written since)
local seq = redis.call('HGET', KEYS[2], 'seq') or ''
if seq ~= ARGV[2] then return 'moved' end
redis.call('ZREM', KEYS[1], ARGV[1])
return 'ok'
