// One line of a worker's output as those who receive it want it. Pure: bytes in, bytes out.
#pragma once

#include "ipc/wire/log_sink.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace cluster::supervisor {

/// A line and where it comes from. The views live as long as the call.
struct SinkLine {
    std::string_view app;
    std::string_view name_space;
    std::string_view host;
    int id = 0;
    int instance = 0;
    std::int64_t pid = 0;     ///< 0 unknown
    bool error = false;       ///< from stderr
    std::int64_t wall_ms = 0; ///< when it was read
    std::string_view text;    ///< without its newline
};

/// Appends the line in that form. A message of a stream ends in a newline and has no other one; a
/// datagram has none at its end. Sources: RFC 5424 section 6 (PRI: facility daemon, severity
/// informational or error; MSGID `out` or `err`), systemd's Native Journal Protocol.
void append_sink_message(std::string& out, const ipc::SinkAddress& to, const SinkLine& line);

/// "2026-11-22T11:30:00.123Z" (RFC 3339).
std::string utc_time(std::int64_t wall_ms);

} // namespace cluster::supervisor
