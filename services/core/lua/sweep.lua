-- The runs somebody must look at now; each is pushed forward so that the next sweep does not name it again at once.
-- KEYS due, overdue
-- ARGV back-off ms, limit
-- -> run ids
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, tonumber(ARGV[2]))
local due = {}
for at = 1, #found, 2 do
  -- Since when it has waited is kept until somebody takes it.
  redis.call('ZADD', KEYS[2], 'NX', found[at + 1], found[at])
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), found[at])
  table.insert(due, found[at])
end
return due
