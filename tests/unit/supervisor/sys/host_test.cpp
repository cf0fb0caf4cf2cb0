#include "supervisor/sys/host.hpp"

#include "tests/support/scripted_system.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>

using namespace cluster::supervisor;
using cluster::tests::ScriptedSystem;

namespace {

const std::string kV2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
const std::string kV1 = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
                        "31 23 0:27 / /cg/cpuset rw - cgroup cgroup rw,cpuset\n"
                        "32 23 0:28 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n";

} // namespace

TEST_CASE("usable_cpus: each row is one machine")
{
    const struct {
        const char* name;
        int affinity;
        std::map<std::string, std::string> files;
        int want;
    } rows[] = {
        {"no cgroups at all", 6, {}, 6},
        {"no quota",
         6,
         {{"/proc/self/mountinfo", kV2},
          {"/proc/self/cgroup", "0::/a/b\n"},
          {"/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"}},
         6},
        {"a quota of one and a half is two CPUs",
         6,
         {{"/proc/self/mountinfo", kV2},
          {"/proc/self/cgroup", "0::/a/b\n"},
          {"/sys/fs/cgroup/a/b/cpu.max", "150000 100000\n"}},
         2},
        {"a tighter quota of a parent counts",
         6,
         {{"/proc/self/mountinfo", kV2},
          {"/proc/self/cgroup", "0::/a/b\n"},
          {"/sys/fs/cgroup/a/b/cpu.max", "400000 100000\n"},
          {"/sys/fs/cgroup/a/cpu.max", "300000 100000\n"}},
         3},
        {"and of the container's root",
         6,
         {{"/proc/self/mountinfo", kV2},
          {"/proc/self/cgroup", "0::/\n"},
          {"/sys/fs/cgroup/cpu.max", "50000 100000\n"}},
         1},
        {"affinity is tighter than the quota",
         2,
         {{"/proc/self/mountinfo", kV2},
          {"/proc/self/cgroup", "0::/a\n"},
          {"/sys/fs/cgroup/a/cpu.max", "800000 100000\n"}},
         2},
        {"version 1",
         6,
         {{"/proc/self/mountinfo", kV1},
          {"/proc/self/cgroup", "9:cpuset:/\n4:cpu,cpuacct:/x\n0::/\n"},
          {"/cg/cpu/x/cpu.cfs_quota_us", "200000\n"},
          {"/cg/cpu/x/cpu.cfs_period_us", "100000\n"}},
         2},
        {"version 1 without a quota",
         6,
         {{"/proc/self/mountinfo", kV1},
          {"/proc/self/cgroup", "4:cpu,cpuacct:/x\n"},
          {"/cg/cpu/x/cpu.cfs_quota_us", "-1\n"},
          {"/cg/cpu/x/cpu.cfs_period_us", "100000\n"}},
         6},
        {"a container of version 1 sees its own group as the root",
         6,
         {{"/proc/self/mountinfo", "32 23 0:28 /docker/abc /cg/cpu ro - cgroup cgroup rw,cpu\n"},
          {"/proc/self/cgroup", "4:cpu:/docker/abc\n"},
          {"/cg/cpu/cpu.cfs_quota_us", "300000\n"},
          {"/cg/cpu/cpu.cfs_period_us", "100000\n"}},
         3},
        {"a group beside the one that is mounted is not read by a shared prefix",
         6,
         {{"/proc/self/mountinfo", "32 23 0:28 /docker/abc /cg/cpu ro - cgroup cgroup rw,cpu\n"},
          {"/proc/self/cgroup", "4:cpu:/docker/abcd\n"},
          {"/cg/cpud/cpu.cfs_quota_us", "100000\n"},
          {"/cg/cpud/cpu.cfs_period_us", "100000\n"}},
         6},
        {"nonsense is no quota",
         6,
         {{"/proc/self/mountinfo", kV2 + "short - line\nnothing\n"},
          {"/proc/self/cgroup", "0:\n0::/a\n"},
          {"/sys/fs/cgroup/a/cpu.max", "lots of it\n"}},
         6},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        ScriptedSystem system;
        system.cpus = row.affinity;
        system.files = row.files;
        CHECK(usable_cpus(system) == row.want);
    }
}

TEST_CASE("usable_cpus: one when the kernel does not tell")
{
    ScriptedSystem system;
    system.fail_nth(1, 38);
    CHECK(usable_cpus(system) == 1);
}
