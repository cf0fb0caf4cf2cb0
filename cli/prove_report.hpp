// What `reload --prove` found out: requests in, counts and sentences out. Pure; the sockets are the
// business of cli/prove.hpp.
#pragma once

#include "cli/kernel_counters.hpp"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::cli {

using nlohmann::json;
using std::chrono::microseconds;

/// How a request was lost.
enum class Loss {
    refused,   ///< no connection came about
    reset,     ///< the connection ended before the answer began
    cut,       ///< and in the middle of the answer
    timed_out, ///< no answer, or not all of it, in time
    status,    ///< a status of 500 or more that the path did not have before the reload
};
[[nodiscard]] std::string_view loss_name(Loss loss);

/// One request; times count from when the prober began.
struct ProvedRequest {
    microseconds begin{0};
    microseconds end{0};
    std::size_t address = 0; ///< index into ProveLog::addresses
    int status = 0;          ///< 0 when no answer came
    std::optional<Loss> loss{};
    bool raced = false; ///< sent on a kept-alive connection that was just closed, and repeated
};

/// From here on that was under way.
struct PhaseMark {
    microseconds at{0};
    std::string what; ///< "[api](0) draining"
};

/// All that was seen.
struct ProveLog {
    std::vector<ProvedRequest> requests{};
    std::vector<PhaseMark> phases{}; ///< in order of time
    microseconds begin{0};           ///< of the reload
    microseconds end{0};
    std::vector<std::string> addresses{};
    std::string path{};
    int fresh_clients = 0; ///< a new connection for each request
    int kept_clients = 0;
    int rate = 0;             ///< requests per second, of all clients
    std::size_t not_sent = 0; ///< for want of ports or descriptors on our side
    KernelCounters counters_before{};
    KernelCounters counters_after{};
};

/// Losses of one kind at one address in one phase.
struct LossGroup {
    Loss loss{};
    std::string address{};
    std::string phase{}; ///< "" before the first one
    std::size_t count = 0;
    microseconds first{0}; ///< since the reload began
    microseconds last{0};
};

/// Requests that ended before the reload began are its measure and are not counted.
struct ProveReport {
    std::size_t requests = 0;
    std::size_t lost = 0;
    std::size_t raced = 0;
    std::size_t not_sent = 0;
    std::vector<LossGroup> losses{}; ///< in order of the first one
    std::map<int, std::size_t> statuses{};
    std::vector<int> new_statuses{}; ///< of these, what was not seen before the reload
    microseconds p99{0};
    microseconds longest{0};
    microseconds reload{0}; ///< its duration
    std::size_t requests_before = 0;
    std::size_t lost_before = 0;
    microseconds p99_before{0};
    std::map<std::string, std::int64_t> kernel{}; ///< what the counters grew by
};

[[nodiscard]] ProveReport summarize(const ProveLog& log);

/// The report as lines for people; the first says it all: "0 of 1,234 requests lost …".
[[nodiscard]] std::vector<std::string> report_lines(const ProveReport& report, const ProveLog& log);

/// The same for programs, each lost request included (1,000 at most).
[[nodiscard]] json report_json(const ProveReport& report, const ProveLog& log);

/// "1,234,567".
[[nodiscard]] std::string grouped(std::size_t number);

} // namespace cluster::cli
