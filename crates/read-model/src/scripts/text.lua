-- text: put before scripts that read. What a key holds; a key that is no string holds nothing that is ours.
local function text(key)
  local held = redis.pcall('GET', key)
  return type(held) == 'string' and held
end
