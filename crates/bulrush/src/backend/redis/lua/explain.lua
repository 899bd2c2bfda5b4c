#!lua flags=no-writes
-- explain.lua: which rules keep a job from running, and how many jobs of its group go first.
-- Why a script: rules and state must be of one moment.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 id   2 packs of its list that were counted before, from the head
-- Reply  [now ms], or [now ms, state letter or `a`, run-at ms, active entry or false, children pending, paused 0|1, live workers, limited until ms
--        or 0, cap of the queue if it is reached or 0, cap of its group if it is reached or 0, its group held back until ms or 0, entries
--        before it, packs to go on behind or 0]. Whole packs before it are counted with what was left behind in them
-- Cost   O(1000 packs), + O(log d) where priorities stand beside the list, + O(batches of the rate window, at most 1,000)
-- @include part_state.lua
-- @include part_limit_seen.lua
-- @include part_job.lua
-- @include part_groups.lua
local PACKS, STEP = 1000, 2147483648
local id, counted = ARGV[1], tonumber(ARGV[2])
local got = call('HMGET', KEYS[1], 'cfg', 'n')
open(got[1], got[2])
local j = load(id)
if not j then return { now } end

local limited = limit_seen()

local group = is(j, GROUP) and links(j).group
local name = group and '+' .. group or '-'
local row = call('HGET', KEYS[16], name)
local active, held_back, cap = nil, 0, 0
if row then
  local _
  _, active, held_back = unpack_struct('>I6I4I6', row)
elseif not group then
  -- Without named groups nobody counts the jobs without one apart.
  active = n.active
end
if active then
  local _
  _, cap = setting(name)
  if active < cap then cap = 0 end
end

local before, list, more = 0, nil, 0
if j.state == WAITING and not j.active then
  local edge = n.list_prio * STEP
  if group then
    list = KEYS[17] .. group
  elseif j.priority == n.list_prio then
    list = KEYS[3]
    before = call('ZCOUNT', KEYS[4], '-inf', '(' .. int(edge))
  else
    before = call('ZRANK', KEYS[4], id) or 0
    if j.priority > n.list_prio then before = before + n.listed end
  end
  if counted > 0 then before = 0 end
end
if list then
  local packs = call('LRANGE', list, -counted - PACKS, -counted - 1)
  local generation, found = pack('>I4', j.gen), false
  for i = #packs, 1, -1 do
    local ids_of = packs[i]
    if sub(ids_of, 2, 5) == generation and string.find(ids_of, id, 6, true) then
      local ids, k = unpack_ids(ids_of)
      for at = 1, k do
        if ids[at] == id then
          before, found = before + at - 1, true
          break
        end
      end
      if found then break end
    end
    before = before + byte(ids_of)
  end
  if not found and #packs == PACKS then more = counted + PACKS end
end
local state = j.active and 'a' or char(j.state)
local pending = is(j, FAMILY) and call('HGET', KEYS[14] .. id, 'n') or 0
return { now, state, int(j.at), j.active or false, pending, band(n.flags, 1), call('ZCOUNT', KEYS[22], '(' .. int(now), '+inf'),
  int(limited), cfg.concurrency > 0 and n.active >= cfg.concurrency and cfg.concurrency or 0, cap,
  int(held_back > now and held_back or 0), before, more }
