#include "supervisor/core/notify_message.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster;
using namespace cluster::supervisor;
using std::chrono::milliseconds;

TEST_CASE("notify message: each row is one datagram")
{
    const struct {
        const char* name;
        std::string datagram;
        NotifyMessage want;
    } rows[] = {
        {"nothing", "", {}},
        {"ready", "READY=1", {.ready = true}},
        {"with a newline at the end", "READY=1\n", {.ready = true}},
        {"only 1 is yes", "READY=0\nSTOPPING=yes\nRELOADING=", {}},
        {"a sign of life", "WATCHDOG=1", {.watchdog = true}},
        {"a cry for a restart", "WATCHDOG=trigger", {.watchdog_trigger = true}},
        {"stopping", "STOPPING=1", {.stopping = true}},
        {"reloading, with a time", "RELOADING=1\nMONOTONIC_USEC=123", {.reloading = true}},
        {"several",
         "READY=1\nSTATUS=up\nWATCHDOG=1",
         {.ready = true, .watchdog = true, .status = "up"}},
        {"empty lines between", "\n\nREADY=1\n\n\nSTOPPING=1", {.ready = true, .stopping = true}},
        {"a status may hold =", "STATUS=a=b", {.status = "a=b"}},
        {"an empty status is one", "STATUS=", {.status = ""}},
        {"the last one counts", "STATUS=a\nSTATUS=b\nREADY=1\nREADY=0", {.status = "b"}},
        {"a status is fit to be shown", "STATUS=\x1b[31mr\xff", {.status = "[31mr\uFFFD"}},
        {"200 bytes of it", "STATUS=" + std::string(999, 'x'), {.status = std::string(200, 'x')}},
        {"more time, rounded up", "EXTEND_TIMEOUT_USEC=1500001", {.extend = milliseconds{1501}}},
        {"no time", "EXTEND_TIMEOUT_USEC=0", {.extend = milliseconds{0}}},
        {"24 days at most",
         "EXTEND_TIMEOUT_USEC=18446744073709551615",
         {.extend = milliseconds{24LL * 24 * 3600 * 1000}}},
        {"a time that is none", "EXTEND_TIMEOUT_USEC=5s", {}},
        {"a time that is too long for a number", "EXTEND_TIMEOUT_USEC=18446744073709551616", {}},
        {"names are case-sensitive", "ready=1\nReady=1", {}},
        {"no blanks", " READY=1\nREADY =1\nREADY= 1", {}},
        {"others are left out", "MAINPID=1\nFDSTORE=1\nX_READY=1\nBARRIER=1\nERRNO=2", {}},
        {"no = at all", "READY", {}},
        {"no name", "=1", {}},
        {"bytes of any kind", std::string{"\0\xff\n=\n\0=1\nREADY=1", 16}, {.ready = true}},
        {"a carriage return is no end of line", "READY=1\r\nSTOPPING=1", {.stopping = true}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CHECK(parse_notify_message(row.datagram) == row.want);
    }
}
