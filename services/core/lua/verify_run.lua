-- Everything that scripts decide by about one run, at one moment. Changes nothing.
-- KEYS run, events, due, ended, archived, then the listings that may name it
-- ARGV run id
-- -> {fields of the run, events in its log, id of the first, id of the last, due, ended, archived, then each listing's score}
--    '' stands for what is not there
local function score(key)
  return redis.call('ZSCORE', key, ARGV[1]) or ''
end
local function id(rows)
  return rows[1] and rows[1][1] or ''
end
local answer = {
  redis.call('HGETALL', KEYS[1]),
  redis.call('XLEN', KEYS[2]),
  id(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)),
  id(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)),
}
for number = 3, #KEYS do answer[#answer + 1] = score(KEYS[number]) end
return answer
