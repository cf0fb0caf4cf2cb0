#include "supervisor/engine/log_rotation.hpp"

#include "supervisor/engine/log_pump.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/unit/supervisor/engine/fake_keeper.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

using namespace cluster;
using namespace cluster::supervisor;
using cluster::tests::content;
using cluster::tests::run_until;
using namespace std::chrono_literals;

namespace {

class Lines final : public Log {
public:
    std::vector<std::string> said;
    void info(std::string_view text) override { said.emplace_back(text); }
    void warn(std::string_view text) override { said.emplace_back(text); }
    void error(std::string_view text) override { said.emplace_back(text); }
};

class NoLauncher final : public Launcher {
public:
    int asked = 0;
    std::expected<Launched, LaunchFailure> launch(const LaunchPlan&) override
    {
        ++asked;
        return std::unexpected(LaunchFailure{.stage = "exec", .error = ENOENT, .text = "no exec"});
    }
};

/// Opens no new file at one path, while it is told so.
class NoNewFile final : public tests::FaultySystem {
public:
    std::string path;
    ipc::Result<ipc::UniqueFd> open(const std::string& file, int flags, mode_t mode) override
    {
        if (file == path && (flags & O_CREAT) != 0) return ipc::fail(ENOSPC, "open " + file);
        return FaultySystem::open(file, flags, mode);
    }
};

struct Rotating {
    tests::Folder folder;
    boost::asio::io_context loop{1};
    NoNewFile system;
    tests::FakeKeeper keeper;
    tests::ManualClock clock;
    Lines log;
    NoLauncher launcher;
    ipc::HomePaths paths{folder.path};
    LogRotation rotation{loop, system, launcher, clock, log, paths};
    LogPump pump{loop, system, keeper, clock, [this](const std::string& text) { log.error(text); }};
    std::string path = paths.logs + "/a.log";

    explicit Rotating(const ipc::Rotation& rule) : Rotating{}
    {
        pump.set_rotation(rotation);
        stream = open(rule, {.path = path});
    }

    std::unique_ptr<LogStream> open(const ipc::Rotation& rule, const LogPlan& plan)
    {
        auto opened = pump.open(0, StreamKind::out, plan, {::geteuid(), ::getegid()});
        REQUIRE(opened);
        pump.set_rule(**opened, rule);
        return std::move(*opened);
    }

    /// As a worker writes, and until it stands in the file.
    void say(const std::string& text)
    {
        auto end = stream->open_for_worker();
        REQUIRE(end);
        REQUIRE(::write(end->get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
        said += text;
        REQUIRE(run_until(loop, [&] { return all() == said; }));
        clock.advance(1ms);
    }

    std::vector<std::string> old() const
    {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator{paths.logs})
            if (entry.path().filename().string().starts_with("a.log."))
                names.push_back(entry.path());
        std::ranges::sort(names);
        return names;
    }

    std::string all() const
    {
        std::string text;
        for (const std::string& name : old())
            text += content(name);
        return text + content(path);
    }

    std::string index_of(const std::string& file) const
    {
        struct stat about{};
        REQUIRE(::stat(file.c_str(), &about) == 0);
        return paths.logs + "/" + ipc::log_times_name(about.st_dev, about.st_ino);
    }

    std::unique_ptr<LogStream> stream;
    std::string said;

private:
    Rotating() = default;
};

ipc::Rotation plain(std::uint64_t size)
{
    return {.size = size, .compress = ipc::Compression::none};
}

} // namespace

TEST_CASE("log rotation: a file that is due is set aside before the next batch")
{
    Rotating r{plain(10)};
    r.say("0123\n");
    r.say("56789\n");
    CHECK(r.old().empty());
    r.say("next\n");
    REQUIRE(r.old().size() == 1);
    CHECK(content(r.old()[0]) == "0123\n56789\n");
    CHECK(content(r.path) == "next\n");
}

TEST_CASE("log rotation: lines with a date go beyond the size by what a pipe usually holds at most")
{
    constexpr std::size_t due = 100'000, lines = 5000;
    Rotating r{plain(due)};
    LogPlan plan{.path = r.path};
    plan.style.date_format = "[date]";
    r.stream = r.open(plain(due), plan);
    const auto end = r.stream->open_for_worker();
    REQUIRE(end);
    REQUIRE(::fcntl(end->get(), F_SETPIPE_SZ, kWidePipe) >= 0);
    const std::string line(99, 'x'), formed = "date: " + line + "\n";
    std::string text, expected;
    for (std::size_t count = 0; count < lines; ++count) {
        text += line + "\n";
        expected += formed;
    }
    REQUIRE(::write(end->get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    REQUIRE(run_until(r.loop, [&] { return r.all().size() >= expected.size(); }));
    CHECK(r.all() == expected);
    REQUIRE_FALSE(r.old().empty());
    for (const std::string& file : r.old()) {
        CHECK(content(file).size() >= due);
        CHECK(content(file).size() <= due + kPipeBytes + formed.size());
    }
}

TEST_CASE("log rotation: an unfinished line is finished in its file first")
{
    Rotating r{plain(4)};
    r.say("begin");
    r.say(" and");
    CHECK(r.old().empty());
    r.say(" end\nnext\n");
    r.say("more\n");
    REQUIRE(r.old().size() == 2);
    CHECK(content(r.old()[0]) == "begin and end\n");
    CHECK(content(r.old()[1]) == "next\n");
}

TEST_CASE("log rotation: a file that cannot be renamed goes on, and that is said once")
{
    Rotating r{plain(4)};
    r.system.faults["rename"] = EACCES;
    for (int line = 0; line < 5; ++line)
        r.say("line\n");
    CHECK(r.old().empty());
    REQUIRE(r.log.said.size() == 1);
    CHECK(r.log.said[0].find("permission denied") != std::string::npos);
    CHECK(r.rotation.fault(r.path).find("permission denied") != std::string::npos);
    r.system.faults.clear();
    CHECK(r.all() == r.said);
}

TEST_CASE("log rotation: without a new file the old one has its name again")
{
    Rotating r{plain(4)};
    r.say("line\n");
    r.system.path = r.path;
    r.say("line\n");
    r.say("line\n");
    CHECK(r.old().empty());
    CHECK(content(r.path) == r.said);
    CHECK(r.log.said.size() == 1);
}

TEST_CASE("log rotation: more than are kept go, with their index")
{
    ipc::Rotation rule = plain(4);
    rule.keep = 1;
    Rotating r{rule};
    r.say("one\n");
    const std::string index = r.index_of(r.path);
    CHECK(std::filesystem::exists(index));
    r.say("two\n");
    CHECK(std::filesystem::exists(index)); // it stays with the file
    auto end = r.stream->open_for_worker();
    REQUIRE(end);
    REQUIRE(::write(end->get(), "three\n", 6) == 6);
    REQUIRE(run_until(r.loop, [&] { return content(r.path) == "three\n"; }));
    REQUIRE(r.old().size() == 1);
    CHECK(content(r.old()[0]) == "two\n");
    CHECK_FALSE(std::filesystem::exists(index));
}

TEST_CASE(
    "log rotation: what cannot be compressed stays, and is tried again with the next rotation")
{
    Rotating r{{.size = 4}};
    r.say("one\n");
    r.say("two\n");
    CHECK(r.launcher.asked == 1);
    CHECK(r.rotation.fault(r.path) == "cannot compress: no exec");
    r.say("three\n");
    CHECK(r.launcher.asked == 2);
    CHECK(r.old().size() == 2);
}

TEST_CASE("log rotation: a period that is over sets aside what there is, and nothing when empty")
{
    ipc::Rotation rule = plain(0);
    rule.period = 1000ms;
    Rotating r{rule};
    r.say("one\n");
    r.clock.advance(1000ms);
    REQUIRE(run_until(r.loop, [&] { return r.old().size() == 1; }));
    CHECK(content(r.old()[0]) == "one\n");
    CHECK(content(r.path) == "");
    r.clock.advance(1000ms);
    const auto end = std::chrono::steady_clock::now() + 1200ms;
    run_until(r.loop, [&] { return std::chrono::steady_clock::now() > end; });
    CHECK(r.old().size() == 1);
}

TEST_CASE("log rotation: a file that was removed is made again")
{
    Rotating r{plain(0)};
    r.say("one\n");
    ::unlink(r.path.c_str());
    r.said.clear();
    r.say("two\n");
    CHECK(content(r.path) == "two\n");
}

TEST_CASE("log rotation: a file that was moved away is left when asked, at the end of the line")
{
    Rotating r{plain(0)};
    r.say("begin ");
    const std::string moved = r.folder.path + "/moved";
    std::filesystem::rename(r.path, moved);
    auto end = r.stream->open_for_worker();
    REQUIRE(end);
    REQUIRE(::write(end->get(), "end\nnext\n", 9) == 9);
    CHECK(r.pump.reopen_all() == std::vector<std::string>{r.path});
    CHECK(content(moved) == "begin end\n");
    REQUIRE(run_until(r.loop, [&] { return content(r.path) == "next\n"; }));
}

TEST_CASE("log rotation: an emptied file begins at its start")
{
    Rotating r{plain(0)};
    r.say("one\n");
    const auto bytes = r.pump.flush(r.path);
    REQUIRE(bytes);
    CHECK(*bytes == 4);
    r.said.clear();
    r.say("two\n");
    CHECK(ipc::decode_log_times(content(r.index_of(r.path))).size() == 1);
    for (const std::string& other : {std::string{"/dev/null"}, r.path + ".none"}) {
        const auto nothing = r.pump.flush(other);
        REQUIRE(nothing);
        CHECK_FALSE(nothing->has_value());
    }
}

TEST_CASE("log times: at most one record in 10 ms, and each says where its batch began")
{
    Rotating r{plain(0)};
    const std::int64_t begin = r.clock.wall_ms();
    for (int line = 0; line < 25; ++line)
        r.say("ten bytes\n"); // one a millisecond
    const std::vector<ipc::LogTime> want{{0, begin}, {100, begin + 10}, {200, begin + 20}};
    CHECK(ipc::decode_log_times(content(r.index_of(r.path))) == want);
}

TEST_CASE("log times: what a killed daemon has left torn is cut off by the next one")
{
    Rotating r{plain(0)};
    r.say("one\n");
    const std::string index = r.index_of(r.path);
    std::ofstream{index, std::ios::app | std::ios::binary} << '\x81'; // half a number
    r.stream.reset();
    r.stream = r.open(plain(0), {.path = r.path});
    r.clock.advance(50ms);
    r.say("two\n");
    const auto times = ipc::decode_log_times(content(index));
    REQUIRE(times.size() == 2);
    CHECK(times[1] == ipc::LogTime{4, r.clock.wall_ms() - 1});
}

TEST_CASE("log times: the index of a file that is not there any more goes")
{
    Rotating r{plain(0)};
    r.say("one\n");
    const std::string other = r.paths.logs + "/.times/1-2";
    std::ofstream{other} << "x";
    LogTimes times{r.system, r.clock, r.paths.logs};
    struct stat about{};
    REQUIRE(::stat(r.path.c_str(), &about) == 0);
    times.sweep({{about.st_dev, about.st_ino}});
    CHECK_FALSE(std::filesystem::exists(other));
    CHECK(std::filesystem::exists(r.index_of(r.path)));
}
