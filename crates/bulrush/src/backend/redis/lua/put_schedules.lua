#!lua
-- put_schedules.lua: makes schedules be as they are asked for, all or none, as core/schedule.rs does. Which slot comes first is told by who asks.
-- Why a script: what is there must be compared and replaced in one step, or two who put at once could both move its slot.
-- Safe to repeat: what is there as it is asked for stays as it is.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 version of the settings the call was checked with   2 whose schedules they may be: `a` anybody's, `t` a tenant's, `o` an owner's
--        3 tenant   4 user   5 how: `a` always, `o` as defaults, once ever, a number: only over that revision, 0 where there is none
--        6 n   then for each: id, flags, first slot or 0, anchor, end or 0, limit or 0, owner or '', timing, the rest. No id comes twice (the adapter sees to it)
-- Reply  [now ms, a row each: letter (N new, C changed, S same, K known default, M moved, T taken), state or false, definition where it is
--        not as it was asked for, or false], or ['never', place], or ['spent', place, jobs added], or ['cfg', settings, version]: nothing was changed
-- Cost   O(log s) a schedule, s = schedules of the queue
-- @include part_state.lua
-- @include part_schedule.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
open(got[1], got[2])
if cfg.version ~= tonumber(ARGV[1]) then return moved_on() end
local scope, tenant, user, once, expected, total = ARGV[2], ARGV[3], ARGV[4], ARGV[5] == 'o', tonumber(ARGV[5]), tonumber(ARGV[6])
local EACH = 9
local rows, makes = {}, {}

-- First all are looked at, then all are written.
for i = 1, total do
  local at = 7 + (i - 1) * EACH
  local id, flags, first, limit = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 5])
  local old, raw = load_schedule(id)
  -- Whose one is that cannot be read is not known, and how it stood neither: it is begun anew.
  if raw and not admits(old and old.owner or '', scope, tenant, user) then
    rows[i] = { 'T', false, false }
  elseif once and (raw or call('SISMEMBER', KEYS[35], id) == 1) then
    rows[i] = { 'K', old and raw or false, old and call('HGET', KEYS[31], id) or false }
  else
    local timing = ARGV[at + 7]
    local definition = pack('>I4', #timing) .. timing .. ARGV[at + 8]
    local was = old and call('HGET', KEYS[31], id) or ''
    local keeps = old and #was >= 4 and band(old.flags, ENABLED) == band(flags, ENABLED) and sub(was, 5, 4 + unpack_struct('>I4', was)) == timing
    if keeps and was == definition then
      rows[i] = { 'S', raw, false }
    -- One that cannot be read stands at no revision that anybody was told.
    elseif expected and (old and old.revision or raw and -1 or 0) ~= expected then
      rows[i] = { 'M', old and raw or false, old and was or false }
    else
      if not keeps then
        local fired = old and old.fired or 0
        if limit > 0 and fired >= limit then return { 'spent', i, fired } end
        if first == 0 then return { 'never', i } end
      end
      makes[#makes + 1] = { i, at, old, keeps, definition, raw and 'C' or 'N' }
    end
  end
end

-- What is written of all is gathered: a call from Lua costs as much as what it does.
local states, definitions, places, names, soonest, due = {}, {}, {}, {}, nil, nil
for m = 1, #makes do
  local i, at, old, keeps, definition, letter = unpack(makes[m])
  local id, flags, first = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  -- A new one does not begin at 1: a late call to fire one of the same name that was removed must not fit.
  local s = old or { id = id, revision = now - 1, next = 0, fired = 0, skipped = 0, missed = 0, last_slot = 0, created = now, last_job = '' }
  if not keeps then s.anchor = tonumber(ARGV[at + 3]) end
  s.flags, s.till, s.limit, s.owner, s.updated, s.revision = flags, tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5]), ARGV[at + 6], now, s.revision + 1
  if keeps then
    -- As it was nobody may have been able to fire it.
    if s.next > 0 and s.next <= now then due = s.next end
  else
    s.next = band(flags, ENABLED) ~= 0 and first or 0
    if s.next == 0 then
      call('ZREM', KEYS[32], id)
    else
      places[#places + 1] = int(s.next)
      places[#places + 1] = id
      if s.next <= now then due = s.next elseif not soonest or s.next < soonest then soonest = s.next end
    end
  end
  local state = pack_schedule(s)
  states[2 * m - 1], states[2 * m] = id, state
  definitions[2 * m - 1], definitions[2 * m] = id, definition
  names[2 * m - 1], names[2 * m] = 0, id
  rows[i] = { letter, state, false }
end
if soonest then
  local first = first_slot()
  if not first or soonest < first then due = due or soonest end
end
if due then tell_sooner(due) end
write_many('HSET', KEYS[30], states)
write_many('HSET', KEYS[31], definitions)
write_many('ZADD', KEYS[32], places)
write_many('ZADD', KEYS[33], names)
local changed = #makes > 0
for i = 1, total do
  local letter = rows[i][1]
  if once and letter ~= 'T' and letter ~= 'S' then
    call('SADD', KEYS[35], ARGV[7 + (i - 1) * EACH])
    changed = true
  end
end
if changed then call('HSET', KEYS[1], 'n', counters()) end
return { now, rows }
