#!lua flags=allow-oom
-- resume.lua: a worker's hello: every job of it that it does not name goes back to the head, its attempt not counted.
-- Safe to repeat: what went back is no longer held.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 worker (8 bytes)   2 call   3 what it tells of itself, JSON   4 n   then n pairs: id, first 14 bytes of its active entry
-- Reply  [now ms, ids that went back, ids that it does not hold], or ['late', last call]
-- Cost   O(active jobs)
-- @include part_state.lua
-- @include part_limits.lua
-- @include part_job.lua
-- @include part_groups.lua
-- @include part_moves.lua
local worker, number = ARGV[1], tonumber(ARGV[2])
local got = call('HMGET', KEYS[1], 'cfg', 'n', 'w' .. worker)
open(got[1], got[2])
local last = got[3]
if last then
  local last_number = unpack_struct('>I6', last)
  if number < last_number then return { 'late', last_number } end
end
local named, held, returned, lost, mine = {}, {}, {}, {}, {}
for i = 5, 4 + 2 * ARGV[4], 2 do named[ARGV[i] .. ARGV[i + 1]] = true end
local cursor = '0'
repeat
  local page = call('HSCAN', KEYS[18], cursor, 'COUNT', 500)
  cursor = page[1]
  for i = 1, #page[2], 2 do
    local id, entry = page[2][i], page[2][i + 1]
    if sub(entry, 1, 8) == worker then
      if named[id .. sub(entry, 1, 14)] then held[id] = true else mine[#mine + 1] = id end
    end
  end
until cursor == '0'
-- Those put back at the head one by one stand there by id.
table.sort(mine, function(a, b) return bytes_before(b, a) end)
for i = 1, #mine do
  local j = load(mine[i])
  if j and j.active then
    local run_at, cancel = j.at, band(byte(j.active, 15), 1) ~= 0
    count_run(j)
    leave(j)
    if cancel then
      enter_finished(j, CANCELLED, run_at)
    else
      give_back(j)
      tell_job('w', j)
    end
    save(j)
    returned[#returned + 1] = mine[i]
  end
end
for i = 5, 4 + 2 * ARGV[4], 2 do
  if not held[ARGV[i]] then lost[#lost + 1] = ARGV[i] end
end
save_members()
if can_start() then ring_the_bell() end
publish()
call('ZADD', KEYS[22], 'GT', int(now + cfg.lease_ms), worker)
call('HSET', KEYS[1], 'n', counters(), 'w' .. worker, pack('>I6I6I6I6', number, now + cfg.lease_ms, n.outbox, n.outbox), 'i' .. worker, ARGV[3])
return { now, returned, lost }
