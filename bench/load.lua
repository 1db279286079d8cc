-- For wrk: repeats one request, given as `-- METHOD BODY`; prints the result as one line of JSON.
function init(words)
   wrk.method = words[1]
   wrk.body = words[2]
   wrk.headers["Content-Type"] = "application/json"
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "refused": %d, "broken": %d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
