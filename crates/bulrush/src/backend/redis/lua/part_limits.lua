-- part_limits.lua: what keeps jobs from starting, and who is woken when they may. Needs part_state.lua.
-- At most `rate_max` starts in any window of `rate_per` ms, exact to the millisecond.
-- Forgets starts that no window can see any more, and returns how many more may start now.
local function rate_room()
  for _ = 1, 1000 do
    local oldest = call('LINDEX', KEYS[23], -1)
    if not oldest then
      n.started = 0
      break
    end
    local ms, starts = unpack_struct('>I6I4', oldest)
    if ms + cfg.rate_per > now then break end
    call('RPOP', KEYS[23])
    n.started = n.started - starts
  end
  return math.max(0, cfg.rate_max - n.started)
end
local function record_starts(k)
  call('LPUSH', KEYS[23], pack('>I6I4', now, k))
  n.started = n.started + k
end
-- Until when a limit by time lets nothing start; 0 when none does.
local function limited_until()
  local till = n.limited
  if cfg.rate_max > 0 and n.started >= cfg.rate_max then
    local room = rate_room()
    if room == 0 then till = math.max(till, unpack_struct('>I6', call('LINDEX', KEYS[23], -1)) + cfg.rate_per) end
  end
  return till > now and till or 0
end
-- Whether a waiting job could start now.
local function can_start()
  if n.waiting == 0 or band(n.flags, 1) ~= 0 or cfg.concurrency > 0 and n.active >= cfg.concurrency or limited_until() > 0 then return false end
  if n.groups > 0 then return call('ZCARD', KEYS[15]) > 0 end
  return cfg.group_concurrency == 0 or n.active < cfg.group_concurrency
end
-- Wakes a waiting worker if there may be something for it. One is enough: whoever cannot take everything passes the word on.
local function ring_the_bell()
  if call('LLEN', KEYS[7]) == 0 then call('LPUSH', KEYS[7], 1) end
end
