-- The last line of wrk's output as JSON: what was answered, in which time, and what went wrong.
function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{"requests":%d,"seconds":%.6f,"errors":%d}\n', summary.requests,
    summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
