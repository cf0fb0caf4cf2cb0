// What changes a queue in Redis, as Lua: each script is one atomic step. Keys of the queue NAME,
// all in one slot of a Cluster because of the braces:
//
//   {queue:NAME}:high, :normal, :low   streams of ids, waiting and active; group "workers"
//   {queue:NAME}:delayed               sorted set of ids by the time when they are due
//   {queue:NAME}:dead                  sorted set of ids by the time of death
//   {queue:NAME}:done                  how many were done
//   {queue:NAME}:job:ID                hash of the job; expires some time after it is done
//
// A stream entry is pending for the group as long as the job is active, and deleted with the hold;
// its idle time is how long the worker was not heard of. Time is that of the Redis server.
#pragma once

#include <string>
#include <string_view>

namespace cluster::app::queue_scripts {

/// KEYS[1] of all is "{queue:NAME}".
[[nodiscard]] std::string base_key(std::string_view queue);
[[nodiscard]] std::string job_key(std::string_view queue, std::string_view id);

// ARGV: id, name, payload, priority, attempts, backoff_ms, delay_ms. → 1, or 0: there already
[[nodiscard]] const std::string& add();
// ARGV: worker, hold, hold_ms, max_losses. → {1, id, name, payload, attempts, backoff_ms, failures,
// losses}, or {0, ms until something is due or -1, last entry of high, of normal, of low}
[[nodiscard]] const std::string& take();
// ARGV: id, hold, percent or "". → 1, or 0: not held
[[nodiscard]] const std::string& renew();
// ARGV: id, hold, result, keep_ms. → as renew
[[nodiscard]] const std::string& done();
// ARGV: id, hold, reason, delay_ms or -1 (dead). → as renew
[[nodiscard]] const std::string& fail();
// ARGV: id, hold. → as renew
[[nodiscard]] const std::string& give_back();
// No ARGV. → {waiting, delayed, active, dead, done}
[[nodiscard]] const std::string& counts();
// ARGV: limit. → list of {id, field, value, …}
[[nodiscard]] const std::string& dead();
// ARGV: id. → 1, or 0: no such dead job
[[nodiscard]] const std::string& retry();
// ARGV: id. → 1, or 0: no such job, or it is active
[[nodiscard]] const std::string& remove();

} // namespace cluster::app::queue_scripts
