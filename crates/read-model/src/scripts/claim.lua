-- claim: says, again and again, which log this read model is of, so that projectors of two logs do not take turns in
-- building everything anew. A later incarnation of the same log takes over at once; another log only when nobody has
-- spoken for the present one for a while.
-- KEYS: log
-- ARGV: our record without its time, first byte and length of the part that names the log it was created as, milliseconds of silence
-- Returns the record that counts.
local now = redis.call('TIME')
local now_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
local there = redis.pcall('GET', KEYS[1])
if type(there) == 'string' and #there == #ARGV[1] + 8 and string.sub(there, 1, #ARGV[1]) ~= ARGV[1] then
  local first, length = tonumber(ARGV[2]), tonumber(ARGV[3])
  local same_origin = string.sub(there, first, first + length - 1) == string.sub(ARGV[1], first, first + length - 1)
  local function incarnation(record)
    return struct.unpack('>i4', record, first + length)
  end
  local later = same_origin and incarnation(ARGV[1]) > incarnation(there)
  local silence = math.abs(now_ms - struct.unpack('>I8', there, #ARGV[1] + 1))
  if not later and silence < tonumber(ARGV[4]) then
    return there
  end
end
local ours = ARGV[1] .. struct.pack('>I8', now_ms)
redis.call('SET', KEYS[1], ours)
return ours
