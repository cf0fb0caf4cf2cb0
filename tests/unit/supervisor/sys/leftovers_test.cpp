#include "supervisor/sys/leftovers.hpp"

#include "tests/unit/supervisor/sys/fake_proc.hpp"

#include <doctest/doctest.h>

using namespace cluster::supervisor;
using namespace cluster::tests;
using namespace std::string_literals;

TEST_CASE("leftovers: who carries an id of ours, and everything below or in the same session")
{
    ScriptedSystem system;
    const struct {
        FakeProcess process;
        std::string environment;
        bool found;
    } rows[] = {
        {{.pid = 10}, "A=1\0unique_id=one\0"s, true},
        {{.pid = 9, .parent = 10}, "A=1\0"s, true},
        {{.pid = 8, .parent = 9}, ""s, true},
        {{.pid = 11, .session = 10}, "A=1\0"s, true},
        {{.pid = 12, .parent = 700}, "unique_id=two"s, true}, // under another reaper than pid 1
        {{.pid = 20}, "unique_id=three\0"s, false},           // of another daemon
        {{.pid = 21}, "unique_id=one2\0"s, false},
        {{.pid = 22}, "my_unique_id=one\0"s, false},
        {{.pid = 23}, "A=unique_id=one\0"s, false},
        {{.pid = 24, .state = 'Z'}, "unique_id=one\0"s, false},
        {{.pid = 30}, "unique_id=one\0"s, false}, // spared
        {{.pid = 2, .parent = 0, .group = 1, .session = 1}, ""s, false},
    };
    std::vector<pid_t> want;
    for (const auto& row : rows) {
        add_process(system, row.process);
        set_environment(system, row.process.pid, row.environment);
        if (row.found) want.push_back(row.process.pid);
    }
    std::ranges::sort(want);
    CHECK(find_leftovers(system, {"one", "two"}, {30}) == want);
    CHECK(find_leftovers(system, {}, {}).empty());
}
