-- part_batch.lua: settling and taking of many jobs at once, where nothing is special about them. Needs part_state.lua, part_limits.lua and
-- part_trim.lua.

-- Settles completions of which each is held under its token and none has anything to tell: parent, key, follow-ups.
local function settle_batch(done, held, at_pack, at_record, total)
  if call('HDEL', KEYS[18], unpack(done)) < total then
    -- A job stands twice in the call. All goes back, and they are settled one by one.
    for i = 1, total do call('HSET', KEYS[18], done[i], held[i]) end
    return false
  end
  if band(n.flags, 64) ~= 0 then call('ZREM', KEYS[25], unpack(done)) end
  local head, kv = pack('>BBI4I6', 2, 99, n.gen, now), { unpack(done, 1, 2 * total) }
  for k = 1, total do
    kv[2 * k - 1] = done[k]
    kv[2 * k] = head .. ARGV[at_record + k]
  end
  call('HSET', KEYS[2], unpack(kv))
  local stamp = pack('>I6I4', now, n.gen)
  for k = at_pack + 1, at_record do call('LPUSH', KEYS[19], stamp, ARGV[k]) end
  n.completed, n.t_completed, n.active = n.completed + total, n.t_completed + total, n.active - total
  tell_packs('c', ARGV, at_pack + 1, at_record, total, ARGV[8])
  trim_completed(2 * total)
  return true
end

-- What this call takes, and the entries of the active hash for it; equal ones are one string.
local ids, records, packs = {}, {}, {}
local entries = {}
local function entry_of(record, group)
  local rest = sub(record, 30, 33) .. (group or '')
  local entry = entries[rest]
  if not entry then
    entry = start .. rest
    entries[rest] = entry
  end
  return entry
end
-- Takes whole packs at a time: no groups, no large payloads.
local function take_packs(room)
  local function from_set(max)
    local more = call('ZRANGE', KEYS[4], '-inf', max, 'BYSCORE', 'LIMIT', 0, room - #ids)
    if #more == 0 then return end
    call('ZREM', KEYS[4], unpack(more))
    n.prioritized = n.prioritized - #more
    local before = #ids
    local found = call('HMGET', KEYS[2], unpack(more))
    for i = 1, #more do
      if found[i] then
        ids[#ids + 1] = more[i]
        records[#records + 1] = found[i]
      end
    end
    for first = before + 1, #ids, PACK_MAX do packs[#packs + 1] = pack_ids(ids, first, math.min(first + PACK_MAX - 1, #ids), 0) end
  end
  -- Ahead of the list stands what is more urgent, behind it what is less.
  if n.prioritized > 0 then from_set('(' .. int(n.list_prio * 2147483648)) end
  local dropped = 0
  while #ids < room and n.listed > 0 and dropped < 1000 do
    local popped = call('RPOP', KEYS[3], math.ceil((room - #ids) / PACK_MAX))
    if not popped then
      n.listed = 0
      break
    end
    for i = 1, #popped do
      local ids_of, before = popped[i], #ids
      local mine, k = unpack_ids(ids_of)
      local found = call('HMGET', KEYS[2], unpack(mine))
      local live, live_records = mine, found
      local whole = n.tombs == 0
      for m = 1, k do
        -- A record that somebody deleted by hand must not stop the queue.
        if not found[m] then whole = false end
      end
      if not whole then
        -- Entries left behind by removals, cancels and moves: one stands for its job only while their generations agree.
        local gen = sub(ids_of, 2, 5)
        live, live_records = {}, {}
        for m = 1, k do
          local record = found[m]
          if record and byte(record, 2) == 119 and sub(record, 3, 6) == gen then
            live[#live + 1] = mine[m]
            live_records[#live_records + 1] = record
          else
            dropped = dropped + 1
            n.tombs = math.max(0, n.tombs - 1)
          end
        end
        if #live < k then
          k = #live
          ids_of = k > 0 and pack_ids(live, 1, k, unpack_struct('>I4', ids_of, 2))
        end
      end
      local fit = math.min(k, room - before)
      for m = 1, fit do
        ids[before + m] = live[m]
        records[before + m] = live_records[m]
      end
      n.listed = n.listed - fit
      if fit < k then
        -- More than wanted: the rest of this pack, and the packs behind it, go back to the head as they were.
        local back, gen = {}, unpack_struct('>I4', ids_of, 2)
        for m = #popped, i + 1, -1 do back[#back + 1] = popped[m] end
        back[#back + 1] = pack_ids(live, fit + 1, k, gen)
        call('RPUSH', KEYS[3], unpack(back))
        if fit > 0 then packs[#packs + 1] = pack_ids(live, 1, fit, gen) end
        break
      end
      if ids_of then packs[#packs + 1] = ids_of end
    end
  end
  if #ids < room and n.prioritized > 0 then from_set('+inf') end
  local taken = #ids
  if taken == 0 then return end
  n.waiting = n.waiting - taken
  local left = n.turn_left == 0 and cfg.weight or n.turn_left
  n.turn_left = n.waiting == 0 and 0 or (left - taken) % cfg.weight
  local kv = { unpack(ids, 1, 2 * taken) }
  if band(n.flags, 64) == 0 then
    local entry = start .. '\0\0\0\0'
    for i = 1, taken do
      kv[2 * i - 1] = ids[i]
      kv[2 * i] = entry
    end
  else
    local deadlines = {}
    for i = 1, taken do
      kv[2 * i - 1] = ids[i]
      kv[2 * i] = entry_of(records[i])
      local seconds = unpack_struct('>I4', records[i], 30)
      if seconds > 0 then
        deadlines[#deadlines + 1] = int(now + seconds * 1000 + 30000)
        deadlines[#deadlines + 1] = ids[i]
      end
    end
    if #deadlines > 0 then call('ZADD', KEYS[25], unpack(deadlines)) end
  end
  if n.active == 0 then
    call('HSET', KEYS[18], WIDE, '', unpack(kv))
    call('HDEL', KEYS[18], WIDE)
  else
    call('HSET', KEYS[18], unpack(kv))
  end
  n.active = n.active + taken
  -- Who is at its cap has had its turn.
  if cfg.group_concurrency > 0 and n.active >= cfg.group_concurrency then n.turn_left = 0 end
  if cfg.events_max > 0 then
    local owners = ''
    if band(n.flags, 32) ~= 0 then
      local hashes = {}
      for i = 1, taken do
        hashes[i] = owner_in(records[i]) or NOBODY
      end
      owners = table.concat(hashes)
    end
    tell_packs('a', packs, 1, #packs, taken, owners)
  end
end
