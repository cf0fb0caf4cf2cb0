#include "supervisor/sys/service_group.hpp"

#include "tests/support/scripted_system.hpp"

#include <doctest/doctest.h>

using namespace cluster::supervisor;
using cluster::tests::ScriptedSystem;

namespace {

const std::string kUnit = "/sys/fs/cgroup/unified/system.slice/clusterctl-a.service";

/// What the controllers of the unit's group are after the command, which is in this group.
std::string after_being_in(const std::string& group)
{
    ScriptedSystem system;
    system.files["/proc/self/mountinfo"] =
        "30 23 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n"
        "31 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    system.files["/proc/self/cgroup"] = "1:name=systemd:/x/.control\n0::" + group + "\n";
    system.files[kUnit + "/cgroup.subtree_control"] = "cpu pids\n";
    CHECK(free_group_of_service(system));
    return system.files[kUnit + "/cgroup.subtree_control"];
}

} // namespace

TEST_CASE("service group: a command beside the service turns its controllers off")
{
    CHECK(after_being_in("/system.slice/clusterctl-a.service/.control") == "-cpu -pids");
}

TEST_CASE("service group: anybody else touches nothing")
{
    for (const char* group : {"/", "/system.slice/clusterctl-a.service", "/user.slice/y"})
        CHECK(after_being_in(group) == "cpu pids\n");
}

TEST_CASE("service group: controllers are turned off by their names")
{
    CHECK(switched_off("cpu memory pids\n") == "-cpu -memory -pids");
    CHECK(switched_off("\n").empty());
}
