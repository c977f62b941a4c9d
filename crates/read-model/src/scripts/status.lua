-- status: how a view stands on a shard.
-- The keys of the generations cannot be named beforehand, because their numbers are read here; they are in the slot of KEYS.
-- KEYS: visible, building, retired, rebuild, head
-- ARGV: base of the view's keys
-- Returns seconds, microseconds, head, rebuild, then visible, its checkpoint, building, its checkpoint, retired, its checkpoint,
--   then what the generation being built is being filled with.
local now = redis.call('TIME')
local reply = {now[1], now[2], redis.call('GET', KEYS[5]), redis.call('GET', KEYS[4])}
for k = 1, 3 do
  local pointer = redis.call('GET', KEYS[k])
  local generation = pointer and string.match(pointer, '^%d+')
  reply[#reply + 1] = pointer
  reply[#reply + 1] = generation and redis.call('GET', ARGV[1] .. generation .. ':checkpoint')
end
local building = redis.call('GET', KEYS[2])
reply[#reply + 1] = building and redis.call('GET', ARGV[1] .. building .. ':filling')
return reply
