// Asks an app over and over while it is reloaded, to tell whether a request got lost.
#pragma once

#include "cli/probe_address.hpp"
#include "cli/prove_report.hpp"
#include "ipc/base/system.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <expected>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace cluster::cli {

struct ProveTarget {
    std::vector<ProbeAddress> addresses; ///< at least one
    std::string path = "/";
    int rate = 200; ///< requests per second, of all clients together
};

/// Its clients are threads that share what `mutex_` guards; all else belongs to the caller's.
class Prover {
public:
    Prover(ProveTarget target, ipc::System& system);
    Prover(const Prover&) = delete;
    Prover& operator=(const Prover&) = delete;
    ~Prover(); ///< ends the clients

    /// Lets the clients go and waits until each has asked: what they hear now is the measure.
    /// Errors: a sentence when an address gave no answer, so that nothing could be proven.
    std::expected<void, std::string> start();

    void reload_begins();
    /// Another phase, from the params of a `progress` notification.
    void note_progress(const json& params);
    void reload_ends();

    /// A moment more, then ends the clients.
    ProveLog finish();

private:
    using Time = std::chrono::steady_clock::time_point;
    /// Whether an address was ever answered, and if not, why.
    struct Answered {
        bool yes = false;
        std::string fault;
    };

    void run(std::size_t number, bool keeps);
    void record(const ProvedRequest& request, bool not_sent, std::string fault);
    [[nodiscard]] bool wait_until(Time when);
    [[nodiscard]] microseconds now() const;
    [[nodiscard]] std::size_t clients() const;
    void stop();

    ProveTarget target_;
    ipc::System& system_;
    Time origin_;
    ProveLog log_; ///< `requests` and `not_sent` are guarded
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopping_ = false;          ///< guarded
    std::size_t asked_ = 0;          ///< guarded; clients that have asked each address
    std::vector<Answered> answered_; ///< guarded; per address
    std::vector<std::jthread> threads_;
};

} // namespace cluster::cli
