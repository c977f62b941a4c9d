-- transaction: the entry of the transaction that begins at a position, with its statement's header, at one position.
-- The keys of the generation cannot be named beforehand, because its number is read here; they are in the slot of KEYS.
-- KEYS: visible, head
-- ARGV: base of the view's keys, part of the index, position, entries per block
-- Returns generation, checkpoint, head, seconds, microseconds, index entry, header, entry.
local now = redis.call('TIME')
local generation = redis.call('GET', KEYS[1])
if not generation then
  return {false, false, false, now[1], now[2], false, false, false}
end
local base = ARGV[1] .. generation .. ':'
local indexed = redis.call('HGET', base .. 't:' .. ARGV[2], ARGV[3])
local header, entry = false, false
if indexed and #indexed > 9 then
  local version, account = struct.unpack('>I8', indexed, 2), string.sub(indexed, 10)
  local block = string.format('%.0f', math.floor(version / tonumber(ARGV[4])))
  header = redis.call('GET', base .. 'h:' .. account)
  entry = redis.call('HGET', base .. 'b:' .. account .. ':' .. block, string.format('%.0f', version))
end
return {generation, redis.call('GET', base .. 'checkpoint'), redis.call('GET', KEYS[2]), now[1], now[2], indexed, header, entry}
