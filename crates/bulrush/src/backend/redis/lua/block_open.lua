-- block_open.lua: reads `settings` and `counted`, two fields of the meta hash, into `cfg`, `n` and `now`.
cfg = settings and { unpack_struct(SETTINGS, settings) }
  or { 0, 0, 0, 0, NONE, 1000, 86400000, NONE, 604800000, 1000, 86400000, 10000, 10000, 3, 5, 4194304, 1000, 1000, 10, 4096, 1, 0, 0 }
n = counted and { unpack_struct(COUNTERS, counted) }
  or { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 5, 0, 0 }
now = time > n.seen and time or n.seen
