#!lua flags=allow-oom
-- rescue.lua: maintenance by somebody who is no worker (the scheduler, an administrator): one bounded pass of rescue.
-- Why a script: finding a worker dead and taking its jobs must be one step, or a renewal in between would lose them.
-- KEYS   1 meta hash   2 jobs hash   3 waiting list (head right)   4 events stream   5 wake list   6 active hash
--        7 failed zset   8 cancelled zset   9 workers zset
-- ARGV   1 bound, about so many active entries are looked at
-- Reply  [now ms, ids taken back, more 0|1]
-- Cost   O(bound), + O(log d) a job that fails
-- @include part_config.lua
-- @include part_counts.lua
-- @include part_rescue.lua
local keys = { meta = KEYS[1], jobs = KEYS[2], waiting = KEYS[3], events = KEYS[4], wake = KEYS[5], active = KEYS[6],
  failed = KEYS[7], cancelled = KEYS[8], workers = KEYS[9] }
local got = call('HMGET', keys.meta, 'cfg', 'n')
local cfg, counts = config(got[1]), read_counts(got[2])
local ids, rescued, more = rescue(keys, cfg, counts, tonumber(ARGV[1]))
if rescued > 0 then call('HSET', keys.meta, 'n', write_counts(counts)) end
return { now, ids, more and 1 or 0 }
