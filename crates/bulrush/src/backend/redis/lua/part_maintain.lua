-- part_maintain.lua: what keeps a queue in order: the rescue of lost jobs, and one bounded pass over all that time changes. The same as
-- core/lease.rs. Needs part_moves.lua and part_trim.lua.
local SLICE, OUTBOX_PATIENCE, OUTBOX_SLICE = 1000, 2000, 100

-- Takes one job back: to the head, or to the dead letters when it has lost its worker too often.
local function rescue_one(j)
  local entry = j.active
  local run_at = j.at
  count_run(j)
  n.t_stalled = n.t_stalled + 1
  j.stalls = j.stalls + 1
  local s = status(j)
  leave(j)
  if band(byte(entry, 15), 1) ~= 0 then
    enter_finished(j, CANCELLED, run_at)
  elseif j.stalls > cfg.stalls_max then
    add_error(j, s.made, sub(entry, 1, 8), unpack_struct('>I6', entry, 16), CRASHED_KIND, 'its worker died or stalled ' .. int(j.stalls)
      .. ' times while it ran, at most ' .. int(cfg.stalls_max)
      .. ' are allowed; look for a crash, an out-of-memory kill or an endless loop in its handler')
    enter_finished(j, FAILED, run_at)
  else
    give_back(j)
    tell_job('s', j)
  end
  save(j)
end
-- Those put back at the head one by one stand there by id.
local function last_id_first(a, b) return bytes_before(b, a) end

local function forget_worker(worker)
  call('ZREM', KEYS[22], worker)
  call('HDEL', KEYS[1], 'w' .. worker, 'i' .. worker, 'r' .. worker)
end

-- Takes jobs back whose worker is dead or whose deadline has passed, at most about SLICE. A walk over the active jobs that did not end goes
-- on in the next pass, and a worker is forgotten when a whole walk has passed it. Returns how many, and whether more may be left.
local function rescue()
  local lost, found, more = {}, {}, false
  local function add(id)
    if not found[id] then
      found[id] = true
      lost[#lost + 1] = id
    end
  end
  local expired = call('ZRANGE', KEYS[22], '-inf', int(now), 'BYSCORE', 'LIMIT', 0, 64)
  local mark = call('HMGET', KEYS[1], 'walk', 'walk_dead', 'walked')
  -- Once a lease all are looked at: a run whose worker is in no table (somebody deleted it, or a store lost it) would run for ever.
  if #expired > 0 or n.active > 0 and now >= (tonumber(mark[3] or nil) or 0) + cfg.lease_ms then
    local cursor, walk_dead = mark[1] or '0', mark[2] or ''
    if cursor == '0' then walk_dead = table.concat(expired) end
    local dead, seen, over = {}, 0, false
    for i = 1, #expired do dead[expired[i]] = true end
    repeat
      local page = call('HSCAN', KEYS[18], cursor, 'COUNT', 200)
      cursor = page[1]
      for i = 1, #page[2], 2 do
        local worker = sub(page[2][i + 1], 1, 8)
        if dead[worker] == nil then dead[worker] = not call('ZSCORE', KEYS[22], worker) end
        seen = seen + 1
        if dead[worker] then
          if #lost < SLICE then add(page[2][i]) else over = true end
        end
      end
      -- Those of this page that were too many are found again by the next walk, which begins anew.
      if over then break end
    until cursor == '0' or seen >= 2000 or #lost >= SLICE
    if over then
      more = true
      call('HDEL', KEYS[1], 'walk', 'walk_dead')
    elseif cursor == '0' then
      call('HDEL', KEYS[1], 'walk', 'walk_dead')
      call('HSET', KEYS[1], 'walked', int(now))
      for i = 1, #walk_dead, 8 do
        local worker = sub(walk_dead, i, i + 7)
        if dead[worker] then forget_worker(worker) end
      end
    else
      more = true
      call('HSET', KEYS[1], 'walk', cursor, 'walk_dead', walk_dead)
    end
  end
  local overdue = call('ZRANGE', KEYS[25], '-inf', int(now), 'BYSCORE', 'LIMIT', 0, SLICE)
  for i = 1, #overdue do
    if #lost < SLICE then add(overdue[i]) else more = true end
  end
  table.sort(lost, last_id_first)
  for i = 1, #lost do
    local j = load(lost[i])
    if j and j.active then rescue_one(j) end
  end
  return #lost, more or #overdue == SLICE
end

-- One bounded pass: promotes due jobs, rescues jobs of dead workers, trims what retention lets go.
local function maintain()
  -- A queue that nobody made stays so.
  if n.seen == 0 and cfg.version == 0 and call('EXISTS', KEYS[1]) == 0 then return { 0, 0, 0, 0, {} } end
  local mark = call('HMGET', KEYS[1], 'pass', 'grace')
  local pass, grace = tonumber(mark[1] or nil), tonumber(mark[2] or nil) or 0
  if not pass or now - pass > cfg.lease_ms / 2 then grace = now + cfg.lease_ms end
  call('HSET', KEYS[1], 'pass', int(now), 'grace', int(grace))
  local promoted, rescued, trimmed, expired, more = promote_due(SLICE), 0, 0, 0, false
  release_held()
  if now >= grace then rescued, more = rescue() end
  local full
  trimmed, full = trim_completed(SLICE)
  local f = trim_set(KEYS[20], &n.failed, cfg.keep_f, cfg.age_f, SLICE)
  local x = trim_set(KEYS[21], &n.cancelled, cfg.keep_x, cfg.age_x, SLICE)
  local keys = call('ZRANGE', KEYS[9], '-inf', int(now), 'BYSCORE', 'LIMIT', 0, SLICE)
  for i = 1, #keys do
    -- A key that was held anew meanwhile has another end, and a place of its own in the set.
    call('HDEL', KEYS[8], keys[i])
  end
  if #keys > 0 then call('ZREM', KEYS[9], unpack(keys)) end
  more = more or promoted == SLICE or full or f == SLICE or x == SLICE or #keys == SLICE
  if can_start() then wake = true end
  -- Entries that nobody has delivered for a while; those made here go along.
  local handed = outbox
  outbox = {}
  local old = call('XRANGE', KEYS[12], '-', '+', 'COUNT', OUTBOX_SLICE)
  for i = 1, #old do
    local entry = old[i][2][2]
    if unpack_struct('>I6', entry) + OUTBOX_PATIENCE > now then break end
    handed[#handed + 1] = { tonumber(string.match(old[i][1], '^%d+')), entry }
  end
  return { promoted, rescued, trimmed + f + x, more and 1 or 0, handed }
end
