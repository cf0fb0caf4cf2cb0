// A machine that writes a journal, and what a manager that came next would read of it.
#pragma once

#include "supervisor/daemon/journal.hpp"
#include "supervisor/sys/fd_passing.hpp"
#include "tests/unit/supervisor/daemon/shown_state.hpp"
#include "tests/unit/supervisor/engine/machine.hpp"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cluster::tests {

/// A machine whose journal goes to the test in place of the guardian.
struct Journaled : Machine {
    inline static const std::string kPath = "/home/u/.clusterctl/journal";

    static ipc::AppSpec app(std::string name = "api")
    {
        ipc::AppSpec spec;
        spec.name = std::move(name);
        spec.kill_timeout = std::chrono::hours{1};
        return spec;
    }

    Journaled()
    {
        auto pair = supervisor::make_message_pair().value();
        guardian = std::move(pair.first);
        link = std::make_unique<supervisor::GuardianLink>(loop, std::move(pair.second), log);
        journal = std::make_unique<supervisor::Journal>(loop, supervisor, *link, log, kPath);
        journal->tell_under_way([this] { return under_way; });
        supervisor.record_to(*journal);
        supervisor.observe(
            {}, [this](const supervisor::Worker& worker) { removed.push_back(worker.key); });
    }
    ~Journaled() { supervisor.record_to(nobody); }

    /// Hears all that was said to the guardian.
    void hear()
    {
        link->flush();
        while (auto received = supervisor::receive_message(guardian.get())) {
            if (received->bytes.empty()) break;
            const supervisor::Message message = supervisor::decode(received->bytes).value();
            if (message.verb == supervisor::Verb::acknowledge) ++acknowledged;
            if (message.verb != supervisor::Verb::journal) continue;
            REQUIRE(received->fds.size() == 1);
            kept = std::move(received->fds[0]);
            ++journals;
        }
    }
    /// What a manager would read that came now.
    std::string text()
    {
        hear();
        if (const auto file = system.files.find(kPath); file != system.files.end())
            return file->second;
        REQUIRE(kept);
        struct stat about{};
        REQUIRE(::fstat(kept.get(), &about) == 0);
        std::string all(static_cast<std::size_t>(about.st_size), ' ');
        REQUIRE(::pread(kept.get(), all.data(), all.size(), 0) == about.st_size);
        return all;
    }
    nlohmann::json written()
    {
        const auto state = supervisor::parse_state(text());
        if (!state) FAIL(state.error());
        return shown(*state);
    }
    nlohmann::json now()
    {
        supervisor::EnvironmentNumbers numbers;
        const auto state =
            supervisor::parse_state(supervisor::state_text(supervisor, under_way, numbers));
        if (!state) FAIL(state.error());
        return shown(*state);
    }
    void begin()
    {
        journal->begin();
        hear();
    }

    supervisor::NoRecorder nobody;
    ipc::UniqueFd guardian, kept;
    std::unique_ptr<supervisor::GuardianLink> link;
    std::unique_ptr<supervisor::Journal> journal;
    supervisor::UnderWay under_way;
    std::vector<std::uint64_t> removed;
    int journals = 0, acknowledged = 0;
};

} // namespace cluster::tests
