-- part_groups.lua: which group has its turn. Needs part_state.lua.
-- All jobs without a group are one member of the rotation (`-`), each named group is another (`+name`). A member stands in the ring while
-- it has waiting jobs, room under its cap, and no pause of its own. The member with the lowest ticket has its turn: as many jobs as its
-- weight, then it goes to the back. A queue without named groups has neither ring nor members.
local members, listed = {}, nil
local function setting(member)
  if member ~= '-' then
    if not listed then listed = settings and #settings >= cfg.rest and cmsgpack.unpack(sub(settings, cfg.rest)) or {} end
    local own = listed[sub(member, 2)]
    if own then return own[1], own[2] end
  end
  return cfg.weight, cfg.group_concurrency
end
local function member(name)
  local g = members[name]
  if g then return g end
  local row = call('HGET', KEYS[16], name)
  g = { name = name, known = row and true or false, waiting = 0, active = 0, limited = 0 }
  if row then g.waiting, g.active, g.limited = unpack_struct('>I6I4I6', row) end
  g.ticket = tonumber(call('ZSCORE', KEYS[15], name) or nil)
  members[name] = g
  return g
end
local function fits(g)
  local _, cap = setting(g.name)
  return g.waiting > 0 and g.limited <= now and (cap == 0 or g.active < cap)
end
local function seat(g)
  if not g.ticket and fits(g) then
    g.ticket = n.ticket
    n.ticket = n.ticket + 1
    call('ZADD', KEYS[15], int(g.ticket), g.name)
  end
end
local function unseat(g)
  if g.ticket then
    call('ZREM', KEYS[15], g.name)
    g.ticket = nil
  end
end
-- Makes a named group known. The first one makes the jobs without a group a member too, which had its turn before.
local function known(g)
  if g.known then return end
  g.known = true
  n.groups = n.groups + 1
  if n.groups == 1 then
    local plain = member('-')
    plain.known, plain.waiting, plain.active = true, n.waiting, n.active
    seat(plain)
    n.turn_ticket = plain.ticket or 0
  end
end
-- Drops what is left of a named group that has nothing any more, so that a million tenants leave no trace.
local function forget_idle(g)
  if g.name == '-' or not g.known or g.waiting > 0 or g.active > 0 or call('ZSCORE', KEYS[24], g.name) then return end
  local list = KEYS[17] .. sub(g.name, 2)
  n.tombs = math.max(0, n.tombs - call('LLEN', list))
  call('DEL', list)
  call('HDEL', KEYS[16], g.name)
  g.known = false
  n.groups = n.groups - 1
  if n.groups == 0 then
    local plain = member('-')
    if plain.ticket ~= n.turn_ticket then n.turn_left = 0 end
    call('DEL', KEYS[15], KEYS[16])
    call('ZREM', KEYS[24], '-')
    plain.known, plain.ticket = false, nil
  end
end
local function hold_back(g, till)
  if till > g.limited then
    g.limited = till
    call('ZADD', KEYS[24], int(till), g.name)
    unseat(g)
  end
end
-- Lets members go on whose pause has ended. Returns when the next one ends, or 0.
local function release_held()
  if n.groups == 0 then return 0 end
  for _ = 1, 1000 do
    local first = call('ZRANGE', KEYS[24], 0, 0, 'WITHSCORES')
    if not first[1] then return 0 end
    if tonumber(first[2]) > now then return tonumber(first[2]) end
    call('ZREM', KEYS[24], first[1])
    local g = member(first[1])
    seat(g)
    forget_idle(g)
  end
  return now
end
local function save_members()
  for name, g in pairs(members) do
    if g.known then call('HSET', KEYS[16], name, pack('>I6I4I6', g.waiting, g.active, g.limited)) end
  end
end
-- The member whose turn it is.
local function next_member()
  local first = call('ZRANGE', KEYS[15], 0, 0)[1]
  if not first then return nil end
  local g = member(first)
  if n.turn_ticket ~= g.ticket or n.turn_left == 0 then
    n.turn_ticket, n.turn_left = g.ticket, (setting(first))
  end
  return g
end
-- Tells that a job of the member was taken: its turn goes on, or to the next one.
local function had_turn(g)
  g.waiting = g.waiting - 1
  g.active = g.active + 1
  n.turn_left = n.turn_left - 1
  if g.waiting == 0 then
    unseat(g)
  elseif n.turn_left == 0 and call('ZCARD', KEYS[15]) > 1 then
    unseat(g)
    g.ticket = n.ticket
    n.ticket = n.ticket + 1
    call('ZADD', KEYS[15], int(g.ticket), g.name)
  end
  local _, cap = setting(g.name)
  if cap > 0 and g.active >= cap then unseat(g) end
end
