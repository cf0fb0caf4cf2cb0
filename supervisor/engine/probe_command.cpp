// The question that is a command of the user (probe of kind `exec`).
#include "supervisor/core/shown_line.hpp"
#include "supervisor/engine/probe_question.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include <fmt/format.h>

#include <fcntl.h>

#include <array>
#include <chrono>
#include <csignal>
#include <string_view>
#include <utility>

namespace cluster::supervisor {
namespace {

using boost::asio::posix::stream_descriptor;
using boost::system::error_code;

constexpr std::size_t kReadBytes = std::size_t{16} * 1024;
/// Four are a full pipe; then comes a pause: a command that never stops writing gets 13 MB/s.
constexpr int kReadsPerTurn = 4;
constexpr std::chrono::milliseconds kBreath{5};
constexpr std::size_t kTailBytes = 4096; ///< of the output, in which the last line is looked for

/// The last line that is not blank.
std::string_view last_line(std::string_view text)
{
    const std::size_t end = text.find_last_not_of(" \t\r\n");
    if (end == std::string_view::npos) return {};
    text = text.substr(0, end + 1);
    return text.substr(text.find_last_of("\r\n") + 1); // npos + 1 is 0
}

/// Held by the wait for the process's end, so that the process is reaped whoever has lost interest.
class CommandQuestion final : public Question,
                              public std::enable_shared_from_this<CommandQuestion> {
public:
    CommandQuestion(boost::asio::io_context& loop, Launched launched, ipc::UniqueFd output,
                    ipc::System& system, OnAnswer on_answer)
        : pid_{launched.pid}, exit_{loop, launched.pidfd.release()},
          output_{loop, output.release()}, pause_{loop}, system_{system},
          on_answer_{std::move(on_answer)}
    {
    }

    void start()
    {
        watch_exit();
        watch_output();
    }

    void cancel() override
    {
        on_answer_ = {};
        error_code ignored;
        output_.close(ignored); // NOLINT(bugprone-unused-return-value): told twice, once is enough
        pause_.cancel();
        if (!over_) kill_group();
    }

    [[nodiscard]] bool over() const override { return over_; }

private:
    void watch_exit()
    {
        exit_.async_wait(stream_descriptor::wait_read,
                         [self = shared_from_this()](error_code cancelled) {
                             if (!cancelled) self->on_exit();
                         });
    }

    void on_exit()
    {
        const auto status = system_.wait(pid_);
        // The pidfd may tell of the first thread's end while others are still going.
        if (status && !*status) return watch_exit();
        over_ = true;
        // What it has left behind in its group goes too. The number is not given to anybody else
        // so soon: the kernel goes through all numbers first.
        kill_group();
        if (!on_answer_) return;
        take_output();
        const auto tell = std::exchange(on_answer_, {});
        cancel();
        const std::string why = status ? reason(**status) : status.error().text();
        tell(why.empty(), why);
    }

    /// "" when all is well.
    [[nodiscard]] std::string reason(const ipc::ExitStatus& status) const
    {
        if (status == ipc::ExitStatus{}) return "";
        const std::string end = status.signal != 0
                                    ? fmt::format("ended by signal {}", status.signal)
                                    : fmt::format("exited with code {}", status.code);
        const std::string line = shown_line(last_line(tail_));
        return fmt::format("the command {}{}{}", end, line.empty() ? "" : ": ", line);
    }

    void kill_group() { (void)system_.kill(-pid_, SIGKILL); } // ESRCH: nobody is left

    void watch_output()
    {
        output_.async_wait(stream_descriptor::wait_read,
                           [weak = weak_from_this()](error_code cancelled) {
                               const auto self = weak.lock();
                               if (self && !cancelled && self->take_output()) self->rest();
                           });
    }

    void rest()
    {
        pause_.expires_after(kBreath);
        pause_.async_wait([weak = weak_from_this()](error_code cancelled) {
            const auto self = weak.lock();
            if (self && !cancelled && self->on_answer_) self->watch_output();
        });
    }

    /// Reads what is there, within bounds. False: there will be no more.
    bool take_output()
    {
        std::array<char, kReadBytes> bytes;
        for (int count = 0; count < kReadsPerTurn; ++count) {
            const auto size = system_.read(output_.native_handle(), bytes.data(), bytes.size());
            if (!size) return size.error().code == std::errc::resource_unavailable_try_again;
            if (*size == 0) return false;
            tail_.append(bytes.data(), *size);
            if (tail_.size() > kTailBytes) tail_.erase(0, tail_.size() - kTailBytes);
        }
        return true;
    }

    pid_t pid_;
    stream_descriptor exit_; ///< the pidfd
    stream_descriptor output_;
    boost::asio::steady_timer pause_;
    ipc::System& system_;
    OnAnswer on_answer_; ///< empty once answered or cancelled
    std::string tail_;   ///< of the output
    bool over_ = false;  ///< reaped
};

/// As a failure of our own, not of the command.
std::unexpected<LaunchFailure> short_of(const ipc::Error& error)
{
    return std::unexpected(LaunchFailure{"clone", error.code.value(), error.text()});
}

} // namespace

std::expected<std::shared_ptr<Question>, LaunchFailure>
ask_command(boost::asio::io_context& loop, LaunchPlan plan, Launcher& launcher, ipc::System& system,
            OnAnswer on_answer)
{
    const auto null = system.open("/dev/null", O_RDONLY);
    if (!null) return short_of(null.error());
    auto pipe = system.pipe();
    if (!pipe) return short_of(pipe.error());
    plan.fds = {null->get(), pipe->write.get(), pipe->write.get()};
    auto launched = launcher.launch(plan);
    if (!launched) return std::unexpected(std::move(launched.error()));
    auto question = std::make_shared<CommandQuestion>(
        loop, std::move(*launched), std::move(pipe->read), system, std::move(on_answer));
    question->start();
    return question;
}

} // namespace cluster::supervisor
