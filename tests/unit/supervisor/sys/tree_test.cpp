// Trees of real shells: that what the kernel does to orphans is what process_table.cpp believes.
#include "supervisor/sys/process_table.hpp"

#include "supervisor/sys/sampler.hpp"
#include "tests/unit/supervisor/sys/real_process.hpp"

#include <doctest/doctest.h>

#include <sys/prctl.h>

#include <algorithm>
#include <set>

using namespace cluster::supervisor;
using namespace cluster::tests;
using Pids = std::vector<pid_t>;

namespace {

/// This process takes the place of guardian and manager: orphans come to it.
class Reaper {
public:
    Reaper() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }
    ~Reaper()
    {
        for (const pid_t pid : guests_)
            ::kill(pid, SIGKILL);
        while (::waitpid(-1, nullptr, 0) > 0) {
        }
        ::prctl(PR_SET_CHILD_SUBREAPER, 0);
    }
    Reaper(const Reaper&) = delete;
    Reaper& operator=(const Reaper&) = delete;

    void kill_later(pid_t pid) { guests_.push_back(pid); }

private:
    Pids guests_;
};

/// A worker whose processes each print their pid and then rest.
struct Worker {
    Worker(Reaper& reaper, const std::string& script, int processes)
        : marker{"unique_id=" + std::to_string(::getpid()) + "-tree"},
          run{shell("r='echo $$; exec sleep 1000'; " + script, {marker})}
    {
        for (int i = 0; i < processes; ++i) {
            const pid_t pid = std::stoi(run.line());
            pids.insert(pid);
            reaper.kill_later(pid);
        }
        root = {run.pid(), read_stat(system, run.pid()).value().start_time, marker};
    }

    Pids tree()
    {
        Pids found;
        for (const ProcessStat& process :
             ProcessForest(system, read_process_table(system), {::getpid()}).tree_of(root))
            found.push_back(process.pid);
        return found;
    }
    bool survivors() { return may_have_survivors(system, root, {::getpid()}, {}); }

    cluster::ipc::LinuxSystem system;
    std::string marker;
    Running run;
    std::set<pid_t> pids;
    TreeRoot root;
};

std::set<pid_t> as_set(const Pids& pids)
{
    return {pids.begin(), pids.end()};
}

/// Ends one process and waits until it has really gone.
void end(pid_t pid)
{
    ::kill(pid, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED);
}

} // namespace

TEST_CASE("tree: children, a grandchild with a session of its own and a double-forked orphan")
{
    Reaper reaper;
    Worker worker{reaper,
                  "sh -c \"$r\" & "
                  "setsid sh -c \"sh -c '$r' & $r\" & "
                  "(setsid sh -c \"$r\" &) ; eval \"$r\"",
                  5};
    CHECK(worker.pids.size() == 5);
    const Pids tree = worker.tree();
    CHECK(as_set(tree) == worker.pids);
    CHECK(tree.back() == worker.run.pid());
    for (std::size_t i = 0; i < tree.size(); ++i) { // children before their parents
        const auto stat = read_stat(worker.system, tree[i]).value();
        CHECK(std::find(tree.begin(), tree.begin() + static_cast<std::ptrdiff_t>(i), stat.parent) ==
              tree.begin() + static_cast<std::ptrdiff_t>(i));
    }
    const Pids by_parent = live_tree(worker.system, worker.run.pid());
    CHECK(by_parent.size() == 4); // the orphan is found by its marker alone
    CHECK(by_parent.front() == worker.run.pid());
}

TEST_CASE("tree: after the root has gone the rest is found, and killed nothing is left")
{
    Reaper reaper;
    Worker worker{reaper, "sh -c \"$r\" & setsid sh -c \"$r\" & eval \"$r\"", 3};
    ::kill(worker.run.pid(), SIGKILL);
    worker.run.wait();
    worker.pids.erase(worker.root.pid);
    CHECK(worker.survivors());
    CHECK(as_set(worker.tree()) == worker.pids);
    for (const pid_t pid : worker.tree())
        end(pid);
    CHECK(worker.tree().empty());
    CHECK(!worker.survivors());
}

TEST_CASE("tree: an orphan in a session of its own is a survivor by its marker")
{
    Reaper reaper;
    Worker worker{reaper, "(setsid sh -c \"$r\" &) ; eval \"$r\"", 2};
    end(worker.run.pid());
    worker.run.wait();
    CHECK(::kill(-worker.root.pid, 0) < 0); // the group alone would not tell
    CHECK(worker.survivors());
    CHECK(worker.tree().size() == 1);
}

TEST_CASE("tree: a process of the group is a survivor also without any environment")
{
    Reaper reaper;
    Worker worker{reaper, "env -i sh -c \"$r\" & eval \"$r\"", 2};
    end(worker.run.pid());
    worker.run.wait();
    CHECK(worker.survivors());
    CHECK(worker.tree().size() == 1);
}

TEST_CASE("tree: another worker of the same daemon is neither a member nor a survivor")
{
    Reaper reaper;
    Worker worker{reaper, "eval \"$r\"", 1};
    const Running stranger{shell("echo up; exec sleep 1000", {"unique_id=stranger"})};
    CHECK(stranger.line() == "up");
    CHECK(worker.tree() == Pids{worker.run.pid()});
    end(worker.run.pid());
    worker.run.wait();
    CHECK(worker.tree().empty());
    CHECK(!worker.survivors());
}

TEST_CASE("process table: this process is in it, with what the kernel says elsewhere")
{
    cluster::ipc::LinuxSystem system;
    const auto table = read_process_table(system);
    const auto me = std::ranges::find(table, ::getpid(), &ProcessStat::pid);
    REQUIRE(me != table.end());
    CHECK(me->parent == ::getppid());
    CHECK(me->session == ::getsid(0));
    CHECK(me->group == ::getpgrp());
    CHECK(me->state == 'R');
    CHECK(me->resident_bytes > 100'000);
    CHECK(read_stat(system, -5).error().code.value() == ENOENT);
}
