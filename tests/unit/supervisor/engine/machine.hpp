// A Supervisor on a made-up machine: files and /proc are a ScriptedSystem, processes are rows that
// a FakeLauncher adds and a test ends.
#pragma once

#include "supervisor/engine/supervisor.hpp"
#include "supervisor/engine/waiting.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/support/scripted_system.hpp"
#include "tests/unit/supervisor/engine/fake_keeper.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"
#include "tests/unit/supervisor/sys/fake_proc.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cluster::tests {

class SilentLog final : public supervisor::Log {
public:
    std::vector<std::string> lines;
    void info(std::string_view text) override { lines.emplace_back(text); }
    void warn(std::string_view text) override { lines.emplace_back(text); }
    void error(std::string_view text) override { lines.emplace_back(text); }
};

class FakeLauncher final : public supervisor::Launcher {
public:
    explicit FakeLauncher(ScriptedSystem& system) : system_{system} {}

    std::string failure; ///< of every launch; "" they succeed
    int error = ENOENT;  ///< of every launch that fails
    std::vector<supervisor::LaunchPlan> plans;
    std::function<void()> on_launch; ///< looks at the moment before

    std::expected<supervisor::Launched, supervisor::LaunchFailure>
    launch(const supervisor::LaunchPlan& plan) override
    {
        plans.push_back(plan);
        if (on_launch) on_launch();
        if (!failure.empty())
            return std::unexpected(
                supervisor::LaunchFailure{.stage = "exec", .error = error, .text = failure});
        const pid_t pid = next_++;
        system_.alive.insert(pid);
        add_process(system_, {.pid = pid});
        system_.files["/proc/" + std::to_string(pid) + "/schedstat"] = "1000 0 1";
        int ends[2] = {-1, -1};
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        lives_[pid] = ipc::UniqueFd{ends[1]};
        return supervisor::Launched{.pid = pid, .pidfd = ipc::UniqueFd{ends[0]}};
    }

    /// The process ends: its pidfd becomes readable and its status can be fetched.
    void end(pid_t pid, ipc::ExitStatus status)
    {
        remove_process(system_, pid);
        system_.alive.erase(pid);
        system_.ended.emplace_back(pid, status);
        lives_.erase(pid);
    }

private:
    ScriptedSystem& system_;
    std::map<pid_t, ipc::UniqueFd> lives_; ///< write ends of what stands for pidfds
    pid_t next_ = 5'000'000;               ///< beyond every pid that the kernel gives
};

struct Machine {
    FakeKeeper keeper; // outlives the loop, whose handlers may hold what is kept
    boost::asio::io_context loop{1};
    ScriptedSystem system;
    ManualClock clock;
    SilentLog log;
    FakeLauncher launcher{system};
    supervisor::Supervisor supervisor{{.loop = loop,
                                       .system = prepared(system),
                                       .launcher = launcher,
                                       .keeper = keeper,
                                       .clock = clock,
                                       .log = log,
                                       .paths = ipc::HomePaths{"/home/u/.clusterctl"},
                                       .reapers = {}}};

    supervisor::Worker& add(ipc::AppSpec spec, int instance = 0)
    {
        if (spec.script.empty()) spec.script = "/srv/app";
        if (spec.cwd.empty()) spec.cwd = "/srv";
        auto app = supervisor.declare(std::move(spec), std::make_shared<const ipc::Environment>(
                                                           ipc::Environment{{"USER", "u"}}));
        REQUIRE(app);
        return supervisor.add(*app, instance);
    }

    template <class Condition>
    bool until(Condition condition)
    {
        return run_until(loop, condition);
    }
    bool until(const supervisor::Worker& worker, supervisor::State state)
    {
        return until([&] { return worker.life.state == state; });
    }
    /// Everything that is due now.
    void turn()
    {
        loop.restart();
        loop.poll();
    }
    void bring_up(supervisor::Worker& worker)
    {
        supervisor.ask(worker, supervisor::Event::start_asked, "test");
        REQUIRE(until(worker, supervisor::State::online));
    }

private:
    static ScriptedSystem& prepared(ScriptedSystem& system)
    {
        for (int fd = 0; fd < 256; ++fd) // pipes are opened anew through it
            system.files["/proc/self/fd/" + std::to_string(fd)];
        system.files["/dev/null"];
        system.files["/proc/sys/kernel/random/uuid"] = "5f2c-0001\n";
        system.files["/proc/uptime"] = "20.00 10.00\n";
        return system;
    }
};

/// A Machine on which something waits for workers; whoever is under test hears of them after that.
struct WaitingMachine : Machine {
    supervisor::Waiting waiting{supervisor, loop};
    std::function<void(const supervisor::Worker&, supervisor::Event)> on_transition;
    std::function<void()> on_removed;

    WaitingMachine()
    {
        supervisor.observe(
            [this](const supervisor::Worker& worker, supervisor::Event event) {
                waiting.on_transition(worker, event);
                if (on_transition) on_transition(worker, event);
            },
            [this](const supervisor::Worker& worker) {
                waiting.on_removed(worker);
                if (on_removed) on_removed();
            });
    }
};

} // namespace cluster::tests
