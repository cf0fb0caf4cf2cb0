// The two things that every reader of small texts needs. Neither allocates, throws nor depends on
// the locale.
#pragma once

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace cluster::ipc {

/// The whole of `text` as a number: no blanks, no '+', nothing after it, no overflow. `base`
/// is for whole numbers.
template <class Number>
[[nodiscard]] std::optional<Number> parse_number(std::string_view text, int base = 10)
{
    Number value{};
    const char* const last = text.data() + text.size();
    std::from_chars_result parsed{};
    if constexpr (std::is_floating_point_v<Number>)
        parsed = std::from_chars(text.data(), last, value);
    else
        parsed = std::from_chars(text.data(), last, value, base);
    if (parsed.ec != std::errc{} || parsed.ptr != last) return std::nullopt;
    return value;
}

/// Takes the next word off the front of `rest`; words are parted by any of `separators`, however
/// many. Empty at the end.
[[nodiscard]] inline std::string_view next_word(std::string_view& rest,
                                                std::string_view separators = " \n")
{
    rest.remove_prefix(std::min(rest.find_first_not_of(separators), rest.size()));
    const std::string_view word = rest.substr(0, rest.find_first_of(separators));
    rest.remove_prefix(word.size());
    return word;
}

} // namespace cluster::ipc
