// doctor: what is set for the daemon as a whole.
#include "supervisor/daemon/doctor.hpp"
#include "supervisor/daemon/metrics_server.hpp"

namespace cluster::supervisor {

void check_settings(const std::vector<std::string>& faults, const std::string& path,
                    const MetricsSettings& metrics, const std::string& metrics_fault,
                    Findings& into)
{
    const std::size_t before = into.size();
    for (const std::string& fault : faults)
        into.push_back({.grade = Grade::warning,
                        .check = "settings",
                        .what = fault,
                        .where = path,
                        .advice = "`clusterctl set` and `unset` repair it"});
    if (!metrics_fault.empty())
        into.push_back({.grade = Grade::problem,
                        .check = "metrics",
                        .what = metrics_fault,
                        .where = metrics.listen,
                        .advice = "`clusterctl set metrics.listen` chooses another address"});
    if (!metrics.listen.empty() && metrics.token.empty() && !is_loopback(metrics.listen))
        into.push_back({.grade = Grade::warning,
                        .check = "metrics",
                        .what = "whoever reaches the address may read the metrics",
                        .where = metrics.listen,
                        .advice = "`clusterctl set metrics.token TOKEN` asks for a token"});
    if (into.size() == before)
        into.push_back(
            {.check = "settings",
             .what = metrics.listen.empty() ? "are in order" : "are in order, metrics are served",
             .where = metrics.listen});
}

} // namespace cluster::supervisor
