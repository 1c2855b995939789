-- Turn a hold into what was really spent. A hold that is gone was settled before: nothing happens twice.
-- KEYS ledger, holds
-- ARGV id, microdollars spent
-- -> 1 settled now, 0 before
local held = redis.call('HGET', KEYS[2], ARGV[1])
if not held then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HINCRBY', KEYS[1], 'reserved', -tonumber(held))
redis.call('HINCRBY', KEYS[1], 'spent', ARGV[2])
return 1
