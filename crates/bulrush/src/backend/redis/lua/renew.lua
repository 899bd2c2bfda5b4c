#!lua flags=allow-oom
-- renew.lua: a worker's sign of life, with a slice of maintenance.
-- Safe to repeat: roll-ups are numbered.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 worker (8 bytes)   2 what it tells of itself, JSON   3 number of the roll-ups   4 roll-ups (msgpack) or '':
--        [[start of the minute, ms, {counter → n}]…]
-- Reply  [now ms, known 0|1, [[id, run, take]…] that somebody asked to stop, maintained, lease ms]; maintained as in maintain.lua
-- Cost   that of one pass of maintenance, + O(counters)
-- @include part_state.lua
-- @include part_limits.lua
-- @include part_job.lua
-- @include part_groups.lua
-- @include part_moves.lua
-- @include part_trim.lua
-- @include part_maintain.lua
local worker = ARGV[1]
local got = call('HMGET', KEYS[1], 'cfg', 'n', 'r' .. worker)
open(got[1], got[2])
local met = call('ZSCORE', KEYS[22], worker) and 1 or 0
call('ZADD', KEYS[22], 'GT', int(now + cfg.lease_ms), worker)
call('HSET', KEYS[1], 'i' .. worker, ARGV[2])
if tonumber(ARGV[3]) > (tonumber(got[3] or nil) or 0) then
  call('HSET', KEYS[1], 'r' .. worker, ARGV[3])
  if ARGV[4] ~= '' then
    local newest = tonumber(call('HGET', KEYS[1], 'roll') or nil) or 0
    for _, row in ipairs(cmsgpack.unpack(ARGV[4])) do
      local at = row[1]
      newest = math.max(newest, at)
      -- Minutes are kept 24 hours, in a key an hour; hours 30 days, in a key a day.
      for _, span in ipairs({ { 'm', at - at % 60000, 3600000, 86400000 }, { 'h', at - at % 3600000, 86400000, 2592000000 } }) do
        local key = KEYS[29] .. span[1] .. int(math.floor(span[2] / span[3]))
        for counter, count in pairs(row[2]) do call('HINCRBY', key, int(span[2]) .. ':' .. counter, int(count)) end
        call('PEXPIRE', key, int(math.max(1, math.floor(span[2] / span[3]) * span[3] + span[3] + span[4] - math.min(now, at))))
      end
    end
    call('HSET', KEYS[1], 'roll', int(newest))
  end
end
local maintained = maintain()
local stop = {}
if n.cancels > 0 then
  local flat = call('HGETALL', KEYS[18])
  for i = 1, #flat, 2 do
    local entry = flat[i + 1]
    if sub(entry, 1, 8) == worker and band(byte(entry, 15), 1) ~= 0 then
      local record = call('HGET', KEYS[2], flat[i])
      stop[#stop + 1] = { flat[i], unpack_struct('>I4', record, 24) + 1, (unpack_struct('>I6', entry, 9)) }
    end
  end
end
save_members()
if wake then ring_the_bell() end
publish()
call('HSET', KEYS[1], 'n', counters())
return { now, met, stop, maintained, cfg.lease_ms }
