#include "app/exports/document.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace cluster::app {

using json = nlohmann::ordered_json;

namespace {

constexpr int kMaxDepth = 32;

/// One character off the front of `text`; nothing for a byte that begins none.
std::optional<char32_t> next_character(std::string_view& text)
{
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
    const unsigned first = byte(0);
    const std::size_t size = first < 0x80                     ? 1U
                             : first >= 0xC2 && first <= 0xDF ? 2U
                             : first >= 0xE0 && first <= 0xEF ? 3U
                             : first >= 0xF0 && first <= 0xF4 ? 4U
                                                              : 0U;
    char32_t value = size < 2 ? first : first & (0xFFU >> (size + 1));
    bool sound = size > 0 && size <= text.size();
    for (std::size_t i = 1; sound && i < size; ++i) {
        sound = (byte(i) & 0xC0U) == 0x80U;
        value = value << 6U | (byte(i) & 0x3FU);
    }
    constexpr std::array<char32_t, 5> kLeast{0, 0, 0x80, 0x800, 0x10000};
    sound = sound && value >= kLeast.at(size) && value <= 0x10FFFF &&
            (value < 0xD800 || value > 0xDFFF);
    text.remove_prefix(sound ? size : 1);
    if (!sound) return std::nullopt;
    return value;
}

/// The first so many bytes of it, whole characters of valid UTF-8.
std::string_view cut(std::string_view text, std::size_t max)
{
    if (text.size() <= max) return text;
    while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xC0U) == 0x80U)
        --max;
    return text.substr(0, max);
}

void add_text(Slide& slide, std::string_view indent, std::string_view text)
{
    while (slide.lines.size() < kMaxLines) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        slide.lines.push_back(std::string{indent} +
                              printable(cut(text.substr(0, end), kMaxLineBytes)));
        if (end == text.size()) return;
        text.remove_prefix(end + 1);
    }
}

std::string scalar(const json& value)
{
    if (value.is_string()) return value.get<std::string>();
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

/// All that `value` says, `depth` levels deep; `label` stands before it.
void add_value(Slide& slide, const std::string& label, const json& value, int depth)
{
    const std::string indent(static_cast<std::size_t>(depth) * 2, ' ');
    if (slide.lines.size() >= kMaxLines) return;
    if (!value.is_structured()) {
        if (!value.is_null()) add_text(slide, indent + label, scalar(value));
        return;
    }
    if (!label.empty()) add_text(slide, indent, label);
    if (depth >= kMaxDepth) return;
    const int deeper = label.empty() ? depth : depth + 1;
    for (const auto& [name, item] : value.items())
        add_value(slide, value.is_array() ? "" : name + ": ", item, deeper);
}

/// The first of `names` that the object has and `fits` likes.
template <class Fits>
std::string first_of(const json& object, std::initializer_list<const char*> names, Fits fits)
{
    for (const char* name : names) {
        const auto found = object.find(name);
        if (found != object.end() && fits(*found)) return name;
    }
    return "";
}

Slide read_slide(const json& value, std::size_t number)
{
    Slide slide{.title = "Slide " + std::to_string(number)};
    if (!value.is_object()) {
        add_value(slide, "", value, 0);
        return slide;
    }
    const std::string named = first_of(value, {"title", "name", "heading"},
                                       [](const json& item) { return item.is_string(); });
    if (!named.empty()) slide.title = printable(cut(value[named].get<std::string>(), 300));
    for (const auto& [name, item] : value.items()) {
        if (name == named) continue;
        // What everybody calls the text itself needs no label.
        const bool plain = name == "text" || name == "body" || name == "content" ||
                           name == "bullets" || name == "items" || name == "lines";
        add_value(slide, plain ? "" : name + ": ", item, 0);
    }
    return slide;
}

} // namespace

Document read_document(std::string title, std::string_view content)
{
    Document document{.title = printable(cut(title, 300))};
    const json root = json::parse(content, nullptr, false);
    if (root.is_discarded()) {
        Slide slide{.title = document.title};
        add_text(slide, "", content);
        document.slides.push_back(std::move(slide));
        return document;
    }
    const std::string list = root.is_object()
                                 ? first_of(root, {"slides", "pages", "sections"},
                                            [](const json& item) { return item.is_array(); })
                                 : "";
    const json* const slides = root.is_array() ? &root : list.empty() ? nullptr : &root[list];
    if (slides == nullptr) {
        document.slides.push_back(read_slide(root, 1));
        return document;
    }
    std::size_t lines = 0;
    for (const json& value : *slides) {
        if (document.slides.size() == kMaxSlides || lines > kMaxAllLines) break;
        document.slides.push_back(read_slide(value, document.slides.size() + 1));
        lines += document.slides.back().lines.size();
    }
    return document;
}

std::string printable(std::string_view text)
{
    std::string result;
    while (!text.empty()) {
        const std::string_view before = text;
        const auto letter = next_character(text);
        const std::string_view bytes = before.substr(0, before.size() - text.size());
        if (letter == U'\t')
            result += "    ";
        else if (!letter || *letter > 0xFFFF)
            result += '?';
        else if (*letter >= 0x20 && (*letter < 0x7F || *letter > 0x9F))
            result += bytes;
    }
    return result;
}

std::string to_winansi(std::string_view text)
{
    // 0x80 to 0x9F of Windows-1252; 0 where it has nothing.
    constexpr std::array<char32_t, 32> kUpper{
        0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
        0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
        0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};
    std::string result;
    while (!text.empty()) {
        const auto letter = next_character(text).value_or(U'?');
        const auto* const upper = std::ranges::find(kUpper, letter);
        if (letter < 0x80 || (letter >= 0xA0 && letter <= 0xFF))
            result += static_cast<char>(letter);
        else if (upper != kUpper.end())
            result += static_cast<char>(0x80 + (upper - kUpper.begin()));
        else
            result += '?';
    }
    return result;
}

} // namespace cluster::app
