// What of this machine will bite the daemon and its workers. Pure: facts in, findings out.
#pragma once

#include "cli/finding.hpp"
#include "cli/host_facts.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cluster::cli {

/// What a daemon tells of itself (docs/protocol.md, `doctor`).
struct DaemonFacts {
    pid_t pid = 0;
    pid_t guardian_pid = 0;
    std::string version;
    std::int64_t wall_ms = 0; ///< when it answered
    std::uint64_t workers = 0;
    std::uint64_t listeners = 0;
    struct Backlog {
        std::string address;
        std::uint64_t length = 0;
    };
    std::vector<Backlog> backlogs{};    ///< those that were declared
    std::vector<std::string> folders{}; ///< that log files lie in
};
/// Absent members are 0 and empty.
[[nodiscard]] DaemonFacts daemon_facts(const nlohmann::json& answer);

/// One finding at least for each thing that could be looked at. `daemon`: null when none runs.
[[nodiscard]] std::vector<Finding> check_host(const HostFacts& host, const DaemonFacts* daemon);

} // namespace cluster::cli
