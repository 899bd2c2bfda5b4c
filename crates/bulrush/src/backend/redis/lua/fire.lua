#!lua
-- fire.lua: fires slots of schedules, as core/schedule.rs does: adds each one's job and moves its schedule on.
-- Why a script: the job and the move must be one step, or a slot could fire twice, or never.
-- Safe to repeat: a slot fires only while its schedule stands at it, at the revision told.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 version of the settings the jobs were made with   2 n   then for each slot: schedule, revision, slot at which it stands, slot that
--        fires or 0, slots missed, next slot or 0, and the job: id, owner hash (8 bytes), record without its first 18 bytes, extras (msgpack) as
--        in deliver.lua or ''; the job's four are '' where nothing fires
-- Reply  [now ms, [[letter, job]…], outbox list]; A added, T there already, S skipped because the last job has not ended, P moved on only,
--        M stands elsewhere or was changed, E too early, U unknown. Or ['cfg', settings, version]: nothing was changed, make the jobs again
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
local rows, changed = {}, false

-- The last job, if it has not ended.
local function pending(s)
  if s.last_job == '' then return nil end
  local j = load(s.last_job)
  return j and (j.active or j.state == WAITING or j.state == DELAYED or j.state == PARENT_WAITS) and j or nil
end
local function stop(j)
  if j.active then
    local flags = byte(j.active, 15)
    if band(flags, 1) == 0 then
      call('HSET', KEYS[18], j.id, sub(j.active, 1, 14) .. char(flags + 1) .. sub(j.active, 16))
      n.cancels = n.cancels + 1
    end
  else
    cancel_now(j)
  end
end
local function fire_slot(s, slot, id, owner_hash, record, extras)
  if band(s.flags, SKIPS + REPLACES) ~= 0 then
    local last = pending(s)
    if last and band(s.flags, SKIPS) ~= 0 then
      s.skipped = s.skipped + 1
      return { 'S', '' }
    elseif last then
      stop(last)
    end
  end
  local code = add_one(id, record, extras, owner_hash, true)
  s.fired, s.last_slot, s.last_job = s.fired + 1, slot, id
  return { code and 'T' or 'A', id }
end

local at = 3
for i = 1, tonumber(ARGV[2]) do
  local s = load_schedule(ARGV[at])
  local slot, fires, missed, following = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  if not s then
    rows[i] = { 'U', '' }
  elseif s.revision ~= tonumber(ARGV[at + 1]) or s.next ~= slot then
    rows[i] = { 'M', '' }
  elseif math.max(fires, slot) > now then
    rows[i] = { 'E', '' }
  else
    s.missed = s.missed + missed
    if fires == 0 then
      rows[i] = { 'P', '' }
    else
      local extras = ARGV[at + 9] ~= '' and cmsgpack.unpack(ARGV[at + 9]) or {}
      rows[i] = fire_slot(s, fires, ARGV[at + 6], ARGV[at + 7], ARGV[at + 8], extras)
    end
    local spent = s.limit > 0 and s.fired >= s.limit
    if spent or s.till > 0 and following > s.till then following = 0 end
    stand(s, following)
    save_schedule(s)
    changed = true
  end
  at = at + 10
end
save_members()
if wake then ring_the_bell() end
-- Slots of schedules that are not there make no queue.
if got[2] or changed then
  publish()
  call('HSET', KEYS[1], 'n', counters())
end
return { now, rows, outbox }
