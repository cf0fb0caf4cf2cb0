#include "ipc/wire/log_sink.hpp"

#include <doctest/doctest.h>

using namespace cluster::ipc;

TEST_CASE("log sinks: each notation is one form and one transport")
{
    using enum SinkForm;
    using enum SinkTransport;
    const struct {
        const char* text;
        SinkForm form;
        SinkTransport transport;
        const char* path;
        const char* host;
        int port;
    } rows[] = {
        {"stdout", text, stdout_fd, "", "", 0},
        {"journald", journal, unix_datagram, "/run/systemd/journal/socket", "", 0},
        {"syslog", syslog, unix_datagram, "/dev/log", "", 0},
        {"syslog:/run/log", syslog, unix_datagram, "/run/log", "", 0},
        {"syslog://logs.example:514", syslog, udp, "", "logs.example", 514},
        {"syslog+tcp://[::1]:6514", syslog, tcp, "", "::1", 6514},
        {"tcp://127.0.0.1:5170", json, tcp, "", "127.0.0.1", 5170},
        {"unix:/run/vector.sock", json, unix_stream, "/run/vector.sock", "", 0},
    };
    for (const auto& row : rows) {
        CAPTURE(row.text);
        const auto sink = parse_sink(row.text);
        REQUIRE(sink.has_value());
        CHECK(sink->form == row.form);
        CHECK(sink->transport == row.transport);
        CHECK(sink->path == row.path);
        CHECK(sink->host == row.host);
        CHECK(sink->port == row.port);
    }
}

TEST_CASE("log sinks: what is wrong is refused with what would be right")
{
    for (const char* bad : {"", "file", "udp://x:1", "journald:/x", "STDOUT"}) {
        CAPTURE(bad);
        REQUIRE_FALSE(parse_sink(bad).has_value());
        CHECK(parse_sink(bad).error().contains("\"journald\""));
    }
    for (const char* bad : {"tcp://", "tcp://host", "tcp://host:0", "tcp://host:65536", "tcp://:1",
                            "tcp://a b:1", "tcp://::1:80", "syslog://[x]:1", "syslog+tcp://h:p"}) {
        CAPTURE(bad);
        REQUIRE_FALSE(parse_sink(bad).has_value());
        CHECK(parse_sink(bad).error().contains("a port from 1 to 65535"));
    }
    for (const std::string& bad :
         {std::string{"unix:x"}, std::string{"syslog:"}, "unix:/" + std::string(200, 'x')}) {
        CAPTURE(bad);
        REQUIRE_FALSE(parse_sink(bad).has_value());
        CHECK(parse_sink(bad).error().contains("an absolute path"));
    }
}
