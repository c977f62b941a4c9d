-- repair: puts the right value in place of one that was seen to be wrong, unless anything has happened to it since.
-- The right value was computed from the log as of the checkpoint that the wrong value was seen with. Whoever changed the
-- account since has changed this very key; whoever took Redis back to an older copy has taken the checkpoint back.
-- KEYS: checkpoint, key
-- ARGV: first byte of the position in a checkpoint, log id as it stands in it, position seen, kind of place, then by kind
--   'text', 'there' or 'missing', wrong value, 'set' or 'delete', right value
--   'field', 'there' or 'missing', wrong value, 'set' or 'delete', right value, field
--   'member', 'add' or 'remove', member
-- Returns 1, or 0 when something has happened.
local checkpoint = redis.call('GET', KEYS[1])
if not checkpoint or string.sub(checkpoint, 1, #ARGV[2]) ~= ARGV[2] then
  return 0
end
if struct.unpack('>I8', checkpoint, tonumber(ARGV[1])) < tonumber(ARGV[3]) then
  return 0
end
if ARGV[4] == 'member' then
  if ARGV[5] == 'add' then
    redis.call('ZADD', KEYS[2], 0, ARGV[6])
    return 1
  end
  return redis.call('ZREM', KEYS[2], ARGV[6])
end
-- A key of another type reads as missing, and is overwritten as such.
local is_field = ARGV[4] == 'field'
local kind = redis.call('TYPE', KEYS[2])['ok']
local there = false
if is_field and kind == 'hash' then
  there = redis.call('HGET', KEYS[2], ARGV[9])
elseif not is_field and kind == 'string' then
  there = redis.call('GET', KEYS[2])
end
if there ~= (ARGV[5] == 'there' and ARGV[6]) then
  return 0
end
if is_field then
  if kind ~= 'hash' then
    redis.call('UNLINK', KEYS[2])
  end
  if ARGV[7] == 'delete' then
    redis.call('HDEL', KEYS[2], ARGV[9])
  else
    redis.call('HSET', KEYS[2], ARGV[9], ARGV[8])
  end
elseif ARGV[7] == 'delete' then
  redis.call('UNLINK', KEYS[2])
else
  redis.call('SET', KEYS[2], ARGV[8])
end
return 1
