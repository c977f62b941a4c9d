-- fill: stores a chunk of a stride in a generation that is being built; with the last chunk, the checkpoint that includes the stride.
-- A stride is too much for one script, so its values are ahead of the checkpoint until it is whole. Each chunk names the one before,
-- so none can be lost; and nothing is ever stored so in a generation that queries may see, because that is not being built.
-- KEYS: building, checkpoint, filling
-- ARGV: generation, checkpoint expected, filling expected ('' for none), filling afterwards ('' for none), checkpoint afterwards
--   ('' to keep it), channel, message, then commands as in commit
-- Returns 1, or 0 when anything is not as expected.
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('GET', KEYS[2]) ~= ARGV[2] then
  return 0
end
if (redis.call('GET', KEYS[3]) or '') ~= ARGV[3] then
  return 0
end
local at, last = 8, #ARGV
while at <= last do
  local words = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + words))
  at = at + words + 1
end
if ARGV[5] ~= '' then
  redis.call('SET', KEYS[2], ARGV[5])
  redis.call('PUBLISH', ARGV[6], ARGV[7])
end
if ARGV[4] == '' then
  redis.call('DEL', KEYS[3])
else
  redis.call('SET', KEYS[3], ARGV[4])
end
return 1
