-- part_rate.lua: at most `rate_max` starts in any window of `rate_per` ms, exact to the millisecond. Needs part_state.lua.
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
