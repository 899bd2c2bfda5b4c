#!lua flags=allow-oom
-- update.lua: progress, log lines and data of running jobs. Each write carries the token of its run.
-- Safe to repeat: log lines are numbered within their run.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 version of the settings the call was checked with   2 n   then for each: id, first 14 bytes of its active entry, kind, and
--        'p' progress: packed value   'l' log: number of the first line, how many, lines…   'd' data: payload
-- Reply  [now ms, letters: o written, s stale, u unknown], or ['cfg', settings, version]
-- Cost   O(n + lines)
-- @include part_state.lua
-- @include part_job.lua
local got = call('HMGET', KEYS[1], 'cfg', 'n')
open(got[1], got[2])
if cfg.version ~= tonumber(ARGV[1]) then return moved_on() end
local result, at, wrote, alive = {}, 3, false, {}
for i = 1, tonumber(ARGV[2]) do
  local id, nonce, kind = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local entry = call('HGET', KEYS[18], id)
  local mine = entry and sub(entry, 1, 14) == nonce
  result[i] = mine and 'o' or 's'
  if not entry and call('HEXISTS', KEYS[2], id) == 0 then result[i] = 'u' end
  if mine then
    wrote = true
    alive[sub(nonce, 1, 8)] = true
  end
  if kind == 'l' then
    local from, count = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
    if mine then
      use(8)
      local record, row = call('HGET', KEYS[2], id), call('HGET', KEYS[27], id)
      local run, total, of_run, written = unpack_struct('>I4', record, 24) + 1, 0, 0, 0
      if row then total, of_run, written = unpack_struct('>I4I4I4', row) end
      if of_run ~= run then written = 0 end
      local lines = KEYS[28] .. id
      for line = math.max(0, written - from), count - 1 do
        call('RPUSH', lines, ARGV[at + 5 + line])
        call('LTRIM', lines, -cfg.log_lines, -1)
        total = total + 1
      end
      call('HSET', KEYS[27], id, pack('>I4I4I4', total, run, math.max(written, from + count)))
    end
    at = at + 5 + count
  else
    local value = ARGV[at + 3]
    if mine and kind == 'p' then
      use(4)
      call('HSET', KEYS[26], id, value)
      local j = parse(id, call('HGET', KEYS[2], id))
      tell_job('g', j, sub(value, 1, 1))
    elseif mine then
      local j = parse(id, call('HGET', KEYS[2], id))
      if #value > 1024 then
        use(2)
        put(j, BIG, true)
        j.data = ''
        call('HSET', KEYS[10], id, value)
      else
        if is(j, BIG) then call('HDEL', KEYS[10], id) end
        put(j, BIG, false)
        j.data = value
      end
      save(j)
      if band(byte(entry, 15), 2) == 0 then
        call('HSET', KEYS[18], id, sub(entry, 1, 14) .. char(byte(entry, 15) + 2) .. sub(entry, 16))
      end
    end
    at = at + 4
  end
end
if wrote then
  for worker in pairs(alive) do call('ZADD', KEYS[22], 'GT', int(now + cfg.lease_ms), worker) end
  publish()
  call('HSET', KEYS[1], 'n', counters())
end
return { now, table.concat(result) }
