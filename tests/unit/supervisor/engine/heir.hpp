// A manager that comes after another one: the same processes and descriptors, and rows to adopt.
#pragma once

#include "tests/unit/supervisor/engine/machine.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cluster::tests {

inline constexpr pid_t kPid = 4'999'999;
inline constexpr std::uint64_t kStart = 1000;

inline ipc::AppSpec app(std::string name = "api")
{
    ipc::AppSpec spec;
    spec.name = std::move(name);
    spec.script = "/srv/app";
    spec.cwd = "/srv";
    return spec;
}

/// Notes what a row was told to have known.
struct Notes final : supervisor::Recorder {
    std::vector<std::pair<pid_t, std::uint64_t>> known;
    std::vector<std::uint64_t> rows;
    void row(const supervisor::Worker& worker) override { rows.push_back(worker.key); }
    void removed(std::uint64_t) override {}
    void listeners() override {}
    void node_handles() override {}
    void flush() override {}
    void end_known(pid_t pid, std::uint64_t start_time) override
    {
        known.emplace_back(pid, start_time);
    }
};

/// A manager that comes after another one.
struct Heir : Machine {
    Notes notes;
    supervisor::KeptFds kept;

    Heir() { supervisor.record_to(notes); }

    /// Runs and is not our child.
    void has_process(pid_t pid = kPid, std::uint64_t start_time = kStart)
    {
        add_process(system, {.pid = pid, .start_time = start_time});
        system.alive.insert(pid);
    }
    void ends(pid_t pid = kPid)
    {
        remove_process(system, pid);
        system.alive.erase(pid);
        system.pidfds.erase(pid);
    }
    /// It has ended, and its parent has not waited for it yet.
    void is_zombie(FakeProcess process)
    {
        process.state = 'Z';
        remove_process(system, process.pid);
        add_process(system, process);
        system.pidfds.erase(process.pid);
    }
    supervisor::KnownWorker known(supervisor::State state, bool with_process = true)
    {
        supervisor::KnownWorker row;
        row.record.key = 5;
        row.record.id = 2;
        row.record.unique_id = "5f2c-0002";
        row.record.life.state = state;
        row.record.created_at = clock.now();
        if (!with_process) return row;
        row.record.pid = row.record.tree = kPid;
        row.record.start_time = kStart;
        row.record.started_at = clock.now();
        return row;
    }
    supervisor::Worker& adopt(supervisor::KnownWorker row, ipc::AppSpec spec = app(),
                              const std::optional<supervisor::ProcessStat>& process = std::nullopt)
    {
        auto declared = supervisor.declare(
            std::move(spec), std::make_shared<const ipc::Environment>(ipc::Environment{}));
        REQUIRE(declared);
        return supervisor.adopt(std::move(row), *declared, kept, process);
    }
    [[nodiscard]] std::vector<int> signals(pid_t pid = kPid) const
    {
        std::vector<int> all;
        for (const auto& [to, signal] : system.kills)
            if (to == pid) all.push_back(signal);
        return all;
    }
};

} // namespace cluster::tests
