-- part_state.lua: time, settings and counters of the queue, the same in every script.
-- Settings are one packed field of the meta hash, written by configure.lua; a queue that was never configured has the defaults.
-- Counters are another: a field of their own for each would cost more than all the rest of a call.
-- @include part_time.lua
local call, pack, unpack_struct, char, byte, sub = redis.call, struct.pack, struct.unpack, string.char, string.byte, string.sub
local band = bit.band
local NONE = 281474976710655

local cfg = {}
local function read_config(packed)
  if not packed then
    cfg.version, cfg.rate_max, cfg.rate_per, cfg.concurrency, cfg.depth_max = 0, 0, 0, 0, NONE
    cfg.keep_c, cfg.age_c, cfg.keep_f, cfg.age_f, cfg.keep_x, cfg.age_x = 1000, 86400000, NONE, 604800000, 1000, 86400000
    cfg.events_max, cfg.lease_ms, cfg.stalls_max, cfg.default_priority = 10000, 10000, 3, 5
    cfg.call_bytes, cfg.call_items, cfg.log_lines, cfg.errors, cfg.message_bytes = 4194304, 1000, 1000, 10, 4096
    cfg.weight, cfg.group_concurrency, cfg.listed = 1, 0, ''
    return
  end
  local rest
  cfg.version, cfg.rate_max, cfg.rate_per, cfg.concurrency, cfg.depth_max, cfg.keep_c, cfg.age_c, cfg.keep_f, cfg.age_f, cfg.keep_x,
    cfg.age_x, cfg.events_max, cfg.lease_ms, cfg.stalls_max, cfg.default_priority, cfg.call_bytes, cfg.call_items, cfg.log_lines,
    cfg.errors, cfg.message_bytes, cfg.weight, cfg.group_concurrency, rest =
    unpack_struct('>I4I4I6I4I6I6I6I6I6I6I6I4I6I4I3I4I4I4I2I2I4I4', packed)
  cfg.listed = sub(packed, rest)
end

-- What the counters count: jobs by state (`waiting` in all lanes, `listed` in the list, `prioritized` in the sorted set), `order` the last
-- place given, `gen` the generation of new entries (one more for each entry that was left behind), `tombs` and `dtombs` such entries among
-- the waiting and the completed, `started` the starts in the rate window, `outbox` and `position` the last numbers given, `t_…` sums since
-- the queue was made, `pseq` and `phead` the last places at the end and the head of a priority, `cancels` active jobs that were asked
-- to stop, `groups` known groups, `ticket` the next place in the ring, `turn_…` the turn under way, `list_prio` the priority of the list,
-- `flags` 1 paused, and what the queue has used so far: 2 large payloads, 4 progress, 8 logs, 16 flows, 32 owners, 64 time-outs;
-- `seen` the latest moment: time never goes back.
local COUNTERS = '>I6I6I6I6I6I6I6I6I6I6I6I4I6I6I6I6I6I6I6I6I6I6I7I6I6I6I6I6I6I4I3BI6'
local n, now = {}, 0
local function read_counters(packed)
  if packed then
    n.seen, n.waiting, n.listed, n.prioritized, n.delayed, n.parents, n.active, n.completed, n.failed, n.cancelled, n.order, n.gen, n.tombs,
      n.dtombs, n.started, n.outbox, n.added, n.t_completed, n.t_failed, n.t_retried, n.t_cancelled, n.t_stalled, n.position, n.pseq,
      n.phead, n.cancels, n.groups, n.ticket, n.turn_ticket, n.turn_left, n.list_prio, n.flags, n.limited = unpack_struct(COUNTERS, packed)
  else
    n.seen, n.waiting, n.listed, n.prioritized, n.delayed, n.parents, n.active, n.completed, n.failed, n.cancelled, n.order, n.gen, n.tombs,
      n.dtombs, n.started, n.outbox, n.added, n.t_completed, n.t_failed, n.t_retried, n.t_cancelled, n.t_stalled, n.position, n.pseq,
      n.phead, n.cancels, n.groups, n.ticket, n.turn_ticket, n.turn_left, n.list_prio, n.flags, n.limited =
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 5, 0, 0
  end
  now = time > n.seen and time or n.seen
end
local function counters()
  return pack(COUNTERS, now, n.waiting, n.listed, n.prioritized, n.delayed, n.parents, n.active, n.completed, n.failed, n.cancelled,
    n.order, n.gen, n.tombs, n.dtombs, n.started, n.outbox, n.added, n.t_completed, n.t_failed, n.t_retried, n.t_cancelled, n.t_stalled,
    n.position, n.pseq, n.phead, n.cancels, n.groups, n.ticket, n.turn_ticket, n.turn_left, n.list_prio, n.flags, n.limited)
end
-- Numbers as text: Redis would print a Lua number as a float, which is slow and rounds.
local function int(value) return string.format('%.0f', value) end

-- Settings that moved on since the client checked its call: it checks again.
local function moved_on()
  return { 'cfg', call('HGET', KEYS[1], 'config') or '', cfg.version }
end
local function use(flag)
  if band(n.flags, flag) == 0 then n.flags = n.flags + flag end
end

-- What only unusual jobs need is put here by part_moves.lua: the hot path runs without making those functions.
local late = {}

-- Order of strings by their bytes: Lua's own goes by the locale that the server was started in.
local function bytes_before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- Ids travel and wait in packs: how many (1 byte), generation (4 bytes), then length and bytes of each id. Lua in Redis hashes every byte
-- of every string it makes and a list entry costs as much as a short string, so what stays together is kept together. A waiting pack
-- holds at most PACK_MAX ids, because taking a few of them writes the rest back.
local PACK_MAX = 16
local function unpack_ids(ids)
  local k = byte(ids)
  local list = { unpack_struct(string.rep('Bc0', k), ids, 6) }
  list[k + 1] = nil
  return list, k
end
-- All ids of packs `first` to `last` of a list, `total` in all. A table that is made at its size does not grow eight times.
local function unpack_all(packs, first, last, total)
  local ids, before = { unpack(packs, 1, total) }, 0
  for p = first, last do
    local mine, k = unpack_ids(packs[p])
    for i = 1, k do ids[before + i] = mine[i] end
    before = before + k
  end
  for i = #ids, before + 1, -1 do ids[i] = nil end
  return ids
end
local function pack_ids(ids, first, last, gen)
  local parts = { pack('>BI4', last - first + 1, gen) }
  for i = first, last do
    parts[#parts + 1] = char(#ids[i])
    parts[#parts + 1] = ids[i]
  end
  return table.concat(parts)
end
local function packs_of(ids, gen, max)
  local packs, max = {}, max or PACK_MAX
  for first = 1, #ids, max do packs[#packs + 1] = pack_ids(ids, first, math.min(first + max - 1, #ids), gen) end
  return packs
end

-- The owner in a record: its hash and the end of its list's key; none where the job has none. The layout stands in record.rs.
local function owner_in(record)
  local flags = byte(record, 20)
  if band(flags, 8) == 0 then return nil end
  local at = band(flags, 1) ~= 0 and 53 or 39
  if band(flags, 4) ~= 0 then at = at + 2 + unpack_struct('>I2', record, at) end
  local hash, len = sub(record, at, at + 7), unpack_struct('>I2', record, at + 8)
  local tenant = sub(record, at + 10, at + 9 + len)
  at = at + 10 + len
  len = unpack_struct('>I2', record, at)
  return hash, tenant .. '\0' .. sub(record, at + 2, at + 1 + len)
end
-- An owner's oldest jobs usually go first, so the index shrinks with them and vanishes with the last. Each is dropped once, so
-- this costs little on the whole; at most `max` at a time.
local function shrink_owner(owner, max)
  for _ = 1, max do
    local oldest = call('LINDEX', KEYS[11] .. owner, -1)
    if not oldest or call('HEXISTS', KEYS[2], oldest) == 1 then return end
    call('RPOP', KEYS[11] .. owner)
  end
end

-- Events of this call, published as one entry at its end. Changes of whole packs are told as packs, others one by one.
local fields, singles, happened = {}, {}, 0
local function flush_singles()
  if #singles > 0 then
    fields[#fields + 1] = 'm'
    fields[#fields + 1] = table.concat(singles)
    singles = {}
  end
end
local NOBODY = '\0\0\0\0\0\0\0\0'
local function tell(code, id, owner, extra)
  if cfg.events_max == 0 then return end
  singles[#singles + 1] = code .. char(#id) .. id .. (owner or NOBODY) .. (extra or '')
  happened = happened + 1
end
local function tell_packs(code, packs, first, last, total, owners)
  if cfg.events_max == 0 then return end
  flush_singles()
  local at = #fields
  fields[at + 1], fields[at + 2] = 'o', owners
  at = at + 2
  for p = first, last do
    fields[at + 1], fields[at + 2] = code, packs[p]
    at = at + 2
  end
  happened = happened + total
end
local function publish(key)
  if happened == 0 then return end
  flush_singles()
  if n.position == 0 then n.position = now * 1024 end
  -- The window is counted in events. An entry goes by its first one and holds up to about 2,000, so so many more are kept; readers
  -- cut the window to its size.
  local first = n.position + 1
  local oldest = math.max(0, first - cfg.events_max - 2000)
  call('XADD', key, 'MINID', '~', int(oldest), int(first) .. '-0', 't', pack('>I6', now), unpack(fields))
  n.position = n.position + happened
end
