// Cuts a byte stream into newline-ended frames, with a limit that is checked before memory is
// taken. Pure: bytes in, lines out. Used by both ends of the control socket.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace cluster::ipc {

/// Longest request the daemon takes (docs/protocol.md).
inline constexpr std::size_t kMaxRequestBytes = 8U << 20U;

class FrameReader {
public:
    /// `limit` 0: none.
    explicit FrameReader(std::size_t limit = 0) : limit_{limit} {}

    /// Takes what was read. False when a frame got longer than the limit: the stream cannot be
    /// understood any more, nothing further is kept.
    [[nodiscard]] bool push(std::string_view bytes);

    /// The next whole frame without its newline; a "\r" before it is dropped too. Empty frames are
    /// passed over. The view is valid until the next call.
    [[nodiscard]] std::optional<std::string_view> next();

    /// Takes out all that was pushed and not yet handed out.
    [[nodiscard]] std::string rest();

private:
    std::size_t limit_;
    std::string buffer_;
    std::size_t begin_ = 0;   ///< first byte not handed out yet
    std::size_t scanned_ = 0; ///< no newline before this offset
};

} // namespace cluster::ipc
