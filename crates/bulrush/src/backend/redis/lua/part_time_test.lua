-- part_time_test.lua: in place of part_time.lua where a test moves the clock, ms.
local time = tonumber(redis.call('GET', string.match(KEYS[1], '^(.-):{') .. ':clock'))
