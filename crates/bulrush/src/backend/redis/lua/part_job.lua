-- part_job.lua: a job's record taken apart and put together. Needs part_state.lua. The layout stands in record.rs.
local WAITING, DELAYED, PARENT_WAITS, COMPLETED, FAILED, CANCELLED = 119, 100, 112, 99, 102, 120
local SETTLED, LIFO, GROUP, OWNER, DEDUP, CHILD, BIG, RUN_AT, PROCESSED, RESULT, SETTLED_RUN, KEY_TTL, FAMILY =
  1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096
local HEAD = '>BBI4I6I6I2I3I4I2I4I3I2'

-- A record as a table. `tail` is how the job stands; status() takes it apart, save() puts it together.
local function parse(id, raw)
  local j, _ = { id = id }, nil
  _, j.state, j.gen, j.at, j.created, j.flags, j.priority, j.run, j.stalls, j.timeout, j.spec_len, j.data_len = unpack_struct(HEAD, raw)
  local from = 39
  if band(j.flags, SETTLED) ~= 0 then
    j.token = sub(raw, 39, 52)
    from = 53
  end
  local data_at = from + j.spec_len
  j.spec = sub(raw, from, data_at - 1)
  j.data = sub(raw, data_at, data_at + j.data_len - 1)
  j.tail = sub(raw, data_at + j.data_len)
  return j
end
-- A job that must be looked at; none where there is no such job. `active` is its entry while it runs.
local function load(id)
  local raw = call('HGET', KEYS[2], id)
  if not raw then return nil end
  local j = parse(id, raw)
  if j.state == WAITING then j.active = call('HGET', KEYS[18], id) or nil end
  return j
end
local function is(j, flag) return band(j.flags, flag) ~= 0 end
local function put(j, flag, on)
  local was = band(j.flags, flag) ~= 0
  if on and not was then j.flags = j.flags + flag elseif was and not on then j.flags = j.flags - flag end
end

local function status(j)
  local s, t, at = j.s, j.tail, 3
  if s then return s end
  s = { made = unpack_struct('>I2', t) }
  if is(j, SETTLED_RUN) then s.settled_run = unpack_struct('>I4', t, at); at = at + 4 end
  if is(j, RUN_AT) then s.run_at = unpack_struct('>I6', t, at); at = at + 6 end
  if is(j, PROCESSED) then s.processed = unpack_struct('>I6', t, at); at = at + 6 end
  if is(j, RESULT) then
    local len = unpack_struct('>I4', t, at)
    s.result = sub(t, at + 4, at + 3 + len)
    at = at + 4 + len
  end
  s.errors = sub(t, at)
  j.s = s
  return s
end
local function save(j)
  local s = j.s
  if s then
    put(j, SETTLED_RUN, s.settled_run); put(j, RUN_AT, s.run_at); put(j, PROCESSED, s.processed); put(j, RESULT, s.result)
    j.tail = pack('>I2', s.made) .. (s.settled_run and pack('>I4', s.settled_run) or '') .. (s.run_at and pack('>I6', s.run_at) or '') .. (s.processed and pack('>I6', s.processed) or '')
      .. (s.result and pack('>I4', #s.result) .. s.result or '') .. s.errors
  end
  put(j, SETTLED, j.token)
  call('HSET', KEYS[2], j.id, pack(HEAD, 2, j.state, j.gen, j.at, j.created, j.flags, j.priority, j.run, j.stalls, j.timeout, #j.spec, #j.data)
    .. (j.token or '') .. j.spec .. j.data .. j.tail)
end

-- What the record says of others: group, owner, dedup key, parent.
local function links(j)
  local l, at, len = j.links, 1, nil
  if l then return l end
  local spec = j.spec
  l = {}
  local function text()
    len = unpack_struct('>I2', spec, at)
    local value = sub(spec, at + 2, at + 1 + len)
    at = at + 2 + len
    return value
  end
  if is(j, GROUP) then l.group = text() end
  if is(j, OWNER) then
    l.hash = sub(spec, at, at + 7)
    at = at + 8
    l.tenant = text()
    l.user = text()
    l.owner = l.tenant .. '\0' .. l.user
  end
  if is(j, DEDUP) then
    l.key = text()
    l.ttl = unpack_struct('>I6', spec, at)
    l.fingerprint = byte(spec, at + 6) == 1 and sub(spec, at + 7, at + 14) or nil
    at = at + 15
  end
  if is(j, CHILD) then
    l.parent_queue = text()
    l.parent = text()
    l.policy = byte(spec, at)
  end
  j.links = l
  return l
end
local function owner_of(j) return is(j, OWNER) and links(j).hash or NOBODY end
local function tell_job(code, j, extra)
  if cfg.events_max > 0 then tell(code, j.id, owner_of(j), extra) end
end

-- Errors: each [length][attempt][worker][started][kind][message][ended], oldest first.
local CRASHED_KIND, CHILD_FAILED_KIND = 4, 5
local function add_error(j, attempt, worker, started, kind, message)
  local s = status(j)
  if #message > cfg.message_bytes then
    -- At a character's edge: continuation bytes are 10xxxxxx.
    local cut = cfg.message_bytes
    while cut > 0 and band(byte(message, cut + 1), 192) == 128 do cut = cut - 1 end
    message = sub(message, 1, cut)
  end
  local body = pack('>I2', attempt) .. worker .. pack('>I6B', started, kind) .. message .. pack('>I6', now)
  s.errors = s.errors .. pack('>I2', #body) .. body
  local count, at = 0, 1
  while at <= #s.errors do
    at = at + 2 + unpack_struct('>I2', s.errors, at)
    count = count + 1
  end
  local max = math.max(1, cfg.errors)
  while count > max do
    s.errors = sub(s.errors, 3 + unpack_struct('>I2', s.errors))
    count = count - 1
  end
end
local function last_message(j)
  local errors, at, message = status(j).errors, 1, ''
  while at <= #errors do
    local len = unpack_struct('>I2', errors, at)
    message = sub(errors, at + 2 + 17, at + 1 + len - 6)
    at = at + 2 + len
  end
  return message
end
