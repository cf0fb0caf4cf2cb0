#include "ipc/wire/log_times.hpp"

#include <fmt/format.h>

namespace cluster::ipc {
namespace {

constexpr char kAnchor = 0;
constexpr int kWordBytes = 8;
constexpr std::size_t kUsualStepBytes = 3;
constexpr unsigned kPayloadBits = 7; ///< of each byte of a LEB128 number
constexpr unsigned char kMore = 0x80;

void put_word(std::string& out, std::uint64_t value)
{
    for (int byte = 0; byte < kWordBytes; ++byte)
        out += static_cast<char>(value >> (8 * byte));
}

void put_number(std::string& out, std::uint64_t value)
{
    while (value >= kMore) {
        out += static_cast<char>(value | kMore);
        value >>= kPayloadBits;
    }
    out += static_cast<char>(value);
}

/// Takes records off the front of the bytes.
class Cursor {
public:
    explicit Cursor(std::string_view bytes) : bytes_{bytes} {}

    /// Empty: the end, or what is no record.
    std::optional<LogTime> next()
    {
        if (at_ == bytes_.size()) return std::nullopt;
        const auto found = bytes_[at_] == kAnchor ? anchor() : step();
        if (!found) return std::nullopt;
        last_ = found;
        whole_ = at_;
        return found;
    }

    [[nodiscard]] std::size_t whole() const { return whole_; }

private:
    std::optional<LogTime> anchor()
    {
        if (bytes_.size() - at_ < 1 + 2 * kWordBytes) return std::nullopt;
        ++at_;
        const LogTime time{word(), static_cast<std::int64_t>(word())};
        if (time.wall_ms < 0) return std::nullopt; // nobody wrote a log before 1970
        return time;
    }

    std::optional<LogTime> step()
    {
        const auto bytes = number();
        const auto elapsed = number();
        if (!last_ || !bytes || !elapsed || *bytes == 0) return std::nullopt;
        LogTime time = *last_;
        if (__builtin_add_overflow(time.offset, *bytes, &time.offset)) return std::nullopt;
        if (__builtin_add_overflow(time.wall_ms, *elapsed, &time.wall_ms)) return std::nullopt;
        return time;
    }

    /// A number, usually of one or two bytes: there are millions of them.
    std::optional<std::uint64_t> number()
    {
        if (bytes_.size() - at_ < 2) return long_number();
        const auto first = static_cast<unsigned char>(bytes_[at_]);
        const auto second = static_cast<unsigned char>(bytes_[at_ + 1]);
        if (first < kMore) {
            ++at_;
            return first;
        }
        if (second >= kMore) return long_number();
        at_ += 2;
        return (first & ~unsigned{kMore}) | unsigned{second} << kPayloadBits;
    }

    std::uint64_t word()
    {
        std::uint64_t value = 0;
        for (int byte = 0; byte < kWordBytes; ++byte)
            value |= std::uint64_t{static_cast<unsigned char>(bytes_[at_++])} << (8 * byte);
        return value;
    }

    std::optional<std::uint64_t> long_number()
    {
        std::uint64_t value = 0;
        for (unsigned shift = 0; at_ < bytes_.size(); shift += kPayloadBits) {
            const auto byte = static_cast<unsigned char>(bytes_[at_++]);
            const std::uint64_t bits = byte & ~unsigned{kMore};
            if (shift >= 64 || (bits << shift) >> shift != bits) return std::nullopt;
            value |= bits << shift;
            if ((byte & kMore) == 0) return value;
        }
        return std::nullopt;
    }

    std::string_view bytes_;
    std::size_t at_ = 0;
    std::size_t whole_ = 0;
    std::optional<LogTime> last_;
};

} // namespace

std::string encode_log_time(LogTime time, const std::optional<LogTime>& before)
{
    std::string out;
    if (before && time.offset > before->offset && time.wall_ms >= before->wall_ms) {
        put_number(out, time.offset - before->offset);
        put_number(out, static_cast<std::uint64_t>(time.wall_ms - before->wall_ms));
        return out;
    }
    out += kAnchor;
    put_word(out, time.offset);
    put_word(out, static_cast<std::uint64_t>(time.wall_ms));
    return out;
}

std::vector<LogTime> decode_log_times(std::string_view bytes)
{
    std::vector<LogTime> times;
    times.reserve(bytes.size() / kUsualStepBytes);
    Cursor cursor{bytes};
    while (const auto time = cursor.next()) {
        while (!times.empty() && times.back().offset >= time->offset)
            times.pop_back();
        times.push_back(*time);
    }
    return times;
}

std::size_t whole_log_times(std::string_view bytes)
{
    Cursor cursor{bytes};
    while (cursor.next()) {
    }
    return cursor.whole();
}

std::string log_times_name(std::uint64_t device, std::uint64_t inode)
{
    return fmt::format("{}/{:x}-{:x}", kLogTimesFolder, device, inode);
}

} // namespace cluster::ipc
