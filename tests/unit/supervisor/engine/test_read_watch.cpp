#include "supervisor/engine/read_watch.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using tests::run_until;

namespace {

struct Watching {
    boost::asio::io_context loop{1};
    std::vector<std::uint64_t> told;
    ReadWatch watch{loop, [this](std::uint64_t token) { told.push_back(token); }};

    /// The read end of a new pipe; `writer` gets the other one.
    WatchedFd pipe(ipc::UniqueFd& writer)
    {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        writer = ipc::UniqueFd{ends[1]};
        return {watch, ipc::UniqueFd{ends[0]}};
    }
    /// All that is due now has been told: what comes in order is seen behind it.
    void settle()
    {
        ipc::UniqueFd writer;
        WatchedFd last = pipe(writer);
        REQUIRE(::write(writer.get(), "x", 1) == 1);
        last.wait(0);
        REQUIRE(run_until(loop, [&] { return std::ranges::count(told, 0U) > 0; }));
        std::erase(told, 0U);
    }
};

void say(const ipc::UniqueFd& writer)
{
    REQUIRE(::write(writer.get(), "x", 1) == 1);
}

} // namespace

TEST_CASE("read watch: it tells once for each wait")
{
    Watching w;
    ipc::UniqueFd writer;
    WatchedFd reader = w.pipe(writer);
    say(writer);
    w.settle();
    CHECK(w.told.empty()); // nobody waits
    reader.wait(7);
    w.settle();
    CHECK(w.told == std::vector<std::uint64_t>{7});
    say(writer);
    w.settle();
    CHECK(w.told.size() == 1);
    reader.wait(8); // what was there before is still there
    w.settle();
    CHECK(w.told == std::vector<std::uint64_t>{7, 8});
}

TEST_CASE("read watch: what is forgotten is silent until the next wait")
{
    Watching w;
    ipc::UniqueFd writer;
    WatchedFd reader = w.pipe(writer);
    reader.wait(7);
    reader.forget();
    reader.forget();
    say(writer);
    w.settle();
    CHECK(w.told.empty());
    reader.wait(8);
    w.settle();
    CHECK(w.told == std::vector<std::uint64_t>{8});
}

TEST_CASE("read watch: an end that is closed is told, one of ours is not")
{
    Watching w;
    ipc::UniqueFd writer, other_writer;
    WatchedFd reader = w.pipe(writer);
    WatchedFd other = w.pipe(other_writer);
    reader.wait(7);
    other.wait(8);
    // Somebody else has it, too: the kernel would go on about it.
    const ipc::UniqueFd duplicate{::fcntl(other.get(), F_DUPFD_CLOEXEC, 0)};
    REQUIRE(duplicate);
    other.reset();
    say(other_writer);
    writer = ipc::UniqueFd{};
    w.settle();
    CHECK(w.told == std::vector<std::uint64_t>{7});
}

TEST_CASE("read watch: many at once, and one that moves")
{
    Watching w;
    constexpr std::uint64_t kMany = 150;
    std::vector<ipc::UniqueFd> writers(kMany);
    std::vector<WatchedFd> readers;
    for (std::uint64_t index = 0; index < kMany; ++index) {
        readers.push_back(w.pipe(writers[index]));
        say(writers[index]);
        readers.back().wait(index + 1);
    }
    w.settle();
    std::ranges::sort(w.told);
    REQUIRE(w.told.size() == kMany);
    CHECK(w.told.front() == 1);
    CHECK(w.told.back() == kMany);
    WatchedFd moved = std::move(readers.front());
    moved.wait(500);
    w.settle();
    CHECK(w.told.back() == 500);
}
