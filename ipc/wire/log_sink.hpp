// The notation of where output goes besides files (attribute `log_sinks`).
#pragma once

#include "ipc/wire/attribute_codecs.hpp"

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

namespace cluster::ipc {

/// How a line is written down for who receives it.
enum class SinkForm {
    text,    ///< `id|name | line`, as `clusterctl logs` prints it
    journal, ///< systemd's native protocol: one datagram of fields
    syslog,  ///< RFC 5424
    json,    ///< one object a line
};

enum class SinkTransport { stdout_fd, unix_datagram, unix_stream, udp, tcp };

struct SinkAddress {
    SinkForm form = SinkForm::text;
    SinkTransport transport = SinkTransport::stdout_fd;
    std::string path;       ///< of unix sockets
    std::string host;       ///< of udp and tcp: a name or a numeric address without brackets
    std::uint16_t port = 0; ///< of udp and tcp

    /// Messages with bounds of their own, which are sent whole or not at all.
    [[nodiscard]] bool datagrams() const
    {
        return transport == SinkTransport::unix_datagram || transport == SinkTransport::udp;
    }
};

/// "stdout", "journald", "syslog" (the socket /dev/log), "syslog:/PATH", "syslog://HOST:PORT"
/// (UDP), "syslog+tcp://HOST:PORT", "tcp://HOST:PORT" and "unix:/PATH" (lines of JSON). The error
/// says what is allowed, to stand after "must be".
[[nodiscard]] std::expected<SinkAddress, std::string> parse_sink(std::string_view text);

struct Sinks {
    static constexpr Type type = Type::sinks;
    static Verdict read(const nlohmann::json& value, std::vector<std::string>& into,
                        const Attribute&);
    static nlohmann::json write(const std::vector<std::string>& value);
};

} // namespace cluster::ipc
