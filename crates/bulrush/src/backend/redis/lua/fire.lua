#!lua
-- fire.lua: fires slots of schedules, as core/schedule.rs does: adds each one's job and moves its schedule on.
-- Why a script: the job and the move must be one step, or a slot could fire twice, or never.
-- Safe to repeat: a slot fires only while its schedule stands at it, at the revision told.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 version of the settings the jobs were made with   2 n   then five for each slot: schedule; revision u48, slot at which it stands u48,
--        slot that fires u48 or 0, slots missed u48, next slot u48 or 0, the job's owner hash (8 bytes); and the job: id, record without its
--        first 18 bytes, extras (msgpack) as in deliver.lua or ''; the job's three are '' where nothing fires
-- Reply  [now ms, a letter each, outbox list]; A added, T there already, S skipped because the last job has not ended, P moved on only,
--        M stands elsewhere or was changed, E too early, U unknown, or not to be read. Or ['cfg', settings, version]: nothing was changed, make
--        the jobs again
-- Cost   O(n log s), + O(log d) a job in a sorted set
-- @include part_state.lua
-- @include part_limits.lua
-- @include part_job.lua
-- @include part_groups.lua
-- @include part_moves.lua
-- @include part_add.lua
-- @include part_schedule.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
open(got[1], got[2])
if cfg.version ~= tonumber(ARGV[1]) then return moved_on() end
local total = tonumber(ARGV[2])
local letters, EACH = {}, 5

-- All that is asked of many at once: a call from Lua costs as much as what most of them do. What was read of a schedule is kept, and written
-- at the end. Nobody else comes in between.
local SOME = 1000
local schedules, jobs_there = {}, {}
for first = 1, total, SOME do
  local ids, jobs = {}, {}
  for i = first, math.min(total, first + SOME - 1) do
    local at = 3 + (i - 1) * EACH
    ids[#ids + 1], jobs[#jobs + 1] = ARGV[at], ARGV[at + 2]
  end
  local states, records = call('HMGET', KEYS[30], unpack(ids)), call('HMGET', KEYS[2], unpack(jobs))
  for k = 1, #ids do
    schedules[ids[k]] = schedules[ids[k]] or parse_schedule(ids[k], states[k])
    if records[k] then jobs_there[jobs[k]] = true end
  end
end

-- Jobs about which nothing is special are written together: `fresh` are their ids, in order, `kv` ids and records.
local fresh, kv, is_fresh = {}, {}, {}
local function flush()
  local k = #fresh
  if k == 0 then return end
  write_many('HSET', KEYS[2], kv)
  local packs = packs_of(fresh, n.gen)
  for first = 1, #packs, SOME do call('LPUSH', KEYS[3], unpack(packs, first, math.min(#packs, first + SOME - 1))) end
  n.waiting, n.listed, n.added = n.waiting + k, n.listed + k, n.added + k
  fresh, kv, is_fresh, wake = {}, {}, {}, true
end
local SPECIAL = LIFO + GROUP + DEDUP + CHILD + BIG + FAMILY
settle_list()
local function add_job(id, record, extras, owner_hash)
  if jobs_there[id] then return 'T' end
  local flags, priority, _, _, timeout = unpack_struct('>I2I3I4I2I4', record)
  if extras == '' and band(flags, SPECIAL) == 0 and priority == n.list_prio and n.groups == 0 then
    local k = #fresh + 1
    fresh[k], kv[2 * k - 1], kv[2 * k], is_fresh[id] = id, id, pack('>BBI4I6I6', 2, WAITING, n.gen, now, now) .. record, true
    if timeout > 0 then use(64) end
    tell('n', id, owner_hash)
    return 'A'
  end
  flush()
  return add_one(id, record, extras ~= '' and cmsgpack.unpack(extras) or {}, owner_hash, true) and 'T' or 'A'
end

-- The last job, if it has not ended.
local function pending(s)
  if s.last_job == '' then return nil end
  if is_fresh[s.last_job] then flush() end
  local j = load(s.last_job)
  return j and (j.active or j.state == WAITING or j.state == DELAYED or j.state == PARENT_WAITS) and j or nil
end
local function fire_slot(s, slot, id, owner_hash, record, extras)
  if band(s.flags, SKIPS + REPLACES) ~= 0 then
    local last = pending(s)
    if last and band(s.flags, SKIPS) ~= 0 then
      s.skipped = s.skipped + 1
      return 'S'
    elseif last then
      -- What leaves its place changes the generation of what comes after it.
      flush()
      if last.active then request_cancel(last) else cancel_now(last) end
    end
  end
  local letter = add_job(id, record, extras, owner_hash)
  s.fired, s.last_slot, s.last_job = s.fired + 1, slot, id
  return letter
end

local moved = {}
for i = 1, total do
  local at = 3 + (i - 1) * EACH
  local s = schedules[ARGV[at]]
  local revision, slot, fires, missed, following = unpack_struct('>I6I6I6I6I6', ARGV[at + 1])
  if not s then
    letters[i] = 'U'
  elseif s.revision ~= revision or s.next ~= slot then
    letters[i] = 'M'
  elseif math.max(fires, slot) > now then
    letters[i] = 'E'
  else
    s.missed = s.missed + missed
    if fires == 0 then
      letters[i] = 'P'
    else
      letters[i] = fire_slot(s, fires, ARGV[at + 2], sub(ARGV[at + 1], 31), ARGV[at + 3], ARGV[at + 4])
    end
    local spent = s.limit > 0 and s.fired >= s.limit
    if spent or s.till > 0 and following > s.till then following = 0 end
    s.next = following
    if not s.moved then
      s.moved = true
      moved[#moved + 1] = s
    end
  end
end
flush()

-- Where they stand afterwards, as stand() does it for one.
local states, places, soonest = {}, {}, nil
for k = 1, #moved do
  local s = moved[k]
  states[2 * k - 1], states[2 * k] = s.id, pack_schedule(s)
  if s.next == 0 then
    call('ZREM', KEYS[32], s.id)
  else
    places[#places + 1] = int(s.next)
    places[#places + 1] = s.id
    if s.next > now and (not soonest or s.next < soonest) then soonest = s.next end
  end
end
if soonest then
  local first = first_slot()
  if not first or soonest < first then tell_sooner(soonest) end
end
write_many('HSET', KEYS[30], states)
write_many('ZADD', KEYS[32], places)
save_members()
if wake then ring_the_bell() end
-- Slots of schedules that are not there make no queue.
if got[2] or #moved > 0 then
  publish()
  call('HSET', KEYS[1], 'n', counters())
end
return { now, table.concat(letters), outbox }
