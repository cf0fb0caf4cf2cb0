#include "supervisor/core/health.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace cluster::supervisor {

HealthStep judge_ready(Health health, const Answer& answer)
{
    if (health.state == Health::State::passing) return {std::move(health)};
    if (answer.good) return {{.state = Health::State::passing}, HealthVerdict::ready};
    health.why = answer.why;
    return {std::move(health)};
}

HealthStep judge_health(Health health, const Answer& answer, const ipc::Probe& probe)
{
    if (answer.good) return {{.state = Health::State::passing}};
    health.why = answer.why;
    if (answer.age < probe.start_period) return {std::move(health)};
    health.state = Health::State::failing;
    const HealthVerdict verdict =
        ++health.failures == probe.failures ? HealthVerdict::unhealthy : HealthVerdict::nothing;
    return {std::move(health), verdict};
}

std::string health_text(const Health& health, const ipc::Probe& probe)
{
    switch (health.state) {
    case Health::State::starting:
        return "starting";
    case Health::State::passing:
        return "passing";
    case Health::State::failing:
        break;
    }
    return fmt::format("failing ({} of {}){}{}", std::min(health.failures, probe.failures),
                       probe.failures, health.why.empty() ? "" : ": ", health.why);
}

} // namespace cluster::supervisor
