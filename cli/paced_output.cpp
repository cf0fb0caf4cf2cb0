#include "cli/paced_output.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

namespace cluster::cli {
namespace {

constexpr std::size_t kTidyAt = 64UL * 1024; ///< written bytes that are dropped together

} // namespace

void PacedOutput::add(std::string_view text)
{
    if (!closed_) text_ += text;
}

void PacedOutput::write_some()
{
    const std::size_t size = std::min<std::size_t>(waiting(), PIPE_BUF);
    if (size == 0) return;
    const ssize_t written = ::write(fd_, text_.data() + begin_, size);
    if (written < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (written < 0) {
        closed_ = true;
        text_.clear();
        begin_ = 0;
        return;
    }
    begin_ += static_cast<std::size_t>(written);
    if (begin_ < kTidyAt && begin_ < text_.size()) return;
    text_.erase(0, begin_);
    begin_ = 0;
}

bool PacedOutput::closed_now()
{
    return closed_ && !std::exchange(told_, true);
}

} // namespace cluster::cli
