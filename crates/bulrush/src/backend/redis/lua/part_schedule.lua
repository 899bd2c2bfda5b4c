-- part_schedule.lua: how a schedule stands, taken apart and put together. Needs part_state.lua. The layout stands in schedule.rs.
local STANDS, STANDS_LEN = '>BI6I6I6I6I6I6I6I6I6I6I6', 67
local ENABLED, SKIPS, REPLACES = 1, 2, 4

-- A state as a table; nil where it is none, or none of ours.
local function parse_schedule(id, raw)
  if not raw or #raw <= STANDS_LEN or #raw <= STANDS_LEN + byte(raw, STANDS_LEN + 1) then return nil end
  local s, at = { id = id }, nil
  s.flags, s.revision, s.next, s.anchor, s.till, s.limit, s.fired, s.skipped, s.missed, s.last_slot, s.created, s.updated, at =
    unpack_struct(STANDS, raw)
  s.last_job = sub(raw, at + 1, at + byte(raw, at))
  s.owner = sub(raw, at + 1 + byte(raw, at))
  return s
end
local function load_schedule(id)
  local raw = call('HGET', KEYS[30], id)
  return parse_schedule(id, raw), raw
end
local function pack_schedule(s)
  return pack(STANDS, s.flags, s.revision, s.next, s.anchor, s.till, s.limit, s.fired, s.skipped, s.missed, s.last_slot, s.created, s.updated)
    .. char(#s.last_job) .. s.last_job .. s.owner
end
local function save_schedule(s) call('HSET', KEYS[30], s.id, pack_schedule(s)) end
-- Writes pairs, as many in one call as Lua can hand over safely.
local function write_many(command, key, list)
  for from = 1, #list, 2000 do call(command, key, unpack(list, from, math.min(#list, from + 1999))) end
end
-- The first slot of all that come after now; of all, if `past` says so.
local function first_slot(past)
  local first = call('ZRANGE', KEYS[32], past and '-inf' or '(' .. int(now), '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')[2]
  return first and tonumber(first)
end
local function tell_sooner(slot) call('XADD', KEYS[34], 'MAXLEN', 1, '*', 's', int(slot)) end
-- Puts a schedule at its next slot, 0 for none. Who sleeps has seen what has come, some of which may stay for ever: a slot to come wakes him
-- before the others to come.
local function stand(s, slot)
  s.next = slot
  if slot == 0 then
    call('ZREM', KEYS[32], s.id)
    return
  end
  local first = first_slot(slot <= now)
  if not first or slot < first then tell_sooner(slot) end
  call('ZADD', KEYS[32], int(slot), s.id)
end
local function drop_schedule(id)
  call('HDEL', KEYS[30], id)
  call('HDEL', KEYS[31], id)
  call('ZREM', KEYS[32], id)
  call('ZREM', KEYS[33], id)
end
-- Whether what belongs to `owner` is within a scope: `a` all, `t` a tenant's, `o` an owner's.
local function admits(owner, scope, tenant, user)
  if scope == 'a' then return true end
  if #owner < 2 then return false end
  local len = unpack_struct('>I2', owner)
  if sub(owner, 3, 2 + len) ~= tenant then return false end
  return scope == 't' or sub(owner, 5 + len) == user
end
