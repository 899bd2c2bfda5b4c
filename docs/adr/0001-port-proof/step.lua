#!lua flags=allow-oom
-- step.lua: settles what a worker has finished, then takes work for its free slots.
-- Why a script: token check, settle and take must be one step, or a rescued job could be settled by its old holder.
-- Safe to repeat: the call number of the last step is kept with what it settled, and the jobs it took are found by their tokens.
-- KEYS   1 meta hash   2 jobs hash   3 waiting list (head right)   4 prioritized zset   5 delayed zset   6 events stream
--        7 wake list   8 dedup hash   9 active hash   10 completed list   11 failed zset   12 cancelled zset
--        13 workers zset (lease end, ms)   14 rate list   15 outbox hash
--        The meta hash holds, beside settings and counters, each worker's last call: number, last renewal, settled codes.
-- ARGV   1 worker (8 bytes)   2 call   3 want   4 n   5 outcome codes, n characters, or '' (all complete)
--        6 p   7 owner hashes or ''   8 extras (msgpack) or ''   9 g
--        then g pairs: active entry expected, for how many jobs in a row   then p packs of the n ids, at most 255 in each
--        then n records without their first 9 bytes (version, state, generation, at)
--        outcome codes: c complete, r again at now + delay (retry, snooze), h to the head (release), f fail, x cancelled
--        extras, by place from 1: delay {i → ms}, free {i → dedup key}, outbox {i → [entry…]}
-- Reply  [now ms, settled ('' = all ok, else a code a job: o ok, s stale, u unknown), packs of taken ids, their records,
--        next due ms or 0, limited until ms or 0, paused 0|1, known 0|1, outbox sequence of this call's last entry]
--        or ['late', last call]. A taken job's token: run of its record + 1, worker, call.
-- Cost   O(n + taken + trimmed), + O(log d) a delayed, failed, cancelled or prioritized job; promotes at most 1,000, trims at most 2n
-- @include part_config.lua
-- @include part_counts.lua
-- @include part_promote.lua
-- @include part_trim.lua
local worker, number, want, n = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local codes, g = ARGV[5], tonumber(ARGV[9])
local active, jobs = KEYS[9], KEYS[2]
local keys = { jobs = jobs, waiting = KEYS[3], prio = KEYS[4], delayed = KEYS[5], completed = KEYS[10] }
local got = call('HMGET', KEYS[1], 'cfg', 'n', worker)
local cfg, counts, last = config(got[1]), read_counts(got[2]), got[3]
local nonce = worker .. struct.pack('>I6', number)
local paused = cfg.flags % 2 == 1

-- A worker that is not known (new, rescued, or of a store that lost its table) starts with call 1, which stands for `resume` here. A
-- later call of it settles what its tokens still hold, and neither takes nor revives it: it may be a message that was long on its way.
local renewed, known = 0, 1
if not last and number > 1 then want, known = 0, 0 end
if last then
  local last_number
  last_number, renewed = struct.unpack('>I8I6', last)
  if number < last_number then return { 'late', last_number } end
  if number == last_number then
    -- A repeat. What it took and still holds is what carries its nonce; the active hash is no larger than all slots together.
    local ids, flat = {}, call('HGETALL', active)
    for i = 1, #flat, 2 do
      if string.sub(flat[i + 1], 1, 14) == nonce then ids[#ids + 1] = flat[i] end
    end
    local records = #ids > 0 and call('HMGET', jobs, unpack(ids)) or {}
    return { now, string.sub(last, 15), packs_of(ids, 0), records, 0, 0, paused and 1 or 0, 1, counts.outbox }
  end
end

-- Settle. `at_record` is the place before the first record.
local p = tonumber(ARGV[6])
local at_pack = 9 + 2 * g
local at_record = at_pack + p
local settled, event = '', {}
if n > 0 then
  local done_ids = unpack_all(ARGV, at_pack + 1, at_record, n)
  local held = call('HMGET', active, unpack(done_ids))
  local plain, i = codes == '', 0
  for k = 1, g do
    local expected = ARGV[8 + 2 * k]
    for j = i + 1, i + ARGV[9 + 2 * k] do
      if held[j] ~= expected then plain = false end
    end
    i = i + ARGV[9 + 2 * k]
  end
  if plain and ARGV[8] == '' then
    call('HDEL', active, unpack(done_ids))
    if cfg.keep > 0 then
      local head, kv = struct.pack('>BBBI6', 2, 99, 0, now), { unpack(done_ids, 1, 2 * n) }
      for j = 1, n do
        kv[2 * j - 1] = done_ids[j]
        kv[2 * j] = head .. ARGV[at_record + j]
      end
      call('HSET', jobs, unpack(kv))
      local stamp = struct.pack('>I6', now)
      for j = at_pack + 1, at_record do call('LPUSH', KEYS[10], stamp, ARGV[j]) end
      counts.completed = counts.completed + n
    else
      call('HDEL', jobs, unpack(done_ids))
    end
    counts.active = counts.active - n
    event = { 'o', ARGV[7] }
    for j = at_pack + 1, at_record do
      event[#event + 1] = 'c'
      event[#event + 1] = ARGV[j]
    end
  else
    local x = ARGV[8] ~= '' and cmsgpack.unpack(ARGV[8]) or {}
    local result, cancel, expect = {}, {}, {}
    i = 0
    for k = 1, g do
      for j = i + 1, i + ARGV[9 + 2 * k] do expect[j] = ARGV[8 + 2 * k] end
      i = i + ARGV[9 + 2 * k]
    end
    for j = 1, n do
      if held[j] == expect[j] then
        result[j] = 'o'
      elseif held[j] and string.sub(held[j], 1, 14) == string.sub(expect[j], 1, 14) then
        result[j], cancel[j] = 'o', true
      else
        -- Not held under this token: it was settled by it (the record keeps the token at its end), or it is somebody else's.
        local rec = call('HGET', jobs, done_ids[j])
        if not rec then
          result[j] = 'u'
        elseif string.byte(rec, 16) % 2 == 1 and string.sub(rec, -14) == string.sub(expect[j], 1, 14) then
          result[j] = 'O'
        else
          result[j] = 's'
        end
      end
    end
    local gone, kv, drop, done, head_list, delayed, failed, cancelled, free = {}, {}, {}, {}, {}, {}, {}, {}, {}
    local body = {}
    for j = 1, n do
      if result[j] == 'o' then
        local id, code = done_ids[j], codes == '' and 'c' or string.sub(codes, j, j)
        if cancel[j] and code ~= 'c' then code = 'x' end
        local state, key = code, x.free and x.free[j]
        gone[#gone + 1] = id
        if code == 'c' then
          done[#done + 1] = id
        elseif code == 'r' then
          local delay = x.delay and x.delay[j] or 0
          state = delay > 0 and 'd' or 'w'
          if delay > 0 then
            delayed[#delayed + 1] = now + delay; delayed[#delayed + 1] = id
          else
            head_list[#head_list + 1] = id
          end
        elseif code == 'h' then
          state = 'w'
          head_list[#head_list + 1] = id
        elseif code == 'f' then
          failed[#failed + 1] = now; failed[#failed + 1] = id
        else
          cancelled[#cancelled + 1] = now; cancelled[#cancelled + 1] = id
        end
        if code == 'c' and cfg.keep == 0 then
          drop[#drop + 1] = id
        else
          kv[#kv + 1] = id
          kv[#kv + 1] = struct.pack('>BBBI6', 2, string.byte(state), counts.gen, now) .. ARGV[at_record + j]
        end
        if key and (state == 'c' or state == 'f' or state == 'x') then free[#free + 1] = key end
        body[#body + 1] = code .. string.char(#id) .. id .. string.sub(ARGV[7], 8 * j - 7, 8 * j)
        for _, entry in ipairs(x.outbox and x.outbox[j] or {}) do
          counts.outbox = counts.outbox + 1
          call('HSET', KEYS[15], counts.outbox, struct.pack('>I6', now) .. entry)
        end
      end
    end
    if #gone > 0 then
      call('HDEL', active, unpack(gone))
      if #kv > 0 then call('HSET', jobs, unpack(kv)) end
      if #drop > 0 then call('HDEL', jobs, unpack(drop)) end
      if #done > 0 and cfg.keep > 0 then
        for first = 1, #done, 255 do
          call('LPUSH', KEYS[10], struct.pack('>I6', now), pack_ids(done, first, math.min(first + 254, #done), 0))
        end
        counts.completed = counts.completed + #done
      end
      if #head_list > 0 then call('RPUSH', KEYS[3], unpack(packs_of(head_list, counts.gen))) end
      if #delayed > 0 then call('ZADD', KEYS[5], unpack(delayed)) end
      if #failed > 0 then call('ZADD', KEYS[11], unpack(failed)) end
      if #cancelled > 0 then call('ZADD', KEYS[12], unpack(cancelled)) end
      if #free > 0 then call('HDEL', KEYS[8], unpack(free)) end
      counts.active = counts.active - #gone
      counts.waiting = counts.waiting + #head_list
      counts.delayed = counts.delayed + #delayed / 2
      counts.failed = counts.failed + #failed / 2
      counts.cancelled = counts.cancelled + #cancelled / 2
      event = { 'm', table.concat(body) }
    end
    settled = string.lower(table.concat(result))
    if settled == string.rep('o', n) then settled = '' end
  end
  trim(keys, cfg, counts, 2 * n)
end

-- Promote what is due; only a queue that has delayed jobs looks at them.
local next_due = 0
if counts.delayed > 0 then
  local first = call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
  if first[2] and tonumber(first[2]) <= now then
    promote(keys, cfg, counts, 1000)
    first = call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
  end
  next_due = tonumber(first[2]) or 0
end

-- Limits.
local room, limited = want, 0
if paused then room = 0 end
if cfg.concurrency > 0 then room = math.min(room, cfg.concurrency - counts.active) end
if cfg.rate_max > 0 then
  for _ = 1, 1000 do
    local oldest = call('LINDEX', KEYS[14], -1)
    if not oldest then break end
    local ms, starts = struct.unpack('>I6I4', oldest)
    if ms + cfg.rate_per > now then limited = ms + cfg.rate_per; break end
    call('RPOP', KEYS[14])
    counts.started = counts.started - starts
  end
  local left = cfg.rate_max - counts.started
  if left > 0 then limited = 0 end
  room = math.min(room, left)
end

-- Take.
local ids, records, packs = {}, {}, {}
if room > 0 and counts.waiting + counts.prioritized > 0 then
  local function from_set(max)
    local more = call('ZRANGE', KEYS[4], '-inf', max, 'BYSCORE', 'LIMIT', 0, room - #ids)
    if #more == 0 then return end
    call('ZREM', KEYS[4], unpack(more))
    counts.prioritized = counts.prioritized - #more
    for _, pack in ipairs(packs_of(more, 0)) do packs[#packs + 1] = pack end
    for i = 1, #more do ids[#ids + 1] = more[i] end
  end
  -- Ahead of the list stands what is more urgent than the default, behind it what is less.
  if counts.prioritized > 0 then from_set(string.format('(%.0f', cfg.default_priority * 4294967296)) end
  local dropped = 0
  while #ids < room and counts.waiting > 0 and dropped < 1000 do
    local popped = call('RPOP', KEYS[3], math.ceil((room - #ids) / PACK_MAX))
    if not popped then counts.waiting = 0; break end
    for i = 1, #popped do
      local pack, before = popped[i], #ids
      local mine, n_pack = unpack_ids(pack)
      for j = 1, n_pack do ids[before + j] = mine[j] end
      counts.waiting = counts.waiting - n_pack
      if counts.gen > 0 then
        -- Entries left behind by removals, cancels and moves: one stands for its job only while their generations agree.
        local generation = string.byte(pack, 2)
        local found = call('HMGET', jobs, unpack(mine))
        for j = #ids, before + 1, -1 do ids[j] = nil end
        local live = {}
        for j = 1, n_pack do
          local rec = found[j]
          if rec and string.byte(rec, 2) == 119 and string.byte(rec, 3) == generation then
            live[#live + 1] = mine[j]
            ids[#ids + 1] = mine[j]
          else
            dropped = dropped + 1
          end
        end
        n_pack = #live
        pack = n_pack > 0 and pack_ids(live, 1, n_pack, generation)
      end
      local excess = #ids - room
      if excess > 0 then
        -- More than wanted: the rest of this pack, and the packs behind it, go back to the head as they were.
        local generation = string.byte(pack, 2)
        local back = {}
        for j = #popped, i + 1, -1 do back[#back + 1] = popped[j] end
        back[#back + 1] = pack_ids(ids, room + 1, #ids, generation)
        counts.waiting = counts.waiting + excess
        call('RPUSH', KEYS[3], unpack(back))
        if excess < n_pack then packs[#packs + 1] = pack_ids(ids, before + 1, room, generation) end
        for j = #ids, room + 1, -1 do ids[j] = nil end
        break
      end
      if pack then packs[#packs + 1] = pack end
    end
  end
  if #ids < room and counts.prioritized > 0 then from_set('+inf') end
  if #ids > 0 then records = call('HMGET', jobs, unpack(ids)) end
  if #ids > 0 then
    local entry, kv = nonce .. struct.pack('>BI6', 0, now), { unpack(ids, 1, 2 * #ids) }
    if cfg.flags >= 4 then
      -- Some jobs of this queue have a time-out: 4 bytes of the record, seconds, go into the entry for the deadline.
      local memo = {}
      for i = 1, #ids do
        local seconds = string.sub(records[i], 26, 29)
        local mine = memo[seconds] or entry .. seconds
        memo[seconds] = mine
        kv[2 * i - 1] = ids[i]
        kv[2 * i] = mine
      end
    else
      for i = 1, #ids do
        kv[2 * i - 1] = ids[i]
        kv[2 * i] = entry
      end
    end
    call('HSET', active, unpack(kv))
    counts.active = counts.active + #ids
    for i = 1, #packs do
      event[#event + 1] = 'a'
      event[#event + 1] = packs[i]
    end
    if cfg.rate_max > 0 then
      call('LPUSH', KEYS[14], struct.pack('>I6I4', now, #ids))
      counts.started = counts.started + #ids
    end
  end
end

if #event > 0 then
  if cfg.events_max > 0 then call('XADD', KEYS[6], 'MAXLEN', '~', int(cfg.events_max), '*', unpack(event)) end
end
-- The lease moves with every call, but a tenth of it late at most: a call in between saves the write.
if known == 1 and now - renewed >= cfg.lease_ms / 10 then
  renewed = now
  local fresh = call('ZADD', KEYS[13], int(now + cfg.lease_ms), worker)
  if not last then known = 1 - fresh end
end
if last or number == 1 then
  call('HSET', KEYS[1], 'n', write_counts(counts), worker, struct.pack('>I8I6', number, renewed) .. settled)
elseif #event > 0 then
  call('HSET', KEYS[1], 'n', write_counts(counts))
end
return { now, settled, packs, records, next_due, limited, paused and 1 or 0, known, counts.outbox }
