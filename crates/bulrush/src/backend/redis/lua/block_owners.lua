-- block_owners.lua: makes the functions `owner_in` and `shrink_owner`.
-- The owner in a record: its hash and the end of its list's key; none where the job has none. The layout stands in record.rs.
owner_in = function(record)
  local flags = byte(record, 20)
  if band(flags, 8) == 0 then return nil end
  local at = band(flags, 1) ~= 0 and 53 or 39
  if band(flags, 4) ~= 0 then at = at + 2 + unpack_struct('>I2', record, at) end
  local hash, len = sub(record, at, at + 7), unpack_struct('>I2', record, at + 8)
  local tenant = sub(record, at + 10, at + 9 + len)
  at = at + 10 + len
  len = unpack_struct('>I2', record, at)
  return hash, tenant .. '\0' .. sub(record, at + 2, at + 1 + len)
end
-- An owner's oldest jobs usually go first, so the index shrinks with them and vanishes with the last. Each is dropped once, so
-- this costs little on the whole; at most `max` at a time.
shrink_owner = function(owner, max)
  for _ = 1, max do
    local oldest = call('LINDEX', KEYS[11] .. owner, -1)
    if not oldest or call('HEXISTS', KEYS[2], oldest) == 1 then return end
    call('RPOP', KEYS[11] .. owner)
  end
end
