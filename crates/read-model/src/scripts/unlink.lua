-- unlink: removes keys of a generation that no pointer names. The pointers are looked at in the very step that removes: since the
-- caller looked, an older copy of all keys may have been restored, in which queries see this generation.
-- KEYS: visible, building, retired, then keys of the generation
-- ARGV: generation
-- Returns how many were there, or -1 when a pointer names the generation.
for k = 1, 3 do
  local pointer = redis.call('GET', KEYS[k])
  if pointer and string.match(pointer, '^%d+') == ARGV[1] then
    return -1
  end
end
local removed = 0
for k = 4, #KEYS do
  removed = removed + redis.call('UNLINK', KEYS[k])
end
return removed
