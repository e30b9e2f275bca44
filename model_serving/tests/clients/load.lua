-- wrk -s load.lua URL/inference -- FOLDER: a moment of load; each thread's last line says how many were not 200.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
refused = 0

function init(words)
  local file = io.open(words[1] .. "/small", "rb")
  wrk.body = file:read("*a")
  file:close()
end

function response(status)
  if status ~= 200 then refused = refused + 1 end
end

function setup(thread)
  threads = threads or {}
  table.insert(threads, thread)
end

function done(summary)
  local all = 0
  for _, thread in ipairs(threads) do all = all + thread:get("refused") end
  print(string.format("answers %d refused %d broken %d", summary.requests, all,
    summary.errors.read + summary.errors.write + summary.errors.timeout + summary.errors.connect))
end
