-- status: how a view stands on a shard.
-- The keys of the generations cannot be named beforehand, because their numbers are read here; they are in the slot of KEYS.
-- KEYS: visible, building, retired, rebuild, head
-- ARGV: base of the view's keys
-- Returns seconds, microseconds, head, rebuild, then visible, its checkpoint, building, its checkpoint, retired, its checkpoint,
--   then what the generation being built is being filled with. A key that is no string is given as '', which none of them is.
local function get(key)
  local value = redis.pcall('GET', key)
  if type(value) ~= 'table' then
    return value
  end
  if not string.find(value['err'], 'WRONGTYPE', 1, true) then
    error(value['err'])
  end
  return ''
end
local now = redis.call('TIME')
local reply = {now[1], now[2], get(KEYS[5]), get(KEYS[4])}
for k = 1, 3 do
  local pointer = get(KEYS[k])
  local generation = pointer and string.match(pointer, '^%d+')
  reply[#reply + 1] = pointer
  reply[#reply + 1] = generation and get(ARGV[1] .. generation .. ':checkpoint') or false
end
local building = get(KEYS[2])
reply[#reply + 1] = building and get(ARGV[1] .. building .. ':filling')
return reply
