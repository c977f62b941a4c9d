-- swap: lets queries see another generation, if that does not take them back in the log.
-- KEYS: visible, building, retired, checkpoint of the visible generation, checkpoint of the other one,
--   what the other one is being filled with, rebuild
-- ARGV: visible generation that the caller saw ('' for none), the other one, its checkpoint as the caller saw it ('' for whatever it is),
--   first byte of the position in a checkpoint, length of what names the log in it, channel, message
-- A generation that is being filled holds values ahead of its checkpoint: it is not shown.
-- A generation that is already retired must be dropped first, or nobody would know of it any more.
-- Returns 1 when done, 0 when something has happened since, -1 when the other one is behind.
local function generation(pointer)
  return pointer and string.match(pointer, '^%d+')
end
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then
  return 0
end
local is_building = redis.call('GET', KEYS[2]) == ARGV[2]
if not is_building and generation(redis.call('GET', KEYS[3])) ~= ARGV[2] then
  return 0
end
local retired = generation(redis.call('GET', KEYS[3]))
if retired and retired ~= ARGV[1] and retired ~= ARGV[2] then
  return 0
end
local target = redis.call('GET', KEYS[5])
if redis.call('EXISTS', KEYS[6]) == 1 then
  return 0
end
if not target or (ARGV[3] ~= '' and target ~= ARGV[3]) then
  return 0
end
local there = redis.pcall('GET', KEYS[4])
local position, log = tonumber(ARGV[4]), tonumber(ARGV[5])
-- What is no checkpoint says nothing of where queries are.
if type(there) == 'string' and #there > position + 6 and string.sub(there, 1, log) == string.sub(target, 1, log)
  and struct.unpack('>I8', target, position) < struct.unpack('>I8', there, position) then
  return -1
end
local now = redis.call('TIME')
redis.call('SET', KEYS[1], ARGV[2])
if is_building then
  redis.call('DEL', KEYS[2], KEYS[7])
end
if ARGV[1] ~= '' then
  local ms = string.format('%.0f', tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))
  redis.call('SET', KEYS[3], ARGV[1] .. ' ' .. ms)
elseif not is_building then
  redis.call('DEL', KEYS[3])
end
redis.call('PUBLISH', ARGV[6], ARGV[7])
return 1
