// One question to one worker: does it serve? Asked once, answered once, on the loop's thread. Who
// asks sets the limit: a question waits for ever.
#pragma once

#include "ipc/base/result.hpp"
#include "ipc/base/system.hpp"
#include "ipc/base/unique_fd.hpp"
#include "ipc/wire/app_spec.hpp"
#include "supervisor/sys/launcher.hpp"

#include <boost/asio/io_context.hpp>

#include <expected>
#include <functional>
#include <memory>
#include <string>

namespace cluster::supervisor {

/// `why` says what was wrong with a bad answer; "" for a good one.
using OnAnswer = std::function<void(bool good, std::string why)>;

/// Under way until it is answered or cancelled. The answer never comes before the function that
/// asks has returned.
class Question {
public:
    Question() = default;
    Question(const Question&) = delete;
    Question& operator=(const Question&) = delete;
    virtual ~Question() = default;

    /// No answer comes any more. May be repeated.
    virtual void cancel() = 0;
    /// False while something of it is left that cannot be had twice: a killed command that has not
    /// ended yet.
    [[nodiscard]] virtual bool over() const { return true; }
};

/// Good once the connection stands. `socket` is connected or connecting.
std::shared_ptr<Question> ask_tcp(boost::asio::io_context& loop, ipc::UniqueFd socket,
                                  OnAnswer on_answer);

/// GET `probe.path`; good is a status that the probe lists, and an answer that comes to its end or
/// has 64 KiB of body, which is dropped.
std::shared_ptr<Question> ask_http(boost::asio::io_context& loop, ipc::UniqueFd socket,
                                   const ipc::Probe& probe, const std::string& host_header,
                                   OnAnswer on_answer);

/// Runs a command; good is exit code 0. It gets no input; the last line of its output becomes a
/// part of `why`. Cancelled it is killed, and its process group with it; it is reaped in any case,
/// as long as the loop runs. `plan.fds` is filled in here.
std::expected<std::shared_ptr<Question>, LaunchFailure>
ask_command(boost::asio::io_context& loop, LaunchPlan plan, Launcher& launcher, ipc::System& system,
            OnAnswer on_answer);

} // namespace cluster::supervisor
