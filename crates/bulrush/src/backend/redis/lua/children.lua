#!lua flags=no-writes
-- children.lua: a parent's children in the order in which they were given.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 parent   2 how many to leave out   3 at most so many
-- Reply  rows of the family (outbox.rs)
-- Cost   O(children returned)
local call = redis.call
local family = KEYS[14] .. ARGV[1]
if call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return {} end
local total = tonumber(call('HGET', family, 't') or nil) or 0
local from = tonumber(ARGV[2])
local reply = {}
for index = from, math.min(total, from + tonumber(ARGV[3])) - 1 do
  reply[#reply + 1] = call('HGET', family, string.format('%.0f', index))
end
return reply
