#!lua
-- put_schedule.lua: makes a schedule be as it is asked for, as core/schedule.rs does. Which slot comes first is told by who asks.
-- Why a script: what is there must be compared and replaced in one step, or two who put at once could both move its slot.
-- Safe to repeat: what is there as it is asked for stays as it is.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 version of the settings the call was checked with   2 whose schedule it may be: `a` anybody's, `t` a tenant's, `o` an owner's   3 tenant
--        4 user   5 id   6 how: `a` always, `o` as a default, once ever, a number: only over that revision, 0 where there is none   7 flags   8 first slot or 0   9 anchor   10 end or 0   11 limit or 0   12 owner or ''
--        13 timing   14 the rest
-- Reply  [now ms, letter (N new, C changed, S same, K known default, M moved, T taken), state or false, definition or false], or ['never'], or
--        ['spent', jobs added], or ['cfg', settings, version]: nothing was changed
-- Cost   O(log s), s = schedules of the queue
-- @include part_state.lua
-- @include part_schedule.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
open(got[1], got[2])
if cfg.version ~= tonumber(ARGV[1]) then return moved_on() end
local id, once, at, flags, first, anchor, till, limit = ARGV[5], ARGV[6] == 'o', tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), tonumber(ARGV[11])
local owner, timing, definition = ARGV[12], ARGV[13], pack('>I4', #ARGV[13]) .. ARGV[13] .. ARGV[14]
local old = load_schedule(id)
local function done(answer)
  call('HSET', KEYS[1], 'n', counters())
  return answer
end
local function answer(letter) return { now, letter, call('HGET', KEYS[30], id), call('HGET', KEYS[31], id) } end
if old and not admits(old.owner, ARGV[2], ARGV[3], ARGV[4]) then return { now, 'T', false, false } end
if once and (old or call('SISMEMBER', KEYS[35], id) == 1) then
  call('SADD', KEYS[35], id)
  return done(answer('K'))
end
local was = old and call('HGET', KEYS[31], id) or ''
local keeps = old and band(old.flags, ENABLED) == band(flags, ENABLED) and sub(was, 5, 4 + unpack_struct('>I4', was)) == timing
if keeps and was == definition then return answer('S') end
if at and (old and old.revision or 0) ~= at then return answer('M') end
if not keeps then
  local fired = old and old.fired or 0
  if limit > 0 and fired >= limit then return { 'spent', fired } end
  if first == 0 then return { 'never' } end
end
-- A new one does not begin at 1: a late call to fire one of the same name that was removed must not fit.
local s = old or { id = id, revision = now - 1, next = 0, fired = 0, skipped = 0, missed = 0, last_slot = 0, created = now, last_job = '' }
if not keeps then s.anchor = anchor end
s.flags, s.till, s.limit, s.owner, s.updated, s.revision = flags, till, limit, owner, now, s.revision + 1
if not keeps then stand(s, band(flags, ENABLED) ~= 0 and first or 0) end
save_schedule(s)
call('HSET', KEYS[31], id, definition)
call('ZADD', KEYS[33], 0, id)
if once then call('SADD', KEYS[35], id) end
return done(answer(old and 'C' or 'N'))
