// A daemon may be killed before and after each of its calls: what the next one makes of that.
#include "tests/unit/supervisor/engine/pumping.hpp"

#include <algorithm>
#include <ranges>
#include <sstream>

using namespace cluster;
using namespace cluster::supervisor;
using tests::content;
using tests::Pumping;
using tests::say;
using tests::worker_end;

namespace {

/// Two workers, each with a stream and what it writes, round by round.
struct Workers : Pumping {
    static constexpr int kRounds = 4;

    std::vector<LogPlan> plans;
    std::vector<std::unique_ptr<LogStream>> streams;
    std::vector<ipc::UniqueFd> ends;
    std::string name = "/clusterd-test-" + std::to_string(::getpid());

    std::size_t length; ///< of a line, at least

    Workers(std::vector<LogPlan> wanted, std::size_t length_of_line)
        : plans{std::move(wanted)}, length{length_of_line}
    {
        pump.set_stage_name(name);
        for (LogPlan& plan : plans) {
            plan.path = path(plan.path);
            if (!plan.combined.empty()) plan.combined = path(plan.combined);
            streams.push_back(open(plan, static_cast<int>(ends.size())));
            ends.push_back(worker_end(*streams.back()));
            if (length > 0) REQUIRE(::fcntl(ends.back().get(), F_SETPIPE_SZ, kWidePipe) > 0);
        }
    }

    /// Lines of different lengths: one that is cut at a wrong place is seen.
    std::string line(std::size_t worker, int number) const
    {
        return "worker " + std::to_string(worker) + " line " + std::to_string(number) + " " +
               std::string(length + static_cast<std::size_t>(number * 3) + worker, 'x') + "\n";
    }
    void write_round(int round) const
    {
        for (std::size_t worker = 0; worker < ends.size(); ++worker)
            say(ends[worker], line(worker, 2 * round) + line(worker, 2 * round + 1));
    }
    static void drain(LogPump& by, const std::vector<std::unique_ptr<LogStream>>& all)
    {
        for (const auto& stream : all)
            by.drain(*stream);
    }
    /// What one worker has in a file, without dates.
    static std::string of(const std::string& file, std::size_t worker)
    {
        std::istringstream lines{content(file)};
        std::string found;
        for (std::string line; std::getline(lines, line);) {
            if (line.starts_with("date: ")) line.erase(0, 6);
            const bool other = line.starts_with("worker " + std::to_string(1 - worker));
            if (!other) found += line + "\n"; // also what is nobody's
        }
        return found;
    }
};

/// True: it was killed, and the one after it has made good.
bool goes_well(const std::vector<LogPlan>& plans, std::size_t length, bool guardian_too, int nth,
               bool after)
{
    Workers w{plans, length};
    w.write_round(0);
    Workers::drain(w.pump, w.streams);
    bool killed = false;
    for (int round = 1; round < Workers::kRounds; ++round) {
        w.write_round(round);
        if (killed) continue;
        if (round == 1) w.system.die_at(nth, after);
        try {
            Workers::drain(w.pump, w.streams);
        } catch (const tests::Killed&) {
            killed = true;
        }
    }
    w.system.die_at(0, false);

    boost::asio::io_context loop{1};
    LogPump next{loop, w.system, w.keeper, w.clock, [](const std::string&) {}};
    next.set_stage_name(w.name);
    KeptFds kept = w.keeper.hand_over();
    KeptFds nothing;
    REQUIRE(next.adopt_stage(w.pump.stage_inode(), guardian_too ? nothing : kept));
    std::vector<std::unique_ptr<LogStream>> streams;
    for (std::size_t worker = 0; worker < w.plans.size(); ++worker) {
        auto stream = next.adopt(static_cast<int>(worker), StreamKind::out, w.plans[worker],
                                 kept.take(w.streams[worker]->inode()));
        REQUIRE(stream);
        streams.push_back(std::move(*stream));
    }
    next.settle_stage();
    Workers::drain(next, streams);
    for (std::size_t worker = 0; worker < w.plans.size(); ++worker) {
        std::string wanted;
        for (int number = 0; number < 2 * Workers::kRounds; ++number)
            wanted += w.line(worker, number);
        CHECK(Workers::of(w.plans[worker].path, worker) == wanted);
        if (!w.plans[worker].combined.empty())
            CHECK(Workers::of(w.plans[worker].combined, worker) == wanted);
    }
    next.remove_stage_name();
    return killed;
}

void dies_everywhere(const std::vector<LogPlan>& plans, std::size_t length = 0)
{
    for (const bool guardian_too : {false, true}) {
        for (const bool after : {false, true}) {
            int nth = 1;
            for (bool killed = true; killed; ++nth) {
                CAPTURE(guardian_too);
                CAPTURE(after);
                CAPTURE(nth);
                killed = goes_well(plans, length, guardian_too, nth, after);
            }
            CHECK(nth > 20); // the rounds above make more calls than that
        }
    }
}

LogPlan dated(LogPlan plan)
{
    plan.style.date_format = "[date]";
    return plan;
}

} // namespace

TEST_CASE("log pump: killed at any call, bytes that go as they are")
{
    dies_everywhere({{.path = "a.log"}, {.path = "b.log"}});
}

TEST_CASE("log pump: killed at any call, two streams in one file")
{
    dies_everywhere({{.path = "a.log"}, {.path = "a.log"}});
}

TEST_CASE("log pump: killed at any call, lines that get a date")
{
    dies_everywhere({dated({.path = "a.log"}), dated({.path = "b.log"})});
}

TEST_CASE("log pump: killed at any call, with more in a pipe than it usually holds")
{
    constexpr std::size_t length = 40'000;
    dies_everywhere({{.path = "a.log"}, dated({.path = "b.log"})}, length);
    dies_everywhere({{.path = "a.log"}, {.path = "a.log"}}, length);
}

TEST_CASE("log pump: killed at any call, a second file for both streams")
{
    dies_everywhere({{.path = "a.log", .combined = "all.log"},
                     dated({.path = "b.log", .combined = "all.log"})});
}
