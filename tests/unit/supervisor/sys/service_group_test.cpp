#include "supervisor/sys/service_group.hpp"

#include <doctest/doctest.h>

using namespace cluster::supervisor;

TEST_CASE("service group: found for a command that systemd runs beside the service")
{
    CHECK(group_of_service("0::/system.slice/clusterctl-a.service/.control\n") ==
          "/system.slice/clusterctl-a.service");
    CHECK(group_of_service("1:name=systemd:/x/.control\n0::/user.slice/y/.control") ==
          "/user.slice/y");
    for (const char* other : {"", "0::/system.slice/x.service\n", "1:name=systemd:/x/.control\n"})
        CHECK_FALSE(group_of_service(other));
}

TEST_CASE("service group: controllers are turned off by their names")
{
    CHECK(switched_off("cpu memory pids\n") == "-cpu -memory -pids");
    CHECK(switched_off("\n").empty());
}
