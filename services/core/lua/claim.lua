-- Take the lease of a run that is due and that nobody holds.
-- KEYS run, due, overdue
-- ARGV run id, owner (new for every claim), lease ms, final statuses joined by ',', parked statuses joined by ','
-- -> {'ok', generation, strikes, whether the holder before gave it back ('') or left it ('1')} | {'busy', ms left} | {'idle', ms until due} | {'final', status} | {'missing', ''}
-- Whatever is answered, nobody has to take it now, or somebody has.
redis.call('ZREM', KEYS[3], ARGV[1])
local status = redis.call('HGET', KEYS[1], 'status')
if not status then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return {'missing', ''}
end
if string.find(',' .. ARGV[4] .. ',', ',' .. status .. ',', 1, true) then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return {'final', status}
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local lease = tonumber(redis.call('HGET', KEYS[1], 'lease_until'))
if lease > now then
  -- A client that lost the reply asks again under the same owner's name.
  if redis.call('HGET', KEYS[1], 'owner') == ARGV[2] then
    local known = redis.call('HMGET', KEYS[1], 'generation', 'strikes', 'left')
    return {'ok', known[1], known[2], known[3]}
  end
  return {'busy', tostring(lease - now)}
end
local wake = tonumber(redis.call('HGET', KEYS[1], 'wake_at'))
if wake > now and string.find(',' .. ARGV[5] .. ',', ',' .. status .. ',', 1, true) then
  redis.call('ZADD', KEYS[2], wake, ARGV[1])
  return {'idle', tostring(wake - now)}
end
if wake == 0 and string.find(',' .. ARGV[5] .. ',', ',' .. status .. ',', 1, true) then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return {'idle', '0'}
end
-- A holder that ends without a single event and without giving the lease back was killed by the work itself.
local strikes = 0
local seq = redis.call('HGET', KEYS[1], 'seq')
local left = redis.call('HGET', KEYS[1], 'owner') ~= '' and '1' or ''
if left == '1' and redis.call('HGET', KEYS[1], 'claim_seq') == seq then
  strikes = tonumber(redis.call('HGET', KEYS[1], 'strikes')) + 1
end
-- It rises with every claim. That it is a time keeps it from being given twice where a claim was lost with the primary that
-- took it: who holds the lost one is fenced by the next.
local before = tonumber(redis.call('HGET', KEYS[1], 'generation'))
local generation = string.format('%d', math.max(before + 1, now))
redis.call('HSET', KEYS[1], 'generation', generation, 'claim_seq', seq, 'strikes', strikes, 'left', left)
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'lease_until', now + tonumber(ARGV[3]))
-- If this owner dies, the sweeper finds the run half a second after its lease.
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[3]) + 500, ARGV[1])
return {'ok', generation, tostring(strikes), left}
