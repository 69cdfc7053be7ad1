-- One run of wrk is one workload: WORKLOAD get, put or propfind; BASE the path of a folder; FILES how many there are in it; BYTES of a file.
local workload, base = os.getenv("WORKLOAD"), os.getenv("BASE")
local files, bytes = tonumber(os.getenv("FILES")), tonumber(os.getenv("BYTES"))
local started = 0

function setup(thread)
  thread:set("id", started)
  started = started + 1
end

function init()
  n = id * 31
  if workload == "put" then body = string.rep("x", bytes) end
  if workload == "propfind" then
    fixed = wrk.format("PROPFIND", base, { Depth = "1", ["Content-Type"] = "text/xml" },
      '<?xml version="1.0"?><propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getlastmodified/><getetag/></prop></propfind>')
  end
end

function request()
  n = n + 1
  if fixed then return fixed end
  if workload == "put" then return wrk.format("PUT", base .. "p" .. id .. "-" .. (n % files), nil, body) end
  return wrk.format("GET", base .. "f" .. (n * 7919 % files))
end

-- No `response`: with one, wrk makes a string of every body, and is then slower than most servers are. What it counts itself is enough.
function done(summary, latency)
  local e = summary.errors
  io.write(string.format('{"requests":%d,"seconds":%.4f,"p50Us":%.1f,"p99Us":%.1f,"failed":%d}\n', summary.requests, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99), e.status + e.connect + e.read + e.write + e.timeout))
end
