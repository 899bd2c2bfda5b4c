#!lua flags=no-writes
-- schedules.lua: schedules as they stand.
-- Why a script: a schedule, its slot and the moment must belong together.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 what, and then
--        `get`: whose (letter, tenant, user, as in change_schedules.lua), ids…
--        `list`: whose, the id after which to go on or '', at most so many, at most about so many bytes
--        `due`: at most so many, at most about so many bytes, slot and id behind which to go on, or 0 and ''
--        `first`: a moment
-- Reply  get: [now ms, rows, a row or false each]   list: [now ms, rows, id after which to go on or '']
--        due: [now ms, rows, next slot or 0, slot and id behind which more are due, or 0 and '']
--        a row: [id, state, definition], of which false stands for one that is gone
--        first: [now ms, first slot after the moment or 0, id of the last entry that told of a sooner one]
-- Cost   O(log s) and O(1) a schedule returned; a list looks at 10,000 of others at most
-- @include part_state.lua
-- @include part_schedule.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
open(got[1], got[2])
local what, SCAN = ARGV[1], 10000
-- A schedule as a row, if it is within a scope. Whose one is that cannot be read is not known.
local function row(id, scope, tenant, user)
  local s, raw = load_schedule(id)
  if not admits(s and s.owner or '', scope, tenant, user) then return nil end
  local definition = call('HGET', KEYS[31], id)
  return (raw or definition) and { id, raw, definition } or nil
end

if what == 'get' then
  local rows = {}
  for i = 5, #ARGV do rows[#rows + 1] = row(ARGV[i], ARGV[2], ARGV[3], ARGV[4]) or false end
  return { now, rows }

elseif what == 'list' then
  local rows, bytes, seen, last = {}, 0, 0, ARGV[5]
  local limit, bytes_max = tonumber(ARGV[6]), tonumber(ARGV[7])
  while true do
    local ids = call('ZRANGE', KEYS[33], last == '' and '-' or '(' .. last, '+', 'BYLEX', 'LIMIT', 0, 500)
    for i = 1, #ids do
      if #rows >= limit or seen >= SCAN or bytes > bytes_max then return { now, rows, last } end
      local r = row(ids[i], ARGV[2], ARGV[3], ARGV[4])
      if r then
        bytes = bytes + (r[3] and #r[3] or 0)
        rows[#rows + 1] = r
      end
      seen, last = seen + 1, ids[i]
    end
    if #ids < 500 then return { now, rows, '' } end
  end

elseif what == 'due' then
  local limit, bytes_max, after, id = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5]
  local rows, bytes = {}, 0
  -- How many come up to a place: those of earlier slots, and of its own slot those whose ids do not come after its id. What stood there may
  -- have moved on, so it is searched for.
  local from = 0
  if id ~= '' then
    local to
    from, to = call('ZCOUNT', KEYS[32], '-inf', '(' .. after), call('ZCOUNT', KEYS[32], '-inf', after)
    while from < to do
      local middle = math.floor((from + to) / 2)
      if bytes_before(id, call('ZRANGE', KEYS[32], middle, middle)[1]) then to = middle else from = middle + 1 end
    end
  end
  -- As many at once as are likely to fit.
  local some = 32
  while true do
    local found = call('ZRANGE', KEYS[32], from, from + some, 'WITHSCORES')
    local ids = {}
    for i = 1, math.min(#found, 2 * some), 2 do
      if tonumber(found[i + 1]) > now or #rows + #ids >= limit then break end
      ids[#ids + 1] = found[i]
    end
    if #ids > 0 then
      local states, definitions = call('HMGET', KEYS[30], unpack(ids)), call('HMGET', KEYS[31], unpack(ids))
      for i = 1, #ids do
        rows[#rows + 1] = { ids[i], states[i], definitions[i] }
        bytes = bytes + (definitions[i] and #definitions[i] or 0)
      end
    end
    from = from + #ids
    local following = found[2 * #ids + 2]
    local slot = following and tonumber(following) or 0
    if slot == 0 or slot > now then return { now, rows, slot, 0, '' } end
    if #rows >= limit or bytes > bytes_max then return { now, rows, slot, tonumber(found[2 * #ids]), ids[#ids] } end
    some = math.max(1, math.min(500, math.floor((bytes_max - bytes) * #rows / (bytes + 1))))
  end

else
  local first = call('ZRANGE', KEYS[32], ARGV[2] == '0' and '-inf' or '(' .. ARGV[2], '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  local told = call('XREVRANGE', KEYS[34], '+', '-', 'COUNT', 1)[1]
  return { now, first[2] and tonumber(first[2]) or 0, told and told[1] or '0-0' }
end
