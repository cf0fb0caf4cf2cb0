// One range of bytes that a client asks for (RFC 9110 section 14). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace cluster::app {

struct ByteRange {
    enum class What {
        whole,   ///< no range, or one that we do not follow: several, other units, nonsense
        part,    ///< `first` and `length`
        outside, ///< 416: nothing of it is there
    };
    What what = What::whole;
    std::uint64_t first = 0;
    std::uint64_t length = 0;
    bool operator==(const ByteRange&) const = default;
};

/// "bytes=0-99", "bytes=100-", "bytes=-50" of something that has `size` bytes.
[[nodiscard]] ByteRange parse_range(std::string_view header, std::uint64_t size);

} // namespace cluster::app
