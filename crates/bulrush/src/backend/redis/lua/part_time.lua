-- part_time.lua: the server's clock, ms. A client's clock is never asked.
local clock = redis.call('TIME')
local time = clock[1] * 1000 + math.floor(clock[2] / 1000)
