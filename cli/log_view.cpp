#include "cli/log_view.hpp"

#include "ipc/wire/rpc.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

namespace cluster::cli {
namespace {

constexpr std::string_view kKeyedTime = "YYYY-MM-DD-HH:mm:ssZZ"; ///< as PM2

/// As a string of JSON. Bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string_view text, std::string& out)
{
    // Most lines are printable ASCII.
    const bool plain = std::ranges::all_of(
        text, [](char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; });
    if (plain) {
        out += '"';
        out += text;
        out += '"';
        return;
    }
    out += ipc::json(text).dump(-1, ' ', false, ipc::json::error_handler_t::replace);
}

} // namespace

std::string log_line(const LogLine& line, LogFormat format, std::size_t name_width,
                     const Style& style)
{
    if (format == LogFormat::raw) return std::string{line.text} + '\n';
    if (format != LogFormat::prefixed) {
        std::string out;
        LogLines{{.format = format, .timestamp = {}, .highlight = {}}, style}.append(line, out);
        return out;
    }
    const std::string prefix =
        fmt::format("{}|{} | ", line.id, pad(escape_controls(line.name), name_width));
    // Bytes for a file or a pipe are the app's own; a terminal must not obey them.
    const bool terminal = style.width > 0;
    return fmt::format("{}{}\n", paint(prefix, line.error ? Colour::red : Colour::green, style),
                       terminal ? safe_log_line(line.text) : std::string{line.text});
}

LogLines::LogLines(LogLook look, const Style& style)
    : look_{std::move(look)}, style_{style},
      date_{look_.timestamp ? std::string_view{*look_.timestamp}
                            : std::string_view{look_.format == LogFormat::keyed ? kKeyedTime : ""}}
{
}

void LogLines::widen(std::string_view name)
{
    const std::size_t width = display_width(escape_controls(name));
    if (width <= name_width_) return;
    name_width_ = width;
    prefixes_.clear();
}

void LogLines::append(const LogLine& line, std::string& out)
{
    switch (look_.format) {
    case LogFormat::prefixed:
        append_prefixed(line, out);
        break;
    case LogFormat::raw:
        if (look_.timestamp) append_time(line.at, out);
        if (look_.timestamp) out += ' ';
        out += line.text;
        break;
    case LogFormat::json:
        append_json(line, out);
        break;
    case LogFormat::keyed:
        append_keyed(line, out);
        break;
    }
    out += '\n';
}

void LogLines::append_prefixed(const LogLine& line, std::string& out)
{
    if (look_.timestamp) {
        std::string time;
        append_time(line.at, time);
        out += paint(time, Colour::grey, style_);
        out += ' ';
    }
    out += prefix_of(line);
    append_text(line.text, out);
}

void LogLines::append_json(const LogLine& line, std::string& out)
{
    out += R"({"message":)";
    append_json_string(line.text, out);
    out += R"(,"timestamp":)";
    if (line.at == 0)
        out += "null";
    else
        append_json_string(look_.timestamp ? date_.text(line.at) : iso_time(line.at), out);
    fmt::format_to(std::back_inserter(out), R"(,"type":"{}","process_id":{},"app_name":)",
                   line.error ? "err" : "out", line.id);
    append_json_string(line.name, out);
    out += '}';
}

/// Many lines of one batch have the same time.
const std::string& LogLines::iso_time(std::int64_t at)
{
    if (std::exchange(iso_at_, at) != at) iso_ = format_time(at);
    return iso_;
}

void LogLines::append_keyed(const LogLine& line, std::string& out)
{
    out += "timestamp=";
    append_time(line.at, out);
    fmt::format_to(std::back_inserter(out),
                   " app={} id={} type={} message=", escape_controls(line.name), line.id,
                   line.error ? "error" : "out");
    append_text(line.text, out);
}

void LogLines::append_time(std::int64_t at, std::string& out)
{
    if (at == 0)
        out += '-';
    else
        date_.append(at, out);
}

/// Bytes for a file or a pipe are the app's own; a terminal must not obey them.
void LogLines::append_text(std::string_view text, std::string& out) const
{
    if (style_.width == 0) { // colours are for terminals only
        out += text;
        return;
    }
    while (style_.colour && !look_.highlight.empty()) {
        const auto found = text.find(look_.highlight);
        if (found == text.npos) break;
        out += safe_log_line(text.substr(0, found));
        out += paint(safe_log_line(text.substr(found, look_.highlight.size())), Colour::inverse,
                     style_);
        text.remove_prefix(found + look_.highlight.size());
    }
    out += safe_log_line(text);
}

const std::string& LogLines::prefix_of(const LogLine& line)
{
    std::string& prefix = prefixes_[{line.id, line.error}];
    if (prefix.empty()) {
        const std::string name = pad(escape_controls(line.name), name_width_);
        prefix = paint(fmt::format("{}|{} ", line.id, name), colour_of(line.name), style_) +
                 paint("| ", line.error ? Colour::red : Colour::green, style_);
    }
    return prefix;
}

/// Each app has the next one, in the order in which they come.
Colour LogLines::colour_of(std::string_view name)
{
    constexpr std::array kColours{Colour::green, Colour::cyan, Colour::yellow, Colour::blue,
                                  Colour::magenta};
    auto known = std::ranges::find(apps_, name);
    if (known == apps_.end()) known = apps_.insert(apps_.end(), std::string{name});
    return kColours.at(static_cast<std::size_t>(known - apps_.begin()) % kColours.size());
}

} // namespace cluster::cli
