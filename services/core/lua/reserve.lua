-- Hold money of a tenant under an id that makes it repeatable.
-- KEYS ledger, holds
-- ARGV id, microdollars
-- -> {'ok', reserved} | {'spent', microdollars left}
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return {'ok', redis.call('HGET', KEYS[2], ARGV[1])} end
local cap = redis.call('HGET', KEYS[1], 'cap')
local spent = tonumber(redis.call('HGET', KEYS[1], 'spent') or '0')
local reserved = tonumber(redis.call('HGET', KEYS[1], 'reserved') or '0')
if cap and spent + reserved + tonumber(ARGV[2]) > tonumber(cap) then
  return {'spent', string.format('%d', math.max(0, tonumber(cap) - spent - reserved))}
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('HINCRBY', KEYS[1], 'reserved', ARGV[2])
return {'ok', ARGV[2]}
