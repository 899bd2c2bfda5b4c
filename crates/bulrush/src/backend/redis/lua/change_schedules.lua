#!lua flags=allow-oom
-- change_schedules.lua: removes, enables and disables schedules, as core/schedule.rs does.
-- Safe to repeat: what is so already stays as it is.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 version of the settings the call was checked with   2 whose schedules: `a` all, `t` a tenant's, `o` an owner's   3 tenant   4 user
--        5 command   6 n, then   remove, disable: ids…   enable: id, revision, first slot or 0 each
-- Reply  [now ms, a letter each: D done, S so already, O over, U unknown, M it was changed meanwhile, look again], or ['unreadable', place], or
--        ['cfg', settings, version]: nothing was changed
-- Cost   O(log s) a schedule, s = schedules of the queue
-- @include part_state.lua
-- @include part_schedule.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
open(got[1], got[2])
if cfg.version ~= tonumber(ARGV[1]) then return moved_on() end
local scope, tenant, user, command = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local letters, changed, each = {}, false, command == 'enable' and 3 or 1
local found = {}
for i = 1, tonumber(ARGV[6]) do
  local id = ARGV[7 + (i - 1) * each]
  local s, raw = load_schedule(id)
  if s then
    found[i] = admits(s.owner, scope, tenant, user) and s or false
  elseif scope == 'a' and (raw or call('HEXISTS', KEYS[31], id) == 1) then
    -- Whose it is, and how it stands, cannot be read.
    if command ~= 'remove' then return { 'unreadable', i } end
    found[i] = { id = id }
  else
    found[i] = false
  end
end

local acts = {}
function acts.remove(s)
  drop_schedule(s.id)
  return 'D'
end
function acts.disable(s)
  if band(s.flags, ENABLED) == 0 then return 'S' end
  s.flags, s.revision, s.updated = s.flags - ENABLED, s.revision + 1, now
  stand(s, 0)
  save_schedule(s)
  return 'D'
end
function acts.enable(s, at)
  local revision, first = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  if band(s.flags, ENABLED) ~= 0 then return 'S' end
  if s.revision ~= revision then return 'M' end
  if first == 0 or s.limit > 0 and s.fired >= s.limit then return 'O' end
  s.flags, s.revision, s.updated = s.flags + ENABLED, s.revision + 1, now
  stand(s, first)
  save_schedule(s)
  return 'D'
end
local gone = {}
for i = 1, #found do
  local s = found[i]
  local again = s and gone[s.id]
  -- One that is named twice is as the first change has left it.
  if again and command ~= 'remove' then s = load_schedule(s.id) elseif again then s = nil end
  letters[i] = s and acts[command](s, 7 + (i - 1) * each) or 'U'
  if s then gone[s.id] = true end
  if letters[i] == 'D' then changed = true end
end
-- Whatever it has come to, the queue has seen the time; what changes nothing makes no queue.
if got[2] or changed then call('HSET', KEYS[1], 'n', counters()) end
return { now, table.concat(letters) }
