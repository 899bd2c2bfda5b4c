#!lua
-- add.lua: takes a batch of jobs in; an id that exists, a held dedup key and a full queue change nothing for that job.
-- Why a script: the check for an existing id and the write must be one step, or a repeated send could reset a job.
-- Safe to repeat: by the ids. The ids of one call are distinct (the adapter sees to it).
-- KEYS   the first 18 of those that every script gets (keys.rs)
-- ARGV   1 version of the settings the call was checked with   2 n   3 p   4 owner hashes, 8 bytes each, or ''   5 extras (msgpack) or ''
--        6 … 5+p packs of ids, at most 16 in each, generation 0   6+p … 5+p+n records without their first 18 bytes (version … created)
--        extras, all optional, by place in the call from 1: w {i → delay ms}, W {i → run-at}, p {i → priority} other than the default,
--        l {i → true} to the head, g {i → group}, d {i → [key, ttl ms or 0, fingerprint or '']}, o [[owner, [i…]]…],
--        b {i → payload over 1,024 bytes}, c {i → [[child, outbox entry without its time, row of the family]…]}, t true (some have a time-out)
-- Reply  [now ms, [[i, code, detail]…], outbox list]; code 'i' same id (detail: state), 'k' same key, 'c' key conflict (detail: id), 'f' full;
--        what is not listed is new. Or ['cfg', settings, version]: nothing was changed, check again
-- Cost   O(n), + O(log d) a delayed or prioritized job (d: jobs in that set)
-- @include part_words.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
local counted = got[2]
settings = got[1]
-- @inline block_open.lua
if cfg.version ~= tonumber(ARGV[1]) then return { 'cfg', call('HGET', KEYS[1], 'config') or '', cfg.version } end
local total, p, hashes = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local at_record = 5 + p
local packs, first_pack, last_pack = ARGV, 6, at_record
-- @inline block_unpack.lua
local all = ids

-- The plain case: nothing special about any job but its owner, none of them known, and the list serves the default priority. Written out
-- without functions: to make the two dozen of the long way costs more than all else that a call of one job does.
local x = ARGV[5] ~= '' and cmsgpack.unpack(ARGV[5]) or {}
local plain = n.groups == 0 and (cfg.depth_max == NONE or n.waiting + n.delayed + n.parents + total <= cfg.depth_max)
  and not (x.w or x.W or x.p or x.l or x.g or x.d or x.b or x.c)
if plain and n.list_prio ~= cfg.default_priority then
  plain = n.listed == 0 and n.prioritized == 0
  if plain then n.list_prio = cfg.default_priority end
end
if plain then
  local held = call('HMGET', KEYS[2], unpack(all))
  for i = 1, total do
    if held[i] then plain = false; break end
  end
end
if plain then
  local head = pack('>BBI4I6I6', 2, 119, n.gen, now, now)
  local kv = { unpack(all, 1, 2 * total) }
  for i = 1, total do
    kv[2 * i - 1] = all[i]
    kv[2 * i] = head .. ARGV[at_record + i]
  end
  call('HSET', KEYS[2], unpack(kv))
  if n.gen == 0 then
    call('LPUSH', KEYS[3], unpack(ARGV, 6, at_record))
  else
    local packs, gen = {}, pack('>I4', n.gen)
    for i = 6, at_record do packs[#packs + 1] = sub(ARGV[i], 1, 1) .. gen .. sub(ARGV[i], 6) end
    call('LPUSH', KEYS[3], unpack(packs))
  end
  local waiting = n.waiting
  n.waiting, n.listed, n.added = waiting + total, n.listed + total, n.added + total
  -- While others wait before these, somebody has been woken, and passes the word on.
  if waiting == 0 and call('LLEN', KEYS[7]) == 0 then call('LPUSH', KEYS[7], 1) end
  if x.t and band(n.flags, 64) == 0 then n.flags = n.flags + 64 end
  if x.o then
    if band(n.flags, 32) == 0 then n.flags = n.flags + 32 end
    for _, mine in ipairs(x.o) do
      local ids = {}
      for _, i in ipairs(mine[2]) do ids[#ids + 1] = all[i] end
      call('LPUSH', KEYS[11] .. mine[1], unpack(ids))
      call('LTRIM', KEYS[11] .. mine[1], 0, 9999)
    end
  end
  local fields, happened = { 'o', hashes }, total
  for i = 6, at_record do
    fields[2 * i - 9], fields[2 * i - 8] = 'n', ARGV[i]
  end
  -- @inline block_publish.lua
  n.seen = now
  call('HSET', KEYS[1], 'n', pack(COUNTERS, unpack(n, 1, 33)))
  return { now, {}, {} }
end

-- @include part_state.lua
-- @include part_limits.lua
-- @include part_job.lua
-- @include part_groups.lua
-- @include part_moves.lua
-- @include part_add.lua
local owner = {}
for _, mine in ipairs(x.o or {}) do
  for _, i in ipairs(mine[2]) do owner[i] = mine[1] end
end
local function of(name, i) return x[name] and x[name][i] end
local refused = {}
for i = 1, total do
  local hash = hashes ~= '' and sub(hashes, 8 * i - 7, 8 * i) or NOBODY
  local extras = { w = of('w', i), W = of('W', i), d = of('d', i), b = of('b', i), c = of('c', i), o = owner[i] }
  local code, detail = add_one(all[i], ARGV[at_record + i], extras, hash, false)
  if code then refused[#refused + 1] = { i, code, detail } end
end
if #refused < total then
  save_members()
  if wake then ring_the_bell() end
  publish()
  call('HSET', KEYS[1], 'n', counters())
end
return { now, refused, outbox }
