#!lua flags=allow-oom
-- admin.lua: what an administrator asks for, as core/admin.rs does it. Every command is bounded and says whether more is left.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 version of the settings the call was checked with   2 command, then
--        pause, unpause –   cancel, remove, discard, promote: n, ids…   retry: n, ids…, 1 with other data or 0, data   retryfailed: limit
--        reschedule: id, `in` or `at`, ms   priority: id, priority   data: id, payload   clean: state letter, older than ms, limit
--        drain: 1 delayed ones too or 0, limit   obliterate: 1 by force or 0, limit
--        at the end, whose jobs it may touch: `a` all, `t` a tenant's, `o` an owner's, then tenant, user; others are unknown to it
-- Reply  [now ms, a letter for each job named (D done, R requested, U unknown, else the letter of the state that does not allow it), changed,
--        more 0|1, outbox list], or ['busy', active jobs], or ['grouped'], or ['cfg', settings, version]: nothing was changed
-- Cost   O(jobs named or removed), + O(log d) a job in a sorted set; clean looks at 10,000 records at most
-- @include part_state.lua
-- @include part_limits.lua
-- @include part_job.lua
-- @include part_groups.lua
-- @include part_moves.lua
-- @include part_schedule.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
open(got[1], got[2])
if cfg.version ~= tonumber(ARGV[1]) then return moved_on() end
local LETTERS = { [WAITING] = 'w', [DELAYED] = 'd', [PARENT_WAITS] = 'p', [COMPLETED] = 'c', [FAILED] = 'f', [CANCELLED] = 'x' }
local SCAN = 10000
local command = ARGV[2]
local results, changed, more = {}, 0, false

local function letter(j) return j.active and 'a' or LETTERS[j.state] end
local scope, tenant, user = ARGV[#ARGV - 2], ARGV[#ARGV - 1], ARGV[#ARGV]
local function find(id)
  local j = load(id)
  if not j or scope == 'a' then return j end
  if not is(j, OWNER) then return nil end
  local l = links(j)
  return l.tenant == tenant and (scope == 't' or l.user == user) and j or nil
end
local function each(act)
  for i = 4, 3 + ARGV[3] do
    local j = find(ARGV[i])
    local result = j and act(j) or 'U'
    if result == 'D' or result == 'R' then changed = changed + 1 end
    results[#results + 1] = result
  end
end
local function one(id, act)
  local j = find(id)
  local result = j and act(j) or 'U'
  if result == 'D' or result == 'R' then changed = changed + 1 end
  results[1] = result
end
local function set_data(j, data)
  if is(j, BIG) then call('HDEL', KEYS[10], j.id) end
  put(j, BIG, #data > 1024)
  j.data = data
  if #data > 1024 then
    use(2)
    call('HSET', KEYS[10], j.id, data)
    j.data = ''
  end
end

local function cancel(j)
  if j.active then
    request_cancel(j)
    return 'R'
  elseif j.state == WAITING or j.state == DELAYED or j.state == PARENT_WAITS then
    cancel_now(j)
    return 'D'
  end
  return letter(j)
end
local function remove_one(j)
  cancel_children(j)
  if is(j, CHILD) and (j.state == WAITING or j.state == DELAYED or j.state == PARENT_WAITS) then tell_parent(j, 'f', 'it was removed') end
  tell_job('v', j)
  drop_job(j)
end
local function remove(j)
  if j.active then return 'a' end
  remove_one(j)
  return 'D'
end
local function discard(j)
  if j.state ~= FAILED then return letter(j) end
  return remove(j)
end
local function retry(j, data)
  if j.state ~= FAILED and j.state ~= CANCELLED then return letter(j) end
  leave(j)
  if data then set_data(j, data) end
  local s = status(j)
  s.made, s.result, s.run_at = 0, nil, nil
  j.stalls, j.at = 0, now
  if band(n.flags, 4) ~= 0 then call('HDEL', KEYS[26], j.id) end
  -- The key was freed when the job ended. It is taken again unless somebody else holds it now.
  if is(j, DEDUP) then
    local l = links(j)
    if not holder(l.key) then hold(l.key, l.ttl, l.fingerprint, j.id) end
  end
  enter_waiting(j, false)
  save(j)
  tell_job('w', j)
  return 'D'
end
local function promote_now(j)
  if j.state ~= DELAYED then return letter(j) end
  leave(j)
  j.at = now
  enter_waiting(j, false)
  save(j)
  tell_job('w', j)
  return 'D'
end
local function reschedule(j)
  if j.active or j.state ~= WAITING and j.state ~= DELAYED then return letter(j) end
  local run_at = ARGV[4] == 'in' and now + ARGV[5] or math.max(now, tonumber(ARGV[5]))
  leave(j)
  enter_delayed(j, run_at)
  save(j)
  tell_job(j.state == WAITING and 'w' or 'd', j)
  return 'D'
end
local function set_priority(j)
  local priority = tonumber(ARGV[4])
  if j.state == WAITING and not j.active then
    leave(j)
    j.priority = priority
    enter_waiting(j, false)
  elseif j.state == DELAYED or j.state == PARENT_WAITS then
    j.priority = priority
  else
    return letter(j)
  end
  save(j)
  return 'D'
end

-- Ids of waiting jobs, oldest entries of each lane first: those without a group in the order of their priorities, then group by group.
-- `visit` gets a live job's id and record and says whether to go on.
local function each_waiting(visit)
  local seen = 0
  local function records_of(ids, gen)
    local found = call('HMGET', KEYS[2], unpack(ids))
    for i = 1, #ids do
      seen = seen + 1
      local record = found[i]
      if record and byte(record, 2) == WAITING and (not gen or sub(record, 3, 6) == gen) and (gen or call('HEXISTS', KEYS[18], ids[i]) == 0) then
        if not visit(ids[i], record) then return false end
      end
    end
    return seen < SCAN
  end
  local function set(from, to)
    local offset = 0
    while true do
      local ids = call('ZRANGE', KEYS[4], from, to, 'BYSCORE', 'LIMIT', offset, 500)
      if #ids == 0 then return true end
      if not records_of(ids) then return false end
      offset = offset + 500
    end
  end
  local function list(key)
    -- What is dead at the head is dropped for good, or it would be looked at again by every call.
    for _ = 1, 1000 do
      local head = n.tombs > 0 and call('LINDEX', key, -1)
      if not head then break end
      local mine, k = unpack_ids(head)
      local found, gen = call('HMGET', KEYS[2], unpack(mine)), sub(head, 2, 5)
      for i = 1, k do
        if found[i] and byte(found[i], 2) == WAITING and sub(found[i], 3, 6) == gen then k = 0 break end
      end
      if k == 0 then break end
      call('RPOP', key)
      n.tombs = math.max(0, n.tombs - k)
    end
    local last = -1
    while true do
      local packs = call('LRANGE', key, last - 99, last)
      if #packs == 0 then return true end
      for i = #packs, 1, -1 do
        if not records_of((unpack_ids(packs[i])), sub(packs[i], 2, 5)) then return false end
      end
      last = last - 100
    end
  end
  local edge = int(n.list_prio * 2147483648)
  if not set('-inf', '(' .. edge) or not list(KEYS[3]) or not set(edge, '+inf') then return end
  if n.groups > 0 then
    local names = call('HKEYS', KEYS[16])
    table.sort(names, bytes_before)
    for i = 1, #names do
      if names[i] ~= '-' and not list(KEYS[17] .. sub(names[i], 2)) then return end
    end
  end
end

-- Ids of jobs of a state, oldest first, that finished (or were added) at `till` or earlier; at most `limit`.
local function older_than(state, till, limit)
  local ids, seen = {}, 0
  local function visit(id, record)
    local at = unpack_struct('>I6', record, (state == 'c' or state == 'f' or state == 'x') and 7 or 13)
    if at <= till then ids[#ids + 1] = id end
    return #ids < limit
  end
  if state == 'w' then
    each_waiting(visit)
  elseif state == 'c' then
    local last = -1
    while seen < SCAN and #ids < limit do
      -- Alternately stamp and pack, the oldest stamp last.
      local rows = call('LRANGE', KEYS[19], last - 99, last)
      if #rows == 0 then break end
      for i = #rows, 2, -2 do
        local stamp, mine = rows[i], (unpack_ids(rows[i - 1]))
        if unpack_struct('>I6', stamp) > till then return ids end
        local found = call('HMGET', KEYS[2], unpack(mine))
        for k = 1, #mine do
          seen = seen + 1
          local record = found[k]
          if record and byte(record, 2) == COMPLETED and sub(record, 7, 12) == sub(stamp, 1, 6) and sub(record, 3, 6) == sub(stamp, 7, 10)
            and #ids < limit then visit(mine[k], record) end
        end
      end
      last = last - 100
    end
  else
    local key = state == 'd' and KEYS[5] or state == 'p' and KEYS[13] or state == 'f' and KEYS[20] or KEYS[21]
    while seen < SCAN and #ids < limit do
      local some = call('ZRANGE', key, seen, seen + 499)
      if #some == 0 then break end
      local found = call('HMGET', KEYS[2], unpack(some))
      for k = 1, #some do
        seen = seen + 1
        if found[k] and #ids < limit then visit(some[k], found[k]) end
      end
    end
  end
  return ids
end
local function remove_all(ids, limit)
  more = #ids > limit
  for i = 1, math.min(limit, #ids) do
    local j = load(ids[i])
    if j then
      remove_one(j)
      changed = changed + 1
    end
  end
end

-- Waiting or delayed jobs that are too many to be looked at in one call: a round over all records, a slice a call. More is left until a
-- whole round has found nothing. Where a round stands is kept in the meta hash.
local function clean_round(state, till, limit)
  local field = 'clean:' .. state
  local cursor, found = string.match(call('HGET', KEYS[1], field) or '0 0', '^(%d+) (%d)$')
  local seen, wanted = 0, state == 'w' and WAITING or DELAYED
  repeat
    local page, full = call('HSCAN', KEYS[2], cursor, 'COUNT', 500), false
    for i = 1, #page[2], 2 do
      local id, record = page[2][i], page[2][i + 1]
      seen = seen + 1
      if byte(record, 2) == wanted and unpack_struct('>I6', record, 13) <= till and call('HEXISTS', KEYS[18], id) == 0 then
        if changed >= limit then
          full = true
          break
        end
        local j = load(id)
        if j then
          remove_one(j)
          changed, found = changed + 1, '1'
        end
      end
    end
    if full then break end
    cursor = page[1]
  until cursor == '0' or seen >= SCAN
  if cursor == '0' then
    call('HDEL', KEYS[1], field)
    more = found == '1'
  else
    call('HSET', KEYS[1], field, cursor .. ' ' .. found)
    more = true
  end
end

if command == 'pause' or command == 'unpause' then
  local on = command == 'pause'
  if (band(n.flags, 1) ~= 0) ~= on then
    n.flags = n.flags + (on and 1 or -1)
    changed = 1
    tell(on and 'p' or 'u', '')
    wake = not on
  end
elseif command == 'cancel' then
  each(cancel)
elseif command == 'remove' then
  each(remove)
elseif command == 'discard' then
  each(discard)
elseif command == 'promote' then
  each(promote_now)
elseif command == 'retry' then
  local data = ARGV[4 + ARGV[3]] == '1' and ARGV[5 + ARGV[3]] or nil
  each(function(j) return retry(j, data) end)
elseif command == 'retryfailed' then
  for _, id in ipairs(call('ZRANGE', KEYS[20], '-inf', '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[3])) do
    local j = load(id)
    if j and retry(j) == 'D' then changed = changed + 1 end
  end
  more = n.failed > 0
elseif command == 'reschedule' then
  one(ARGV[3], reschedule)
elseif command == 'priority' then
  local j = find(ARGV[3])
  if j and is(j, GROUP) then return { 'grouped' } end
  one(ARGV[3], set_priority)
elseif command == 'data' then
  one(ARGV[3], function(j)
    if j.active then return 'a' end
    set_data(j, ARGV[4])
    save(j)
    return 'D'
  end)
elseif command == 'clean' then
  local limit = tonumber(ARGV[5])
  if ARGV[3] == 'w' and n.waiting + n.tombs > SCAN or ARGV[3] == 'd' and n.delayed > SCAN then
    clean_round(ARGV[3], now - ARGV[4], limit)
  else
    remove_all(older_than(ARGV[3], now - ARGV[4], limit + 1), limit)
  end
  if changed > 0 then tell('l', '', nil, pack('>I4', changed)) end
elseif command == 'drain' then
  local limit, ids = tonumber(ARGV[4]), {}
  each_waiting(function(id)
    ids[#ids + 1] = id
    return #ids <= limit
  end)
  if ARGV[3] == '1' and #ids <= limit then
    for _, id in ipairs(call('ZRANGE', KEYS[5], 0, limit - #ids)) do ids[#ids + 1] = id end
  end
  remove_all(ids, limit)
  more = n.waiting > 0 or ARGV[3] == '1' and n.delayed > 0
elseif command == 'obliterate' then
  if ARGV[3] ~= '1' and n.active > 0 then return { 'busy', n.active } end
  local limit, ids, cursor = tonumber(ARGV[4]), {}, '0'
  repeat
    local page = call('HSCAN', KEYS[2], cursor, 'COUNT', 500)
    cursor = page[1]
    for i = 1, #page[2], 2 do ids[#ids + 1] = page[2][i] end
  until cursor == '0' or #ids > limit
  remove_all(ids, limit)
  more = call('HLEN', KEYS[2]) > 0
  -- The outbox stays: parents in other queues wait for the news in it, and follow-ups were promised.
  if not more then call('DEL', KEYS[3], KEYS[8], KEYS[9], KEYS[19]) end
  if not more then n.tombs, n.dtombs = 0, 0 end
  if not more then
    local left = limit - changed
    for _, id in ipairs(left > 0 and call('ZRANGE', KEYS[33], 0, left - 1) or {}) do drop_schedule(id) end
    more = call('ZCARD', KEYS[33]) > 0
    if not more then call('DEL', KEYS[30], KEYS[31], KEYS[32], KEYS[34], KEYS[35]) end
  end
end
-- Completed batches of which nothing is left are dropped from the end.
for _ = 1, 100 do
  if n.dtombs == 0 then break end
  local batch = call('LRANGE', KEYS[19], -2, -1)
  if not batch[2] then break end
  local mine, k = unpack_ids(batch[1])
  local found = call('HMGET', KEYS[2], unpack(mine))
  for i = 1, k do
    local record = found[i]
    if record and byte(record, 2) == COMPLETED and sub(record, 7, 12) == sub(batch[2], 1, 6) and sub(record, 3, 6) == sub(batch[2], 7, 10) then
      k = 0
      break
    end
  end
  if k == 0 then break end
  call('RPOP', KEYS[19], 2)
  n.dtombs = math.max(0, n.dtombs - k)
end
save_members()
if wake and can_start() then ring_the_bell() end
if got[2] or changed > 0 then
  publish()
  call('HSET', KEYS[1], 'n', counters())
end
return { now, table.concat(results), changed, more and 1 or 0, outbox }
