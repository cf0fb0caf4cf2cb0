#include "supervisor/sys/cgroups.hpp"

#include "tests/support/scripted_system.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

using namespace cluster::supervisor;
using cluster::tests::ScriptedSystem;

namespace {

constexpr pid_t kManager = 70;
constexpr pid_t kGuardian = 69;
const Cgroups::Place kPlace{.home = "/h", .daemons = {kGuardian, kManager}, .own_group = true};
const std::string kUnit = "/sys/fs/cgroup/system.slice/clusterctl.service";
const std::string kV1 = "31 23 0:27 / /cg/memory rw - cgroup cgroup rw,memory\n"
                        "32 23 0:28 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                        "33 23 0:29 / /cg/pids rw - cgroup cgroup rw,pids\n";

/// A machine with version 2, and our unit in it.
struct Machine {
    ScriptedSystem system;

    Machine()
    {
        system.files["/proc/self/mountinfo"] =
            "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        system.files["/proc/self/cgroup"] = "0::/system.slice/clusterctl.service\n";
        has_group(kUnit, "cpu memory pids");
        has_group(kUnit + "/clusterctl.daemon", "");
    }
    void has_group(const std::string& path, const std::string& controllers)
    {
        system.files[path + "/cgroup.controllers"] = controllers + "\n";
        system.files[path + "/cgroup.subtree_control"] = "";
        system.files[path + "/cgroup.procs"] = "";
    }
    void has_worker_group(const std::string& path)
    {
        has_group(path, "cpu memory pids");
        for (const char* file :
             {"memory.high", "memory.max", "memory.oom.group", "pids.max", "cpu.max",
              "memory.limit_in_bytes", "memory.soft_limit_in_bytes", "cpu.cfs_quota_us"})
            system.files[path + "/" + file] = "";
    }
    [[nodiscard]] std::string text(const std::string& path) const
    {
        const auto found = system.files.find(path);
        return found == system.files.end() ? "" : found->second;
    }
};

} // namespace

TEST_CASE("cgroups: in a delegated unit the daemons make way, and every worker gets a group")
{
    Machine m;
    m.system.files[kUnit + "#user.delegate"] = "1";
    m.has_worker_group(kUnit + "/w1");
    Cgroups cgroups{m.system, kPlace};
    CHECK(cgroups.for_all());
    CHECK(m.text(kUnit + "/clusterctl.daemon/cgroup.procs") == "70" /* after 69 */);
    CHECK(m.text(kUnit + "/cgroup.subtree_control") == "+memory +pids +cpu ");
}

TEST_CASE("cgroups: without delegation nothing is touched before a limit asks for it")
{
    Machine m;
    Cgroups cgroups{m.system, kPlace};
    CHECK_FALSE(cgroups.for_all());
    CHECK(m.system.count("create directory") == 0);
    CHECK(m.text(kUnit + "/cgroup.subtree_control").empty());
}

TEST_CASE("cgroups: a unit that nobody makes whole again is not divided")
{
    Machine m;
    m.system.files[kUnit + "#user.delegate"] = "1";
    Cgroups cgroups{m.system, {.home = "/h", .daemons = {kGuardian, kManager}}};
    CHECK_FALSE(cgroups.for_all());
    CHECK(cgroups.controller("memory_max").version == 0);
    CHECK(m.text(kUnit + "/cgroup.subtree_control").empty());
}

TEST_CASE("cgroups: in a container of our own the daemons make way, in a shared one they do not")
{
    for (const bool alone : {true, false}) {
        CAPTURE(alone);
        Machine m;
        m.system.files["/proc/self/cgroup"] = "0::/\n";
        m.has_group("/sys/fs/cgroup", "memory pids");
        m.has_group("/sys/fs/cgroup/clusterctl.daemon", "");
        m.system.files["/sys/fs/cgroup/cgroup.procs"] = alone ? "69\n70\n" : "1\n69\n70\n";
        Cgroups cgroups{m.system, {.home = "/h", .daemons = {kGuardian, kManager}}};
        CHECK((cgroups.controller("memory_max").base == "/sys/fs/cgroup") == alone);
        CHECK(m.text("/sys/fs/cgroup/clusterctl.daemon/cgroup.procs").empty() != alone);
    }
}

TEST_CASE("cgroups: a manager that was started in the daemons' group finds the unit above it")
{
    Machine m;
    m.system.files["/proc/self/cgroup"] = "0::/system.slice/clusterctl.service/clusterctl.daemon\n";
    m.system.files[kUnit + "#trusted.delegate"] = "1";
    m.system.files[kUnit + "/cgroup.subtree_control"] = "cpu memory pids";
    Cgroups cgroups{m.system, kPlace};
    CHECK(cgroups.for_all());
    CHECK(cgroups.controller("memory_max").base == kUnit);
    CHECK(cgroups.controller("memory_high").version == 2);
}

TEST_CASE("cgroups: version 2 takes each limit in its own file")
{
    Machine m;
    m.system.files[kUnit + "#user.delegate"] = "1";
    m.system.files[kUnit + "/cgroup.subtree_control"] = "cpu memory pids ";
    m.has_worker_group(kUnit + "/w1");
    Cgroups cgroups{m.system, kPlace};
    const auto made = cgroups.make(
        "w1", {.memory_high = 100 << 20, .memory_max = 200 << 20, .cpu_max = 1500, .pids_max = 64});
    REQUIRE(made);
    CHECK(*made == GroupFolders{kUnit + "/w1"});
    CHECK(m.text(kUnit + "/w1/memory.high") == "104857600");
    CHECK(m.text(kUnit + "/w1/memory.max") == "209715200");
    CHECK(m.text(kUnit + "/w1/memory.oom.group") == "1");
    CHECK(m.text(kUnit + "/w1/cpu.max") == "150000 100000");
    CHECK(m.text(kUnit + "/w1/pids.max") == "64");
}

TEST_CASE("cgroups: limits that were lost with the controllers are set again")
{
    Machine m;
    m.system.files[kUnit + "#user.delegate"] = "1";
    m.system.files[kUnit + "/cgroup.subtree_control"] = "cpu memory pids ";
    m.has_worker_group(kUnit + "/w1");
    Cgroups cgroups{m.system, kPlace};
    REQUIRE(cgroups.renew({kUnit + "/w1"}, {.memory_max = 4096, .pids_max = 9}));
    CHECK(m.text(kUnit + "/w1/memory.max") == "4096");
    CHECK(m.text(kUnit + "/w1/pids.max") == "9");
    CHECK(m.text(kUnit + "/w1/cpu.max").empty());
}

TEST_CASE("cgroups: version 1 has a group for each controller that a limit needs")
{
    Machine m;
    m.system.files["/proc/self/mountinfo"] = kV1;
    m.system.files["/proc/self/cgroup"] = "4:memory:/box\n3:pids:/\n2:cpu,cpuacct:/\n";
    Cgroups cgroups{m.system, kPlace};
    CHECK_FALSE(cgroups.for_all());
    CHECK(cgroups.controller("memory_max").version == 1);
    CHECK(cgroups.controller("memory_high").version == 0); // its soft limit is another thing
    CHECK(cgroups.controller("cpu_max").version == 1);
    const std::string memory = cgroups.controller("memory_max").base;
    const std::string cpu = cgroups.controller("cpu_max").base;
    CHECK(memory.starts_with("/cg/memory/box/clusterctl-"));
    for (const std::string& base : {memory, cpu}) // made to see whether we may
        CHECK(std::ranges::count(m.system.calls, "remove directory " + base) == 1);
    m.has_worker_group(memory + "/w1");
    m.has_worker_group(cpu + "/w1");
    const auto made = cgroups.make("w1", {.memory_max = 1 << 20, .cpu_max = 250});
    REQUIRE(made);
    CHECK(*made == GroupFolders{memory + "/w1", cpu + "/w1"});
    CHECK(m.text(memory + "/w1/memory.limit_in_bytes") == "1048576");
    CHECK(m.text(cpu + "/w1/cpu.cfs_quota_us") == "25000");
}

TEST_CASE("cgroups: in version 1 less CPU time is what slows a tree down")
{
    Machine m;
    m.system.files["/proc/self/mountinfo"] = kV1;
    m.system.files["/proc/self/cgroup"] = "4:memory:/box\n3:pids:/\n2:cpu,cpuacct:/\n";
    Cgroups cgroups{m.system, kPlace};
    REQUIRE(cgroups.slows_down());
    const std::string memory = cgroups.controller("memory_max").base + "/w1";
    const std::string cpu = cgroups.controller("cpu_max").base + "/w1";
    m.has_worker_group(memory);
    m.has_worker_group(cpu);
    const auto made = cgroups.make("w1", {.memory_high = 4096});
    REQUIRE(made);
    CHECK(*made == GroupFolders{memory, cpu});
    CHECK(m.text(memory + "/memory.soft_limit_in_bytes") == "4096");
    CHECK(m.text(cpu + "/cpu.cfs_quota_us").empty());
    // The kernel takes no less than a millisecond.
    for (const auto& [share, quota] : {std::pair{250, "25000"}, {1, "1000"}, {0, "-1"}}) {
        m.system.files[cpu + "/cpu.cfs_quota_us"] = "";
        REQUIRE(cgroups.slow_down(*made, share));
        CHECK(m.text(cpu + "/cpu.cfs_quota_us") == quota);
    }
}

TEST_CASE("cgroups: what nobody enforces is left out")
{
    ScriptedSystem system;
    Cgroups cgroups{system, {.home = "/h", .daemons = {}}};
    CHECK(cgroups.controller("memory_max").version == 0);
    CHECK_FALSE(cgroups.slows_down());
    const auto made = cgroups.make("w1", {.memory_max = 1});
    REQUIRE(made);
    CHECK(made->empty());
}

TEST_CASE("cgroups: a limit that the kernel refuses is an error, and leaves no group")
{
    Machine m;
    m.system.files[kUnit + "#user.delegate"] = "1";
    m.system.files[kUnit + "/cgroup.subtree_control"] = "memory";
    Cgroups cgroups{m.system, kPlace};
    const auto made = cgroups.make("w1", {.memory_max = 1}); // there is no memory.max in it
    REQUIRE_FALSE(made);
    CHECK(made.error().what.contains(kUnit + "/w1/memory.max"));
    CHECK(m.system.count("remove directory " + kUnit + "/w1") == 2); // before and after
}

TEST_CASE("cgroups: what the kernel did for the limits, in the words of both versions")
{
    ScriptedSystem system;
    system.files["/g2/cgroup.controllers"] = "cpu memory pids";
    system.files["/g2/memory.events"] = "low 0\nhigh 3\nmax 5\noom 2\noom_kill 2\n";
    system.files["/g2/pids.events"] = "max 7\n";
    system.files["/g2/cpu.stat"] = "usage_usec 9\nnr_throttled 1\nthrottled_usec 5000\n";
    system.files["/g1/memory.oom_control"] = "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n";
    system.files["/g1/cpu.stat"] = "nr_periods 5\nnr_throttled 2\nthrottled_time 3000000\n";
    const GroupEvents v2 = group_events(system, {"/g2"});
    CHECK(v2.out_of_memory == 2);
    CHECK(v2.refused_forks == 7);
    CHECK(v2.throttled_ms == 5);
    const GroupEvents v1 = group_events(system, {"/g1"});
    CHECK(v1.out_of_memory == 1);
    CHECK(v1.throttled_ms == 3);
}

TEST_CASE("cgroups: members of all groups, each once")
{
    ScriptedSystem system;
    system.files["/a/cgroup.procs"] = "12\n10\n";
    system.files["/b/cgroup.procs"] = "10\n11\n";
    CHECK(group_members(system, {"/a", "/b"}) == std::vector<pid_t>{10, 11, 12});
    CHECK_FALSE(kill_group(system, {"/a"}));
    system.files["/b/cgroup.kill"] = "";
    CHECK(kill_group(system, {"/a", "/b"}));
    CHECK(system.files["/b/cgroup.kill"] == "1");
}
