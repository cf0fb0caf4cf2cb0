// The server's log: one JSON object per line, {"time", "level", "message", ...fields}; errors and
// warnings on stderr, the rest on stdout. LOG_LEVEL and LOG_FORMAT (json, or text for a terminal)
// choose what and how. One writer per process, made by `main`.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace cluster::app {

using json = nlohmann::ordered_json;

enum class LogLevel { debug, info, warn, error };

class Log {
public:
    virtual ~Log() = default;
    /// `fields` is an object; it may hold strings that are not UTF-8.
    virtual void write(LogLevel level, std::string_view message, const json& fields) = 0;
    [[nodiscard]] virtual bool wants(LogLevel level) const = 0;

    void debug(std::string_view message, const json& fields = json::object())
    {
        if (wants(LogLevel::debug)) write(LogLevel::debug, message, fields);
    }
    void info(std::string_view message, const json& fields = json::object())
    {
        if (wants(LogLevel::info)) write(LogLevel::info, message, fields);
    }
    void warn(std::string_view message, const json& fields = json::object())
    {
        if (wants(LogLevel::warn)) write(LogLevel::warn, message, fields);
    }
    void error(std::string_view message, const json& fields = json::object())
    {
        write(LogLevel::error, message, fields);
    }
};

} // namespace cluster::app
