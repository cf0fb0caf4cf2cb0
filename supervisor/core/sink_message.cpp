#include "supervisor/core/sink_message.hpp"

#include "ipc/wire/rpc.hpp"
#include "ipc/wire/units.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>

namespace cluster::supervisor {
namespace {

using ipc::SinkForm;

constexpr int kInformational = 6; // RFC 5424 section 6.2.1
constexpr int kError = 3;
constexpr int kDaemon = 3; // facility
/// RFC 5424 section 6.1: receivers take at least 480, should take 2048 bytes; UDP has no more than
/// 65,507. What is longer is cut.
constexpr std::size_t kMostSyslogBytes = 60'000;

int severity(const SinkLine& line)
{
    return line.error ? kError : kInformational;
}

std::string_view stream(const SinkLine& line)
{
    return line.error ? "err" : "out";
}

/// PRINTUSASCII without spaces, at most `most` bytes; "-" for nothing.
std::string header_field(std::string_view text, std::size_t most)
{
    std::string field{text.substr(0, most)};
    for (char& c : field)
        if (c <= ' ' || c > '~') c = '-';
    return field.empty() ? "-" : field;
}

/// Controls would end a message, or mean something to a terminal; tabs stay.
void append_plain(std::string& out, std::string_view text)
{
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte < ' ' && c != '\t') || byte == 0x7f)
            fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
        else
            out += c;
    }
}

void append_syslog(std::string& out, const SinkLine& line)
{
    const std::string pid = line.pid > 0 ? std::to_string(line.pid) : "-";
    fmt::format_to(std::back_inserter(out), "<{}>1 {} {} {} {} {} - ", kDaemon * 8 + severity(line),
                   utc_time(line.wall_ms), header_field(line.host, 255), header_field(line.app, 48),
                   pid, stream(line));
    // Section 6.4: MSG is UTF-8 when it begins with the mark; without it, any bytes.
    append_plain(out, line.text.substr(0, kMostSyslogBytes));
}

/// `NAME=value`, or the binary form for what has a newline in it.
void append_field(std::string& out, std::string_view name, std::string_view value)
{
    out += name;
    if (value.contains('\n')) {
        out += '\n';
        std::uint64_t size = value.size(); // little-endian, 64 bit
        for (int byte = 0; byte < 8; ++byte, size >>= 8U)
            out += static_cast<char>(size & 0xffU);
    } else {
        out += '=';
    }
    out += value;
    out += '\n';
}

void append_journal(std::string& out, const SinkLine& line)
{
    append_field(out, "MESSAGE", line.text);
    append_field(out, "PRIORITY", std::to_string(severity(line)));
    append_field(out, "SYSLOG_IDENTIFIER", line.app);
    if (line.pid > 0) append_field(out, "SYSLOG_PID", std::to_string(line.pid));
    append_field(out, "CLUSTER_APP", line.app);
    append_field(out, "CLUSTER_NAMESPACE", line.name_space);
    append_field(out, "CLUSTER_ID", std::to_string(line.id));
    append_field(out, "CLUSTER_INSTANCE", std::to_string(line.instance));
    append_field(out, "CLUSTER_STREAM", stream(line));
}

void append_object(std::string& out, const SinkLine& line)
{
    fmt::format_to(std::back_inserter(out), R"({{"@timestamp":"{}","message":)",
                   utc_time(line.wall_ms));
    ipc::append_json(out, line.text);
    out += R"(,"app":)";
    ipc::append_json(out, line.app);
    out += R"(,"namespace":)";
    ipc::append_json(out, line.name_space);
    fmt::format_to(std::back_inserter(out), R"(,"id":{},"instance":{},"pid":{},"stream":"{}")",
                   line.id, line.instance, line.pid, stream(line));
    out += R"(,"host":)";
    ipc::append_json(out, line.host);
    out += '}';
}

void append_text(std::string& out, const SinkLine& line)
{
    fmt::format_to(std::back_inserter(out), "{}|{:<10} | ", line.id, line.app);
    append_plain(out, line.text);
}

} // namespace

void append_sink_message(std::string& out, const ipc::SinkAddress& to, const SinkLine& line)
{
    switch (to.form) {
    case SinkForm::text:
        append_text(out, line);
        break;
    case SinkForm::journal:
        append_journal(out, line);
        break;
    case SinkForm::syslog:
        append_syslog(out, line);
        break;
    case SinkForm::json:
        append_object(out, line);
        break;
    }
    if (!to.datagrams()) out += '\n';
}

std::string utc_time(std::int64_t wall_ms)
{
    namespace chrono = std::chrono;
    const chrono::sys_time<chrono::milliseconds> at{chrono::milliseconds{wall_ms}};
    const auto day = chrono::floor<chrono::days>(at);
    const chrono::year_month_day date{day};
    const chrono::hh_mm_ss time{at - day};
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                       static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                       time.hours().count(), time.minutes().count(), time.seconds().count(),
                       time.subseconds().count());
}

} // namespace cluster::supervisor
