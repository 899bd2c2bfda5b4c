-- part_config.lua: settings and time, the same in every script.
-- Settings are one packed field of the meta hash, written by `configure`; a queue that was never configured has the defaults.
local call = redis.call
local function config(packed)
  local c = {}
  if packed then
    c.flags, c.rate_max, c.rate_per, c.concurrency, c.depth_max, c.keep, c.keep_ms, c.events_max, c.lease_ms, c.stalls_max,
      c.default_priority = struct.unpack('>BI4I6I4I6I4I6I4I4HI3', packed)
  else
    c.flags, c.rate_max, c.rate_per, c.concurrency, c.depth_max = 0, 0, 0, 0, 0
    c.keep, c.keep_ms, c.events_max, c.lease_ms, c.stalls_max, c.default_priority = 1000, 86400000, 1000, 10000, 3, 5
  end
  return c
end
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- Ids travel and wait in packs: how many (1 byte), generation (1 byte), then length and bytes of each id. Lua in Redis hashes every
-- byte of every string it makes and a list entry costs as much as a short string, so what stays together is kept together.
-- A waiting pack holds at most PACK_MAX ids, because taking a few of them writes the rest back.
local PACK_MAX = 16
local function unpack_ids(pack)
  local n = string.byte(pack)
  local ids = { struct.unpack(string.rep('Bc0', n), pack, 3) }
  ids[n + 1] = nil
  return ids, n
end
-- All ids of packs `first` to `last` of a list, n in all. A table that is made at its size does not grow eight times.
local function unpack_all(packs, first, last, n)
  local ids, before = { unpack(packs, 1, n) }, 0
  for p = first, last do
    local mine, count = unpack_ids(packs[p])
    for i = 1, count do ids[before + i] = mine[i] end
    before = before + count
  end
  return ids, before
end
local function pack_ids(ids, first, last, gen)
  local parts = { string.char(last - first + 1, gen) }
  for i = first, last do
    parts[#parts + 1] = string.char(#ids[i])
    parts[#parts + 1] = ids[i]
  end
  return table.concat(parts)
end
local function packs_of(ids, gen)
  local packs = {}
  for first = 1, #ids, PACK_MAX do packs[#packs + 1] = pack_ids(ids, first, math.min(first + PACK_MAX - 1, #ids), gen) end
  return packs
end
-- Numbers as text: Redis would print a Lua number as a float, which is slow.
local function int(value) return string.format('%d', value) end
