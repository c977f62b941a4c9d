-- repair: puts the right value in place of one that was seen to be wrong, unless anything has happened to it since.
-- The right value was computed from the log as of the checkpoint that the wrong value was seen with. Whoever changed the
-- account since has changed this very key; whoever took Redis back to an older copy has taken the checkpoint back.
-- KEYS: checkpoint, key
-- ARGV: first byte of the position in a checkpoint, log id as it stands in it, position seen, kind of place, then by kind
--   'text', 'there' or 'missing', wrong value, 'set' or 'delete', right value
--   'field', 'there' or 'missing', wrong value, 'set' or 'delete', right value, field
--   'range', 'there' or 'missing', wrong value, 'set', right value, first byte, number of bytes
--   'member', 'add' or 'remove', member
--   'stray', field or member that nothing of ours has
--   'type', what the type should be: a key of another one is removed
-- Returns 1, or 0 when something has happened.
local checkpoint = redis.call('GET', KEYS[1])
if not checkpoint or string.sub(checkpoint, 1, #ARGV[2]) ~= ARGV[2] then
  return 0
end
if struct.unpack('>I8', checkpoint, tonumber(ARGV[1])) < tonumber(ARGV[3]) then
  return 0
end
local place = ARGV[4]
local kind = redis.call('TYPE', KEYS[2])['ok']
if place == 'type' then
  if kind == 'none' or kind == ARGV[5] then
    return 0
  end
  redis.call('UNLINK', KEYS[2])
  return 1
elseif place == 'stray' then
  if kind == 'hash' then
    return redis.call('HDEL', KEYS[2], ARGV[5])
  end
  return kind == 'zset' and redis.call('ZREM', KEYS[2], ARGV[5]) or 0
elseif place == 'member' then
  if kind ~= 'zset' then
    redis.call('UNLINK', KEYS[2])
  end
  if ARGV[5] == 'add' then
    redis.call('ZADD', KEYS[2], 0, ARGV[6])
    return 1
  end
  return redis.call('ZREM', KEYS[2], ARGV[6])
end
-- A key of another type reads as missing, and is overwritten as such.
local expected = place == 'field' and 'hash' or 'string'
local there = false
if kind == expected then
  if place == 'field' then
    there = redis.call('HGET', KEYS[2], ARGV[9])
  elseif place == 'range' then
    there = redis.call('GETRANGE', KEYS[2], ARGV[9], ARGV[9] + ARGV[10] - 1)
    there = there ~= '' and there
  else
    there = redis.call('GET', KEYS[2])
  end
end
if there ~= (ARGV[5] == 'there' and ARGV[6]) then
  return 0
end
if kind ~= expected then
  redis.call('UNLINK', KEYS[2])
end
if place == 'field' then
  if ARGV[7] == 'delete' then
    redis.call('HDEL', KEYS[2], ARGV[9])
  else
    redis.call('HSET', KEYS[2], ARGV[9], ARGV[8])
  end
elseif place == 'range' then
  redis.call('SETRANGE', KEYS[2], ARGV[9], ARGV[8])
elseif ARGV[7] == 'delete' then
  redis.call('UNLINK', KEYS[2])
else
  redis.call('SET', KEYS[2], ARGV[8])
end
return 1
