#include "supervisor/sys/sampler.hpp"

#include "tests/unit/supervisor/sys/fake_proc.hpp"

#include <doctest/doctest.h>

using namespace cluster::supervisor;
using namespace cluster::tests;
using namespace std::chrono_literals;

namespace {

/// Values below are written for 100 ticks a second, which is what Linux has everywhere (man 7
/// time).
const bool kHundredTicks = ::sysconf(_SC_CLK_TCK) == 100;
const auto kPage = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));

FakeProcess root(std::uint64_t ticks, std::uint64_t pages)
{
    return {.pid = 100, .user_ticks = ticks, .kernel_ticks = 0, .pages = pages};
}

FakeProcess child(std::uint64_t ticks, std::uint64_t pages)
{
    return {.pid = 101, .parent = 100, .kernel_ticks = ticks, .pages = pages};
}

/// A machine up for 20 s in which the worker was started after 10 s.
ScriptedSystem machine(std::uint64_t root_ticks, std::uint64_t child_ticks)
{
    ScriptedSystem system;
    system.files["/proc/uptime"] = "20.00 39.12\n";
    add_process(system, root(root_ticks, 10));
    add_process(system, child(child_ticks, 90));
    return system;
}

} // namespace

TEST_CASE("sampler: memory and CPU are those of the whole tree")
{
    REQUIRE(kHundredTicks);
    ScriptedSystem system = machine(100, 150);
    Sampler sampler{system};
    const Usage first = sampler.sample(0, 100, 1000, 5s);
    CHECK(first.memory == 100 * kPage);
    CHECK(first.cpu == doctest::Approx(25)); // 2.5 s in its life of 10 s

    system.files["/proc/101/stat"] = stat_text(child(350, 190));
    const Usage second = sampler.sample(0, 100, 1000, 6s);
    CHECK(second.memory == 200 * kPage);
    CHECK(second.cpu == doctest::Approx(200)); // 2 s within one
}

TEST_CASE("sampler: a second look at once costs nothing and says the same")
{
    ScriptedSystem system = machine(100, 150);
    Sampler sampler{system};
    const Usage first = sampler.sample(0, 100, 1000, 5s);
    const auto calls = system.calls.size();
    CHECK(sampler.sample(0, 100, 1000, 5s + Sampler::kFresh - 1ms).cpu == first.cpu);
    CHECK(system.calls.size() == calls);
    sampler.sample(0, 100, 1000, 5s + Sampler::kFresh);
    CHECK(system.calls.size() > calls);
    sampler.sample(1, 100, 1000, 5s + Sampler::kFresh);
    CHECK(system.count("read /proc/uptime") == 2); // another worker's first sample is its own
}

TEST_CASE("sampler: figures of thousands may be a millisecond older for each of them")
{
    ScriptedSystem system = machine(100, 150);
    Sampler sampler{system};
    for (int id = 0; id < 2000; ++id)
        sampler.sample(id, 100, 1000, 5s);
    const auto calls = system.calls.size();
    sampler.sample(0, 100, 1000, 5s + 1999ms);
    CHECK(system.calls.size() == calls);
    sampler.sample(0, 100, 1000, 5s + 2000ms);
    CHECK(system.calls.size() > calls);
}

TEST_CASE("sampler: a child that has ended does not make the CPU negative")
{
    ScriptedSystem system = machine(100, 150);
    Sampler sampler{system};
    sampler.sample(0, 100, 1000, 5s);
    remove_process(system, 101);
    const Usage usage = sampler.sample(0, 100, 1000, 6s);
    CHECK(usage.cpu == 0);
    CHECK(usage.memory == 10 * kPage);
}

TEST_CASE("sampler: a child that was waited for is still counted")
{
    ScriptedSystem system = machine(100, 150);
    Sampler sampler{system};
    CHECK(sampler.sample(0, 100, 1000, 5s).cpu_ticks == 250);
    remove_process(system, 101);
    system.files["/proc/100/stat"] =
        stat_text({.pid = 100, .user_ticks = 110, .pages = 10, .waited_ticks = 240});
    const Usage usage = sampler.sample(0, 100, 1000, 6s);
    CHECK(usage.cpu_ticks == 350);
    CHECK(usage.cpu == doctest::Approx(100)); // 1 s within one, though only one process is left
}

TEST_CASE("sampler: proportional memory is added up over what may be read")
{
    ScriptedSystem system;
    system.files["/proc/1/smaps_rollup"] =
        "5566-7788 ---p 0 0 0 [rollup]\nRss: 900 kB\nPss: 10 kB\n"
        "Pss_Dirty: 4 kB\n";
    system.files["/proc/3/smaps_rollup"] = "[rollup]\nPss:          7 kB\n";
    CHECK(proportional_memory(system, {1, 2, 3}) == 17 * 1024);
    CHECK(proportional_memory(system, {}) == 0);
}

TEST_CASE("sampler: a new process of the worker begins anew")
{
    ScriptedSystem system = machine(500, 0);
    Sampler sampler{system};
    sampler.sample(0, 100, 1000, 5s);
    add_process(system, {.pid = 200, .start_time = 1900, .user_ticks = 50});
    CHECK(sampler.sample(0, 200, 1900, 5s).cpu == doctest::Approx(50)); // 0.5 s in 1 s of life

    sampler.forget(0);
    system.files["/proc/200/stat"] = stat_text({.pid = 200, .start_time = 1900, .user_ticks = 100});
    CHECK(sampler.sample(0, 200, 1900, 6s).cpu == doctest::Approx(100));
}

TEST_CASE("sampler: a process that has gone, or whose pid is a stranger's, uses nothing")
{
    ScriptedSystem system = machine(500, 0);
    Sampler sampler{system};
    CHECK(sampler.sample(0, 300, 1000, 5s).memory == 0);
    CHECK(sampler.sample(0, 100, 999, 5s).memory == 0);
    CHECK(sampler.sample(0, 100, 1000, 5s).memory == 100 * kPage);
}

TEST_CASE("sampler: a child whose pid was given to a stranger meanwhile is not counted")
{
    ScriptedSystem system = machine(500, 0);
    FakeProcess stranger = child(0, 1000);
    stranger.parent = 1;
    system.files["/proc/101/stat"] = stat_text(stranger);
    CHECK(live_tree(system, 100) == std::vector<pid_t>{100});
}

TEST_CASE("live_tree: the process first, then its descendants, and nothing once it has gone")
{
    ScriptedSystem system = machine(0, 0);
    add_process(system, {.pid = 102, .parent = 101});
    CHECK(live_tree(system, 100) == std::vector<pid_t>{100, 101, 102});
    CHECK(live_tree(system, 999).empty());
}
