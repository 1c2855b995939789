-- Take a name into a roster that has a place left, or find it there.
-- KEYS roster
-- ARGV name, most names
-- -> 1 it is on the roster | 0 there is no place for it
if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 1 then return 1 end
if redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('SADD', KEYS[1], ARGV[1])
return 1
