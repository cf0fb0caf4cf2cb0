#include "supervisor/engine/timetable.hpp"

#include "supervisor/core/cron_time.hpp"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

namespace cluster::supervisor {
namespace {

using boost::system::error_code;

constexpr std::chrono::milliseconds kLongestWait{60'000}; ///< the wall clock may be set meanwhile
/// A host that slept, or a clock that was set: what is due for longer is left out (man 8 cron).
constexpr std::int64_t kTooLateMs = 60'000;
/// More than lies between two managers, of which the second one is started at once.
constexpr std::int64_t kWithoutManagerMs = 10'000;

} // namespace

Timetable::Timetable(Supervisor& supervisor, boost::asio::io_context& loop, OnDue on_due)
    : supervisor_{supervisor}, on_due_{std::move(on_due)}, timer_{loop}
{
}

void Timetable::begin()
{
    look_since(supervisor_.clock().wall_ms() - kWithoutManagerMs);
}

void Timetable::look()
{
    look_since(supervisor_.clock().wall_ms());
}

void Timetable::look_since(std::int64_t since_ms)
{
    std::map<std::string, Entry, std::less<>> entries;
    std::map<std::string_view, std::int64_t> newest; // start of each app that is not known yet
    for (const auto& [id, worker] : supervisor_.workers()) {
        const ipc::AppSpec& spec = worker->spec();
        if (spec.cron_restart.empty()) continue;
        const auto known = entries_.find(spec.name);
        if (known != entries_.end() && known->second.pattern == spec.cron_restart) {
            entries.insert(*known);
            continue;
        }
        // Whoever was started after it was due has been restarted by the manager before us.
        std::int64_t& from = newest.try_emplace(spec.name, since_ms).first->second;
        from = std::max({from, worker->started_wall_ms, worker->created_wall_ms});
        entries[spec.name] = {.pattern = spec.cron_restart, .due_ms = {}};
    }
    for (const auto& [name, from] : newest) {
        Entry& entry = entries.find(name)->second;
        entry = entry_of(entry.pattern, from);
    }
    entries_ = std::move(entries);
    looked_ms_ = supervisor_.clock().wall_ms();
    watch();
}

Timetable::Entry Timetable::entry_of(const std::string& pattern, std::int64_t after_ms) const
{
    const auto parsed = ipc::parse_cron(pattern);
    return {.pattern = pattern,
            .due_ms = parsed ? next_cron_time(*parsed, after_ms) : std::nullopt};
}

void Timetable::watch()
{
    timer_.cancel();
    if (entries_.empty()) return;
    const std::int64_t now = supervisor_.clock().wall_ms();
    std::chrono::milliseconds wait = kLongestWait;
    for (const auto& [name, entry] : entries_)
        if (entry.due_ms)
            wait = std::min(
                wait, std::chrono::milliseconds{std::max<std::int64_t>(*entry.due_ms - now, 0)});
    timer_.expires_after(wait);
    timer_.async_wait([this](error_code cancelled) {
        if (!cancelled) on_time();
    });
}

void Timetable::on_time()
{
    const std::int64_t now = supervisor_.clock().wall_ms();
    const bool set_back = now < looked_ms_;
    looked_ms_ = now;
    std::vector<std::string> due;
    for (auto& [name, entry] : entries_) {
        const bool is_due = entry.due_ms && *entry.due_ms <= now;
        if (is_due && now - *entry.due_ms < kTooLateMs) due.push_back(name);
        if (is_due || set_back) entry = entry_of(entry.pattern, now);
    }
    watch();
    for (const std::string& name : due)
        on_due_(name);
}

} // namespace cluster::supervisor
