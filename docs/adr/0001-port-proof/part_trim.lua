-- part_trim.lua: lets go of completed jobs beyond count or age, at most `budget`. Needs part_config.lua.
-- The completed list holds, for each batch, when it finished (6 bytes) and its pack of ids: age needs no record, and a batch costs one
-- push and one pop. What a partial trim leaves goes back in place of its pack.
local function trim(keys, cfg, counts, budget)
  local before = budget
  while budget > 0 do
    local over, stamp = counts.completed - cfg.keep, nil
    if over <= 0 then
      -- Nothing to let go by count: one look at the oldest batch tells about age.
      stamp = cfg.keep_ms > 0 and call('LINDEX', keys.completed, -1)
      if not stamp or struct.unpack('>I6', stamp) + cfg.keep_ms > now then break end
    end
    local batch = call('RPOP', keys.completed, 2)
    if not batch then break end
    local n = string.byte(batch[2])
    local expired = cfg.keep_ms > 0 and struct.unpack('>I6', batch[1]) + cfg.keep_ms <= now
    local k = math.min(budget, expired and n or math.min(n, over))
    local ids = unpack_ids(batch[2])
    if counts.tombs > 0 then
      -- Somebody retried or removed finished jobs: let go only of those that finished with this batch.
      local records, live = call('HMGET', keys.jobs, unpack(ids, 1, k)), {}
      for i = 1, k do
        local rec = records[i]
        if rec and string.byte(rec, 2) == 99 and string.sub(rec, 4, 9) == batch[1] then
          live[#live + 1] = ids[i]
        else
          counts.tombs = math.max(0, counts.tombs - 1)
        end
      end
      if #live > 0 then call('HDEL', keys.jobs, unpack(live)) end
      counts.completed = counts.completed - #live
    else
      call('HDEL', keys.jobs, unpack(ids, 1, k))
      counts.completed = counts.completed - k
    end
    if k < n then call('RPUSH', keys.completed, pack_ids(ids, k + 1, n, 0), batch[1]) end
    budget = budget - k
    -- Age is looked at once a call unless it let something go: at a steady load the count does the work.
    if counts.completed <= cfg.keep and not expired then break end
  end
  return before - budget
end
