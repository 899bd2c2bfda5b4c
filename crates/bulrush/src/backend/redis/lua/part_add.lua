-- part_add.lua: takes in one job, as core/add.rs does. Needs part_moves.lua.
-- `record` comes without version, state, generation, at and created; `x` says what a script must know beside it. Returns nothing for a new
-- job, else a code and its detail. What comes from an outbox (`delivered`) was admitted where it was made: no depth limit.
local LETTERS = { [WAITING] = 'w', [DELAYED] = 'd', [PARENT_WAITS] = 'p', [COMPLETED] = 'c', [FAILED] = 'f', [CANCELLED] = 'x' }
local function add_one(id, record, x, owner_hash, delivered)
  local old = call('HGET', KEYS[2], id)
  if old then
    local state = byte(old, 2)
    if state == WAITING and call('HEXISTS', KEYS[18], id) == 1 then return 'i', 'a' end
    return 'i', LETTERS[state]
  end
  local key = x.d
  local held = key and holder(key[1])
  if held then
    local fingerprint = byte(held, 7) == 1 and sub(held, 8, 15) or ''
    return fingerprint == key[3] and 'k' or 'c', sub(held, 16)
  end
  if not delivered and cfg.depth_max < NONE and n.waiting + n.delayed + n.parents >= cfg.depth_max then
    return 'f', int(cfg.depth_max)
  end
  local j = parse(id, pack('>BBI4I6I6', 2, WAITING, n.gen, now, now) .. record)
  local run_at = now
  if x.w then run_at = now + x.w elseif x.W then run_at = math.max(now, x.W) end
  j.at = run_at
  if key then hold(key[1], key[2], key[3] ~= '' and key[3] or nil, id) end
  if x.b then
    use(2)
    call('HSET', KEYS[10], id, x.b)
  end
  if j.timeout > 0 then use(64) end
  n.added = n.added + 1
  tell('n', id, owner_hash)
  local children = x.c
  if children then
    use(16)
    local family, kv = KEYS[14] .. id, { 'n', #children, 't', #children }
    for index = 1, #children do
      local child = children[index]
      kv[#kv + 1] = 'c' .. child[1]; kv[#kv + 1] = index - 1
      kv[#kv + 1] = index - 1; kv[#kv + 1] = child[3]
      n.outbox = n.outbox + 1
      local entry = pack('>I6', now) .. child[2]
      call('XADD', KEYS[12], int(n.outbox) .. '-0', 'e', entry)
      outbox[#outbox + 1] = { n.outbox, entry }
    end
    call('HSET', family, unpack(kv))
    enter_parents(j)
  elseif run_at > now then
    enter_delayed(j, run_at)
    tell('d', id, owner_hash)
  else
    enter_waiting(j, false)
  end
  save(j)
  if x.o then
    use(32)
    call('LPUSH', KEYS[11] .. x.o, id)
    call('LTRIM', KEYS[11] .. x.o, 0, 9999)
  end
  return nil
end
