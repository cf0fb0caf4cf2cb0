#include "supervisor/core/sink_message.hpp"

#include <doctest/doctest.h>

using namespace cluster;
using namespace cluster::supervisor;

namespace {

SinkLine line_of(std::string_view text)
{
    return {.app = "api",
            .name_space = "shop",
            .host = "host1",
            .id = 3,
            .instance = 1,
            .pid = 4711,
            .error = true,
            .wall_ms = 1'795'347'000'123, // 2026-11-22T11:30:00.123Z
            .text = text};
}

std::string message(const char* sink, const SinkLine& line)
{
    std::string out;
    append_sink_message(out, ipc::parse_sink(sink).value(), line);
    return out;
}

} // namespace

TEST_CASE("sink messages: RFC 5424, without a newline in a datagram and with one in a stream")
{
    const std::string expected = "<27>1 2026-11-22T11:30:00.123Z host1 api 4711 err - a\tb";
    CHECK(message("syslog", line_of("a\tb")) == expected);
    CHECK(message("syslog://h:514", line_of("a\tb")) == expected);
    CHECK(message("syslog+tcp://h:514", line_of("a\tb")) == expected + "\n");

    SinkLine odd = line_of("");
    odd.app = "two words ü";
    odd.host = "";
    odd.pid = 0;
    odd.error = false;
    CHECK(message("syslog", odd) == "<30>1 2026-11-22T11:30:00.123Z - two-words--- - out - ");
}

TEST_CASE("sink messages: a line of JSON with all that is known, whatever bytes it has")
{
    CHECK(message("tcp://h:1", line_of("say \"x\"")) ==
          R"({"@timestamp":"2026-11-22T11:30:00.123Z","message":"say \"x\"","app":"api",)"
          R"("namespace":"shop","id":3,"instance":1,"pid":4711,"stream":"err","host":"host1"})"
          "\n");
    CHECK(message("unix:/x", line_of("\xff\x01")).contains("\"message\":\"\xef\xbf\xbd\\u0001\""));
}

TEST_CASE("sink messages: the journal's fields, in the binary form where a newline is")
{
    CHECK(message("journald", line_of("x=y")) ==
          "MESSAGE=x=y\nPRIORITY=3\nSYSLOG_IDENTIFIER=api\nSYSLOG_PID=4711\nCLUSTER_APP=api\n"
          "CLUSTER_NAMESPACE=shop\nCLUSTER_ID=3\nCLUSTER_INSTANCE=1\nCLUSTER_STREAM=err\n");
    CHECK(message("journald", line_of("a\nb"))
              .starts_with(std::string{"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=3\n", 31}));
}

TEST_CASE("sink messages: plain text has no controls")
{
    CHECK(message("stdout", line_of("a\x1b[1m\rb")) == "3|api        | a\\x1b[1m\\x0db\n");
}
