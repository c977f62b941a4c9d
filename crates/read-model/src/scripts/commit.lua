-- commit: stores a page of changes and the checkpoint that includes them, if the generation stands where the caller thinks.
-- Every write is safe to do twice: absolute values, fields under their own names, members of sets.
-- The checkpoint is written last: Redis does not undo a script that fails, and a checkpoint must never claim what is not there.
-- Amounts are inside opaque strings; no Lua number ever touches one.
-- KEYS: checkpoint, then one key per write
-- ARGV: checkpoint expected, checkpoint new, channel, message, then per write one of
--   S value | H fields field value field value ... | Z member | D
-- Returns 1, or 0 when the checkpoint is another one or missing.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local at = 5
for k = 2, #KEYS do
  local kind = ARGV[at]
  if kind == 'S' then
    redis.call('SET', KEYS[k], ARGV[at + 1])
    at = at + 2
  elseif kind == 'H' then
    local last = at + 1 + 2 * tonumber(ARGV[at + 1])
    redis.call('HSET', KEYS[k], unpack(ARGV, at + 2, last))
    at = last + 1
  elseif kind == 'Z' then
    redis.call('ZADD', KEYS[k], 0, ARGV[at + 1])
    at = at + 2
  elseif kind == 'D' then
    redis.call('UNLINK', KEYS[k])
    at = at + 1
  else
    return redis.error_reply('ERR commit: unknown write ' .. tostring(kind))
  end
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
