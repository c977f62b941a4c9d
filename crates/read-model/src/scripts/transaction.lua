-- transaction: the entry of the transaction that begins at a position, with its statement's header, at one position.
-- The keys of the generation cannot be named beforehand, because its number is read here; they are in the slot of KEYS.
-- KEYS: visible, head
-- ARGV: base of the view's keys, part of the index, first byte of the record, bytes per record, account numbers per hash,
--   entries per block
-- Returns generation, checkpoint, head, seconds, microseconds, record, account id, header, entry.
local now = redis.call('TIME')
local generation = text(KEYS[1])
if not generation then
  return {false, false, false, now[1], now[2], '', false, false, false}
end
local base = ARGV[1] .. generation .. ':'
local function whole(number)
  return string.format('%.0f', number)
end
local record = redis.call('GETRANGE', base .. 't:' .. ARGV[2], ARGV[3], ARGV[3] + ARGV[4] - 1)
local account, header, entry = false, false, false
if #record == tonumber(ARGV[4]) then
  local number, version = struct.unpack('>I4I8', record)
  account = redis.call('HGET', base .. 'n:' .. whole(math.floor(number / ARGV[5])), whole(number))
  if account then
    header = redis.call('GET', base .. 'h:' .. account)
    entry = redis.call('HGET', base .. 'b:' .. account .. ':' .. whole(math.floor(version / ARGV[6])), whole(version))
  end
end
local checkpoint = redis.call('GET', base .. 'checkpoint')
return {generation, checkpoint, text(KEYS[2]), now[1], now[2], record, account, header, entry}
