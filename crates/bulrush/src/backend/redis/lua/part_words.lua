-- part_words.lua: what every script begins with: the time, short names, the settings and counters of the queue as tables of numbers.
-- Settings are one packed field of the meta hash, written by configure.lua; a queue that was never configured has the defaults. Counters
-- are another: a field of their own for each would cost more than all the rest of a call. Both are read into tables without names, which
-- take a tenth of the time to make: `n.waiting` in these texts is put in as the place of `waiting` in the list below (script.rs).
-- @include part_time.lua
local call, pack, unpack_struct, char, byte, sub = redis.call, struct.pack, struct.unpack, string.char, string.byte, string.sub
local band = bit.band
local NONE = 281474976710655

-- `rest` is where the groups begin that have settings of their own.
-- @fields cfg version rate_max rate_per concurrency depth_max keep_c age_c keep_f age_f keep_x age_x events_max lease_ms stalls_max
-- @fields cfg default_priority call_bytes call_items log_lines errors message_bytes weight group_concurrency rest
local SETTINGS = '>I4I4I6I4I6I6I6I6I6I6I6I4I6I4I3I4I4I4I2I2I4I4'

-- What the counters count: `seen` the latest moment (time never goes back), jobs by state (`waiting` in all lanes, `listed` in the list,
-- `prioritized` in the sorted set), `order` the last place given, `gen` the generation of new entries (one more for each entry that was
-- left behind), `tombs` and `dtombs` such entries among the waiting and the completed, `started` the starts in the rate window, `outbox`
-- and `position` the last numbers given, `added` and `t_…` sums since the queue was made, `pseq` and `phead` the last places at the end
-- and the head of a priority, `cancels` active jobs that were asked to stop, `groups` known groups, `ticket` the next place in the ring,
-- `turn_…` the turn under way, `list_prio` the priority of the list, `flags` 1 paused, and what the queue has used so far: 2 large
-- payloads, 4 progress, 8 logs, 16 flows, 32 owners, 64 time-outs; `limited` until when the queue is held back.
-- @fields n seen waiting listed prioritized delayed parents active completed failed cancelled order gen tombs dtombs started outbox added
-- @fields n t_completed t_failed t_retried t_cancelled t_stalled position pseq phead cancels groups ticket turn_ticket turn_left
-- @fields n list_prio flags limited
local COUNTERS = '>I6I6I6I6I6I6I6I6I6I6I6I4I6I6I6I6I6I6I6I6I6I6I7I6I6I6I6I6I6I4I3BI6'
local cfg, n, now, settings
local NOBODY = '\0\0\0\0\0\0\0\0'
-- No id begins with a space. Redis searches a hash of few small entries from its beginning for each; one that holds something long is a
-- real table, and stays so until it is empty.
local WIDE = '                                                                 '
