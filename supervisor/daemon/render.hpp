// Workers as JSON text. Written straight into the output buffer, piece by piece: these answers are
// the hot path of every `list`, and 10,000 processes must not stand in memory twice.
#pragma once

#include "ipc/wire/rpc.hpp"
#include "supervisor/engine/supervisor.hpp"
#include "supervisor/engine/waiting.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace cluster::supervisor {

/// The process object of docs/protocol.md.
void append_process(std::string& out, Supervisor& supervisor, const Worker& worker);
/// With the members that `describe` adds.
void append_description(std::string& out, Supervisor& supervisor, const Worker& worker);
/// One element of what `pm2 jlist` prints (pm2 7: pid, name, pm2_env, pm_id, monit).
void append_pm2(std::string& out, Supervisor& supervisor, const Worker& worker);

/// `{"processes":[…]}` of those of `ids` that exist.
std::string processes_text(Supervisor& supervisor, const std::vector<int>& ids);
ipc::json failures_json(const std::vector<WaitFailure>& failures);

} // namespace cluster::supervisor
