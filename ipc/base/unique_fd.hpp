// Owns one file descriptor from the line it is born (always close-on-exec) and closes it exactly
// once.
#pragma once

#include <unistd.h>

#include <utility>

namespace cluster::ipc {

class UniqueFd {
public:
    explicit UniqueFd(int fd = -1) noexcept : fd_{fd} {}
    UniqueFd(UniqueFd&& from) noexcept : fd_{from.release()} {}
    UniqueFd& operator=(UniqueFd&& from) noexcept { return reset(from.release()), *this; }
    ~UniqueFd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    void reset(int fd = -1) noexcept
    {
        // No retry on EINTR: Linux has freed the number already, and a second close could
        // hit a stranger that was opened in between.
        if (const int old = std::exchange(fd_, fd); old >= 0) ::close(old);
    }

private:
    int fd_; ///< -1 when empty
};

} // namespace cluster::ipc
