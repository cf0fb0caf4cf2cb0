#include "supervisor/sys/socket_holder.hpp"

#include "tests/support/scripted_system.hpp"

#include <doctest/doctest.h>

#include <cerrno>

using namespace cluster::supervisor;
using cluster::tests::ScriptedSystem;

namespace {

const char* const kTcp =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
    "inode\n"
    "   0: 0100007F:0BB9 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
    "4711 "
    "1 0000000000000000 100 0 0 10 0\n"
    "   1: 0100007F:0BBA 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 "
    "4712 "
    "1 0000000000000000 20 4 30 10 -1\n";
const char* const kTcp6 =
    "  sl  local_address remote_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout "
    "inode\n"
    "   0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A "
    "00000000:00000000 00:00000000 00000000  1000        0 4713 1 0000000000000000 100 0 0 10 0\n";
const char* const kUnix = "Num       RefCount Protocol Flags    Type St Inode Path\n"
                          "0000000000000000: 00000003 00000000 00000000 0001 03 4720 /run/x.sock\n"
                          "0000000000000000: 00000002 00000000 00010000 0001 01 4721 /run/x.sock\n"
                          "0000000000000000: 00000002 00000000 00010000 0001 01 4722\n";

ScriptedSystem machine()
{
    ScriptedSystem system;
    system.files = {{"/proc/net/tcp", kTcp},     {"/proc/net/tcp6", kTcp6},
                    {"/proc/net/unix", kUnix},   {"/proc/7/comm", "nginx\n"},
                    {"/proc/42/comm", "node\n"}, {"/proc/99/comm", "php fpm\n"},
                    {"/proc/meminfo", ""}};
    system.links = {{"/proc/7/fd/0", "/dev/null"},
                    {"/proc/7/fd/5", "socket:[4713]"},
                    {"/proc/42/fd/3", "socket:[4711]"},
                    {"/proc/42/fd/4", "socket:[4712]"},
                    {"/proc/99/fd/6", "socket:[4721]"}};
    return system;
}

} // namespace

TEST_CASE("socket_holder: who listens on a port of IPv4 or IPv6")
{
    ScriptedSystem system = machine();
    CHECK(holder_of_port(system, 3001) == "node, pid 42");
    CHECK(holder_of_port(system, 8080) == "nginx, pid 7");
    CHECK(holder_of_port(system, 3002) == ""); // a connection, not a listener
    CHECK(holder_of_port(system, 80) == "");
}

TEST_CASE("socket_holder: who listens on a path")
{
    ScriptedSystem system = machine();
    CHECK(holder_of_path(system, "/run/x.sock") == "php fpm, pid 99");
    CHECK(holder_of_path(system, "/run/y.sock") == "");
}

TEST_CASE("socket_holder: descriptors that may not be read leave the holder unknown")
{
    ScriptedSystem system = machine();
    system.fail_always("list directory /proc/42/fd", EACCES);
    CHECK(holder_of_port(system, 3001) == "");
    system.fail_always("read /proc/net", EACCES);
    CHECK(holder_of_port(system, 8080) == "");
    CHECK(holder_of_path(system, "/run/x.sock") == "");
}
