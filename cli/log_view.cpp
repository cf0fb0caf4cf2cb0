#include "cli/log_view.hpp"

#include "ipc/wire/rpc.hpp"

#include <fmt/format.h>

namespace cluster::cli {

std::string log_line(const LogLine& line, LogFormat format, std::size_t name_width,
                     const Style& style)
{
    if (format == LogFormat::raw) return std::string{line.text} + '\n';
    if (format == LogFormat::json) {
        nlohmann::ordered_json object;
        object["message"] = line.text;
        object["timestamp"] = nullptr;
        if (line.at != 0) object["timestamp"] = format_time(line.at);
        object["type"] = line.error ? "err" : "out";
        object["process_id"] = line.id;
        object["app_name"] = line.name;
        return object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
    }
    const std::string prefix =
        fmt::format("{}|{} | ", line.id, pad(escape_controls(line.name), name_width));
    // Bytes for a file or a pipe are the app's own; a terminal must not obey them.
    const bool terminal = style.width > 0;
    return fmt::format("{}{}\n", paint(prefix, line.error ? Colour::red : Colour::green, style),
                       terminal ? safe_log_line(line.text) : std::string{line.text});
}

} // namespace cluster::cli
