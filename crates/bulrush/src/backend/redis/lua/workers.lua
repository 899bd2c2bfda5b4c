#!lua flags=no-writes
-- workers.lua: live workers, and what runs.
-- Why a script: a job must not be seen with two workers.
-- KEYS   all, as in every script (keys.rs)
-- Reply  [now ms, [[worker, lease end ms, what it tells of itself, JSON, or false]…], [[id, worker]…] of all active jobs]
-- Cost   O(workers + active jobs)
-- @include part_state.lua
open(nil, call('HGET', KEYS[1], 'n'))
local rows, running = {}, {}
local live = call('ZRANGE', KEYS[22], '(' .. int(now), '+inf', 'BYSCORE', 'WITHSCORES')
for i = 1, #live, 2 do
  rows[#rows + 1] = { live[i], int(tonumber(live[i + 1])), call('HGET', KEYS[1], 'i' .. live[i]) }
end
local flat = call('HGETALL', KEYS[18])
for i = 1, #flat, 2 do running[#running + 1] = { flat[i], sub(flat[i + 1], 1, 8) } end
return { int(now), rows, running }
