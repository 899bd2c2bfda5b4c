#!lua flags=allow-oom
-- change_schedules.lua: removes, enables and disables schedules, as core/schedule.rs does.
-- Safe to repeat: what is so already stays as it is.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 version of the settings the call was checked with   2 whose schedules: `a` all, `t` a tenant's, `o` an owner's   3 tenant   4 user
--        5 command, then   remove, disable: n, ids…   enable: id, revision, first slot or 0
-- Reply  [now ms, a letter each: D done, S so already, O over, U unknown, M it was changed meanwhile, look again], or ['cfg', settings, version]
-- Cost   O(log s) a schedule, s = schedules of the queue
-- @include part_state.lua
-- @include part_schedule.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
open(got[1], got[2])
if cfg.version ~= tonumber(ARGV[1]) then return moved_on() end
local scope, tenant, user, command = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local function find(id)
  local s = load_schedule(id)
  return s and admits(s.owner, scope, tenant, user) and s or nil
end
local letters, changed = {}, false
local function each(act)
  for i = 7, 6 + ARGV[6] do
    local s = find(ARGV[i])
    letters[#letters + 1] = s and act(s) or 'U'
  end
end
if command == 'remove' then
  each(function(s)
    drop_schedule(s.id)
    changed = true
    return 'D'
  end)
elseif command == 'disable' then
  each(function(s)
    if band(s.flags, ENABLED) == 0 then return 'S' end
    s.flags, s.revision, s.updated = s.flags - ENABLED, s.revision + 1, now
    stand(s, 0)
    save_schedule(s)
    changed = true
    return 'D'
  end)
else
  local s, first = find(ARGV[6]), tonumber(ARGV[8])
  if not s then
    letters[1] = 'U'
  elseif band(s.flags, ENABLED) ~= 0 then
    letters[1] = 'S'
  elseif s.revision ~= tonumber(ARGV[7]) then
    letters[1] = 'M'
  elseif first == 0 or s.limit > 0 and s.fired >= s.limit then
    letters[1] = 'O'
  else
    s.flags, s.revision, s.updated = s.flags + ENABLED, s.revision + 1, now
    stand(s, first)
    save_schedule(s)
    letters[1], changed = 'D', true
  end
end
-- Whatever it has come to, the queue has seen the time; what changes nothing makes no queue.
if got[2] or changed then call('HSET', KEYS[1], 'n', counters()) end
return { now, table.concat(letters) }
