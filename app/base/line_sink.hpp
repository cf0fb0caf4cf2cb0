// Lines on their way to a descriptor. A write per line would cost more than the request that it
// tells about, so the lines of one turn of the loop go out together.
//
// A reader of a pipe who is slow or has stopped (the supervisor is being replaced, a disk is full)
// holds nobody up: what he does not take is kept, up to a limit, and beyond it dropped and counted.
// Nothing is lost on a clean end while there is a reader; a crash loses what its last turn said.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace cluster::app {

class LineSink {
public:
    /// Does not own `fd`. Until `batch` is called each line is written at once.
    explicit LineSink(int fd);
    /// Waits a second at most for a slow reader.
    ~LineSink() { finish(std::chrono::seconds{1}); }
    LineSink(const LineSink&) = delete;
    LineSink& operator=(const LineSink&) = delete;

    /// `line` ends in a newline.
    void append(std::string_view line);

    /// Writes what can be written without waiting. What cannot be written at all (the reader has
    /// gone) is dropped.
    void flush();
    /// Writes the rest, and waits for the reader for at most `limit`.
    void finish(std::chrono::milliseconds limit);

    /// From now on `soon` is called when the first line waits, and sees to it that `flush` is
    /// called at the end of the turn; `later` likewise, for in some milliseconds, when the reader
    /// is slow. Empty: each line is written at once again.
    void batch(std::function<void()> soon, std::function<void()> later);

    /// Lines that were dropped so far.
    [[nodiscard]] std::size_t dropped() const { return dropped_; }

private:
    bool write_some();
    void tell_dropped();
    void forget();

    int fd_;
    bool may_block_; ///< a pipe or a socket; files and terminals are written as they are
    std::string waiting_;
    std::size_t taken_ = 0; ///< of `waiting_`, by the kernel
    std::size_t dropped_ = 0;
    std::size_t untold_ = 0; ///< dropped, and not yet said in the log itself
    std::function<void()> soon_;
    std::function<void()> later_;
};

} // namespace cluster::app
