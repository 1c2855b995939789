-- The runs somebody must look at now; each is pushed forward so that the next sweep does not name it again at once.
-- KEYS due
-- ARGV back-off ms, limit
-- -> run ids
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, tonumber(ARGV[2]))
for _, run in ipairs(due) do redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), run) end
return due
