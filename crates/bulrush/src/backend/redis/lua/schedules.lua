#!lua flags=no-writes
-- schedules.lua: schedules as they stand.
-- Why a script: a schedule, its slot and the moment must belong together.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 what, and then
--        `get`: whose (letter, tenant, user, as in change_schedules.lua), ids…
--        `list`: whose, the id after which to go on or '', at most so many, at most about so many bytes
--        `due`: at most so many, at most about so many bytes
--        `first`: –
-- Reply  get: [now ms, rows, a row or false each]   list: [now ms, rows, id after which to go on or '']   due: [now ms, rows, next slot or 0]
--        a row: [id, state, definition]
--        first: [now ms, first slot or 0, id of the last entry that told of a sooner one]
-- Cost   O(log s) and O(1) a schedule returned; a list looks at 10,000 of others at most
-- @include part_state.lua
-- @include part_schedule.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
open(got[1], got[2])
local what, SCAN = ARGV[1], 10000
local function row(id, raw) return { id, raw or call('HGET', KEYS[30], id), call('HGET', KEYS[31], id) } end
local function size(r) return #r[3] end

if what == 'get' then
  local rows = {}
  for i = 5, #ARGV do
    local s = load_schedule(ARGV[i])
    rows[#rows + 1] = s and admits(s.owner, ARGV[2], ARGV[3], ARGV[4]) and row(ARGV[i]) or false
  end
  return { now, rows }

elseif what == 'list' then
  local rows, bytes, seen, last = {}, 0, 0, ARGV[5]
  local limit, bytes_max = tonumber(ARGV[6]), tonumber(ARGV[7])
  while true do
    local ids = call('ZRANGE', KEYS[33], last == '' and '-' or '(' .. last, '+', 'BYLEX', 'LIMIT', 0, 500)
    for i = 1, #ids do
      if #rows >= limit or seen >= SCAN or bytes > bytes_max then return { now, rows, last } end
      local s = load_schedule(ids[i])
      if s and admits(s.owner, ARGV[2], ARGV[3], ARGV[4]) then
        local r = row(ids[i])
        if r[3] then
          bytes = bytes + size(r)
          rows[#rows + 1] = r
        end
      end
      seen, last = seen + 1, ids[i]
    end
    if #ids < 500 then return { now, rows, '' } end
  end

elseif what == 'due' then
  local rows, bytes, from = {}, 0, 0
  local limit, bytes_max = tonumber(ARGV[2]), tonumber(ARGV[3])
  while true do
    local found = call('ZRANGE', KEYS[32], from, from + 499, 'WITHSCORES')
    for i = 1, #found, 2 do
      local slot = tonumber(found[i + 1])
      if slot > now or #rows >= limit or bytes > bytes_max then return { now, rows, slot } end
      local r = row(found[i])
      if r[2] and r[3] then
        bytes = bytes + size(r)
        rows[#rows + 1] = r
      end
    end
    if #found < 1000 then return { now, rows, 0 } end
    from = from + 500
  end

else
  local first = call('ZRANGE', KEYS[32], 0, 0, 'WITHSCORES')
  local told = call('XREVRANGE', KEYS[34], '+', '-', 'COUNT', 1)[1]
  return { now, first[2] and tonumber(first[2]) or 0, told and told[1] or '0-0' }
end
