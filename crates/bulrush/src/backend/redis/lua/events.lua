#!lua flags=no-writes
-- events.lua: events after a position.
-- Why a script: the window and what is in it must be of one moment, or a reader could miss that it has fallen out.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 position, 0 for the start of the window   2 at most so many entries
-- Reply  [1 where events are missing, else 0, position after which the entries are to be read, last position of the queue, entries]; the first
--        entry may begin with events that are not asked for
-- Cost   O(entries returned)
-- @include part_state.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
open(got[1], got[2])
local after = tonumber(ARGV[1])
local function position(row) return tonumber(string.match(row[1], '^%d+')) end
-- The stream is trimmed by whole entries, and late; the window that is promised holds the newest events alone.
local oldest = call('XRANGE', KEYS[6], '-', '+', 'COUNT', 1)[1]
local start = oldest and math.max(position(oldest) - 1, n.position - cfg.events_max) or n.position
local gap = after ~= 0 and (after < start or after > n.position)
local from = gap and start or math.max(after, start)
local entries = {}
if from < n.position then
  local first = call('XREVRANGE', KEYS[6], int(from + 1) .. '-0', '-', 'COUNT', 1)[1]
  entries = call('XRANGE', KEYS[6], first and first[1] or '-', '+', 'COUNT', ARGV[2])
end
return { gap and 1 or 0, int(from), int(n.position), entries }
