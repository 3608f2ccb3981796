-- wrk -s replay.lua URL -- FILE SERIES START: the requests of FILE, one after the other from the
-- START-th on, then from the top. "@@" in a request becomes SERIES and a number that is used once.
-- Ends with a line of JSON.

local pool, size, at, serial = {}, 0, 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local text = file:read("*a")
  file:close()
  for request in text:gmatch("(.-\r\n\r\n)") do
    local mark = request:find("@@", 1, true)
    size = size + 1
    if mark then
      pool[size] = {request:sub(1, mark - 1) .. args[2] .. "-", request:sub(mark + 2)}
    else
      pool[size] = request
    end
  end
  at = tonumber(args[3]) % size
end

function request()
  at = at % size + 1
  local entry = pool[at]
  if type(entry) == "string" then
    return entry
  end
  serial = serial + 1
  return entry[1] .. serial .. entry[2]
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"answers": %d, "microseconds": %d, "p50": %d, "p99": %d, "errors": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
