#!lua flags=allow-oom
-- deliver.lua: takes in entries of another queue's outbox that are for this one, as core/flow.rs does.
-- Safe to repeat: a job that was delivered is remembered by its entry, and so is a cancel.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 version of the settings the jobs were made with   2 the other queue   3 n   then for each entry: number, time, kind, and
--        1 a job: id, owner hash (8 bytes), record without its first 18 bytes, extras (msgpack) {w, W, d, o, b, c as in add.lua, for this job} or ''
--        2 a child has settled: parent, child, state letter, result or reason   3 a child need not start: child, parent
-- Reply  [now ms, outbox list], or ['cfg', settings, version]: nothing was changed, make the jobs again
-- Cost   O(n), + O(log d) a job in a sorted set
-- @include part_state.lua
-- @include part_limits.lua
-- @include part_job.lua
-- @include part_groups.lua
-- @include part_moves.lua
-- @include part_add.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
open(got[1], got[2])
if cfg.version ~= tonumber(ARGV[1]) then return moved_on() end
local source = ARGV[2]
local REMEMBERED = 86400000
local PENDING = 'p'

local function remembered(key)
  local held = holder(key)
  if not held then return nil end
  local number = unpack_struct('>I6', held, 10)
  return number
end
-- Under a key that no job can ask for: they begin with NUL.
local noted = false
local function remember(key, id, number)
  hold(key, REMEMBERED, '\0\0' .. pack('>I6', number), id)
  noted = true
end
local function cancel_key(parent, child) return '\0cancel:' .. source .. ':' .. parent .. ':' .. child end

local function has_news_of(child, parent)
  for _, row in ipairs(call('XRANGE', KEYS[12], '-', '+', 'COUNT', 1000)) do
    local entry = row[2][2]
    local len = unpack_struct('>I2', entry, 7)
    local at = 9 + len
    if byte(entry, at) == 2 then
      local parent_len = unpack_struct('>I2', entry, at + 1)
      local child_len = unpack_struct('>I2', entry, at + 3 + parent_len)
      if sub(entry, at + 3, at + 2 + parent_len) == parent and sub(entry, at + 5 + parent_len, at + 4 + parent_len + child_len) == child then
        return true
      end
    end
  end
  return false
end

local function deliver_job(seq, at, id, owner_hash, record, extras)
  local key = extras.d
  if not key or key[2] < REMEMBERED then
    local mark = '\0add:' .. source .. ':' .. int(seq) .. ':' .. int(at)
    local repeated = remembered(mark)
    remember(mark, id, seq)
    if repeated then return end
  end
  local code, detail = add_one(id, record, extras, owner_hash, true)
  local child = parse(id, pack('>BBI4I6I6', 2, WAITING, 0, now, now) .. record)
  if not is(child, CHILD) then return end
  local l = links(child)
  if not code then
    -- The parent was cancelled after it wrote this, and the word of it was faster.
    local cancelled = remembered(cancel_key(l.parent, id))
    if cancelled and cancelled > seq then cancel_now(load(id)) end
    return
  end
  local there = code == 'i' and load(id) or code ~= 'i' and load(detail)
  local same = (code == 'i' or detail == id)
  if there and same and is(there, CHILD) and links(there).parent == l.parent and links(there).parent_queue == l.parent_queue then
    -- A repeat finds its own job. One that has ended tells so again: a parent that was added anew would wait for ever.
    if there.state == COMPLETED or there.state == FAILED or there.state == CANCELLED then report_to_parent(there) end
  elseif not there and same and has_news_of(id, l.parent) then
    -- Only its key is left, and the news of its end is on the way.
    return
  else
    -- Somebody else's job will never report to this parent.
    local reason
    if code == 'i' then
      reason = 'the id ' .. id .. ' belongs to another job of its queue'
    elseif detail == id then
      reason = 'it has ended before, and still holds its deduplication key'
    else
      reason = 'its deduplication key is held by job ' .. detail
    end
    tell_parent(child, 'f', reason)
  end
end

local function start_parent(j)
  local run_at = j.at
  leave(j)
  enter_delayed(j, run_at)
  save(j)
  tell_job(j.state == WAITING and 'w' or 'd', j)
end

-- A child's end, as its queue tells it. The first word counts; a repeat finds the child settled.
local function child_settled(parent, child, state, text)
  local j = load(parent)
  if not j or not is(j, FAMILY) then return end
  local family = KEYS[14] .. parent
  local index = call('HGET', family, 'c' .. child)
  if not index then return end
  local row = call('HGET', family, index)
  local len = unpack_struct('>I2', row)
  local id_len = unpack_struct('>I2', row, 3 + len)
  local at = 5 + len + id_len
  local policy = byte(row, at)
  if sub(row, at + 1, at + 1) ~= PENDING then return end
  call('HSET', family, index, sub(row, 1, at) .. state .. text)
  local pending = call('HINCRBY', family, 'n', -1)
  if j.state ~= PARENT_WAITS then return end
  if state == 'f' and policy == 0 then
    local run_at = j.at
    leave(j)
    add_error(j, 0, NOBODY, now, CHILD_FAILED_KIND, 'child ' .. child .. ' failed: ' .. text)
    enter_finished(j, FAILED, run_at)
    save(j)
  elseif state == 'f' and policy == 2 or pending == 0 then
    start_parent(j)
  end
end

local function cancel_child(seq, child, parent)
  local key = cancel_key(parent, child)
  local last = remembered(key)
  if last and last >= seq then return end
  remember(key, child, seq)
  local j = load(child)
  if not j or j.active or not is(j, CHILD) then return end
  local l = links(j)
  if l.parent ~= parent or l.parent_queue ~= source then return end
  if j.state == WAITING or j.state == DELAYED or j.state == PARENT_WAITS then cancel_now(j) end
end

local at = 4
for _ = 1, tonumber(ARGV[3]) do
  local seq, moment, kind = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2]
  if kind == '1' then
    local extras = ARGV[at + 6] ~= '' and cmsgpack.unpack(ARGV[at + 6]) or {}
    deliver_job(seq, moment, ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], extras)
    at = at + 7
  elseif kind == '2' then
    child_settled(ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6])
    at = at + 7
  else
    cancel_child(seq, ARGV[at + 3], ARGV[at + 4])
    at = at + 5
  end
end
save_members()
if wake then ring_the_bell() end
-- News that changes nothing does not make a queue that nobody has made.
if got[2] or noted or happened > 0 or #outbox > 0 or n.added > 0 then
  publish()
  call('HSET', KEYS[1], 'n', counters())
end
return { now, outbox }
