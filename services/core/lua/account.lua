-- A tenant's account and what is held on it, at one moment. Changes nothing.
-- KEYS ledger, holds
-- ARGV none
-- -> {spent, reserved, {hold, microdollars, …}}
return {
  redis.call('HGET', KEYS[1], 'spent') or '0',
  redis.call('HGET', KEYS[1], 'reserved') or '0',
  redis.call('HGETALL', KEYS[2]),
}
