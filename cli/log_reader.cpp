#include "cli/log_reader.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace cluster::cli {
namespace {

constexpr std::size_t kBufferBytes = 64UL * 1024; ///< per file: there may be hundreds

} // namespace

LineCutter::LineCutter(std::unique_ptr<LogBytes> bytes, std::uint64_t offset)
    : bytes_{std::move(bytes)}, offset_{offset}
{
}

ipc::Result<bool> LineCutter::next(Line& line)
{
    while (true) {
        const std::size_t from = begin_ + seen_;
        const void* newline =
            from < end_ ? std::memchr(buffer_.data() + from, '\n', end_ - from) : nullptr;
        if (newline != nullptr) {
            const auto size = static_cast<std::size_t>(static_cast<const char*>(newline) -
                                                       (buffer_.data() + begin_));
            take(line, size, size + 1);
            return true;
        }
        seen_ = end_ - begin_;
        if (seen_ >= kLongestLine || (ended_ && seen_ > 0)) {
            take(line, seen_, seen_);
            return true;
        }
        if (ended_) return false;
        if (auto done = fill(); !done) return std::unexpected(done.error());
    }
}

void LineCutter::take(Line& line, std::size_t size, std::size_t with_newline)
{
    line = {{buffer_.data() + begin_, size}, offset_, offset_ + with_newline};
    begin_ += with_newline;
    offset_ += with_newline;
    seen_ = 0;
}

/// Room is made by moving the unfinished line to the front, or, when it takes all, by more room.
ipc::Result<void> LineCutter::fill()
{
    if (begin_ > 0) {
        std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
    }
    if (end_ == buffer_.size()) buffer_.resize(std::max(kBufferBytes, 2 * buffer_.size()));
    const auto got = bytes_->read(buffer_.data() + end_, buffer_.size() - end_);
    if (!got) return std::unexpected(got.error());
    end_ += *got;
    ended_ = *got == 0;
    return {};
}

ChainReader::ChainReader(LogFiles& files, const LogChain& chain, LogPlace from,
                         const LogFilter& filter)
    : files_{files}, chain_{chain}, from_{from}, filter_{filter}
{
}

bool ChainReader::next()
{
    while (lines_ || open_next()) {
        while (next_line()) {
            at_ = log_->times.at(line_.end - 1);
            if (filter_.passes(line_.text, at_)) return true;
        }
        lines_.reset();
        log_.reset();
    }
    return false;
}

bool ChainReader::next_line()
{
    const auto more = lines_->next(line_);
    if (!more) files_.warn(more.error().text());
    return more && *more;
}

/// The next file that can be read; false when none is left.
bool ChainReader::open_next()
{
    while (from_.file < chain_.files()) {
        const LogPlace place = std::exchange(from_, LogPlace{from_.file + 1, 0});
        log_ = files_.open(chain_, place.file);
        if (!log_) continue;
        auto bytes = log_bytes(files_.system(), *log_, place.offset);
        if (bytes) {
            lines_.emplace(std::move(*bytes), place.offset);
            return true;
        }
        files_.warn(bytes.error().text());
    }
    return false;
}

} // namespace cluster::cli
