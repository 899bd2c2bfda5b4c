#!lua flags=allow-oom
-- repair.lua: puts right what a check has found, each thing by itself, and only if it still is wrong.
-- Safe to repeat: what is right is left as it is.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 what, and then
--        `job`: id, 1 if it is in no list, or twice in one   the job goes where its record says, and nowhere else
--        `drop`: key, member                                 what belongs to no job
--        `unlink`: prefix, suffix                            a key that belongs to no job or group
--        `key`: deduplication key                            held only by a pending job or until its time
--        `family`: id                                        pending children counted; a parent that waits for nobody starts
--        `schedule`: id                                      listed where it stands; gone where half of it is
--        `worker`: worker (8 bytes)                          a lease that has run out, so that its jobs are rescued
--        `counters`: counters as they were, counters as they should be, n, then n times: member of the rotation, waiting, active
--        `recount`: –                                        the counters that the size of a collection tells
--        A key is named by its place in KEYS.
-- Reply  [1 if it was done, else 0]
-- Cost   O(log d) in sets; O(children); O(members)
-- @include part_state.lua
-- @include part_limits.lua
-- @include part_job.lua
-- @include part_groups.lua
-- @include part_moves.lua
-- @include part_schedule.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
local what, done = ARGV[1], 0

local function put_in_place(j, listed_wrong)
  local home
  if j.state ~= WAITING then
    call('HDEL', KEYS[18], j.id)
    home = j.state == DELAYED and 5 or j.state == PARENT_WAITS and 13 or j.state == FAILED and 20 or j.state == CANCELLED and 21
  elseif not j.active and not is(j, GROUP) and j.priority ~= n.list_prio then
    home = 4
  end
  for _, set in ipairs({ 4, 5, 13, 20, 21 }) do
    local score = call('ZSCORE', KEYS[set], j.id)
    if set ~= home then
      if score then call('ZREM', KEYS[set], j.id) end
    elseif set == 5 then
      call('ZADD', KEYS[set], int(j.at), j.id)
    elseif not score and set == 4 then
      call('ZADD', KEYS[set], place(j.priority, false), j.id)
    elseif not score then
      n.order = n.order + 1
      call('ZADD', KEYS[set], int(n.order), j.id)
    end
  end
  if j.active and j.timeout > 0 then
    call('ZADD', KEYS[25], int(unpack_struct('>I6', j.active, 16) + j.timeout * 1000 + 30000), j.id)
  else
    call('ZREM', KEYS[25], j.id)
  end
  if j.state == WAITING and is(j, GROUP) then known(member('+' .. links(j).group)) end
  if listed_wrong and not home and not j.active then
    -- Under a generation of its own, so that whatever else stands for it stands for nothing.
    n.gen = n.gen + 1
    j.gen = n.gen
    if j.state == COMPLETED then
      call('LPUSH', KEYS[19], pack('>I6I4', j.at, n.gen), pack_ids({ j.id }, 1, 1, 0))
    elseif j.state == WAITING then
      call('LPUSH', is(j, GROUP) and KEYS[17] .. links(j).group or KEYS[3], pack_ids({ j.id }, 1, 1, n.gen))
    end
    save(j)
  end
end

local function mend()
  open(got[1], got[2])
  if what == 'job' then
    local j = load(ARGV[2])
    if j then
      put_in_place(j, ARGV[3] == '1')
      done = 1
    end
  elseif what == 'drop' then
    local place, id = tonumber(ARGV[2]), ARGV[3]
    local record = call('HGET', KEYS[2], id)
    if not record or place == 10 and band(byte(record, 20) or 0, BIG) == 0 then
      local is_set = call('TYPE', KEYS[place]).ok == 'zset'
      call(is_set and 'ZREM' or 'HDEL', KEYS[place], id)
      done = 1
    end
  elseif what == 'unlink' then
    local place, id = tonumber(ARGV[2]), ARGV[3]
    local record = call('HGET', KEYS[2], id)
    local idle = not record
    if place == 14 then idle = not record or band(byte(record, 19) or 0, 16) == 0 end
    if place == 28 then idle = call('HEXISTS', KEYS[27], id) == 0 end
    if place == 17 then idle = call('HEXISTS', KEYS[16], '+' .. id) == 0 end
    if place == 11 then
      for from = 0, 9999, 1000 do
        local ids = call('LRANGE', KEYS[11] .. id, from, from + 999)
        if #ids == 0 then break end
        for _, found in ipairs(call('HMGET', KEYS[2], unpack(ids))) do
          if found then idle = false end
        end
      end
    end
    if idle then
      call('DEL', KEYS[place] .. id)
      done = 1
    end
  elseif what == 'key' then
    local key = ARGV[2]
    local held = call('HGET', KEYS[8], key)
    if held and #held > 15 then
      local till = unpack_struct('>I6', held)
      if till > 0 then
        call('ZADD', KEYS[9], int(till), key)
      else
        local record = call('HGET', KEYS[2], sub(held, 16))
        local state = record and byte(record, 2)
        call('ZREM', KEYS[9], key)
        if state ~= WAITING and state ~= DELAYED and state ~= PARENT_WAITS then call('HDEL', KEYS[8], key) end
      end
    else
      call('HDEL', KEYS[8], key)
      call('ZREM', KEYS[9], key)
    end
    done = 1
  elseif what == 'family' then
    local j = load(ARGV[2])
    if j then
      local family, pending = KEYS[14] .. j.id, 0
      local total = call('HGET', family, 't')
      for index = 0, tonumber(total or 0) - 1 do
        local row = call('HGET', family, index) or ''
        local at = 3 + (byte(row, 1) or 0) * 256 + (byte(row, 2) or 0)
        at = at + 3 + (byte(row, at) or 0) * 256 + (byte(row, at + 1) or 0)
        if sub(row, at, at) == 'p' then pending = pending + 1 end
      end
      if total then call('HSET', family, 'n', pending) end
      if j.state == PARENT_WAITS and pending == 0 then
        local run_at = j.at
        leave(j)
        enter_delayed(j, run_at)
        save(j)
        tell_job(j.state == WAITING and 'w' or 'd', j)
      end
      done = 1
    end
  elseif what == 'schedule' then
    local id = ARGV[2]
    local s, raw = load_schedule(id)
    local half = not raw or call('HEXISTS', KEYS[31], id) == 0
    if not half and not s then
      -- Another version may be able to read it.
      done = 0
    elseif not half then
      if band(s.flags, ENABLED) == 0 or s.limit > 0 and s.fired >= s.limit then s.next = 0 end
      stand(s, s.next)
      save_schedule(s)
      call('ZADD', KEYS[33], 0, id)
      done = 1
    else
      drop_schedule(id)
      done = 1
    end
  elseif what == 'worker' then
    call('ZADD', KEYS[22], 'NX', int(now), ARGV[2])
    done = 1
  elseif what == 'recount' then
    n.prioritized, n.delayed, n.parents = call('ZCARD', KEYS[4]), call('ZCARD', KEYS[5]), call('ZCARD', KEYS[13])
    n.active, n.failed, n.cancelled = call('HLEN', KEYS[18]), call('ZCARD', KEYS[20]), call('ZCARD', KEYS[21])
    done = 1
  elseif sub(got[2] or '', 7) == sub(ARGV[2], 7) then
    -- Nothing has changed since it was counted.
    open(settings, ARGV[3])
    local from = 5
    for _ = 1, tonumber(ARGV[4]) do
      local g = member(ARGV[from])
      g.known, g.waiting, g.active = true, tonumber(ARGV[from + 1]), tonumber(ARGV[from + 2])
      if g.limited > now then call('ZADD', KEYS[24], int(g.limited), g.name) end
      if fits(g) then seat(g) else unseat(g) end
      from = from + 3
    end
    if n.groups == 0 then call('DEL', KEYS[15], KEYS[16], KEYS[24]) end
    for _, name in ipairs(n.groups > 0 and call('ZRANGE', KEYS[15], 0, -1) or {}) do
      if call('HEXISTS', KEYS[16], name) == 0 and not members[name] then call('ZREM', KEYS[15], name) end
    end
    if n.groups == 0 then members = {} end
    done = 1
  end
end
-- What it comes upon may be damaged beyond that; then it is left as it is.
if not pcall(mend) then return { 0 } end
if done == 1 then
  save_members()
  if can_start() then ring_the_bell() end
  publish()
  call('HSET', KEYS[1], 'n', counters())
end
return { done }
