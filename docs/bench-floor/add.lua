-- The floor of the bulk add: data on the wire, no checks, no state. Kept as it was given; only this note was added.
-- Bulk add with the data on the wire: ARGV = id1, record1, id2, record2, …
local ids = {}
for i = 1, #ARGV, 2 do ids[#ids + 1] = ARGV[i] end
redis.call('HSET', '{q}jobs', unpack(ARGV))
redis.call('LPUSH', '{q}wait', unpack(ids))
return #ids
