-- What wrk sends, by the scenario in the environment: add, status, or mixed (one add to four reads). One JSON line at the end.
local scenario, token, id = os.getenv('SCENARIO'), os.getenv('TOKEN'), os.getenv('JOB')
local pause = tonumber(os.getenv('PAUSE_MS') or '0')
local headers = { ['Authorization'] = 'Bearer ' .. token, ['Content-Type'] = 'application/json' }
local body = '{"name":"run-forecast","data":{"productId":"p-1","horizon":30,"note":"' .. string.rep('x', 50) .. '"},"options":{"attempts":3}}'
local add, status, n

function init()
  add = wrk.format('POST', '/api/v1/queues/forecast/jobs', headers, body)
  status = wrk.format('GET', '/api/v1/queues/forecast/jobs/' .. id, { ['Authorization'] = 'Bearer ' .. token })
  n = 0
end

function request()
  n = n + 1
  if scenario == 'add' or scenario == 'mixed' and n % 5 == 0 then return add end
  return status
end

if pause > 0 then
  -- Spread around the mean, so that the connections do not march in step.
  function delay() return math.random(0, 2 * pause) end
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('RESULT {"requests": %d, "seconds": %.6f, "p50_ms": %.3f, "p99_ms": %.3f, "failed": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
