-- forget: removes a key that cannot be what it should be, if that is still so.
-- KEYS: key
-- ARGV: what it was seen to hold ('' also for what is no string)
-- Returns 1, or 0 when it holds something else by now.
local there = redis.pcall('GET', KEYS[1])
if there and type(there) ~= 'table' and there ~= ARGV[1] then
  return 0
end
return redis.call('UNLINK', KEYS[1])
