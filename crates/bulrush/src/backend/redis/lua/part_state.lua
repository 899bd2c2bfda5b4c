-- part_state.lua: settings, counters and events of the queue, the same in every script.
-- @include part_words.lua
local function open(packed, counted)
  settings = packed
  -- @inline block_open.lua
end
local function counters()
  n.seen = now
  return pack(COUNTERS, unpack(n, 1, 33))
end
-- Numbers as text: Redis would print a Lua number as a float, which is slow and rounds.
local function int(value) return string.format('%d', value) end

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
local function unpack_all(packs, first_pack, last_pack, total)
  -- @inline block_unpack.lua
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

local owner_in, shrink_owner
-- @inline block_owners.lua

-- Events of this call, published as one entry at its end. Changes of whole packs are told as packs, others one by one.
local fields, singles, happened = {}, {}, 0
local function flush_singles()
  if #singles > 0 then
    fields[#fields + 1] = 'm'
    fields[#fields + 1] = table.concat(singles)
    singles = {}
  end
end
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
local function publish()
  if happened == 0 then return end
  flush_singles()
  -- @inline block_publish.lua
end
