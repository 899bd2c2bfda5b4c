-- block_publish.lua: publishes `fields`, which tell `happened` changes, as one entry.
if cfg.events_max > 0 then
  if n.position == 0 then n.position = now * 1024 end
  -- The window is counted in events. An entry goes by its first one and holds up to about 2,000, so so many more are kept; readers
  -- cut the window to its size.
  local first = n.position + 1
  local oldest = math.max(0, first - cfg.events_max - 2000)
  call('XADD', KEYS[6], 'MINID', '~', string.format('%d', oldest), string.format('%d-0', first), 't', pack('>I6', now), unpack(fields))
  n.position = n.position + happened
end
