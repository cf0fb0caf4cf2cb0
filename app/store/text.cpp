#include "app/store/text.hpp"

#include "ipc/base/text.hpp"

#include <clocale>
#include <cwctype>

namespace cluster::app {
namespace {

constexpr char32_t kUnknown = 0xFFFD;

/// How many bytes the sequence has that begins with `first`, 0 when none begins so; `low` is the
/// least character that may be written with so many (RFC 3629).
std::size_t length_of(unsigned char first, char32_t& low)
{
    if (first < 0x80) return low = 0, 1;
    if (first >= 0xC2 && first <= 0xDF) return low = 0x80, 2;
    if (first >= 0xE0 && first <= 0xEF) return low = 0x800, 3;
    if (first >= 0xF0 && first <= 0xF4) return low = 0x10000, 4;
    return 0;
}

/// Takes the next character off the front of `rest`; U+FFFD for a byte that belongs to none.
char32_t next_character(std::string_view& rest)
{
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(rest[at]); };
    char32_t low = 0;
    const std::size_t length = length_of(byte(0), low);
    bool valid = length > 0 && length <= rest.size();
    char32_t letter = length > 1 ? byte(0) & (0x7FU >> length) : byte(0);
    for (std::size_t at = 1; valid && at < length; ++at) {
        valid = (byte(at) & 0xC0U) == 0x80;
        letter = (letter << 6U) | (byte(at) & 0x3FU);
    }
    valid = valid && letter >= low && letter <= 0x10FFFF && (letter < 0xD800 || letter > 0xDFFF);
    rest.remove_prefix(valid ? length : 1);
    return valid && letter != 0 ? letter : kUnknown;
}

void append(std::string& text, char32_t letter)
{
    const auto add = [&](char32_t bits) { text += static_cast<char>(bits); };
    if (letter < 0x80) return add(letter);
    if (letter < 0x800) {
        add(0xC0 | (letter >> 6U));
    } else if (letter < 0x10000) {
        add(0xE0 | (letter >> 12U));
        add(0x80 | ((letter >> 6U) & 0x3F));
    } else {
        add(0xF0 | (letter >> 18U));
        add(0x80 | ((letter >> 12U) & 0x3F));
        add(0x80 | ((letter >> 6U) & 0x3F));
    }
    add(0x80 | (letter & 0x3F));
}

char32_t lower(char32_t letter)
{
    if (letter < 0x80) return letter >= 'A' && letter <= 'Z' ? letter + 32 : letter;
    // glibc has it built in, so that the answer is the same whatever LANG says. It is never freed:
    // it lives as long as the process.
    static const locale_t kUnicode = ::newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    if (kUnicode == nullptr) return letter;
    return static_cast<char32_t>(::towlower_l(static_cast<wint_t>(letter), kUnicode));
}

template <class Change>
std::string changed(std::string_view text, Change change)
{
    std::string result;
    result.reserve(text.size());
    while (!text.empty())
        append(result, change(next_character(text)));
    return result;
}

std::string like_pattern(std::string_view word)
{
    std::string pattern = "%";
    for (const char letter : word) {
        if (letter == '%' || letter == '_' || letter == '\\') pattern += '\\';
        pattern += letter;
    }
    return pattern + "%";
}

} // namespace

std::string sound_text(std::string_view text)
{
    return changed(text, [](char32_t letter) { return letter; });
}

std::string fold_case(std::string_view text)
{
    return changed(text, lower);
}

std::string search_text(std::initializer_list<std::string_view> parts)
{
    std::string text;
    for (const std::string_view part : parts)
        text += fold_case(part) + "\n";
    return text;
}

std::vector<std::string> search_patterns(std::string_view search)
{
    const std::string folded = fold_case(search);
    std::string_view rest = folded;
    std::vector<std::string> patterns;
    for (std::string_view word = ipc::next_word(rest, " \t\r\n");
         !word.empty() && patterns.size() < kMaxSearchWords; word = ipc::next_word(rest, " \t\r\n"))
        patterns.push_back(like_pattern(word));
    return patterns;
}

} // namespace cluster::app
