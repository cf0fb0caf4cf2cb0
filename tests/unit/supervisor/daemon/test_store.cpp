#include "supervisor/daemon/store.hpp"

#include "tests/unit/supervisor/engine/machine.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;

namespace {

const std::string kPath = "/home/u/.clusterctl/state.json";

/// A whole state that can be told from others by its number.
std::string state(int number)
{
    return R"({"version":2,"readable_by":2,"next_id":)" + std::to_string(number) +
           R"(,"workers":[]})" + "\n";
}

struct Storing {
    tests::Machine m; ///< its loop, system and log
    Store store{m.loop, m.system, m.log, kPath};

    /// The number of what is loaded; empty when nothing is.
    std::optional<int> loaded()
    {
        const auto got = store.load();
        return got ? std::optional{got->next_id} : std::nullopt;
    }
    bool has(const std::string& ending) { return m.system.files.contains(kPath + ending); }
};

} // namespace

TEST_CASE("store: no file is no state and no complaint")
{
    Storing s;
    CHECK_FALSE(s.store.load());
    CHECK(s.m.log.lines.empty());
}

TEST_CASE("store: the state is the file's; what cannot be used is kept aside and the .bak is taken")
{
    const std::string half = state(9).substr(0, 20);
    const struct {
        const char* name;
        std::optional<std::string> file, bak;
        std::optional<int> want;
        std::vector<const char*> bad; ///< kept aside
    } rows[] = {
        {"the file", state(2), std::nullopt, 2, {}},
        {"the file, not the one before", state(2), state(1), 2, {}},
        {"killed between two renames", std::nullopt, state(1), 1, {}},
        {"half a file", half, state(1), 1, {".bad"}},
        {"an empty file", "", state(1), 1, {".bad"}},
        {"half a file alone", half, std::nullopt, std::nullopt, {".bad"}},
        {"no file that can be used", half, half, std::nullopt, {".bad", ".bak.bad"}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Storing s;
        if (row.file) s.m.system.files[kPath] = *row.file;
        if (row.bak) s.m.system.files[kPath + ".bak"] = *row.bak;
        CHECK(s.loaded() == row.want);
        REQUIRE(s.m.log.lines.size() == row.bad.size());
        for (std::size_t at = 0; at < row.bad.size(); ++at) {
            CHECK(s.has(row.bad[at]));
            CHECK(s.m.log.lines[at].contains(kPath + row.bad[at]));
        }
        for (const char* ending : {".bad", ".bak.bad"})
            CHECK(s.has(ending) == (std::ranges::count(row.bad, std::string_view{ending}) > 0));
    }
}

TEST_CASE("store: a file that cannot even be read is moved aside, never overwritten")
{
    Storing s;
    s.m.system.files[kPath] = state(2);
    s.m.system.files[kPath + ".bak"] = state(1);
    s.m.system.fail_always("read " + kPath, EIO); // both
    CHECK_FALSE(s.store.load());
    CHECK(s.m.system.files[kPath + ".bad"] == state(2));
    CHECK(s.m.system.files[kPath + ".bak.bad"] == state(1));
    s.store.save(state(3));
    REQUIRE(s.store.flush());
    CHECK(s.m.system.files[kPath] == state(3));
    CHECK(s.m.system.files[kPath + ".bad"] == state(2));
}

TEST_CASE("store: the newest text wins, and flush waits for it")
{
    Storing s;
    for (const int number : {1, 2, 3})
        s.store.save(state(number));
    REQUIRE(s.store.flush());
    CHECK(s.m.system.files[kPath] == state(3));
    CHECK(s.loaded() == 3);
}

TEST_CASE("store: without a flush it is written as well, and the one before stays")
{
    Storing s;
    s.store.save(state(1));
    s.store.save(state(2));
    // The loop goes on until the last one is out.
    s.m.loop.run_for(std::chrono::seconds{20});
    CHECK(s.m.system.files[kPath] == state(2));
    CHECK(s.m.system.files[kPath + ".bak"] == state(1));
    CHECK_FALSE(s.has(".new"));
}

TEST_CASE("store: what goes, goes to the disk first")
{
    Storing s;
    s.m.system.files[kPath] = state(1);
    s.m.system.calls.clear();
    s.store.save(state(2));
    REQUIRE(s.store.flush());
    const std::vector<std::string> want{"open " + kPath + ".new", "write", "fsync",
                                        "rename " + kPath + " to " + kPath + ".bak",
                                        "rename " + kPath + ".new to " + kPath};
    REQUIRE(s.m.system.calls.size() == want.size());
    for (std::size_t at = 0; at < want.size(); ++at)
        CHECK(s.m.system.calls[at].starts_with(want[at]));
}

TEST_CASE("store: on_disk is called on the loop, once, when this text or a later one is there")
{
    Storing s;
    std::vector<std::pair<int, std::string>> told; ///< whose, and what was in the file
    const auto tell = [&](int whose) {
        return [&s, &told, whose] { told.emplace_back(whose, s.m.system.files[kPath]); };
    };
    s.store.save(state(1), tell(1)); // is being written
    s.store.save(state(2), tell(2)); // waits, and then goes with the third
    s.store.save(state(3), tell(3));
    CHECK(told.empty());
    s.m.loop.run_for(std::chrono::seconds{20});
    REQUIRE(told.size() == 3);
    CHECK(told[0] == std::pair{1, state(1)});
    CHECK(told[1] == std::pair{2, state(3)});
    CHECK(told[2] == std::pair{3, state(3)});
}

TEST_CASE("store: when_saved is at once where nothing is to be written, else with what is")
{
    Storing s;
    int told = 0;
    s.store.when_saved([&] { ++told; });
    CHECK(told == 1);
    s.store.save(state(1)); // is being written
    s.store.when_saved([&] {
        ++told;
        CHECK(s.m.system.files[kPath] == state(1));
    });
    s.store.save(state(2)); // waits
    s.store.when_saved([&] {
        ++told;
        CHECK(s.m.system.files[kPath] == state(2));
    });
    CHECK(told == 1);
    s.m.loop.run_for(std::chrono::seconds{20});
    CHECK(told == 3);
}

TEST_CASE("store: a callback may save again")
{
    Storing s;
    bool second = false;
    s.store.save(state(1), [&] { s.store.save(state(2), [&] { second = true; }); });
    s.m.loop.run_for(std::chrono::seconds{20});
    CHECK(second);
    CHECK(s.m.system.files[kPath] == state(2));
}

TEST_CASE("store: a write that failed is told once, answered, and tried again until it succeeds")
{
    Storing s;
    s.m.system.fail_nth(1, ENOSPC);
    bool told = false;
    s.store.save(state(1), [&] {
        told = true;
        CHECK_FALSE(s.has(""));
        CHECK(s.store.fault().contains("no space left on device"));
    });
    // A second later it is tried again; nothing else happens on the loop.
    s.m.loop.run_for(std::chrono::seconds{20});
    CHECK(told);
    CHECK(s.store.fault().empty());
    CHECK(s.m.system.files[kPath] == state(1));
    REQUIRE(s.m.log.lines.size() == 2);
    CHECK(s.m.log.lines[0].starts_with("state: "));
    CHECK(s.m.log.lines[1] == "state: " + kPath + " is written again");
}

TEST_CASE("store: a text that comes after a failure need not wait for the second try")
{
    Storing s;
    s.m.system.fail_nth(1, EIO);
    bool failed = false;
    bool saved = false;
    s.store.save(state(1), [&] { failed = true; });
    REQUIRE(s.m.until([&] { return failed; }));
    s.store.save(state(2), [&] { saved = true; });
    REQUIRE(s.m.until([&] { return saved; }));
    CHECK(s.m.system.files[kPath] == state(2));
    CHECK(s.store.fault().empty());
}

TEST_CASE("store: one text that fails for good is told of once, however often it is tried")
{
    Storing s;
    s.m.system.fail_always("open " + kPath, EROFS);
    for (const int number : {1, 2, 3}) {
        bool failed = false;
        s.store.save(state(number), [&] { failed = true; });
        REQUIRE(s.m.until([&] { return failed; }));
    }
    CHECK(s.m.log.lines.size() == 1);
    const auto flushed = s.store.flush();
    REQUIRE_FALSE(flushed);
    CHECK(flushed.error().text().contains("read-only file system"));
}

TEST_CASE("store: whichever call fails, what is loaded then is the old state or the new one, whole")
{
    int calls = 0;
    {
        Storing s;
        s.m.system.files[kPath] = state(1);
        s.m.system.calls.clear();
        REQUIRE(replace_file(s.m.system, kPath, state(2)));
        calls = static_cast<int>(s.m.system.calls.size());
    }
    REQUIRE(calls == 5); // open, write, fsync, rename, rename
    for (int nth = 1; nth <= calls; ++nth) {
        CAPTURE(nth);
        Storing s;
        s.m.system.files[kPath] = state(1);
        s.m.system.fail_nth(nth, ENOSPC);
        const auto result = replace_file(s.m.system, kPath, state(2));
        REQUIRE_FALSE(result);
        CHECK(result.error().code == std::errc::no_space_on_device);
        CHECK(result.error().text().contains(kPath));
        CHECK(s.loaded() == 1);
        CHECK(s.m.log.lines.empty()); // nothing of it was damaged
        REQUIRE(replace_file(s.m.system, kPath, state(3)));
        CHECK(s.loaded() == 3);
    }
}
