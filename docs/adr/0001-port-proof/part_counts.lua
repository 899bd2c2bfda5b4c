-- part_counts.lua: the queue's counters, one packed field of the meta hash (a dozen fields of their own cost 4 µs more a call).
-- Needs part_config.lua. waiting, prioritized, delayed, active, completed, failed and cancelled count jobs; seq orders priorities,
-- gen is the generation of new list entries, tombs counts dead entries of the completed list, started the starts within the rate
-- window, outbox the last entry's number, added all jobs ever.
local COUNTS = '>I6I6I6I6I6I6I6I6BI6I6I6I6'
local function read_counts(packed)
  if not packed then packed = string.rep('\0', 73) end
  local waiting, prioritized, delayed, active, completed, failed, cancelled, seq, gen, tombs, started, outbox, added =
    struct.unpack(COUNTS, packed)
  return { waiting = waiting, prioritized = prioritized, delayed = delayed, active = active, completed = completed, failed = failed,
    cancelled = cancelled, seq = seq, gen = gen, tombs = tombs, started = started, outbox = outbox, added = added }
end
local function write_counts(c)
  return struct.pack(COUNTS, c.waiting, c.prioritized, c.delayed, c.active, c.completed, c.failed, c.cancelled, c.seq, c.gen, c.tombs,
    c.started, c.outbox, c.added)
end
