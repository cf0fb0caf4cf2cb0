#include "supervisor/core/notify_message.hpp"

#include "ipc/base/text.hpp"
#include "supervisor/core/shown_line.hpp"

#include <algorithm>
#include <cstdint>

namespace cluster::supervisor {
namespace {

/// As every duration of an app: it fits into any sum of timers.
constexpr std::uint64_t kMostUsec = std::uint64_t{24} * 24 * 3600 * 1'000'000;

std::optional<ipc::milliseconds> duration_of(std::string_view usec)
{
    const auto number = ipc::parse_number<std::uint64_t>(usec);
    if (!number) return std::nullopt;
    return ipc::milliseconds{(std::min(*number, kMostUsec) + 999) / 1000};
}

void take(NotifyMessage& message, std::string_view name, std::string_view value)
{
    if (name == "READY") message.ready = value == "1";
    if (name == "RELOADING") message.reloading = value == "1";
    if (name == "STOPPING") message.stopping = value == "1";
    if (name == "WATCHDOG") {
        message.watchdog = value == "1";
        message.watchdog_trigger = value == "trigger";
    }
    if (name == "STATUS") message.status = shown_line(value);
    if (name == "EXTEND_TIMEOUT_USEC") message.extend = duration_of(value);
}

} // namespace

NotifyMessage parse_notify_message(std::string_view datagram)
{
    NotifyMessage message;
    while (!datagram.empty()) {
        const std::string_view line = datagram.substr(0, datagram.find('\n'));
        datagram.remove_prefix(std::min(line.size() + 1, datagram.size()));
        const std::size_t equals = line.find('=');
        if (equals == std::string_view::npos) continue;
        take(message, line.substr(0, equals), line.substr(equals + 1));
    }
    return message;
}

} // namespace cluster::supervisor
