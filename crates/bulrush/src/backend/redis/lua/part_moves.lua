-- part_moves.lua: how one job moves between states: what every script but the hot path of add and step is made of. Needs part_job.lua and
-- part_groups.lua. The same moves as core/mod.rs, under the same names.
local outbox, wake = {}, false

local function post(target, body)
  n.outbox = n.outbox + 1
  local entry = pack('>I6I2', now, #target) .. target .. body
  call('XADD', KEYS[12], int(n.outbox) .. '-0', 'e', entry)
  outbox[#outbox + 1] = { n.outbox, entry }
end

-- The list serves one priority at a time; another one when the settings changed and it is empty, and no job of that priority waits elsewhere.
local function settle_list()
  if n.list_prio ~= cfg.default_priority and n.listed == 0 then
    local first = cfg.default_priority * 2147483648
    if n.prioritized == 0 or call('ZCOUNT', KEYS[4], int(first), '(' .. int(first + 2147483648)) == 0 then
      n.list_prio = cfg.default_priority
    end
  end
end

local function leave_active(j)
  local entry = j.active
  local group = sub(entry, 26)
  call('HDEL', KEYS[18], j.id)
  if byte(entry, 22) + byte(entry, 23) + byte(entry, 24) + byte(entry, 25) > 0 then call('ZREM', KEYS[25], j.id) end
  if band(byte(entry, 15), 1) ~= 0 then n.cancels = n.cancels - 1 end
  n.active = n.active - 1
  if n.groups > 0 then
    local g = member(group == '' and '-' or '+' .. group)
    g.active = math.max(0, g.active - 1)
    seat(g)
    forget_idle(g)
  end
  wake = true
end

-- Takes a job out of where it stands; the caller puts it into the next place. An entry in a list stays behind, dead: its generation is past.
local function leave(j)
  if j.active then
    leave_active(j)
    return
  end
  local state = j.state
  if state == WAITING then
    n.waiting = n.waiting - 1
    if is(j, GROUP) then
      local g = member('+' .. links(j).group)
      g.waiting = g.waiting - 1
      n.tombs = n.tombs + 1
      n.gen = n.gen + 1
      if g.waiting == 0 then
        unseat(g)
        forget_idle(g)
      end
      return
    end
    if j.priority == n.list_prio then
      n.listed = n.listed - 1
      n.tombs = n.tombs + 1
      n.gen = n.gen + 1
    else
      call('ZREM', KEYS[4], j.id)
      n.prioritized = n.prioritized - 1
    end
    if n.groups > 0 then
      local g = member('-')
      g.waiting = g.waiting - 1
      if g.waiting == 0 then unseat(g) end
    elseif n.waiting == 0 then
      n.turn_left = 0
    end
  elseif state == DELAYED then
    call('ZREM', KEYS[5], j.id)
    n.delayed = n.delayed - 1
  elseif state == PARENT_WAITS then
    call('ZREM', KEYS[13], j.id)
    n.parents = n.parents - 1
  elseif state == COMPLETED then
    n.completed = n.completed - 1
    n.dtombs = n.dtombs + 1
    n.gen = n.gen + 1
  elseif state == FAILED then
    call('ZREM', KEYS[20], j.id)
    n.failed = n.failed - 1
  else
    call('ZREM', KEYS[21], j.id)
    n.cancelled = n.cancelled - 1
  end
end

-- Where in its lane a job comes that has no lane of its own kind: [order] of a priority, smaller first.
local function place(priority, front)
  if n.prioritized == 0 then n.pseq, n.phead = 0, 0 end
  local seq
  if front then
    n.phead = math.min(n.phead + 1, 1073741823)
    seq = -n.phead
  else
    n.pseq = math.min(n.pseq + 1, 1073741823)
    seq = n.pseq
  end
  return int(priority * 2147483648 + 1073741824 + seq)
end

-- Puts a job that is nowhere among the waiting ones. The caller saves the record.
local function enter_waiting(j, front)
  front = front or is(j, LIFO)
  j.state, j.active = WAITING, nil
  if is(j, GROUP) then
    local name = links(j).group
    local g = member('+' .. name)
    known(g)
    j.gen = n.gen
    n.waiting = n.waiting + 1
    call(front and 'RPUSH' or 'LPUSH', KEYS[17] .. name, pack_ids({ j.id }, 1, 1, n.gen))
    g.waiting = g.waiting + 1
    seat(g)
  else
    j.gen = n.gen
    n.waiting = n.waiting + 1
    settle_list()
    if j.priority == n.list_prio then
      call(front and 'RPUSH' or 'LPUSH', KEYS[3], pack_ids({ j.id }, 1, 1, n.gen))
      n.listed = n.listed + 1
    else
      call('ZADD', KEYS[4], place(j.priority, front), j.id)
      n.prioritized = n.prioritized + 1
    end
    if n.groups > 0 then
      local g = member('-')
      g.waiting = g.waiting + 1
      seat(g)
    end
  end
  wake = true
end

local function enter_delayed(j, run_at)
  if run_at <= now then
    j.at = run_at
    return enter_waiting(j, false)
  end
  j.state, j.active, j.at, j.gen = DELAYED, nil, run_at, n.gen
  call('ZADD', KEYS[5], int(run_at), j.id)
  n.delayed = n.delayed + 1
  -- Somebody may sleep until a later moment.
  if call('ZRANGE', KEYS[5], 0, 0)[1] == j.id then wake = true end
end

local function enter_parents(j)
  n.order = n.order + 1
  j.state, j.gen = PARENT_WAITS, n.gen
  call('ZADD', KEYS[13], int(n.order), j.id)
  n.parents = n.parents + 1
end

-- Frees a dedup key that has no time of its own, if this job holds it.
local function release_key(j)
  if is(j, DEDUP) and not is(j, KEY_TTL) then
    local key = links(j).key
    local held = call('HGET', KEYS[8], key)
    if held and sub(held, 16) == j.id and unpack_struct('>I6', held) == 0 then call('HDEL', KEYS[8], key) end
  end
end
-- Who holds a key at this moment: its value, or nil.
local function holder(key)
  local held = call('HGET', KEYS[8], key)
  if held then
    local till = unpack_struct('>I6', held)
    if till == 0 or till > now then return held end
  end
  return nil
end
local function hold(key, ttl, fingerprint, id)
  local till = ttl > 0 and now + ttl or 0
  call('HSET', KEYS[8], key, pack('>I6B', till, fingerprint and 1 or 0) .. (fingerprint or NOBODY) .. id)
  if till > 0 then call('ZADD', KEYS[9], int(till), key) else call('ZREM', KEYS[9], key) end
end

local function tell_parent(j, state, text)
  local l = links(j)
  post(l.parent_queue, '\2' .. pack('>I2', #l.parent) .. l.parent .. pack('>I2', #j.id) .. j.id .. state .. (text or ''))
end
local function report_to_parent(j)
  if not is(j, CHILD) then return end
  if j.state == COMPLETED then
    local result = status(j).result
    tell_parent(j, result and 'c' or 'C', result)
  elseif j.state == CANCELLED then
    tell_parent(j, 'f', 'it was cancelled')
  else
    tell_parent(j, 'f', last_message(j))
  end
end

-- Ends a job that is nowhere: frees its key and tells its parent. `run_at` is when it was to run. The caller saves the record.
local function enter_finished(j, state, run_at)
  j.state, j.active, j.gen = state, nil, n.gen
  status(j).run_at = run_at ~= j.created and run_at or nil
  j.at = now
  if state == COMPLETED then
    call('LPUSH', KEYS[19], pack('>I6I4', now, n.gen), pack_ids({ j.id }, 1, 1, 0))
    n.completed, n.t_completed = n.completed + 1, n.t_completed + 1
    tell_job('c', j)
  else
    n.order = n.order + 1
    if state == FAILED then
      call('ZADD', KEYS[20], int(n.order), j.id)
      n.failed, n.t_failed = n.failed + 1, n.t_failed + 1
      tell_job('f', j)
    else
      call('ZADD', KEYS[21], int(n.order), j.id)
      n.cancelled, n.t_cancelled = n.cancelled + 1, n.t_cancelled + 1
      tell_job('x', j)
    end
  end
  release_key(j)
  report_to_parent(j)
end

-- Drops what belongs to jobs that are gone beside their records.
local function drop_extras(ids)
  if band(n.flags, 2) ~= 0 then call('HDEL', KEYS[10], unpack(ids)) end
  if band(n.flags, 4) ~= 0 then call('HDEL', KEYS[26], unpack(ids)) end
  if band(n.flags, 8) ~= 0 then
    local rows = call('HMGET', KEYS[27], unpack(ids))
    for i = 1, #ids do
      if rows[i] then call('DEL', KEYS[28] .. ids[i]) end
    end
    call('HDEL', KEYS[27], unpack(ids))
  end
  if band(n.flags, 16) ~= 0 then
    for i = 1, #ids do call('DEL', KEYS[14] .. ids[i]) end
  end
end
late.drop_extras = drop_extras

-- Drops a job that is nowhere.
local function forget(j)
  call('HDEL', KEYS[2], j.id)
  drop_extras({ j.id })
  if is(j, OWNER) then shrink_owner(links(j).owner, 1000) end
end
-- Removes a job with all that belongs to it. What it had to tell other queues stays in the outbox.
local function drop_job(j)
  leave(j)
  release_key(j)
  forget(j)
end

-- What a run that is over has left: the record was not touched when the job was taken.
local function count_run(j)
  local s = status(j)
  s.made = s.made + 1
  s.processed = unpack_struct('>I6', j.active, 16)
  -- The token that settled an earlier run stays, and with it the run that it was of.
  if j.token and not s.settled_run then s.settled_run = j.run end
  j.run = j.run + 1
end
-- Puts a job that ran back to the head, its attempt not counted.
local function give_back(j)
  local s = status(j)
  s.made = math.max(0, s.made - 1)
  enter_waiting(j, true)
end

-- Asks the unsettled children of a waiting parent not to start.
local function cancel_children(j)
  if j.state ~= PARENT_WAITS then return end
  local family = KEYS[14] .. j.id
  local total = tonumber(call('HGET', family, 't') or 0)
  for index = 0, total - 1 do
    local row = call('HGET', family, index)
    local len = unpack_struct('>I2', row)
    local queue = sub(row, 3, 2 + len)
    local id_len = unpack_struct('>I2', row, 3 + len)
    local id = sub(row, 5 + len, 4 + len + id_len)
    if sub(row, 6 + len + id_len, 6 + len + id_len) == 'p' then
      post(queue, '\3' .. pack('>I2', #id) .. id .. pack('>I2', #j.id) .. j.id)
    end
  end
end
-- Asks a job that runs to stop.
local function request_cancel(j)
  local flags = byte(j.active, 15)
  if band(flags, 1) == 0 then
    call('HSET', KEYS[18], j.id, sub(j.active, 1, 14) .. char(flags + 1) .. sub(j.active, 16))
    n.cancels = n.cancels + 1
  end
end
-- Cancels a job that does not run.
local function cancel_now(j)
  cancel_children(j)
  local run_at = j.at
  leave(j)
  enter_finished(j, CANCELLED, run_at)
  save(j)
end

-- Makes a due job wait.
local function promote(j)
  leave(j)
  enter_waiting(j, false)
  save(j)
  tell_job('w', j)
end
local function promote_due(max)
  local done = 0
  if n.delayed == 0 then return 0 end
  local due = call('ZRANGE', KEYS[5], '-inf', int(now), 'BYSCORE', 'LIMIT', 0, max)
  for i = 1, #due do
    local j = load(due[i])
    if j and j.state == DELAYED then
      promote(j)
    else
      call('ZREM', KEYS[5], due[i])
    end
    done = done + 1
  end
  return done
end

-- Lets go of failed or cancelled jobs that retention no longer keeps, at most `max`.
local function trim_set(key, count, keep, age, max)
  local trimmed = 0
  while trimmed < max and n[count] > 0 do
    local oldest = call('ZRANGE', key, 0, 0)[1]
    local j = oldest and load(oldest)
    if not j then break end
    if not (n[count] > keep or age < NONE and j.at + age <= now) then break end
    drop_job(j)
    trimmed = trimmed + 1
  end
  return trimmed
end
