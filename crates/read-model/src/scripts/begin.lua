-- begin: begins a new generation beside the visible one.
-- The checkpoint is created here and only here: a commit never creates one, so a lost checkpoint stays lost.
-- KEYS: building, rebuild, checkpoint of the new generation
-- ARGV: building generation that the caller saw ('' for none), new generation, its checkpoint
-- Returns 1, or 0 when another projector was faster.
local building = redis.call('GET', KEYS[1]) or ''
if building ~= ARGV[1] or redis.call('EXISTS', KEYS[3]) == 1 then
  return 0
end
redis.call('SET', KEYS[3], ARGV[3])
redis.call('SET', KEYS[1], ARGV[2])
redis.call('DEL', KEYS[2])
return 1
