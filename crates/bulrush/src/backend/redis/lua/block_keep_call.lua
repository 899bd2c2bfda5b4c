-- block_keep_call.lua: moves the lease with the call, but a tenth of it late at most: a call in between saves the write. What is kept is until
-- when the lease lasts: it may have become longer since.
if now + cfg.lease_ms - leased >= cfg.lease_ms / 10 then
  leased = now + cfg.lease_ms
  call('ZADD', KEYS[22], 'GT', string.format('%d', leased), worker)
end
