-- part_promote.lua: due jobs become waiting, at most `limit`. Needs part_config.lua; counters are the caller's.
-- The record is rewritten (state), because a status read looks at nothing else.
local function promote(keys, cfg, counts, limit)
  local ids = call('ZRANGE', keys.delayed, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit)
  if #ids == 0 then return ids end
  local records, kv, list, ordered = call('HMGET', keys.jobs, unpack(ids)), {}, {}, {}
  for i = 1, #ids do
    local rec = records[i]
    if rec and string.byte(rec, 2) == 100 then
      kv[#kv + 1] = ids[i]
      kv[#kv + 1] = string.sub(rec, 1, 1) .. 'w' .. string.char(counts.gen) .. string.sub(rec, 4)
      local priority = struct.unpack('>I3', rec, 18)
      if priority == 0xFFFFFF or priority == cfg.default_priority then
        list[#list + 1] = ids[i]
      else
        counts.seq = counts.seq + 1
        ordered[#ordered + 1] = string.format('%.0f', priority * 4294967296 + counts.seq)
        ordered[#ordered + 1] = ids[i]
      end
    end
  end
  call('ZREM', keys.delayed, unpack(ids))
  if #kv > 0 then call('HSET', keys.jobs, unpack(kv)) end
  if #list > 0 then call('LPUSH', keys.waiting, unpack(packs_of(list, counts.gen))) end
  if #ordered > 0 then call('ZADD', keys.prio, unpack(ordered)) end
  counts.delayed = counts.delayed - #ids
  counts.waiting = counts.waiting + #list
  counts.prioritized = counts.prioritized + #ordered / 2
  return ids
end
