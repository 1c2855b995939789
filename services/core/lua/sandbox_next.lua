-- Take the next command for the pod that claimed an attempt.
-- KEYS attempts, attempt, sandbox, queue, begun
-- ARGV attempt id, pod uid, milliseconds it may wait idly unless told, whether it takes no
--      more ('1' or ''), GPUs it has, then the calls it tends
-- -> {'order', order} | {'end', ''} | {'none', ''} | {'over', ''} | {'taken', ''} (by another execution, or by none)
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return {'over', ''} end
if redis.call('HGET', KEYS[2], 'pod_uid') ~= ARGV[2] then return {'taken', ''} end

if ARGV[4] == '1' then redis.call('HSET', KEYS[3], 'retired', ARGV[1]) end
local tended = {}
for i = 6, #ARGV do tended[ARGV[i]] = true end
-- In the order of their names: what a script does must not depend on how a set is kept.
local begun = redis.call('SMEMBERS', KEYS[5])
table.sort(begun)
for _, call in ipairs(begun) do
  if redis.call('HGET', KEYS[3], call .. ':attempt') ~= ARGV[1] then
    -- Of a sandbox that is over: whoever waits for it finds that by itself.
    redis.call('SREM', KEYS[5], call)
  elseif not tended[call] then
    return {'order', redis.call('HGET', KEYS[3], call .. ':order')}
  end
end

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- GPUs are idle while commands run that need none.
local used_at = tonumber(ARGV[5]) > 0 and 'gpus_used_at' or 'used_at'
local terms = redis.call('HMGET', KEYS[3], 'retired', 'until_ms', 'idle_ms', used_at)
local is_late = terms[2] and now > tonumber(terms[2])
if terms[1] ~= ARGV[1] and not is_late then
  for _, call in ipairs(redis.call('LRANGE', KEYS[4], 0, -1)) do
    if tonumber(redis.call('HGET', KEYS[3], call .. ':gpus') or '0') <= tonumber(ARGV[5]) then
      redis.call('LREM', KEYS[4], 1, call)
      redis.call('HSET', KEYS[3], call .. ':attempt', ARGV[1], call .. ':begun_at', string.format('%d', now))
      redis.call('SADD', KEYS[5], call)
      return {'order', redis.call('HGET', KEYS[3], call .. ':order')}
    end
  end
end
if redis.call('SCARD', KEYS[5]) > 0 then return {'none', ''} end
local is_idle = terms[4] and now - tonumber(terms[4]) > tonumber(terms[3] or ARGV[3])
if terms[1] == ARGV[1] or is_late or is_idle then
  -- From here on nothing more is given to it, so nobody's command is lost with it.
  redis.call('HSET', KEYS[3], 'retired', ARGV[1])
  return {'end', ''}
end
return {'none', ''}
