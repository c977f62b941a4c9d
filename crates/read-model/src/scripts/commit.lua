-- commit: stores a page of changes and the checkpoint that includes them, if the generation stands where the caller thinks.
-- Every write is safe to do twice: absolute values, fields under their own names, members of sets.
-- The checkpoint is written last: Redis does not undo a script that fails, and a checkpoint must never claim what is not there.
-- Amounts are inside opaque strings; no Lua number ever touches one.
-- The keys that are written are not named beforehand, so that each is handed to Redis once; they are in the slot of KEYS.
-- KEYS: checkpoint
-- ARGV: checkpoint expected, checkpoint new, channel, message, then commands: how many words, and the words
-- Returns 1, or 0 when the checkpoint is another one or missing.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local at, last = 5, #ARGV
while at <= last do
  local words = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + words))
  at = at + words + 1
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
