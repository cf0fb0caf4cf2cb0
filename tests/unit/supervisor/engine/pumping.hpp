// What the tests of the log pump stand on.
#pragma once

#include "supervisor/engine/log_pump.hpp"
#include "tests/support/manual_clock.hpp"
#include "tests/unit/supervisor/engine/fake_keeper.hpp"
#include "tests/unit/supervisor/engine/scratch.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cluster::tests {

using supervisor::LogPlan;
using supervisor::LogPump;
using supervisor::LogStream;
using supervisor::StreamKind;

constexpr ipc::milliseconds kUnfinished{200}; ///< how long a shared file waits for a line's end
constexpr ipc::milliseconds kFullAgain{250};  ///< then a file that cannot be written is tried again

/// A pump over real pipes and files. Workers are write ends that the test holds.
struct Pumping {
    Folder folder;
    boost::asio::io_context loop{1};
    FaultySystem system;
    FakeKeeper keeper;
    ManualClock clock;
    std::vector<std::string> complaints;
    LogPump pump{loop, system, keeper, clock,
                 [this](const std::string& text) { complaints.push_back(text); }};

    std::string path(const std::string& name) const { return folder.path + "/" + name; }

    std::unique_ptr<LogStream> open(const std::string& file, int worker = 0,
                                    StreamKind kind = StreamKind::out)
    {
        return open(LogPlan{.path = file}, worker, kind);
    }
    std::unique_ptr<LogStream> open(LogPlan plan, int worker = 0, StreamKind kind = StreamKind::out)
    {
        auto stream = pump.open(worker, kind, std::move(plan), {::geteuid(), ::getegid()});
        if (!stream) FAIL(stream.error().text());
        return std::move(*stream);
    }

    bool file_becomes(const std::string& file, const std::string& wanted)
    {
        return run_until(loop, [&] { return content(file) == wanted; });
    }

    /// Handles all that is due within a few looks at waiting streams.
    void settle()
    {
        const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds{150};
        run_until(loop, [&] { return std::chrono::steady_clock::now() > end; });
    }
};

inline ipc::UniqueFd worker_end(LogStream& stream)
{
    auto end = stream.open_for_worker();
    REQUIRE(end);
    return std::move(*end);
}

/// As a worker writes: it may block, so only what fits into a pipe.
inline void say(const ipc::UniqueFd& end, const std::string& text)
{
    REQUIRE(::write(end.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
}

/// More than fits into the pipe, with the pump at work; false when it makes no progress.
inline bool pour(Pumping& p, const ipc::UniqueFd& end, const std::string& text)
{
    ::fcntl(end.get(), F_SETFL, O_NONBLOCK);
    std::size_t sent = 0;
    return run_until(p.loop, [&] {
        const ssize_t size = ::write(end.get(), text.data() + sent, text.size() - sent);
        if (size > 0) sent += static_cast<std::size_t>(size);
        return sent == text.size();
    });
}

} // namespace cluster::tests
