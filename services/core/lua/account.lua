-- A tenant's account and what is held on it, at one moment. Changes nothing.
-- KEYS ledger, holds, forgetting
-- ARGV none
-- -> {spent, reserved, spent by forgotten runs, {hold, microdollars, …}, {run that is being forgotten, microdollars, …}}
return {
  redis.call('HGET', KEYS[1], 'spent') or '0',
  redis.call('HGET', KEYS[1], 'reserved') or '0',
  redis.call('HGET', KEYS[1], 'forgotten') or '0',
  redis.call('HGETALL', KEYS[2]),
  redis.call('HGETALL', KEYS[3]),
}
