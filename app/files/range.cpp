#include "app/files/range.hpp"

#include "ipc/base/text.hpp"

#include <algorithm>

namespace cluster::app {

ByteRange parse_range(std::string_view header, std::uint64_t size)
{
    using What = ByteRange::What;
    constexpr std::string_view kUnit = "bytes=";
    const ByteRange whole{.what = What::whole, .first = 0, .length = size};
    if (!header.starts_with(kUnit)) return whole;
    header.remove_prefix(kUnit.size());
    const std::size_t dash = header.find('-');
    if (dash == std::string_view::npos) return whole;
    const std::string_view from = header.substr(0, dash);
    const std::string_view to = header.substr(dash + 1);
    const auto first = ipc::parse_number<std::uint64_t>(from);
    const auto last = ipc::parse_number<std::uint64_t>(to);
    if ((!from.empty() && !first) || (!to.empty() && !last) || (from.empty() && to.empty()))
        return whole;

    if (from.empty()) { // the last so many bytes
        if (*last == 0 || size == 0) return {.what = What::outside};
        const std::uint64_t length = std::min(*last, size);
        return {.what = What::part, .first = size - length, .length = length};
    }
    if (last && *last < *first) return whole;
    if (*first >= size) return {.what = What::outside};
    const std::uint64_t end = last ? std::min(*last, size - 1) : size - 1;
    return {.what = What::part, .first = *first, .length = end - *first + 1};
}

} // namespace cluster::app
