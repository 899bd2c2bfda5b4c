#!lua flags=no-writes
-- info.lua: the queue at a glance.
-- Why a script: counts and what goes with them must be of one moment.
-- KEYS   all, as in every script (keys.rs)
-- Reply  [now ms, settings JSON or false, packed counters or false, first due ms or 0, limited until ms or 0, since when the longest waiting
--        job waits, ms, or 0, entries in the outbox, last pass of maintenance, ms, or 0, [[group, waiting]…]]
-- Cost   O(1) but for bounded looks: 100 entries left behind at the head of each lane, 64 priorities, 1,000 groups of which 256 lanes, 1,000
--        batches of the rate window
-- @include part_state.lua
-- @include part_limit_seen.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n', 'config', 'pass')
open(got[1], got[2])
local WAITING, TOMBS_SEEN, PRIORITIES, LANES, GROUPS = 119, 100, 64, 256, 1000
local STEP = 2147483648

local oldest = 0
local function seen(record)
  if not record or byte(record, 2) ~= WAITING then return end
  local at, created = unpack_struct('>I6I6', record, 7)
  local since = math.max(at, created)
  if oldest == 0 or since < oldest then oldest = since end
end
-- The first live entry of a list: its generation is that of its record.
local function front(list)
  local dead = 0
  for place = -1, -TOMBS_SEEN, -1 do
    local ids_of = call('LINDEX', list, place)
    if not ids_of then return end
    local ids, k = unpack_ids(ids_of)
    local gen = sub(ids_of, 2, 5)
    for i = 1, k do
      local record = call('HGET', KEYS[2], ids[i])
      if record and byte(record, 2) == WAITING and sub(record, 3, 6) == gen then return seen(record) end
      dead = dead + 1
      if dead == TOMBS_SEEN then return end
    end
  end
end
if n.listed > 0 then front(KEYS[3]) end
local from = 0
for _ = 1, n.prioritized > 0 and PRIORITIES or 0 do
  local first = call('ZRANGE', KEYS[4], int(from), '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  if not first[1] then break end
  seen(call('HGET', KEYS[2], first[1]))
  from = (math.floor(tonumber(first[2]) / STEP) + 1) * STEP
end
local groups, cursor = {}, '0'
if n.groups > 0 then
  for _ = 1, 20 do
    local page = call('HSCAN', KEYS[16], cursor, 'COUNT', 500)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      local name, waiting = sub(page[2][i], 2), unpack_struct('>I6', page[2][i + 1])
      if waiting > 0 and sub(page[2][i], 1, 1) == '+' and #groups < GROUPS then
        groups[#groups + 1] = { name, int(waiting) }
        if #groups <= LANES then front(KEYS[17] .. name) end
      end
    end
    if cursor == '0' or #groups == GROUPS then break end
  end
end

local limited = limit_seen()
local due = n.delayed > 0 and call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')[2] or 0
return { int(now), got[3], got[2], int(tonumber(due)), int(limited), int(oldest), call('XLEN', KEYS[12]),
  got[4] or 0, groups }
