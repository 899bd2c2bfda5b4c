-- The floor of processing: takes and finishes in one call, no checks, no retention. Kept as it was given; only this note was added.
-- proc_pack2.lua with the data on the wire: ARGV = n, then n finished records; replies ids and records.
local p='{q}'
local n=tonumber(ARGV[1])
local ids=redis.call('RPOP',p..'wait',n)
if not ids then return 0 end
local z={}
for i,id in ipairs(ids) do z[#z+1]=id; z[#z+1]='1' end
redis.call('HSET',p..'w:a',unpack(z))
local recs=redis.call('HMGET',p..'jobs',unpack(ids))
-- finish
redis.call('HDEL',p..'w:a',unpack(ids))
local kv={}
for i,id in ipairs(ids) do kv[#kv+1]=id; kv[#kv+1]=ARGV[i+1] end
redis.call('HSET',p..'jobs',unpack(kv))
redis.call('LPUSH',p..'done',unpack(ids))
redis.call('XADD',p..'ev','MAXLEN','~',1000,'*','b',table.concat(ids,','))
return {ids,recs}
