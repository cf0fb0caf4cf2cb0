// Text on its way to a descriptor that may be slow: what does not go out at once waits here, and
// whoever fills it looks at how much that is. The descriptor stays as it is (others write there,
// too): it is written to when poll(2) has said that it takes something, in pieces that do not
// block.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cluster::cli {

class PacedOutput {
public:
    explicit PacedOutput(int fd) : fd_{fd} {}

    void add(std::string_view text);
    /// Writes one piece: PIPE_BUF bytes at most, which a pipe that is ready takes whole (man 7
    /// pipe).
    void write_some();

    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] std::size_t waiting() const { return text_.size() - begin_; }
    /// Nobody reads any more: what is added is dropped. Says so once.
    [[nodiscard]] bool closed_now();

private:
    int fd_;
    std::string text_;
    std::size_t begin_ = 0; ///< what is before it has been written
    bool closed_ = false;
    bool told_ = false;
};

} // namespace cluster::cli
