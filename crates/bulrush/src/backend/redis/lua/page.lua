#!lua flags=no-writes
-- page.lua: a bounded slice of one collection, in the order of pages.
-- Why a script: the key's name, the place of a set's member that may be gone, and the slice are one round trip.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 what to read, and then
--        `lanes`: –                                     reply: [priority of the list, named groups 0|1]
--        `list`: key, suffix, first index, how many     reply: entries from the left
--        `lists`: key, how many in all, suffixes…       reply: for each, as long as there is room, its leftmost entries
--        `set`: key, how many, score, member            reply: members and scores that follow these in falling order (`+inf` and '' to begin)
--        `hash`: key, cursor, how many, 1 with values   reply: [next cursor, fields or fields and values]
--        A key is named by its place in KEYS.
-- Cost   O(how many), + O(index) in a list, + O(log d · log ties) in a set of d members
local call, byte = redis.call, string.byte
local what, place = ARGV[1], tonumber(ARGV[2])

-- Lua compares strings as the server's locale has it, sorted sets compare bytes.
local function less(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = byte(a, i), byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

if what == 'lanes' then
  local counters = call('HGET', KEYS[1], 'n')
  -- The priority stands in the last but nine bytes (part_state.lua); a queue without counters has no jobs.
  local priority = counters and struct.unpack('>I3', counters, #counters - 9) or 0
  return { priority, call('EXISTS', KEYS[16]) }
elseif what == 'list' then
  return call('LRANGE', KEYS[place] .. ARGV[3], ARGV[4], ARGV[4] + ARGV[5] - 1)
elseif what == 'lists' then
  local lists, room = {}, tonumber(ARGV[3])
  for i = 4, #ARGV do
    if room == 0 then break end
    local entries = call('LRANGE', KEYS[place] .. ARGV[i], 0, room - 1)
    room = room - #entries
    lists[#lists + 1] = entries
  end
  return lists
elseif what == 'set' then
  local key, score, member = KEYS[place], ARGV[4], ARGV[5]
  -- How many come before, counted from the top: those of a higher score, and by halving those of the same score.
  local low = call('ZCOUNT', key, '(' .. score, '+inf')
  local high = low + call('ZCOUNT', key, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if less(call('ZRANGE', key, middle, middle, 'REV')[1], member) then high = middle else low = middle + 1 end
  end
  return call('ZRANGE', key, low, low + ARGV[3] - 1, 'REV', 'WITHSCORES')
else
  local page = call('HSCAN', KEYS[place], ARGV[3], 'COUNT', ARGV[4])
  if ARGV[5] == '1' then return page end
  local fields = {}
  for i = 1, #page[2], 2 do fields[#fields + 1] = page[2][i] end
  return { page[1], fields }
end
