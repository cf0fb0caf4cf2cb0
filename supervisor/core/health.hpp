// What the answers of one process to its probe mean. Pure: an answer in, a verdict out.
//
// `ready` asks until the first good answer. `health` goes on asking: so many bad answers in a row,
// after a time in which they do not count, are one verdict; a good one starts the count anew.
#pragma once

#include "ipc/wire/app_spec.hpp"

#include <string>

namespace cluster::supervisor {

struct Answer {
    bool good = false;
    std::string why{};        ///< of a bad one: "GET /health answered 503"
    ipc::milliseconds age{0}; ///< of the process when it came
};

enum class HealthVerdict { nothing, ready, unhealthy };

/// What is known of one process so far; the next process begins with a new one.
struct Health {
    enum class State {
        starting, ///< no answer that counts yet
        passing,
        failing,
    };
    State state = State::starting;
    int failures = 0;  ///< bad answers in a row that count
    std::string why{}; ///< the last bad answer's, also of one that does not count
    bool operator==(const Health&) const = default;
};

struct HealthStep {
    Health health;
    HealthVerdict verdict = HealthVerdict::nothing;
    bool operator==(const HealthStep&) const = default;
};

/// `ready` comes with the first good answer, and only once.
[[nodiscard]] HealthStep judge_ready(Health health, const Answer& answer);
/// `unhealthy` comes once for each row of `probe.failures` bad answers.
[[nodiscard]] HealthStep judge_health(Health health, const Answer& answer, const ipc::Probe& probe);

/// "starting", "passing" or "failing (2 of 3): GET /health answered 503".
[[nodiscard]] std::string health_text(const Health& health, const ipc::Probe& probe);

} // namespace cluster::supervisor
