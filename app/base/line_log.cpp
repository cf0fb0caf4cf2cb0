#include "app/base/line_log.hpp"

#include "app/base/times.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace cluster::app {
namespace {

/// `replace`: dump() throws on a string that is not UTF-8, and much of this is a stranger's.
std::string dump(const json& value)
{
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

bool is_plain(std::string_view text)
{
    return std::ranges::all_of(text, [](char letter) {
        return letter >= ' ' && letter <= '~' && letter != '"' && letter != '\\';
    });
}

} // namespace

std::string_view name_of(LogLevel level)
{
    switch (level) {
    case LogLevel::debug:
        return "debug";
    case LogLevel::info:
        return "info";
    case LogLevel::warn:
        return "warn";
    case LogLevel::error:
        return "error";
    }
    return "error";
}

void append_json_string(std::string& out, std::string_view text)
{
    if (!is_plain(text)) {
        out += dump(json(text));
        return;
    }
    out += '"';
    out += text;
    out += '"';
}

std::string log_line(LogFormat format, std::int64_t wall_ms, LogLevel level,
                     std::string_view message, const json& fields)
{
    if (format == LogFormat::text)
        return fmt::format("{} {:5} {}{}{}\n", iso_time(wall_ms), name_of(level), message,
                           fields.empty() ? "" : " ", fields.empty() ? "" : dump(fields));
    json entry{{"time", iso_time(wall_ms)}, {"level", name_of(level)}, {"message", message}};
    entry.update(fields);
    return dump(entry) + "\n";
}

void LineLog::write(LogLevel level, std::string_view message, const json& fields)
{
    const std::string line = log_line(format_, clock_.wall_ms(), level, message, fields);
    if (level < LogLevel::warn) return out_.append(line);
    out_.flush();
    err_.append(line);
}

} // namespace cluster::app
