// Supervisor: memory limits. The only clockwork that runs while nobody looks, and only while some
// app has a limit.
#include "supervisor/engine/supervisor.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;

constexpr std::chrono::seconds kCheckEvery{1};

bool limited(const Worker& worker)
{
    return worker.spec().max_memory_restart > 0 && worker.alive();
}

} // namespace

void Supervisor::watch_memory()
{
    if (memory_watched_) return;
    const bool any =
        std::ranges::any_of(workers_, [](const auto& row) { return limited(*row.second); });
    if (!any) return;
    memory_watched_ = true;
    memory_timer_.expires_after(kCheckEvery);
    memory_timer_.async_wait([this](error_code cancelled) {
        if (cancelled) return;
        memory_watched_ = false;
        check_memory();
        watch_memory();
    });
}

void Supervisor::check_memory()
{
    std::vector<int> over;
    for (const auto& [id, worker] : workers_) {
        if (limited(*worker) && worker->life.state == State::online &&
            usage(*worker).memory > worker->spec().max_memory_restart)
            over.push_back(id);
    }
    for (const int id : over) {
        Worker& worker = *workers_.at(id);
        std::string cause = fmt::format("memory limit: {} bytes of at most {}",
                                        usage(worker).memory, worker.spec().max_memory_restart);
        if (recycler_ && recycler_(worker, cause)) continue;
        ask(worker, Event::restart_asked, std::move(cause));
    }
}

} // namespace cluster::supervisor
