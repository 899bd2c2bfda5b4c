#!lua flags=no-writes
-- logs.lua: kept log lines of a job from one on.
-- Why a script: how many were written and which are kept must be of one moment, or lines would get wrong numbers.
-- KEYS   all, as in every script (keys.rs)
-- ARGV   1 job   2 number of the first line wanted, from 0 since the job was added   3 at most so many
-- Reply  [number of the first line returned, lines]
-- Cost   O(lines kept)
local call = redis.call
local counted = call('HGET', KEYS[27], ARGV[1])
if not counted then return { 0, {} } end
local total, lines = struct.unpack('>I4', counted), KEYS[28] .. ARGV[1]
local first = total - call('LLEN', lines)
local skip = math.max(0, tonumber(ARGV[2]) - first)
if tonumber(ARGV[3]) == 0 then return { first + skip, {} } end
return { first + skip, call('LRANGE', lines, skip, skip + ARGV[3] - 1) }
