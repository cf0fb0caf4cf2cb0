// The log pump where lines are formed or a file cannot be written.
#include "tests/unit/supervisor/engine/pumping.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>

using namespace cluster;
using namespace cluster::supervisor;
using namespace cluster::tests;

TEST_CASE("log pump: what cannot be written is dropped, counted and told, and no worker is stopped")
{
    for (const int error : {ENOSPC, EIO}) {
        CAPTURE(error);
        Pumping p;
        const auto stream = p.open(p.path("out.log"));
        const auto end = worker_end(*stream);
        p.system.faults = {{"splice", error}, {"pwrite", error}, {"reserve", error}};
        std::string all;
        for (int line = 0; line < 3000; ++line)
            all += std::string(99, 'x') + '\n';
        REQUIRE(pour(p, end, all));
        p.pump.drain(*stream); // ends, although every call fails
        CHECK(content(stream->path()).empty());
        REQUIRE(p.complaints.size() == 1);
        CHECK(p.complaints[0] == "cannot write " + stream->path() +
                                     ", output is dropped: splice: " + ipc::errno_text(error));
        const LogFigures figures = stream->figures();
        CHECK(figures.lost_lines == 3000);
        CHECK(figures.lost_bytes == 300'000);
        CHECK(figures.trouble == "splice: " + ipc::errno_text(error));
        CHECK(figures.trouble_since == p.clock.wall_ms());

        p.system.faults.clear(); // room again
        p.clock.advance(kFullAgain);
        const std::string note =
            "[clusterd] 3000 lines (300.0 kB) were lost here: splice: " + ipc::errno_text(error) +
            "\n";
        CHECK(p.file_becomes(stream->path(), note)); // without any more output
        say(end, "back\n");
        REQUIRE(p.file_becomes(stream->path(), note + "back\n"));
        CHECK(stream->figures().trouble.empty());
        CHECK(stream->figures().lost_lines == 3000);
    }
}

TEST_CASE("log pump: a line whose beginning or end is lost is lost as a whole")
{
    Pumping p;
    const auto stream = p.open(p.path("out.log"));
    const auto end = worker_end(*stream);
    say(end, "whole\nbegin");
    REQUIRE(p.file_becomes(stream->path(), "whole\nbegin"));
    p.system.faults = {{"splice", ENOSPC}, {"reserve", ENOSPC}};
    say(end, "ning of it,"); // the disk had room for the beginning alone
    REQUIRE(p.file_becomes(stream->path(), "whole\n"));
    p.system.faults.clear();
    p.clock.advance(kFullAgain);
    say(end, " its end\nnext\n");
    const std::string note =
        "[clusterd] 1 line (25 B) were lost here: splice: " + ipc::errno_text(ENOSPC) + "\n";
    CHECK(p.file_becomes(stream->path(), "whole\n" + note + "next\n"));
}

TEST_CASE("log pump: block keeps everything in the pipe until the file can be written")
{
    for (const bool dated : {false, true}) {
        CAPTURE(dated);
        Pumping p;
        const std::string file = p.path("out.log");
        LogPlan plan{.path = file, .on_full = ipc::LogOnFull::block};
        if (dated) plan.style.date_format = "[date]";
        const auto stream = p.open(plan);
        const auto end = worker_end(*stream);
        p.system.faults = {{"splice", ENOSPC}, {"pwrite", ENOSPC}, {"reserve", ENOSPC}};
        say(end, "one\n");
        REQUIRE(run_until(p.loop, [&] { return p.complaints.size() == 1; }));
        CHECK(p.complaints[0].contains(", output waits: "));
        say(end, "two\n");
        p.clock.advance(kFullAgain);
        p.settle();
        p.pump.drain(*stream); // ends
        CHECK(content(file).empty());
        CHECK(stream->figures().lost_bytes == 0);
        CHECK(!stream->figures().trouble.empty());
        p.system.faults.clear();
        p.clock.advance(kFullAgain);
        CHECK(p.file_becomes(file, dated ? "date: one\ndate: two\n" : "one\ntwo\n"));
        CHECK(stream->figures().trouble.empty());
    }
}

TEST_CASE("log pump: what is spilled is brought back in order, and nothing is lost")
{
    for (const bool dated : {false, true}) {
        CAPTURE(dated);
        Pumping p;
        p.pump.set_spill_folder(p.path("spill"));
        const std::string file = p.path("out.log");
        LogPlan plan{.path = file, .on_full = ipc::LogOnFull::spill};
        if (dated) plan.style.date_format = "[date]";
        const auto stream = p.open(plan);
        const auto end = worker_end(*stream);
        say(end, "one\nhal");
        const std::string head = dated ? "date: " : "";
        REQUIRE(p.file_becomes(file, head + "one\n" + head + "hal"));
        p.system.faults = {{"reserve", ENOSPC}};
        p.system.fail_once(dated ? "pwrite" : "splice", ENOSPC);
        say(end, "f\ntwo\n");
        REQUIRE(run_until(p.loop, [&] { return p.complaints.size() == 1; }));
        CHECK(p.complaints[0].contains(", output is spilled: "));
        say(end, "three\n");
        p.clock.advance(kFullAgain);
        p.settle();
        CHECK(content(file) == head + "one\n" + head + "hal");
        p.system.faults.clear();
        p.clock.advance(kFullAgain);
        CHECK(p.file_becomes(file,
                             head + "one\n" + head + "half\n" + head + "two\n" + head + "three\n"));
        CHECK(stream->figures().lost_bytes == 0);
        CHECK(std::filesystem::is_empty(p.path("spill")));
    }
}

TEST_CASE("log pump: a combined file has whole lines of both streams, each beginning with its date")
{
    Pumping p;
    const auto plan = [&](const char* name) {
        LogPlan both{.path = p.path(name), .combined = p.path("both.log")};
        both.style.date_format = "[date]";
        return both;
    };
    const auto out = p.open(plan("out.log"));
    const auto err = p.open(plan("err.log"), 0, StreamKind::err);
    const auto end_out = worker_end(*out);
    const auto end_err = worker_end(*err);
    say(end_out, "one\nprompt> ");
    REQUIRE(p.file_becomes(p.path("both.log"), "date: one\n"));
    p.settle();
    p.clock.advance(kUnfinished);
    REQUIRE(p.file_becomes(p.path("both.log"), "date: one\ndate: prompt> "));
    say(end_err, "error\n");
    REQUIRE(p.file_becomes(p.path("err.log"), "date: error\n"));
    CHECK(content(p.path("both.log")) == "date: one\ndate: prompt> \ndate: error\n");
    say(end_out, "answer\n"); // goes on in its own file, and begins a line in the other one
    REQUIRE(p.file_becomes(p.path("out.log"), "date: one\ndate: prompt> answer\n"));
    CHECK(content(p.path("both.log")).ends_with("date: error\ndate: answer\n"));
}

TEST_CASE("log pump: what was lost and is not told yet is told by a successor")
{
    for (const bool in_mid_line : {false, true}) {
        CAPTURE(in_mid_line);
        Pumping p;
        const LogPlan plan{.path = p.path("out.log"), .combined = p.path("all.log")};
        const auto before = p.open(plan);
        const auto end = worker_end(*before);
        say(end, "first\n");
        REQUIRE(p.file_becomes(plan.path, "first\n"));
        p.system.faults = {{"pwrite", ENOSPC}, {"reserve", ENOSPC}};
        say(end, in_mid_line ? "one\ntwo\nthr" : "one\ntwo\n");
        REQUIRE(run_until(p.loop, [&] { return before->figures().lost_lines == 4; }));
        const std::uint64_t stage = p.pump.stage_inode();
        KeptFds kept = p.keeper.hand_over();

        p.system.faults.clear();
        LogPump after{p.loop, p.system, p.keeper, p.clock, [](const std::string&) {}};
        REQUIRE(after.adopt_stage(stage, kept));
        auto stream = after.adopt(0, StreamKind::out, plan, kept.take(before->inode()));
        REQUIRE(stream);
        CHECK((*stream)->figures().lost_lines == 4); // two of each file
        CHECK(!(*stream)->figures().trouble.empty());
        after.settle_stage();
        say(end, in_mid_line ? "ee\nfour\n" : "four\n");
        after.drain(**stream);
        const std::string note = std::string{"[clusterd] "} + (in_mid_line ? "3" : "2") +
                                 " lines (" + (in_mid_line ? "14" : "8") +
                                 " B) were lost here: it could not be written, and the daemon was "
                                 "killed meanwhile\n";
        for (const std::string& file : {plan.path, plan.combined}) {
            CHECK(content(file) == "first\n" + note + "four\n");
        }
    }
}

TEST_CASE("log pump: of a batch that was written in part, a successor writes all, once")
{
    Pumping p;
    LogPlan plan{.path = p.path("out.log")};
    plan.style.date_format = "[date]";
    const auto before = p.open(plan);
    const auto end = worker_end(*before);
    say(end, "first\n");
    REQUIRE(p.file_becomes(plan.path, "date: first\n"));

    // As a daemon leaves it that is killed while it writes.
    struct stat about{};
    REQUIRE(::stat(plan.path.c_str(), &about) == 0);
    const std::uint64_t stage = p.pump.stage_inode();
    KeptFds kept = p.keeper.hand_over();
    {
        KeptFds twin = p.keeper.hand_over();
        tests::FakeKeeper nobody;
        auto dying = LogStage::adopt(p.system, nobody, "", stage, twin);
        REQUIRE(dying);
        const FilePlace place = place_of(about);
        (*dying)->writing({&place, 1});
    }
    std::ofstream{plan.path, std::ios::app} << "date: seco";
    say(end, "second\n");
    REQUIRE(content(plan.path) == "date: first\ndate: seco");

    LogPump after{p.loop, p.system, p.keeper, p.clock, [](const std::string&) {}};
    REQUIRE(after.adopt_stage(stage, kept));
    auto stream = after.adopt(0, StreamKind::out, plan, kept.take(before->inode()));
    REQUIRE(stream);
    after.settle_stage();
    CHECK(content(plan.path) == "date: first\n");
    after.drain(**stream);
    CHECK(content(plan.path) == "date: first\ndate: second\n");
}

TEST_CASE("log pump: of a batch that was written and taken in part, a successor takes the rest")
{
    Pumping p;
    LogPlan plan{.path = p.path("out.log")};
    plan.style.date_format = "[date]";
    const auto before = p.open(plan);
    const auto end = worker_end(*before);
    say(end, "one\ntwo\n");
    const std::uint64_t stage = p.pump.stage_inode();
    KeptFds kept = p.keeper.hand_over();
    {
        KeptFds twin = p.keeper.hand_over();
        tests::FakeKeeper nobody;
        auto dying = LogStage::adopt(p.system, nobody, "", stage, twin);
        REQUIRE(dying);
        std::ofstream{plan.path, std::ios::app} << "date: one\n";
        (*dying)->writing({});
        (*dying)->consuming(before->inode(), "one\n");
        REQUIRE(p.system.splice(before->fd(), (*dying)->pipe(), nullptr, 2) == 2);
    }
    LogPump after{p.loop, p.system, p.keeper, p.clock, [](const std::string&) {}};
    REQUIRE(after.adopt_stage(stage, kept));
    auto stream = after.adopt(0, StreamKind::out, plan, kept.take(before->inode()));
    REQUIRE(stream);
    after.settle_stage();
    after.drain(**stream);
    CHECK(content(plan.path) == "date: one\ndate: two\n");
}

TEST_CASE("log pump: of a batch that goes as it is, a successor moves what is missing, once")
{
    enum class Killed { before_any, in_the_midst, written, emptied, taken_in_part, given_up };
    for (const Killed killed : {Killed::before_any, Killed::in_the_midst, Killed::written,
                                Killed::emptied, Killed::taken_in_part, Killed::given_up}) {
        CAPTURE(static_cast<int>(killed));
        Pumping p;
        const LogPlan plan{.path = p.path("out.log")};
        const auto before = p.open(plan);
        const auto end = worker_end(*before);
        say(end, "first\n");
        REQUIRE(p.file_becomes(plan.path, "first\n"));
        say(end, "one\ntwo\n");
        const std::uint64_t stage = p.pump.stage_inode();
        KeptFds kept = p.keeper.hand_over();
        {
            KeptFds twin = p.keeper.hand_over();
            tests::FakeKeeper nobody;
            auto dying = LogStage::adopt(p.system, nobody, "", stage, twin);
            REQUIRE(dying);
            LogStage& it = **dying;
            const auto log = p.system.open(plan.path, O_WRONLY, 0);
            REQUIRE(log);
            const auto about = p.system.fstat(log->get());
            REQUIRE(about);
            REQUIRE(p.system.tee(before->fd(), it.pipe(), 100) == 8);
            it.relaying(before->inode(), place_of(*about), 8);
            const std::size_t moved = killed == Killed::before_any ? 0
                                      : killed == Killed::written  ? 8
                                                                   : 5;
            off_t at = about->st_size;
            if (moved > 0) REQUIRE(p.system.splice(it.pipe(), log->get(), &at, moved) == moved);
            if (killed == Killed::emptied || killed == Killed::taken_in_part) {
                it.relayed(moved);
                it.empty_pipe();
            }
            if (killed == Killed::taken_in_part) {
                it.taking(moved);
                REQUIRE(p.system.splice(before->fd(), it.pipe(), nullptr, 2) == 2);
            }
            if (killed == Killed::given_up) it.take_back();
        }
        LogPump after{p.loop, p.system, p.keeper, p.clock, [](const std::string&) {}};
        REQUIRE(after.adopt_stage(stage, kept));
        auto stream = after.adopt(0, StreamKind::out, plan, kept.take(before->inode()));
        REQUIRE(stream);
        after.settle_stage();
        after.drain(**stream);
        CHECK(content(plan.path) == "first\none\ntwo\n");
        say(end, "three\n");
        after.drain(**stream);
        CHECK(content(plan.path) == "first\none\ntwo\nthree\n");
    }
}

TEST_CASE(
    "log pump: a line in a shared file that was written in part is finished by its own stream")
{
    for (const bool all_written : {false, true}) {
        CAPTURE(all_written); // a line without an end, that has waited long enough
        Pumping p;
        const std::string file = p.path("out.log");
        const auto one = p.open(file, 0);
        const auto two = p.open(file, 1);
        const auto end_one = worker_end(*one);
        const auto end_two = worker_end(*two);
        say(end_one, "first\n");
        REQUIRE(p.file_becomes(file, "first\n"));

        // As a daemon leaves it that is killed in the midst of splice(2).
        const std::uint64_t stage = p.pump.stage_inode();
        REQUIRE(stage != 0);
        KeptFds kept = p.keeper.hand_over();
        {
            KeptFds twin = p.keeper.hand_over();
            tests::FakeKeeper nobody;
            auto dying = LogStage::adopt(p.system, nobody, "", stage, twin);
            REQUIRE(dying);
            const auto log = p.system.open(file, O_WRONLY, 0);
            REQUIRE(log);
            const auto about = p.system.fstat(log->get());
            REQUIRE(about);
            say(end_one, "begin");
            (*dying)->splicing(one->inode(), place_of(*about), all_written ? 5 : 12);
            off_t at = about->st_size;
            REQUIRE(p.system.splice(one->fd(), log->get(), &at, 5) == 5);
        }
        say(end_one, all_written ? ", end\n" : " to end\n");
        say(end_two, "another\n");

        LogPump after{p.loop, p.system, p.keeper, p.clock, [](const std::string&) {}};
        REQUIRE(after.adopt_stage(stage, kept));
        auto first = after.adopt(0, StreamKind::out, {.path = file}, kept.take(one->inode()));
        auto second = after.adopt(1, StreamKind::out, {.path = file}, kept.take(two->inode()));
        REQUIRE(first);
        REQUIRE(second);
        after.settle_stage();
        if (all_written) after.drain(**first);
        const std::string line = all_written ? "begin, end\n" : "begin to end\n";
        p.file_becomes(file, "first\n" + line + "another\n");
        CHECK(content(file) == "first\n" + line + "another\n");
    }
}

namespace {

/// Two daemons that are killed together: nobody has kept anything, and workers hold their pipes.
struct BothKilled : Pumping {
    std::string name = "/clusterd-test-" + std::to_string(::getpid());
    LogPump after{loop, system, keeper, clock, [](const std::string&) {}};

    BothKilled()
    {
        pump.set_stage_name(name);
        after.set_stage_name(name);
    }
    ~BothKilled() { after.remove_stage_name(); }

    /// In the middle of a batch.
    std::unique_ptr<LogStage> dying()
    {
        KeptFds all = keeper.hand_over();
        auto stage = LogStage::adopt(system, nobody, name, pump.stage_inode(), all);
        REQUIRE(stage);
        REQUIRE(*stage);
        return std::move(*stage);
    }
    /// It is `before` of the pump that is dead.
    std::unique_ptr<LogStream> adopt(std::unique_ptr<LogStream> before, LogPlan plan,
                                     int worker = 0)
    {
        KeptFds all = keeper.hand_over();
        ipc::UniqueFd pipe = all.take(before->inode());
        before.reset();
        auto stream = after.adopt(worker, StreamKind::out, std::move(plan), std::move(pipe));
        REQUIRE(stream);
        return std::move(*stream);
    }
    void adopt_stage()
    {
        KeptFds none;
        REQUIRE(after.adopt_stage(pump.stage_inode(), none));
    }

private:
    tests::FakeKeeper nobody;
};

} // namespace

TEST_CASE("log pump: both daemons killed, a line in a shared file is finished by its own stream")
{
    BothKilled p;
    const std::string file = p.path("out.log");
    auto one = p.open(file, 0);
    auto two = p.open(file, 1);
    const auto end_one = worker_end(*one);
    const auto end_two = worker_end(*two);
    const auto log = p.system.open(file, O_WRONLY, 0);
    REQUIRE(log);
    say(end_one, "begin");
    p.dying()->splicing(one->inode(), place_of(*p.system.fstat(log->get())), 12);
    REQUIRE(p.system.splice(one->fd(), log->get(), nullptr, 5) == 5);
    say(end_two, "another\n");

    p.adopt_stage();
    const auto first = p.adopt(std::move(one), {.path = file});
    const auto second = p.adopt(std::move(two), {.path = file}, 1);
    p.after.settle_stage();
    p.settle();
    CHECK(content(file) == "begin");
    say(end_one, " to end\n");
    p.file_becomes(file, "begin to end\nanother\n");
    CHECK(content(file) == "begin to end\nanother\n");
}

TEST_CASE("log pump: both daemons killed, a batch that was written in part is written once")
{
    BothKilled p;
    LogPlan plan{.path = p.path("out.log")};
    plan.style.date_format = "[date]";
    auto before = p.open(plan);
    const auto log = p.system.open(plan.path, O_WRONLY, 0);
    REQUIRE(log);
    const FilePlace place = place_of(*p.system.fstat(log->get()));
    p.dying()->writing({&place, 1});
    std::ofstream{plan.path, std::ios::app} << "date: on";
    say(worker_end(*before), "one\n");

    p.adopt_stage();
    const auto stream = p.adopt(std::move(before), plan);
    p.after.settle_stage();
    p.after.drain(*stream);
    CHECK(content(plan.path) == "date: one\n");
}

TEST_CASE("log pump: both daemons killed, what was taken is not written again")
{
    BothKilled p;
    LogPlan plan{.path = p.path("out.log")};
    plan.style.date_format = "[date]";
    auto before = p.open(plan);
    say(worker_end(*before), "one\ntwo\n");
    const auto dying = p.dying();
    std::ofstream{plan.path, std::ios::app} << "date: one\n";
    dying->writing({});
    dying->consuming(before->inode(), "one\n");
    REQUIRE(p.system.splice(before->fd(), dying->pipe(), nullptr, 4) == 4);

    p.adopt_stage();
    const auto stream = p.adopt(std::move(before), plan);
    p.after.settle_stage();
    p.after.drain(*stream);
    CHECK(content(plan.path) == "date: one\ndate: two\n");
}

TEST_CASE("log pump: both daemons killed, what has reached the file is not moved again")
{
    for (const std::size_t moved : {0UL, 4UL, 8UL}) {
        CAPTURE(moved);
        BothKilled p;
        const LogPlan plan{.path = p.path("out.log")};
        std::ofstream{plan.path} << "old\n";
        auto before = p.open(plan);
        const auto end = worker_end(*before);
        say(end, "one\ntwo\n");
        const auto log = p.system.open(plan.path, O_WRONLY, 0);
        REQUIRE(log);
        const auto dying = p.dying();
        dying->relaying(before->inode(), place_of(*p.system.fstat(log->get())), 8);
        std::ofstream{plan.path, std::ios::app} << std::string{"one\ntwo\n"}.substr(0, moved);

        p.adopt_stage();
        const auto stream = p.adopt(std::move(before), plan);
        p.after.settle_stage();
        p.after.drain(*stream);
        CHECK(content(plan.path) == "old\none\ntwo\n");
    }
}

TEST_CASE("log pump: a worker that is removed while it is blocked loses what does not fit")
{
    Pumping p;
    const auto stream = p.open({.path = p.path("out.log"), .on_full = ipc::LogOnFull::block});
    p.system.faults = {{"splice", ENOSPC}, {"pwrite", ENOSPC}, {"reserve", ENOSPC}};
    say(worker_end(*stream), "one\n");
    p.pump.empty(*stream); // ends
    CHECK(stream->figures().lost_lines == 1);
}
