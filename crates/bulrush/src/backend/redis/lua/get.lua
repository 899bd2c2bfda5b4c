#!lua flags=no-writes
-- get.lua: jobs by id, each with all that is kept of it.
-- Why a script: record and active entry must be of one moment, or a job could be seen in no state or in two.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   ids
-- Reply  for each, in order: false, or [record, active entry or false, large payload or false, progress or false, counted log lines or false,
--        children pending or false]
-- Cost   O(ids)
-- @include part_state.lua
open(nil, call('HGET', KEYS[1], 'n'))
local BIG = 64
local reply, records, active = {}, call('HMGET', KEYS[2], unpack(ARGV)), call('HMGET', KEYS[18], unpack(ARGV))
local function rows(key, flag) return band(n.flags, flag) ~= 0 and call('HMGET', key, unpack(ARGV)) or {} end
local progress, lines = rows(KEYS[26], 4), rows(KEYS[27], 8)
for i = 1, #ARGV do
  local record = records[i]
  if record then
    local large = band(byte(record, 20) or 0, BIG) ~= 0 and call('HGET', KEYS[10], ARGV[i])
    local pending = band(n.flags, 16) ~= 0 and call('HGET', KEYS[14] .. ARGV[i], 'n')
    reply[i] = { record, active[i], large, progress[i] or false, lines[i] or false, pending }
  else
    reply[i] = false
  end
end
return reply
