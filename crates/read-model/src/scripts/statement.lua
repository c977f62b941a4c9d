-- statement: the blocks that hold a page of an account's statement, newest first, at one position.
-- Whole blocks are returned, so that the reader can see a hole. Versions are counted here; they stay far below 2^53.
-- The keys of the generation cannot be named beforehand, because its number is read here; they are in the slot of KEYS.
-- KEYS: visible, head
-- ARGV: base of the view's keys, account, first version not wanted ('' for none), entries wanted, most blocks, entries per block
-- Returns generation, checkpoint, head, seconds, microseconds, header, then per block: its number, its fields and values.
local now = redis.call('TIME')
local generation = text(KEYS[1])
if not generation then
  return {false, false, false, now[1], now[2], false}
end
local base = ARGV[1] .. generation .. ':'
local header = redis.call('GET', base .. 'h:' .. ARGV[2])
local reply = {generation, redis.call('GET', base .. 'checkpoint'), text(KEYS[2]), now[1], now[2], header}
if not header or #header < 17 then
  return reply
end
local version, oldest = struct.unpack('>I8I8', header, 2)
local before = math.min(tonumber(ARGV[3]) or version + 1, version + 1)
local wanted, most, size = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local block = math.floor((before - 1) / size)
local found, blocks = 0, 0
while before > oldest and block >= math.floor(oldest / size) and found <= wanted and blocks < most do
  local number = string.format('%.0f', block)
  local fields = redis.call('HGETALL', base .. 'b:' .. ARGV[2] .. ':' .. number)
  for i = 1, #fields, 2 do
    if #fields[i + 1] > 1 and (tonumber(fields[i]) or 0) < before then
      found = found + 1
    end
  end
  reply[#reply + 1] = number
  reply[#reply + 1] = fields
  block = block - 1
  blocks = blocks + 1
end
return reply
