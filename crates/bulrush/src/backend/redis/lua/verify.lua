#!lua flags=no-writes
-- verify.lua: a slice of the queue, with all that a check of the invariants compares it to. What is right and what is wrong is judged by
-- who asks (verify.rs).
-- Why a script: a job and its places must be of one moment, or each move would look like damage.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 what, and then
--        `types`: –                             reply: the type of each key that is no prefix, as [place, type]
--        `jobs`: cursor, how many               reply: [next cursor, priority of the list, rows]; a row: id, record, active entry or false,
--                                               letters of the sets that hold it, when it is due there or false, its deadline or false, large
--                                               payload 0|1, children in all or false, group known 0|1, worker known 0|1
--        `set`: key, first, how many            reply: rows: member, score, head of its record or false, active 0|1, row of `dedup` or false
--        `hash`: key, cursor, how many          reply: [next cursor, rows]; a row: field, value (not that of `data`), head of the record or
--                                               false, place in `dedupx` or false
--        `family`: id                           reply: [record or false, fields and values]
--        `list`: key, suffix, first, how many   reply: rows: pack, generation or stamp, a letter for each id: l live, d left behind
--        `keys`: cursor, how many               reply: [next cursor, [rest of the name, what is wrong]…]
--        `out`: first number, how many          reply: [number, entry]…
--        `heads`: cursor, how many              reply: [next cursor, priority of the list, [id, head of the record, active 0|1]…]
--        `schedules`: cursor, how many          reply: [next cursor, rows]; a row: schedule, state, slot at which it is listed or false, among
--                                               those that are read by id 0|1, what is asked for is there 0|1
--        `strays`: key, first or cursor, how many   reply: [next cursor or 0, how many were seen, those of which no state is there]
--        `totals`: –                            reply: see there
--        A key is named by its place in KEYS.
-- Cost   O(how many), + O(log d) a look into a sorted set; an owner's list costs at most 10,000
local call, byte, sub = redis.call, string.byte, string.sub
local what = ARGV[1]
local HEAD = 38
local WAITING, COMPLETED = 119, 99

local function number(s, at, len)
  local value = 0
  for i = at, at + len - 1 do
    local b = byte(s, i)
    if not b then return nil end
    value = value * 256 + b
  end
  return value
end
local function flags(record) return number(record, 19, 2) or 0 end
local function flag(record, bit_of) return bit.band(flags(record), bit_of) ~= 0 end
local function head(record) return record and sub(record, 1, HEAD) end
local function list_priority()
  local counters = call('HGET', KEYS[1], 'n')
  -- Behind it stand the flags and a moment (part_state.lua).
  return counters and number(counters, #counters - 9, 3) or 0
end
local function group_of(record)
  if not flag(record, 4) then return nil end
  local at = HEAD + 1 + (flag(record, 1) and 14 or 0)
  local len = number(record, at, 2)
  return len and sub(record, at + 2, at + 1 + len)
end
local function yes(value) return value and 1 or 0 end

if what == 'types' then
  local reply = {}
  for place = 1, #KEYS do
    if sub(KEYS[place], -1) ~= ':' then reply[#reply + 1] = { place, call('TYPE', KEYS[place]).ok } end
  end
  return reply

elseif what == 'jobs' then
  local page = call('HSCAN', KEYS[2], ARGV[2], 'COUNT', ARGV[3])
  local rows = {}
  for i = 1, #page[2], 2 do
    local id, record = page[2][i], page[2][i + 1]
    local active = call('HGET', KEYS[18], id)
    local due = call('ZSCORE', KEYS[5], id)
    local sets = due and 'd' or ''
    if call('ZSCORE', KEYS[4], id) then sets = sets .. 'w' end
    if call('ZSCORE', KEYS[13], id) then sets = sets .. 'p' end
    if call('ZSCORE', KEYS[20], id) then sets = sets .. 'f' end
    if call('ZSCORE', KEYS[21], id) then sets = sets .. 'x' end
    local group = group_of(record)
    rows[#rows + 1] = {
      id, record, active, sets, due, call('ZSCORE', KEYS[25], id), call('HEXISTS', KEYS[10], id),
      flag(record, 4096) and call('HGET', KEYS[14] .. id, 't'),
      yes(not group or call('HEXISTS', KEYS[16], '+' .. group) == 1),
      yes(not active or call('ZSCORE', KEYS[22], sub(active, 1, 8))),
    }
  end
  return { page[1], list_priority(), rows }

elseif what == 'heads' then
  local page = call('HSCAN', KEYS[2], ARGV[2], 'COUNT', ARGV[3])
  local rows = {}
  for i = 1, #page[2], 2 do
    rows[#rows + 1] = { page[2][i], head(page[2][i + 1]), call('HEXISTS', KEYS[18], page[2][i]) }
  end
  return { page[1], list_priority(), rows }

elseif what == 'set' then
  local place = tonumber(ARGV[2])
  local found, rows = call('ZRANGE', KEYS[place], ARGV[3], ARGV[3] + ARGV[4] - 1, 'WITHSCORES'), {}
  for i = 1, #found, 2 do
    local member = found[i]
    rows[#rows + 1] = { member, found[i + 1], head(call('HGET', KEYS[2], member)), call('HEXISTS', KEYS[18], member),
      place == 9 and call('HGET', KEYS[8], member) }
  end
  return rows

elseif what == 'hash' then
  local place = tonumber(ARGV[2])
  local page, rows = call('HSCAN', KEYS[place], ARGV[3], 'COUNT', ARGV[4]), {}
  for i = 1, #page[2], 2 do
    local field, value = page[2][i], page[2][i + 1]
    local id = place == 8 and sub(value, 16) or field
    rows[#rows + 1] = { field, place == 10 and '' or value, head(call('HGET', KEYS[2], id)),
      place == 8 and call('ZSCORE', KEYS[9], field) }
  end
  return { page[1], rows }

elseif what == 'family' then
  return { call('HGET', KEYS[2], ARGV[2]), call('HGETALL', KEYS[14] .. ARGV[2]) }

elseif what == 'list' then
  local place = tonumber(ARGV[2])
  local entries, rows = call('LRANGE', KEYS[place] .. ARGV[3], ARGV[4], ARGV[4] + ARGV[5] - 1), {}
  local step = place == 19 and 2 or 1
  for i = 1, #entries, step do
    local ids_of, stamp = entries[i], step == 2 and (entries[i + 1] or '') or sub(entries[i], 2, 5)
    local letters, at = {}, 6
    for k = 1, byte(ids_of) or 0 do
      local len = byte(ids_of, at)
      if not len or at + len > #ids_of then
        -- It is no pack.
        letters = {}
        break
      end
      local record = call('HGET', KEYS[2], sub(ids_of, at + 1, at + len))
      local live
      if step == 2 then
        live = record and byte(record, 2) == COMPLETED and sub(record, 7, 12) == sub(stamp, 1, 6) and sub(record, 3, 6) == sub(stamp, 7)
      else
        live = record and byte(record, 2) == WAITING and sub(record, 3, 6) == stamp
          and call('HEXISTS', KEYS[18], sub(ids_of, at + 1, at + len)) == 0
      end
      letters[k] = live and 'l' or 'd'
      at = at + 1 + len
    end
    rows[#rows + 1] = { ids_of, stamp, table.concat(letters) }
  end
  return rows

elseif what == 'keys' then
  local prefix = sub(KEYS[1], 1, -5)
  local fixed = {}
  for i = 1, #KEYS do fixed[KEYS[i]] = true end
  local page, rows = call('SCAN', ARGV[2], 'MATCH', prefix .. '*', 'COUNT', ARGV[3]), {}
  local function starts(name, with) return sub(name, 1, #with) == with and sub(name, #with + 1) end
  for _, name in ipairs(page[2]) do
    local wrong
    local parent, job, owner, group = starts(name, KEYS[14]), starts(name, KEYS[28]), starts(name, KEYS[11]), starts(name, KEYS[17])
    if parent then
      local record = call('HGET', KEYS[2], parent)
      if not record or not flag(record, 4096) then wrong = 'no parent' end
    elseif job then
      if call('HEXISTS', KEYS[27], job) == 0 then wrong = 'no job' end
    elseif owner then
      wrong = 'no jobs'
      for from = 0, 9999, 1000 do
        local ids = call('LRANGE', name, from, from + 999)
        if #ids == 0 then break end
        for _, record in ipairs(call('HMGET', KEYS[2], unpack(ids))) do
          if record then wrong = nil end
        end
        if not wrong then break end
      end
    elseif group then
      if call('HEXISTS', KEYS[16], '+' .. group) == 0 then wrong = 'no group' end
    elseif starts(name, KEYS[7] .. ':') then
      if call('PTTL', name) == -1 then wrong = 'unknown' end
    elseif not fixed[name] and not starts(name, KEYS[29]) then
      wrong = 'unknown'
    end
    if wrong then rows[#rows + 1] = { sub(name, #prefix + 1), wrong } end
  end
  return { page[1], rows }

elseif what == 'schedules' then
  local page, rows = call('HSCAN', KEYS[30], ARGV[2], 'COUNT', ARGV[3]), {}
  for i = 1, #page[2], 2 do
    local id = page[2][i]
    rows[#rows + 1] = { id, page[2][i + 1], call('ZSCORE', KEYS[32], id), yes(call('ZSCORE', KEYS[33], id)), call('HEXISTS', KEYS[31], id) }
  end
  return { page[1], rows }

elseif what == 'strays' then
  local place, ids, cursor = tonumber(ARGV[2]), nil, '0'
  if place == 31 then
    local page = call('HSCAN', KEYS[31], ARGV[3], 'COUNT', ARGV[4])
    cursor, ids = page[1], {}
    for i = 1, #page[2], 2 do ids[#ids + 1] = page[2][i] end
  else
    ids = call('ZRANGE', KEYS[place], ARGV[3], ARGV[3] + ARGV[4] - 1)
  end
  local strays = {}
  for i = 1, #ids do
    if call('HEXISTS', KEYS[30], ids[i]) == 0 then strays[#strays + 1] = ids[i] end
  end
  return { cursor, #ids, strays }

elseif what == 'out' then
  local rows = {}
  for _, row in ipairs(call('XRANGE', KEYS[12], ARGV[2] .. '-0', '+', 'COUNT', ARGV[3])) do
    rows[#rows + 1] = { string.match(row[1], '^%d+'), row[2][1] == 'e' and row[2][2] or '' }
  end
  return rows

else
  -- [counters or '', settings JSON or '', records, listed packs, prioritized, delayed, parents, running, completed entries, failed,
  --  cancelled, members of the rotation known, in the ring, held back, batches of the rate window, last event, last outbox number]
  local function last(key)
    if call('EXISTS', key) == 0 then return '0' end
    local info = call('XINFO', 'STREAM', key)
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then return string.match(info[i + 1], '^%d+') end
    end
    return '0'
  end
  return { call('HGET', KEYS[1], 'n') or '', call('HGET', KEYS[1], 'config') or '', call('HLEN', KEYS[2]), call('LLEN', KEYS[3]),
    call('ZCARD', KEYS[4]), call('ZCARD', KEYS[5]), call('ZCARD', KEYS[13]), call('HLEN', KEYS[18]), call('LLEN', KEYS[19]),
    call('ZCARD', KEYS[20]), call('ZCARD', KEYS[21]), call('HLEN', KEYS[16]), call('ZCARD', KEYS[15]), call('ZCARD', KEYS[24]),
    call('LLEN', KEYS[23]), last(KEYS[6]), last(KEYS[12]) }
end
