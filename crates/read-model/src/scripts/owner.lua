-- owner: a page of an owner's accounts, at one position.
-- The keys of the generation cannot be named beforehand, because its number is read here; they are in the slot of KEYS.
-- KEYS: visible, head
-- ARGV: base of the view's keys, owner, lowest member wanted in the form of ZRANGE BYLEX, number of accounts
-- Returns generation, checkpoint, head, seconds, microseconds, ids, values.
local now = redis.call('TIME')
local generation = text(KEYS[1])
if not generation then
  return {false, false, false, now[1], now[2], {}, {}}
end
local base = ARGV[1] .. generation .. ':'
local checkpoint = redis.call('GET', base .. 'checkpoint')
local ids = redis.call('ZRANGE', base .. 'o:' .. ARGV[2], ARGV[3], '+', 'BYLEX', 'LIMIT', 0, ARGV[4])
local values = {}
for i, id in ipairs(ids) do
  values[i] = redis.call('GET', base .. 'a:' .. id)
end
return {generation, checkpoint, text(KEYS[2]), now[1], now[2], ids, values}
