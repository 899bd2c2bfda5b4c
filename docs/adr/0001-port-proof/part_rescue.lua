-- part_rescue.lua: puts the jobs of dead workers, and those past their deadline, back at the head. Needs part_config.lua.
-- Looks at no more than about `limit` active entries a call; a walk that did not end goes on from its cursor in the next pass.
-- A record takes run + 1 and one stall more; beyond `stalls_max` the job fails (a failed record with more stalls than allowed reads
-- as "crashed"), and a job that somebody asked to stop is cancelled.
local function rescue(keys, cfg, counts, limit)
  -- The pass before this one: a long gap means that the store was away, so live workers get one lease to renew first.
  local mark = call('HMGET', keys.meta, 'pass', 'grace', 'walk', 'walk_dead')
  local pass, grace = tonumber(mark[1]) or 0, tonumber(mark[2]) or 0
  if now - pass > cfg.lease_ms / 2 then grace = now + cfg.lease_ms end
  call('HSET', keys.meta, 'pass', now, 'grace', grace)
  if now < grace then return {}, 0, false end
  local expired = call('ZRANGE', keys.workers, '-inf', '(' .. now, 'BYSCORE', 'LIMIT', 0, 64)
  if #expired == 0 and cfg.flags < 4 then return {}, 0, false end
  local dead, cursor, walk_dead = {}, mark[3] or '0', mark[4] or ''
  for i = 1, #expired do dead[expired[i]] = true end
  if cursor == '0' then walk_dead = table.concat(expired) end
  local ids, entries, seen = {}, {}, 0
  repeat
    local page = call('HSCAN', keys.active, cursor, 'COUNT', 200)
    cursor = page[1]
    for i = 1, #page[2], 2 do
      local entry = page[2][i + 1]
      seen = seen + 1
      local lost = dead[string.sub(entry, 1, 8)]
      if not lost and #entry == 25 then
        local started, seconds = struct.unpack('>I6I4', entry, 16)
        lost = seconds > 0 and started + seconds * 1000 + 30000 < now
      end
      if lost then
        ids[#ids + 1] = page[2][i]
        entries[#entries + 1] = entry
      end
    end
  until cursor == '0' or seen >= limit or #ids >= limit
  if #ids > 0 then
    local records, kv, head, failed, cancelled, body = call('HMGET', keys.jobs, unpack(ids)), {}, {}, {}, {}, {}
    for i = 1, #ids do
      local rec, id = records[i], ids[i]
      if rec then
        local run, stalls = struct.unpack('>I4B', rec, 21)
        local state = 'w'
        if string.byte(entries[i], 15) > 0 then state = 'x'
        elseif stalls + 1 > cfg.stalls_max then state = 'f' end
        local stamp = state == 'w' and string.sub(rec, 4, 9) or struct.pack('>I6', now)
        kv[#kv + 1] = id
        kv[#kv + 1] = string.sub(rec, 1, 1) .. state .. string.char(counts.gen) .. stamp .. string.sub(rec, 10, 20)
          .. struct.pack('>I4B', run + 1, math.min(stalls + 1, 255)) .. string.sub(rec, 26)
        if state == 'w' then
          head[#head + 1] = id
        elseif state == 'f' then
          failed[#failed + 1] = now; failed[#failed + 1] = id
        else
          cancelled[#cancelled + 1] = now; cancelled[#cancelled + 1] = id
        end
        body[#body + 1] = state .. string.char(#id) .. id
      end
    end
    call('HDEL', keys.active, unpack(ids))
    if #kv > 0 then call('HSET', keys.jobs, unpack(kv)) end
    if #head > 0 then call('RPUSH', keys.waiting, unpack(packs_of(head, counts.gen))) end
    if #failed > 0 then call('ZADD', keys.failed, unpack(failed)) end
    if #cancelled > 0 then call('ZADD', keys.cancelled, unpack(cancelled)) end
    if #head > 0 then call('LPUSH', keys.wake, 1); call('LTRIM', keys.wake, 0, 63) end
    if cfg.events_max > 0 then
      call('XADD', keys.events, 'MAXLEN', '~', cfg.events_max, '*', 's', table.concat(body))
    end
    counts.active = counts.active - #ids
    counts.waiting = counts.waiting + #head
    counts.failed = counts.failed + #failed / 2
    counts.cancelled = counts.cancelled + #cancelled / 2
  end
  if cursor == '0' then
    -- A whole walk has passed since these were found dead, so nothing of theirs is left.
    for i = 1, #walk_dead, 8 do
      local worker = string.sub(walk_dead, i, i + 7)
      if dead[worker] then
        call('ZREM', keys.workers, worker)
        call('HDEL', keys.meta, worker)
      end
    end
    call('HDEL', keys.meta, 'walk', 'walk_dead')
  else
    call('HSET', keys.meta, 'walk', cursor, 'walk_dead', walk_dead)
  end
  return ids, #ids, cursor ~= '0'
end
