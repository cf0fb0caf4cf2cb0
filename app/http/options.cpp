#include "app/http/options.hpp"

#include "ipc/base/text.hpp"

#include <boost/asio/ip/address.hpp>
#include <fmt/format.h>

#include <string_view>

namespace cluster::app {
namespace {

constexpr int kFirstPassedFd = 3; // SD_LISTEN_FDS_START
constexpr int kMaxPassedFds = 1024;
constexpr int kMaxLimitMs = 3'600'000;

std::vector<std::string> split(std::string_view text, char separator)
{
    std::vector<std::string> parts;
    while (true) {
        const std::size_t end = text.find(separator);
        parts.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

std::vector<PassedSocket> read_passed(Environment& environment, pid_t self)
{
    std::vector<PassedSocket> passed;
    if (ipc::parse_number<int>(environment.text("LISTEN_PID")) != self) return passed;
    const int count = environment.number("LISTEN_FDS", 0, 0, kMaxPassedFds);
    const bool named = environment.variables().contains("LISTEN_FDNAMES");
    const std::string given = environment.text("LISTEN_FDNAMES");
    const auto names = split(given, ':');
    if (named && count > 0 && names.size() != static_cast<std::size_t>(count)) {
        environment.fault(fmt::format("LISTEN_FDNAMES must hold {} names (LISTEN_FDS), got \"{}\"",
                                      count, given));
        return passed;
    }
    for (int i = 0; i < count; ++i)
        passed.push_back(
            {kFirstPassedFd + i, named ? names[static_cast<std::size_t>(i)] : "unknown"});
    return passed;
}

std::string read_host(Environment& environment)
{
    std::string host = environment.text("HOST");
    boost::system::error_code failed;
    if (host.empty()) return host;
    static_cast<void>(boost::asio::ip::make_address(host, failed));
    if (failed)
        environment.fault(fmt::format("HOST must be an IPv4 or IPv6 address, got \"{}\"", host));
    return host;
}

Limits read_limits(Environment& environment)
{
    Limits limits;
    const struct {
        const char* name;
        milliseconds& limit;
        int least;
    } waits[] = {
        {"HEADER_TIMEOUT_MS", limits.header, 1},   {"BODY_TIMEOUT_MS", limits.body, 1},
        {"KEEP_ALIVE_TIMEOUT_MS", limits.idle, 1}, {"WRITE_TIMEOUT_MS", limits.write, 1},
        {"DRAIN_TIMEOUT_MS", limits.drain, 1},     {"DRAIN_DELAY_MS", limits.drain_delay, 0},
    };
    for (const auto& row : waits)
        row.limit = milliseconds{environment.number(row.name, static_cast<int>(row.limit.count()),
                                                    row.least, kMaxLimitMs)};
    const struct {
        const char* name;
        std::size_t& limit;
        int low, high;
    } sizes[] = {
        {"MAX_HEADER_BYTES", limits.header_bytes, 1 << 10, 1 << 20},
        {"MAX_BODY_BYTES", limits.body_bytes, 1 << 10, 1 << 30},
        {"MAX_CONNECTIONS", limits.connections, 1, 1'000'000},
    };
    for (const auto& row : sizes)
        row.limit = static_cast<std::size_t>(
            environment.number(row.name, static_cast<int>(row.limit), row.low, row.high));
    if (limits.drain_delay >= limits.drain)
        environment.fault(fmt::format("DRAIN_DELAY_MS must be below DRAIN_TIMEOUT_MS ({}), got {}",
                                      limits.drain.count(), limits.drain_delay.count()));
    return limits;
}

TrustedProxies read_trusted(Environment& environment)
{
    const std::string given = environment.text("TRUST_PROXY");
    const auto trusted = parse_trust_proxy(given);
    if (trusted) return *trusted;
    environment.fault(fmt::format("TRUST_PROXY must be{}, got \"{}\"", trusted.error(), given));
    return {};
}

} // namespace

HttpOptions read_http_options(Environment& environment, pid_t self)
{
    return {
        // Only shown, never decided by: a supervisor that counts otherwise is no reason to fail.
        .instance = ipc::parse_number<int>(environment.text("NODE_APP_INSTANCE")),
        .host = read_host(environment),
        .port = static_cast<std::uint16_t>(environment.number("PORT", 3001, 0, 65'535)),
        .passed = read_passed(environment, self),
        .notify_socket = environment.text("NOTIFY_SOCKET"),
        .access_log = environment.flag("ACCESS_LOG", true),
        .trusted = read_trusted(environment),
        .limits = read_limits(environment),
    };
}

} // namespace cluster::app
