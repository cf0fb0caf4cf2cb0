#include "app/http/request_log.hpp"

#include "app/base/times.hpp"

#include <fmt/format.h>

#include <iterator>

namespace cluster::app {
namespace {

constexpr unsigned kClientError = 400;
constexpr unsigned kServerError = 500;

void append_field(std::string& out, std::string_view name, std::string_view value)
{
    fmt::format_to(std::back_inserter(out), ",\"{}\":", name);
    if (value.empty())
        out += "null";
    else
        append_json_string(out, value);
}

LogLevel level_of(const Finished& finished)
{
    if (finished.status >= kServerError) return LogLevel::error;
    return finished.quiet && finished.status < kClientError ? LogLevel::debug : LogLevel::info;
}

} // namespace

std::string access_line(LogFormat format, std::int64_t wall_ms, LogLevel level,
                        const Finished& finished)
{
    const double ms = static_cast<double>(finished.duration.count()) / 1000.0;
    if (format == LogFormat::text) {
        std::string target; // quoted, because a stranger wrote it
        append_json_string(target, finished.path);
        return fmt::format("{} {:5} {} {} {} {} {:.3f} ms {} bytes {} {}\n", iso_time(wall_ms),
                           name_of(level), finished.client.empty() ? "-" : finished.client,
                           finished.method.empty() ? "-" : finished.method, target, finished.status,
                           ms, finished.bytes, finished.user.empty() ? "-" : finished.user,
                           finished.id.empty() ? "-" : finished.id);
    }
    std::string out = fmt::format(R"({{"time":"{}","level":"{}","message":"request")",
                                  iso_time(wall_ms), name_of(level));
    append_field(out, "id", finished.id);
    append_field(out, "method", finished.method);
    append_field(out, "path", finished.path);
    append_field(out, "route", finished.route);
    fmt::format_to(std::back_inserter(out), R"(,"status":{},"duration_ms":{:.3f},"bytes":{})",
                   finished.status, ms, finished.bytes);
    append_field(out, "client", finished.client);
    append_field(out, "user", finished.user);
    if (!finished.complete) out += R"(,"complete":false)";
    out += "}\n";
    return out;
}

void RequestLog::request_finished(const Finished& finished)
{
    const LogLevel level = level_of(finished);
    if (access_ && log_.wants(level))
        out_.append(access_line(format_, clock_.wall_ms(), level, finished));
    if (finished.detail.empty()) return;
    const json fields{{"id", finished.id},         {"method", finished.method},
                      {"path", finished.path},     {"route", finished.route},
                      {"status", finished.status}, {"error", finished.detail}};
    // A 503 says that something else is away, which is told by whoever has lost it.
    if (finished.status == static_cast<unsigned>(http::status::service_unavailable))
        log_.warn("request failed", fields);
    else
        log_.error("request failed", fields);
}

} // namespace cluster::app
