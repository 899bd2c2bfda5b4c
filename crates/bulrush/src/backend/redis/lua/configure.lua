#!lua
-- configure.lua: replaces the settings.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 packed settings, their version is set here   2 the same as JSON
-- Reply  [now ms, version]
-- Cost   O(1); O(groups) where there are groups, because their caps may have moved
-- @include part_state.lua
-- @include part_limits.lua
-- @include part_job.lua
-- @include part_groups.lua
-- @include part_moves.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n', 'config')
open(got[1], got[2])
if got[3] == ARGV[2] then return { now, cfg.version } end
local kept_none = cfg.events_max == 0
local packed = pack('>I4', cfg.version + 1) .. sub(ARGV[1], 5)
open(packed, got[2])
if kept_none and cfg.events_max > 0 and n.position > 0 then
  -- What happened while nothing was kept counts as one lost event, so that readers learn of it.
  n.position = n.position + 1
  call('DEL', KEYS[6])
elseif cfg.events_max == 0 then
  call('DEL', KEYS[6])
end
-- Who stands in the ring is decided anew.
if n.groups > 0 then
  local waits = {}
  local names = call('HKEYS', KEYS[16])
  for i = 1, #names do
    local g = member(names[i])
    if not fits(g) then unseat(g) elseif not g.ticket then waits[#waits + 1] = g end
  end
  table.sort(waits, function(a, b)
    if a.limited ~= b.limited then return a.limited < b.limited end
    if a.name == '-' or b.name == '-' then return a.name == '-' and b.name ~= '-' end
    return bytes_before(a.name, b.name)
  end)
  for i = 1, #waits do seat(waits[i]) end
  save_members()
elseif cfg.group_concurrency > 0 and n.active >= cfg.group_concurrency then
  n.turn_left = 0
end
if can_start() then ring_the_bell() end
call('HSET', KEYS[1], 'cfg', packed, 'config', ARGV[2], 'n', counters())
return { now, cfg.version }
