-- part_schedule.lua: how a schedule stands, taken apart and put together. Needs part_state.lua. The layout stands in schedule.rs.
local STANDS = '>BI6I6I6I6I6I6I6I6I6I6I6'
local ENABLED, SKIPS, REPLACES = 1, 2, 4

local function load_schedule(id)
  local raw = call('HGET', KEYS[30], id)
  if not raw then return nil end
  local s, at = { id = id }, nil
  s.flags, s.revision, s.next, s.anchor, s.till, s.limit, s.fired, s.skipped, s.missed, s.last_slot, s.created, s.updated, at =
    unpack_struct(STANDS, raw)
  s.last_job = sub(raw, at + 1, at + byte(raw, at))
  s.owner = sub(raw, at + 1 + byte(raw, at))
  return s
end
local function save_schedule(s)
  call('HSET', KEYS[30], s.id, pack(STANDS, s.flags, s.revision, s.next, s.anchor, s.till, s.limit, s.fired, s.skipped, s.missed,
    s.last_slot, s.created, s.updated) .. char(#s.last_job) .. s.last_job .. s.owner)
end
-- Puts a schedule at its next slot, 0 for none. A slot that becomes the first wakes those who sleep until a later one.
local function stand(s, slot)
  s.next = slot
  if slot == 0 then
    call('ZREM', KEYS[32], s.id)
    return
  end
  local first = call('ZRANGE', KEYS[32], 0, 0, 'WITHSCORES')
  if not first[2] or slot < tonumber(first[2]) then call('XADD', KEYS[34], 'MAXLEN', 1, '*', 's', int(slot)) end
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
  if owner == '' then return false end
  local len = unpack_struct('>I2', owner)
  if sub(owner, 3, 2 + len) ~= tenant then return false end
  return scope == 't' or sub(owner, 5 + len) == user
end
