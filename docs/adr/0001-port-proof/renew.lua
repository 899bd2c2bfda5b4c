#!lua flags=allow-oom
-- renew.lua: a worker's sign of life, and a bounded slice of maintenance: promote what is due, rescue, trim.
-- Why a script: the lease is renewed before the dead are looked for, so a worker never finds itself dead.
-- KEYS   1 meta hash   2 jobs hash   3 waiting list (head right)   4 prioritized zset   5 delayed zset   6 events stream
--        7 wake list   8 active hash   9 completed list   10 failed zset   11 cancelled zset   12 workers zset
-- ARGV   1 worker (8 bytes)   2 bound of each part of the slice
-- Reply  [now ms, known 0|1, promoted, rescued, trimmed, more 0|1]
-- Cost   O(1) when there is nothing to do; O(bound) otherwise
-- @include part_config.lua
-- @include part_counts.lua
-- @include part_promote.lua
-- @include part_trim.lua
-- @include part_rescue.lua
local bound = tonumber(ARGV[2])
local keys = { meta = KEYS[1], jobs = KEYS[2], waiting = KEYS[3], prio = KEYS[4], delayed = KEYS[5], events = KEYS[6], wake = KEYS[7],
  active = KEYS[8], completed = KEYS[9], failed = KEYS[10], cancelled = KEYS[11], workers = KEYS[12] }
local got = call('HMGET', keys.meta, 'cfg', 'n')
local cfg, counts = config(got[1]), read_counts(got[2])
local fresh = call('ZADD', keys.workers, now + cfg.lease_ms, ARGV[1])
local promoted = 0
if counts.delayed > 0 then
  promoted = #promote(keys, cfg, counts, bound)
  if promoted > 0 then call('LPUSH', keys.wake, 1); call('LTRIM', keys.wake, 0, 63) end
end
local _, rescued, more = rescue(keys, cfg, counts, bound)
local trimmed = trim(keys, cfg, counts, bound)
if promoted + rescued + trimmed > 0 then call('HSET', keys.meta, 'n', write_counts(counts)) end
return { now, 1 - fresh, promoted, rescued, trimmed, (more or promoted == bound or trimmed == bound) and 1 or 0 }
