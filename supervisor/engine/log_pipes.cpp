// LogPump: how much the pipes of workers hold. One that writes much gets a wide pipe, which it
// fills while we write; one whose disk does not answer may go on for longer with it. When that is
// over it gives the room back, of which each user has a share (man 7 pipe, pipe-user-pages-soft),
// and we give back what holds batches of that size.
#include "supervisor/engine/log_pump.hpp"

#include "supervisor/sys/pipes.hpp"

#include <utility>

namespace cluster::supervisor {
namespace {

constexpr std::chrono::seconds kUnusedFor{1}; ///< so long a pipe stays wide that nobody fills

} // namespace

/// False where it is as wide already, or may not be.
bool LogPump::widen(LogStream& stream)
{
    if (stream.wide_ || !set_pipe_capacity(stream.fd(), kWidePipe)) return false;
    stream.wide_ = stream.fast_ = true;
    wide_.push_back(&stream);
    if (wide_.size() == 1) watch_wide();
    return true;
}

void LogPump::watch_wide()
{
    wide_timer_.expires_after(kUnusedFor);
    wide_timer_.async_wait([this](boost::system::error_code cancelled) {
        if (!cancelled) narrow_idle();
    });
}

/// One that holds more than it would have room for keeps it.
void LogPump::narrow_idle()
{
    std::erase_if(wide_, [](LogStream* stream) {
        if (std::exchange(stream->fast_, false)) return false;
        stream->wide_ = !set_pipe_capacity(stream->fd(), kPipeBytes);
        return !stream->wide_;
    });
    if (!wide_.empty()) return watch_wide();
    buffer_.reset();
    text_ = std::string{};
}

} // namespace cluster::supervisor
