-- part_limit_seen.lua: as limited_until of part_limits.lua, for scripts that only read: what no window can see any more is left out, not
-- forgotten. Needs part_state.lua.
local function limit_seen()
  local till = n.limited
  if cfg.rate_max > 0 and n.started >= cfg.rate_max then
    local started, batches = n.started, call('LRANGE', KEYS[23], -1000, -1)
    for i = #batches, 1, -1 do
      local ms, starts = unpack_struct('>I6I4', batches[i])
      if ms + cfg.rate_per > now then
        if started >= cfg.rate_max then till = math.max(till, ms + cfg.rate_per) end
        break
      end
      started = started - starts
    end
  end
  return till > now and till or 0
end
