#!lua flags=allow-oom
-- step.lua: settles what a worker has finished, then takes work for its free slots.
-- Why a script: token check, settle and take must be one step, or a rescued job could be settled by its old holder.
-- Safe to repeat: the call number of the last step is kept with what it settled, and the jobs it took are found by their tokens.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 version of the settings the call was checked with   2 worker (8 bytes)   3 call   4 want   5 n
--        6 outcome codes, a letter a job, or '' (all complete, none with parent, dedup key, follow-ups or group)
--        7 p   8 owner hashes, 8 bytes each, or ''   9 extras (msgpack) or ''   10 g
--        then g pairs: active entry expected, for how many jobs in a row; then p packs of the n ids, at most 255 in each, generation 0;
--        then n records without their first 12 bytes (version, state, generation, at)
--        codes: c complete, r retry with an error, z snooze, h release, l rate limited, f fail with an error, x cancelled
--        extras, by place from 1: d {i → ms until it runs again, or of the pause}, e {i → error without its end}, a {i → run-at},
--        o {i → [outbox entry without its time…]}
-- Reply  [now ms, settled ('' = all ok, else a letter a job: o ok, s stale, u unknown), packs of taken ids, their records,
--        [[place among the taken, payload]…] of large ones, next due ms or 0, limited until ms or 0, paused 0|1, known 0|1, outbox list,
--        ids that somebody asked to stop; of a repeat when what it took has started], or ['late', last call], or ['cfg', settings, version]: nothing was changed, check again
-- Cost   O(n + taken + trimmed), + O(log d) a job in a sorted set; promotes at most 1,000, trims at most 2n
-- @include part_words.lua
local worker, number, want, total = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local codes, g = ARGV[6], tonumber(ARGV[10])
local got = call('HMGET', KEYS[1], 'cfg', 'n', 'w' .. worker)
local counted, last = got[2], got[3]
settings = got[1]
-- @inline block_open.lua
if cfg.version ~= tonumber(ARGV[1]) then return { 'cfg', call('HGET', KEYS[1], 'config') or '', cfg.version } end
local nonce = worker .. pack('>I6', number)
local start = nonce .. pack('>BI6', 0, now)

-- A worker that is not known (new, rescued, or of a store that lost its table) says hello first. Until then it settles what its tokens
-- still hold, and neither takes nor comes back to life: its call may have been long on its way.
local leased, last_number, posted_from, posted_till = 0, nil, nil, nil
if last then
  last_number, leased, posted_from, posted_till = unpack_struct('>I6I6I6I6', last)
  if number < last_number then return { 'late', last_number } end
end
local at_pack = 10 + 2 * g
local at_record = at_pack + tonumber(ARGV[7])

-- Whether all that has ended is plain and held under its token.
local plain, done, held = codes == '', {}, {}
if total > 0 then
  local packs, first_pack, last_pack = ARGV, at_pack + 1, at_record
  -- @inline block_unpack.lua
  done, held = ids, call('HMGET', KEYS[18], unpack(ids))
  local seen = 0
  for k = 1, g do
    local expected, till = ARGV[9 + 2 * k], seen + ARGV[10 + 2 * k]
    for m = seen + 1, till do
      if held[m] ~= expected then plain = false end
    end
    seen = till
  end
end

-- The hot path: a known worker's plain completions, and plain jobs to take from the list, which holds no tombstones. Written out without
-- functions: to make the dozens of the long way costs more than all else that a call of one job does. Everything else is below.
local hot, first_due = false, 0
if last and number > last_number and plain and n.groups == 0 and n.prioritized == 0 and n.tombs == 0 and n.dtombs == 0 and n.cancels == 0
  and band(n.flags, 31) == 0 and n.limited <= now and cfg.rate_max == 0 and cfg.group_concurrency == 0 and cfg.call_bytes >= 1024 * want then
  hot = true
  if n.delayed > 0 then
    first_due = tonumber(call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')[2] or nil) or 0
    hot = first_due > now
  end
end
if hot and total > 0 then
  if total == n.active then call('HSET', KEYS[18], WIDE, '') end
  if call('HDEL', KEYS[18], unpack(done)) < total then
    -- A job stands twice in the call. All goes back, and they are settled one by one.
    for i = 1, total do call('HSET', KEYS[18], done[i], held[i]) end
    call('HDEL', KEYS[18], WIDE)
    hot, plain = false, false
  end
end
if hot then
  local fields, happened = {}, 0
  if total > 0 then
    fields = { 'o', ARGV[8] }
    if band(n.flags, 64) ~= 0 then call('ZREM', KEYS[25], unpack(done)) end
    local head, kv = pack('>BBI4I6', 2, 99, n.gen, now), { unpack(done, 1, 2 * total) }
    for k = 1, total do
      kv[2 * k - 1] = done[k]
      kv[2 * k] = head .. ARGV[at_record + k]
    end
    call('HSET', KEYS[2], unpack(kv))
    local stamp = pack('>I6I4', now, n.gen)
    for k = at_pack + 1, at_record do
      call('LPUSH', KEYS[19], stamp, ARGV[k])
      fields[#fields + 1] = 'c'
      fields[#fields + 1] = ARGV[k]
    end
    n.completed, n.t_completed, n.active, happened = n.completed + total, n.t_completed + total, n.active - total, total
    local budget = 2 * total
    local owner_in, shrink_owner
    if band(n.flags, 32) ~= 0 then
      -- @inline block_owners.lua
    end
    -- @inline block_trim.lua
  end

  local room, taken, packs, records = math.min(want, 1000, cfg.call_items, n.listed), 0, {}, {}
  if cfg.concurrency > 0 then room = math.min(room, cfg.concurrency - n.active) end
  if room > 0 then
    local ids = { unpack(ARGV, 1, room) }
    while taken < room do
      local more = call('RPOP', KEYS[3], math.ceil((room - taken) / 16))
      if not more then
        -- The list holds less than it should: the long way finds out.
        n.tombs = n.tombs + 1
        break
      end
      for i = 1, #more do
        local whole = more[i]
        local k = byte(whole)
        local mine = { unpack_struct(string.rep('Bc0', k), whole, 6) }
        if taken + k > room then
          -- More than wanted: the rest of the pack goes back to the head.
          local fit, cut = room - taken, 6
          for m = 1, fit do cut = cut + 1 + #mine[m] end
          call('RPUSH', KEYS[3], char(k - fit) .. sub(whole, 2, 5) .. sub(whole, cut))
          whole, k = char(fit) .. sub(whole, 2, 5) .. sub(whole, 6, cut - 1), fit
        end
        for m = 1, k do ids[taken + m] = mine[m] end
        taken = taken + k
        packs[#packs + 1] = whole
      end
    end
    if taken > 0 then records = call('HMGET', KEYS[2], unpack(ids, 1, taken)) end
    for i = 1, taken do
      if not records[i] then
        -- A record that somebody deleted by hand must not stop the queue: all goes back, and counts as a tombstone, which the long way drops.
        for k = #packs, 1, -1 do call('RPUSH', KEYS[3], packs[k]) end
        n.tombs, taken, packs, records = n.tombs + 1, 0, {}, {}
        break
      end
    end
    if taken > 0 then
      local kv = { unpack(ids, 1, 2 * taken) }
      if band(n.flags, 64) == 0 then
        local entry = start .. '\0\0\0\0'
        for i = 1, taken do
          kv[2 * i - 1] = ids[i]
          kv[2 * i] = entry
        end
      else
        local entries, deadlines = {}, {}
        for i = 1, taken do
          local seconds = sub(records[i], 30, 33)
          local entry = entries[seconds]
          if not entry then
            entry = start .. seconds
            entries[seconds] = entry
          end
          kv[2 * i - 1] = ids[i]
          kv[2 * i] = entry
          if seconds ~= '\0\0\0\0' then
            deadlines[#deadlines + 1] = string.format('%d', now + unpack_struct('>I4', seconds) * 1000 + 30000)
            deadlines[#deadlines + 1] = ids[i]
          end
        end
        if #deadlines > 0 then call('ZADD', KEYS[25], unpack(deadlines)) end
      end
      if n.active == 0 then call('HSET', KEYS[18], WIDE, '', unpack(kv)) else call('HSET', KEYS[18], unpack(kv)) end
      -- Whose turn it is among groups, should there ever be some.
      local left = n.turn_left == 0 and cfg.weight or n.turn_left
      n.waiting, n.listed, n.active = n.waiting - taken, n.listed - taken, n.active + taken
      n.turn_left = n.waiting == 0 and 0 or (left - taken) % cfg.weight
      local owners = ''
      if cfg.events_max > 0 and band(n.flags, 32) ~= 0 then
        local hashes = {}
        for i = 1, taken do
          local record = records[i]
          local flags = byte(record, 20)
          local at = band(flags, 1) ~= 0 and 53 or 39
          hashes[i] = band(flags, 8) ~= 0 and sub(record, at, at + 7) or NOBODY
        end
        owners = table.concat(hashes)
      end
      local at = #fields
      fields[at + 1], fields[at + 2] = 'o', owners
      for k = 1, #packs do fields[at + 2 * k + 1], fields[at + 2 * k + 2] = 'a', packs[k] end
      happened = happened + taken
      if n.waiting == 0 then
        at = #fields
        fields[at + 1], fields[at + 2] = 'm', 'e\0' .. NOBODY
        happened = happened + 1
      end
    end
  end
  if n.active == taken and n.active + total > 0 then call('HDEL', KEYS[18], WIDE) end
  if n.waiting > 0 and (cfg.concurrency == 0 or n.active < cfg.concurrency) and call('LLEN', KEYS[7]) == 0 then
    call('LPUSH', KEYS[7], 1)
  end
  if happened > 0 then
    -- @inline block_publish.lua
  end
  -- @inline block_keep_call.lua
  n.seen = now
  call('HSET', KEYS[1], 'n', pack(COUNTERS, unpack(n, 1, 33)), 'w' .. worker, pack('>I6I6I6I6', number, leased, n.outbox, n.outbox))
  return { now, '', packs, records, {}, first_due, 0, 0, 1, {}, {} }
end

-- @include part_state.lua
-- @include part_limits.lua
-- @include part_trim.lua
-- @include part_batch.lua
-- How many jobs may start now.
local function allowance(want)
  local room = math.min(want, 1000, cfg.call_items)
  if band(n.flags, 1) ~= 0 or n.limited > now then return 0 end
  if cfg.concurrency > 0 then room = math.min(room, cfg.concurrency - n.active) end
  if cfg.group_concurrency > 0 and n.groups == 0 then room = math.min(room, cfg.group_concurrency - n.active) end
  if cfg.rate_max > 0 and room > 0 then room = math.min(room, rate_room()) end
  return room
end
-- @include part_job.lua
-- @include part_groups.lua
-- @include part_moves.lua
-- Jobs of this worker that somebody asked to stop. The active hash is no larger than all slots together.
local function cancels()
  local ids = {}
  if n.cancels > 0 then
    local flat = call('HGETALL', KEYS[18])
    for i = 1, #flat, 2 do
      if sub(flat[i + 1], 1, 8) == worker and band(byte(flat[i + 1], 15), 1) ~= 0 then ids[#ids + 1] = flat[i] end
    end
    table.sort(ids, bytes_before)
  end
  return ids
end
-- When there may be something to take without anybody's doing.
local function next_due()
  local held = release_held()
  if n.delayed > 0 then
    local first = tonumber(call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')[2] or nil) or 0
    if held == 0 or first > 0 and first < held then return first end
  end
  return held
end
local function paused() return band(n.flags, 1) end
local function large(ids, records)
  local payloads = {}
  if band(n.flags, 2) ~= 0 then
    for i = 1, #ids do
      if band(byte(records[i], 20), BIG) ~= 0 then payloads[#payloads + 1] = { i, call('HGET', KEYS[10], ids[i]) } end
    end
  end
  return payloads
end

if last and number == last_number then
  -- A repeat. What it took and still holds carries its nonce.
  local flat = call('HGETALL', KEYS[18])
  for i = 1, #flat, 2 do
    if sub(flat[i + 1], 1, 14) == nonce then ids[#ids + 1] = flat[i] end
  end
  table.sort(ids, bytes_before)
  if #ids > 0 then records = call('HMGET', KEYS[2], unpack(ids)) end
  if posted_till > posted_from then
    for _, row in ipairs(call('XRANGE', KEYS[12], int(posted_from + 1) .. '-0', int(posted_till) .. '-0')) do
      outbox[#outbox + 1] = { tonumber(string.match(row[1], '^%d+')), row[2][2] }
    end
  end
  call('ZADD', KEYS[22], 'GT', int(now + cfg.lease_ms), worker)
  local started = ids[1] and unpack_struct('>I6', call('HGET', KEYS[18], ids[1]), 16) or now
  return { now, sub(last, 25), packs_of(ids, 0), records, large(ids, records), next_due(), limited_until(), paused(), 1, outbox, cancels(), started }
end
local met = last and 1 or 0
if met == 0 then want = 0 end
local outbox_before = n.outbox
local changed = false

-- ------------------------------------------------------------------ settling
local settled = ''

-- Settles one job whose entry in the active hash carries its token. The record is what it becomes by its own word.
local x
local ended = { 0, 0, 0 }
local function settle(i, id, code, entry)
  local run_at = x.a and x.a[i]
  local j = parse(id, pack('>BBI4I6', 2, WAITING, n.gen, run_at or 0) .. ARGV[at_record + i])
  if not run_at then run_at = status(j).run_at or j.created end
  j.at = run_at
  j.token = sub(entry, 1, 14)
  j.active = entry
  local flags = byte(entry, 15)
  if band(flags, 2) ~= 0 then
    -- The run has changed its job's data, which the worker's copy does not know.
    local kept = parse(id, call('HGET', KEYS[2], id))
    j.data = kept.data
    put(j, BIG, is(kept, BIG))
  end
  if band(flags, 1) ~= 0 and code ~= 'c' then
    -- Whoever asked for a cancel gets it, unless the job completed first.
    if code == 'z' or code == 'h' or code == 'l' then status(j).made = status(j).made + 1 end
    if code == 'r' or code == 'f' then
      -- The worker has made room for an error that is now not kept.
      local kept = call('HGET', KEYS[2], id)
      if kept then status(j).errors = status(parse(id, kept)).errors end
    end
    code = 'x'
  end
  leave_active(j)
  if code == 'c' then
    for _, body in ipairs(x.o and x.o[i] or {}) do
      n.outbox = n.outbox + 1
      local row = pack('>I6', now) .. body
      call('XADD', KEYS[12], int(n.outbox) .. '-0', 'e', row)
      outbox[#outbox + 1] = { n.outbox, row }
    end
    enter_finished(j, COMPLETED, run_at)
    ended[1] = ended[1] + 1
  elseif code == 'f' then
    local s = status(j)
    s.errors = s.errors .. x.e[i] .. pack('>I6', now)
    enter_finished(j, FAILED, run_at)
    ended[2] = ended[2] + 1
  elseif code == 'r' then
    local s = status(j)
    s.errors = s.errors .. x.e[i] .. pack('>I6', now)
    s.run_at = nil
    n.t_retried = n.t_retried + 1
    enter_delayed(j, now + (x.d and x.d[i] or 0))
    tell_job('r', j)
  elseif code == 'z' then
    status(j).run_at = nil
    enter_delayed(j, now + (x.d and x.d[i] or 0))
    tell_job(j.state == WAITING and 'w' or 'd', j)
  elseif code == 'x' then
    enter_finished(j, CANCELLED, run_at)
    ended[3] = ended[3] + 1
  else
    status(j).run_at = nil
    if code == 'l' then
      local till = now + (x.d and x.d[i] or 0)
      if is(j, GROUP) then
        local name = member('+' .. links(j).group)
        known(name)
        hold_back(name, till)
      else
        n.limited = math.max(n.limited, till)
      end
    end
    enter_waiting(j, true)
    tell_job('w', j)
  end
  save(j)
end

if total > 0 then
  if plain and settle_batch(done, held, at_pack, at_record, total) then
    changed = true
    if n.groups > 0 then
      local others = member('-')
      others.active = math.max(0, others.active - total)
      seat(others)
    end
  else
    x = ARGV[9] ~= '' and cmsgpack.unpack(ARGV[9]) or {}
    local result, i = {}, 0
    for k = 1, g do
      local expected = sub(ARGV[9 + 2 * k], 1, 14)
      for m = i + 1, i + ARGV[10 + 2 * k] do
        -- The hash is asked again: the same job may stand twice in one call.
        local entry = held[m] and call('HGET', KEYS[18], done[m])
        if entry and sub(entry, 1, 14) == expected then
          settle(m, done[m], codes == '' and 'c' or sub(codes, m, m), entry)
          result[m] = 'o'
          changed = true
        else
          -- Not held under this token: it was settled by it (the record keeps the token), or it is somebody else's, or gone.
          local record = call('HGET', KEYS[2], done[m])
          if not record then
            result[m] = 'u'
          elseif band(byte(record, 20), SETTLED) ~= 0 and sub(record, 39, 52) == expected then
            result[m] = 'o'
          else
            result[m] = 's'
          end
        end
      end
      i = i + ARGV[10 + 2 * k]
    end
    if ended[1] > 0 then trim_completed(2 * ended[1]) end
    if ended[2] > 0 then trim_set(KEYS[20], &n.failed, cfg.keep_f, cfg.age_f, 2 * ended[2]) end
    if ended[3] > 0 then trim_set(KEYS[21], &n.cancelled, cfg.keep_x, cfg.age_x, 2 * ended[3]) end
    settled = table.concat(result)
    if settled == string.rep('o', total) then settled = '' end
  end
end

-- Promotes what is due; only a queue that has delayed jobs looks at them.
if n.delayed > 0 and promote_due(1000) > 0 then changed = true end

-- ------------------------------------------------------------------ taking
release_held()
local room = allowance(want)
-- The next live entry of a list, with its record.
local function pop(list)
  for _ = 1, 1000 do
    local ids_of = call('RPOP', list)
    if not ids_of then return nil end
    local mine, k = unpack_ids(ids_of)
    local gen = unpack_struct('>I4', ids_of, 2)
    for i = 1, k do
      local record = call('HGET', KEYS[2], mine[i])
      if record and byte(record, 2) == WAITING and unpack_struct('>I4', record, 3) == gen then
        if i < k then call('RPUSH', list, pack_ids(mine, i + 1, k, gen)) end
        return mine[i], record, gen
      end
      n.tombs = math.max(0, n.tombs - 1)
    end
  end
  return nil
end
-- Any case: one job after the other, in the rotation of groups, and no more than a call may carry.
local function take_one_by_one()
  local bytes = cfg.call_bytes
  while #ids < room do
    local turn, id, record, gen, list = nil, nil, nil, 0, KEYS[3]
    if n.groups > 0 then
      turn = next_member()
      if not turn then break end
    elseif n.waiting == 0 then
      break
    end
    if turn and turn.name ~= '-' then
      list = KEYS[17] .. sub(turn.name, 2)
      id, record, gen = pop(list)
      if not id then break end
    else
      if n.prioritized > 0 then
        local first = call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
        if first[1] and (n.listed == 0 or tonumber(first[2]) < n.list_prio * 2147483648) then
          id, list = first[1], nil
          record = call('HGET', KEYS[2], id)
          if not record then
            call('ZREM', KEYS[4], id)
            break
          end
        end
      end
      if not id then
        id, record, gen = pop(list)
        if not id then break end
      end
    end
    local j = parse(id, record)
    local size = is(j, BIG) and call('HSTRLEN', KEYS[10], id) or #j.data
    if #ids > 0 and size > bytes then
      if list then call('RPUSH', list, pack_ids({ id }, 1, 1, gen)) end
      break
    end
    bytes = math.max(0, bytes - size)
    ids[#ids + 1], records[#records + 1] = id, record
    n.waiting, n.active = n.waiting - 1, n.active + 1
    if not list then
      call('ZREM', KEYS[4], id)
      n.prioritized = n.prioritized - 1
    elseif list == KEYS[3] then
      n.listed = n.listed - 1
    end
    if turn then
      had_turn(turn)
    else
      local left = n.turn_left == 0 and cfg.weight or n.turn_left
      n.turn_left = n.waiting == 0 and 0 or (left - 1) % cfg.weight
      if cfg.group_concurrency > 0 and n.active >= cfg.group_concurrency then n.turn_left = 0 end
    end
    call('HSET', KEYS[18], id, entry_of(record, is(j, GROUP) and links(j).group))
    if j.timeout > 0 then call('ZADD', KEYS[25], int(now + j.timeout * 1000 + 30000), id) end
    tell_job('a', j)
  end
  packs = packs_of(ids, 0)
end
if room > 0 and n.waiting > 0 then
  if n.groups == 0 and band(n.flags, 2) == 0 and cfg.call_bytes >= 1024 * room then take_packs(room) else take_one_by_one() end
  if #ids > 0 then
    changed = true
    if cfg.rate_max > 0 then record_starts(#ids) end
    if n.waiting == 0 and cfg.events_max > 0 then tell('e', '') end
  end
end

local due, limited = next_due(), limited_until()
save_members()
if can_start() then ring_the_bell() end
publish()
if met == 1 then
  -- @inline block_keep_call.lua
  call('HSET', KEYS[1], 'n', counters(), 'w' .. worker, pack('>I6I6I6I6', number, leased, outbox_before, n.outbox) .. settled)
elseif changed then
  call('HSET', KEYS[1], 'n', counters())
end
return { now, settled, packs, records, large(ids, records), due, limited, paused(), met, outbox, cancels() }
