#include "ipc/wire/frame.hpp"

namespace cluster::ipc {

bool FrameReader::push(std::string_view bytes)
{
    if (begin_ > 0) {
        buffer_.erase(0, begin_);
        scanned_ -= begin_;
        begin_ = 0;
        // A long request must not pin its memory for the rest of the connection's life.
        if (buffer_.empty() && buffer_.capacity() > 65536) buffer_.shrink_to_fit();
    }
    if (limit_ > 0) {
        // Only the unfinished frame counts: many whole ones may be waiting.
        const std::size_t newline = bytes.find('\n');
        const std::size_t first = newline == std::string_view::npos ? bytes.size() : newline;
        const bool none_yet = buffer_.find('\n', scanned_) == std::string::npos;
        if (none_yet && buffer_.size() + first > limit_) {
            buffer_ = {};
            begin_ = scanned_ = 0;
            return false;
        }
    }
    buffer_.append(bytes);
    return true;
}

std::optional<std::string_view> FrameReader::next()
{
    while (true) {
        const std::size_t newline = buffer_.find('\n', scanned_ < begin_ ? begin_ : scanned_);
        if (newline == std::string::npos) {
            scanned_ = buffer_.size();
            return std::nullopt;
        }
        std::string_view frame{buffer_.data() + begin_, newline - begin_};
        begin_ = scanned_ = newline + 1;
        if (frame.ends_with('\r')) frame.remove_suffix(1);
        if (!frame.empty()) return frame;
    }
}

std::string FrameReader::rest()
{
    std::string held = buffer_.substr(begin_);
    buffer_.clear();
    begin_ = scanned_ = 0;
    return held;
}

} // namespace cluster::ipc
