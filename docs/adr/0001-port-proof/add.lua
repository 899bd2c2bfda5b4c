#!lua
-- add.lua: takes a batch of jobs in; an id that exists, a held dedup key and a full queue change nothing for that job.
-- Why a script: the check for an existing id and the write must be one step, or a repeated send could reset a job.
-- The ids of one call are distinct (the adapter sees to it: it answers a repeat within a call by itself).
-- KEYS   1 meta hash   2 jobs hash   3 waiting list (head right)   4 prioritized zset   5 delayed zset   6 events stream
--        7 wake list   8 dedup hash   9 prefix of the owners' lists (same slot)
-- ARGV   1 n   2 p   3 owner hashes, 8 bytes each, or ''   4 extras (msgpack) or ''   5 … 4+p packs of ids, at most 16 in each,
--        generation 0   5+p … 4+p+n records without their first 15 bytes (version, state, generation, at, created)
--        extras, all optional, by place in the call from 1: when {i → [delay ms, moment]}, prio {i → priority}, lifo {i → true},
--        dedup {i → [key, ttl ms, fingerprint]}, owner [[owner, [i…]]…], exempt true (follow-ups: no depth limit)
-- Reply  [now ms, [[i, code, detail]…]], code 'i' same id (detail: state), 'k' same key, 'c' key conflict (detail: id), 'f' full;
--        what is not listed is new
-- Cost   O(n), + O(log d) a delayed or prioritized job (d: jobs in that set)
-- @include part_config.lua
-- @include part_counts.lua
local n, p, hashes = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local at_record = 4 + p
local all = unpack_all(ARGV, 5, at_record, n)
local x = ARGV[4] ~= '' and cmsgpack.unpack(ARGV[4]) or nil
local got = call('HMGET', KEYS[1], 'cfg', 'n')
local cfg, counts = config(got[1]), read_counts(got[2])
local waiting, gen = counts.waiting, counts.gen
local depth = waiting + counts.prioritized + counts.delayed
local refused, plain = {}, x == nil
local held = call('HMGET', KEYS[2], unpack(all))
for i = 1, n do
  if held[i] then plain = false; break end
end
if cfg.depth_max > 0 and depth + n > cfg.depth_max then plain = false end

if plain and gen == 0 then
  local head = struct.pack('>BBBI6I6', 2, 119, 0, now, now)
  local kv = { unpack(all, 1, 2 * n) }
  for i = 1, n do
    kv[2 * i - 1] = all[i]
    kv[2 * i] = head .. ARGV[at_record + i]
  end
  call('HSET', KEYS[2], unpack(kv))
  call('LPUSH', KEYS[3], unpack(ARGV, 5, at_record))
  counts.waiting = waiting + n
  counts.added = counts.added + n
  call('HSET', KEYS[1], 'n', write_counts(counts))
  if cfg.events_max > 0 then
    local fields = { 'o', hashes }
    for i = 1, p do
      fields[2 * i + 1] = 'n'
      fields[2 * i + 2] = ARGV[4 + i]
    end
    call('XADD', KEYS[6], 'MAXLEN', '~', int(cfg.events_max), '*', unpack(fields))
  end
  if waiting == 0 then call('LPUSH', KEYS[7], 1); call('LTRIM', KEYS[7], 0, 63) end
  return { now, refused }
end

-- The rest: duplicates, keys, delays, priorities, a depth limit, tombstones in the list. Decide everything first.
x = x or {}
local room = math.huge
if cfg.depth_max > 0 and not x.exempt then room = cfg.depth_max - depth end
local keys, ids, take_key = x.dedup or {}, {}, {}
local kv, list, front, ordered, later, dedup, fresh = {}, {}, {}, {}, {}, {}, {}
for i = 1, n do
  local id, key = all[i], keys[i]
  local owner = key and (take_key[key[1]] or call('HGET', KEYS[8], key[1]))
  local until_ms = owner and struct.unpack('>I6', owner)
  if held[i] then
    refused[#refused + 1] = { i, 'i', string.sub(held[i], 2, 2) }
  elseif owner and (until_ms == 0 or until_ms > now) then
    -- Owner of a key: when it ends (6 bytes, 0 with its job), fingerprint (8), id.
    local clash = key[3] and string.sub(owner, 7, 14) ~= key[3]
    refused[#refused + 1] = { i, clash and 'c' or 'k', string.sub(owner, 15) }
  elseif room <= 0 then
    refused[#refused + 1] = { i, 'f', tostring(cfg.depth_max) }
  else
    room = room - 1
    local due = x.when and x.when[i]
    due = due and (due[1] and now + due[1] or due[2])
    local state = due and due > now and 100 or 119
    if key then
      local ends = key[2] and now + key[2] or 0
      local value = struct.pack('>I6', ends) .. (key[3] or '\0\0\0\0\0\0\0\0') .. id
      take_key[key[1]] = value
      dedup[#dedup + 1] = key[1]; dedup[#dedup + 1] = value
    end
    kv[#kv + 1] = id
    kv[#kv + 1] = struct.pack('>BBBI6I6', 2, state, gen, now, now) .. ARGV[at_record + i]
    ids[#ids + 1] = id
    fresh[i] = true
    if state == 100 then
      later[#later + 1] = due; later[#later + 1] = id
    elseif x.prio and x.prio[i] and x.prio[i] ~= cfg.default_priority then
      counts.seq = counts.seq + 1
      ordered[#ordered + 1] = string.format('%.0f', x.prio[i] * 4294967296 + counts.seq); ordered[#ordered + 1] = id
    elseif x.lifo and x.lifo[i] then
      front[#front + 1] = pack_ids({ id }, 1, 1, gen)
    else
      list[#list + 1] = id
    end
  end
end
if #ids == 0 then return { now, refused } end
call('HSET', KEYS[2], unpack(kv))
if #list > 0 then call('LPUSH', KEYS[3], unpack(packs_of(list, gen))) end
if #front > 0 then call('RPUSH', KEYS[3], unpack(front)) end
if #ordered > 0 then call('ZADD', KEYS[4], unpack(ordered)) end
if #later > 0 then call('ZADD', KEYS[5], unpack(later)) end
if #dedup > 0 then call('HSET', KEYS[8], unpack(dedup)) end
for _, owner in ipairs(x.owner or {}) do
  local mine = {}
  for _, i in ipairs(owner[2]) do
    if fresh[i] then mine[#mine + 1] = all[i] end
  end
  if #mine > 0 then
    call('LPUSH', KEYS[9] .. owner[1], unpack(mine))
    call('LTRIM', KEYS[9] .. owner[1], 0, 9999)
  end
end
counts.waiting = waiting + #list + #front
counts.prioritized = counts.prioritized + #ordered / 2
counts.delayed = counts.delayed + #later / 2
counts.added = counts.added + #ids
call('HSET', KEYS[1], 'n', write_counts(counts))
if cfg.events_max > 0 then
  local fields, mine = { 'o', '' }, {}
  for _, pack in ipairs(packs_of(ids, gen)) do
    fields[#fields + 1] = 'n'
    fields[#fields + 1] = pack
  end
  for i = 1, n do
    if fresh[i] then mine[#mine + 1] = string.sub(hashes, 8 * i - 7, 8 * i) end
  end
  fields[2] = table.concat(mine)
  call('XADD', KEYS[6], 'MAXLEN', '~', int(cfg.events_max), '*', unpack(fields))
end
-- An earlier due time wakes a sleeper just as a ready job does.
call('LPUSH', KEYS[7], 1)
call('LTRIM', KEYS[7], 0, 63)
return { now, refused }
