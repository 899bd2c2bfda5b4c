#!lua flags=allow-oom
-- maintain.lua: one bounded pass over all that time changes.
-- KEYS   all, as in every script (keys.rs)
-- Reply  [now ms, [promoted, rescued, trimmed, more 0|1, outbox list]]
-- Cost   at most 1,000 jobs promoted, about as many rescued, and 1,000 of each finished state let go
-- @include part_state.lua
-- @include part_limits.lua
-- @include part_job.lua
-- @include part_groups.lua
-- @include part_moves.lua
-- @include part_trim.lua
-- @include part_maintain.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
open(got[1], got[2])
local maintained = maintain()
if not got[1] and not got[2] then return { now, maintained } end
save_members()
if wake then ring_the_bell() end
publish()
call('HSET', KEYS[1], 'n', counters())
return { now, maintained }
