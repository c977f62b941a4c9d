-- drop: forgets a generation. Its checkpoint goes first, so that nobody can write to it or answer from it any more; the data
-- is unlinked afterwards, step by step, outside of this script.
-- KEYS: visible, building, retired, checkpoint of the generation
-- ARGV: generation
-- Returns 1, or 0 when queries see that generation.
local function generation(pointer)
  return pointer and string.match(pointer, '^%d+')
end
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[4])
for k = 2, 3 do
  if generation(redis.call('GET', KEYS[k])) == ARGV[1] then
    redis.call('DEL', KEYS[k])
  end
end
return 1
