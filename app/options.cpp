#include "app/options.hpp"

#include "ipc/base/text.hpp"

#include <fmt/format.h>

#include <string_view>

namespace cluster::app {
namespace {

constexpr int kFirstPassedFd = 3; // SD_LISTEN_FDS_START
constexpr int kMaxPassedFds = 1024;
constexpr int kMaxLimitMs = 3'600'000;

std::string_view value_of(const Variables& variables, const std::string& name)
{
    const auto found = variables.find(name);
    return found == variables.end() ? std::string_view{} : found->second;
}

/// `fallback` when the variable is absent or empty.
Result<int> number(const Variables& variables, const std::string& name, int fallback, int low,
                   int high)
{
    const std::string_view text = value_of(variables, name);
    if (text.empty()) return fallback;
    const auto value = ipc::parse_number<int>(text);
    if (!value || *value < low || *value > high)
        return ipc::fail(
            std::error_code{},
            fmt::format("{} must be an integer from {} to {}, got \"{}\"", name, low, high, text));
    return *value;
}

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

Result<Limits> parse_limits(const Variables& variables)
{
    Limits limits;
    const struct {
        const char* name;
        milliseconds& limit;
    } rows[] = {
        {"HEADER_TIMEOUT_MS", limits.header},   {"BODY_TIMEOUT_MS", limits.body},
        {"KEEP_ALIVE_TIMEOUT_MS", limits.idle}, {"WRITE_TIMEOUT_MS", limits.write},
        {"DRAIN_TIMEOUT_MS", limits.drain},
    };
    for (const auto& row : rows) {
        const auto value =
            number(variables, row.name, static_cast<int>(row.limit.count()), 1, kMaxLimitMs);
        if (!value) return std::unexpected(value.error());
        row.limit = milliseconds{*value};
    }
    return limits;
}

} // namespace

Result<std::vector<PassedSocket>> parse_listen_fds(const Variables& variables, pid_t self)
{
    std::vector<PassedSocket> passed;
    if (ipc::parse_number<int>(value_of(variables, "LISTEN_PID")) != self) return passed;

    const auto count = number(variables, "LISTEN_FDS", 0, 0, kMaxPassedFds);
    if (!count) return std::unexpected(count.error());
    const bool named = variables.contains("LISTEN_FDNAMES");
    const auto names = split(value_of(variables, "LISTEN_FDNAMES"), ':');
    if (named && *count > 0 && names.size() != static_cast<std::size_t>(*count))
        return ipc::fail(std::error_code{},
                         fmt::format("LISTEN_FDNAMES must hold {} names (LISTEN_FDS), got \"{}\"",
                                     *count, value_of(variables, "LISTEN_FDNAMES")));
    for (int i = 0; i < *count; ++i)
        passed.push_back(
            {kFirstPassedFd + i, named ? names[static_cast<std::size_t>(i)] : "unknown"});
    return passed;
}

Result<Options> parse_options(const Variables& variables, pid_t self)
{
    Options options;
    auto passed = parse_listen_fds(variables, self);
    if (!passed) return std::unexpected(passed.error());
    options.passed = std::move(*passed);

    const auto port = number(variables, "PORT", options.port, 0, 65'535);
    if (!port) return std::unexpected(port.error());
    options.port = static_cast<std::uint16_t>(*port);

    const auto limits = parse_limits(variables);
    if (!limits) return std::unexpected(limits.error());
    options.limits = *limits;

    // Only shown, never decided by: a supervisor that counts otherwise is no reason to fail.
    options.instance = ipc::parse_number<int>(value_of(variables, "NODE_APP_INSTANCE"));
    options.host = value_of(variables, "HOST");
    options.notify_socket = value_of(variables, "NOTIFY_SOCKET");
    return options;
}

Variables read_environment(const char* const* block)
{
    Variables variables;
    for (; *block != nullptr; ++block) {
        const std::string_view entry = *block;
        const std::size_t equals = entry.find('=');
        if (equals == std::string_view::npos) continue;
        variables.emplace(entry.substr(0, equals), entry.substr(equals + 1));
    }
    return variables;
}

} // namespace cluster::app
