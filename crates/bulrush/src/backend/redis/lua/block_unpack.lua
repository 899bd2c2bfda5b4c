-- block_unpack.lua: the ids of packs `first_pack` to `last_pack` of `packs`, about `total` in all, into `ids`. A table that is made at its size does
-- not grow eight times.
local ids, before = { unpack(packs, 1, total) }, 0
for i = first_pack, last_pack do
  local k = byte(packs[i])
  local mine = { unpack_struct(string.rep('Bc0', k), packs[i], 6) }
  for m = 1, k do ids[before + m] = mine[m] end
  before = before + k
end
for i = #ids, before + 1, -1 do ids[i] = nil end
