#include "app/base/line_sink.hpp"

#include <fmt/format.h>

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

namespace cluster::app {
namespace {

/// So much waits for the end of the turn.
constexpr std::size_t kTurn = 64U << 10U;
/// So much is kept for a reader who is slow.
constexpr std::size_t kMaxWaiting = 4U << 20U;

bool is_pipe_or_socket(int fd)
{
    struct stat status{};
    return ::fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
}

bool is_writable(int fd, int wait_ms)
{
    pollfd descriptor{.fd = fd, .events = POLLOUT, .revents = 0};
    return ::poll(&descriptor, 1, wait_ms) != 0; // an error too: the write says which
}

} // namespace

LineSink::LineSink(int fd) : fd_{fd}, may_block_{is_pipe_or_socket(fd)} {}

void LineSink::append(std::string_view line)
{
    if (waiting_.size() - taken_ + line.size() > kMaxWaiting) {
        ++dropped_;
        ++untold_;
        return;
    }
    const bool first = waiting_.empty();
    waiting_ += line;
    // Beyond a turn's worth the reader is slow, and `later` is under way.
    if (!soon_ || (waiting_.size() >= kTurn && waiting_.size() - line.size() < kTurn))
        return flush();
    if (first) soon_();
}

/// One write; false when there is nothing (more) to write without waiting.
bool LineSink::write_some()
{
    if (waiting_.empty()) return false;
    // A pipe that is writable takes PIPE_BUF without waiting (man 7 pipe). O_NONBLOCK would be
    // felt by everybody who shares the descriptor.
    if (may_block_ && !is_writable(fd_, 0)) return false;
    const std::size_t rest = waiting_.size() - taken_;
    const std::size_t size = may_block_ ? std::min<std::size_t>(rest, PIPE_BUF) : rest;
    const ssize_t written = ::write(fd_, waiting_.data() + taken_, size);
    if (written >= 0)
        taken_ += static_cast<std::size_t>(written);
    else if (errno != EINTR && errno != EAGAIN)
        taken_ = waiting_.size();
    const bool more = written >= 0 || errno == EINTR;
    if (taken_ == waiting_.size()) forget();
    if (taken_ >= kTurn * 16) waiting_.erase(0, std::exchange(taken_, 0));
    return more;
}

void LineSink::forget()
{
    waiting_.clear();
    taken_ = 0;
}

void LineSink::flush()
{
    while (write_some()) {
    }
    if (!waiting_.empty()) {
        if (later_) later_();
        return;
    }
    if (untold_ > 0) tell_dropped();
}

/// In the log itself, because that is where somebody will miss them.
void LineSink::tell_dropped()
{
    waiting_ = fmt::format("{{\"level\":\"warn\",\"message\":\"log lines were dropped: nobody read "
                           "them\",\"lines\":{}}}\n",
                           std::exchange(untold_, 0));
    flush();
}

void LineSink::finish(std::chrono::milliseconds limit)
{
    const auto end = std::chrono::steady_clock::now() + limit;
    flush();
    while (!waiting_.empty()) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
            end - std::chrono::steady_clock::now());
        if (left.count() <= 0 || !is_writable(fd_, static_cast<int>(left.count()))) break;
        flush();
    }
    forget();
}

void LineSink::batch(std::function<void()> soon, std::function<void()> later)
{
    flush();
    soon_ = std::move(soon);
    later_ = std::move(later);
}

} // namespace cluster::app
