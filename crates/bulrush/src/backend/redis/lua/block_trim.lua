-- block_trim.lua: lets go of completed jobs beyond count or age, at most `budget` of them, which it counts down; `dead` is how many of those
-- were tombstones.
-- The completed list holds, for each batch, when it finished (with the generation of the moment) and its pack of ids: age needs no record,
-- and a batch costs one push and one pop. What a partial trim leaves goes back in place of its pack.
local dead = 0
while budget > 0 and n.completed + n.dtombs > 0 do
  local over, stamp = n.completed - cfg.keep_c, nil
  if over <= 0 then
    -- Nothing to let go by count: one look at the oldest batch tells about age.
    stamp = cfg.age_c < NONE and call('LINDEX', KEYS[19], -1)
    if not stamp or unpack_struct('>I6', stamp) + cfg.age_c > now then break end
  end
  local batch = call('RPOP', KEYS[19], 2)
  if not batch then break end
  stamp = batch[1]
  local k = byte(batch[2])
  local ids = { unpack_struct(string.rep('Bc0', k), batch[2], 6) }
  ids[k + 1] = nil
  local expired = cfg.age_c < NONE and unpack_struct('>I6', stamp) + cfg.age_c <= now
  local let_go = math.min(budget, expired and k or math.min(k, over))
  local gone = ids
  if let_go < k then gone = { unpack(ids, 1, let_go) } end
  local owners = band(n.flags, 32) ~= 0
  if n.dtombs > 0 or owners then
    -- Somebody retried or removed finished jobs: let go only of those that finished with this batch.
    local records, live, lists = call('HMGET', KEYS[2], unpack(gone)), {}, {}
    for i = 1, let_go do
      local record = records[i]
      if record and byte(record, 2) == 99 and sub(record, 7, 12) == sub(stamp, 1, 6) and sub(record, 3, 6) == sub(stamp, 7, 10) then
        live[#live + 1] = gone[i]
        if owners then
          local _, owner = owner_in(record)
          if owner then lists[owner] = true end
        end
      else
        n.dtombs, dead = math.max(0, n.dtombs - 1), dead + 1
      end
    end
    if #live > 0 then
      call('HDEL', KEYS[2], unpack(live))
      if band(n.flags, 30) ~= 0 then late.drop_extras(live) end
      for owner in pairs(lists) do shrink_owner(owner, 1000) end
    end
    n.completed = n.completed - #live
  else
    call('HDEL', KEYS[2], unpack(gone))
    if band(n.flags, 30) ~= 0 then late.drop_extras(gone) end
    n.completed = n.completed - let_go
  end
  if let_go < k then
    local cut = 6
    for i = 1, let_go do cut = cut + 1 + #ids[i] end
    call('RPUSH', KEYS[19], char(k - let_go) .. sub(batch[2], 2, 5) .. sub(batch[2], cut), stamp)
  end
  budget = budget - let_go
  -- Age is looked at once a call unless it let something go: at a steady load the count does the work.
  if n.completed <= cfg.keep_c and not expired then break end
end
