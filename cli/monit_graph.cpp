#include "cli/monit_graph.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace cluster::cli {
namespace {

/// How far a sample fills `levels` steps; anything above nothing shows.
int level_of(float sample, float most, int levels)
{
    if (!(sample > 0) || !(most > 0)) return 0;
    const float part = std::min(sample / most, 1.0F);
    return std::max(static_cast<int>(std::lround(part * static_cast<float>(levels))), 1);
}

/// Sample number `back` from the end; 0 before the first.
float from_end(std::span<const float> samples, int back)
{
    const auto at = static_cast<std::size_t>(back);
    return at < samples.size() ? samples[samples.size() - 1 - at] : 0.0F;
}

/// U+2800 and the dots of two columns, filled from below (Unicode, "Braille Patterns").
std::string braille(int left, int right)
{
    constexpr std::array<unsigned, 5> kLeft{0x00, 0x40, 0x44, 0x46, 0x47};
    constexpr std::array<unsigned, 5> kRight{0x00, 0x80, 0xA0, 0xB0, 0xB8};
    const unsigned dots =
        kLeft[static_cast<std::size_t>(left)] | kRight[static_cast<std::size_t>(right)];
    if (dots == 0) return " ";
    std::string text{"\xE2\xA0\x80"};
    text[1] = static_cast<char>(0xA0 + (dots >> 6U));
    text[2] = static_cast<char>(0x80 + (dots & 0x3FU));
    return text;
}

std::string braille_row(std::span<const float> samples, int width, int below, float most,
                        int levels)
{
    std::string row;
    const auto part = [&](int back) {
        return std::clamp(level_of(from_end(samples, back), most, levels) - below, 0, 4);
    };
    for (int column = width - 1; column >= 0; --column)
        row += braille(part(column * 2 + 1), part(column * 2));
    return row;
}

std::string ascii_row(std::span<const float> samples, int width, int below, float most, int levels)
{
    constexpr std::string_view kFilled = " .:|";
    std::string row;
    for (int column = width - 1; column >= 0; --column) {
        const int part = level_of(from_end(samples, column), most, levels) - below;
        row += kFilled[static_cast<std::size_t>(std::clamp(part, 0, 3))];
    }
    return row;
}

} // namespace

std::vector<std::string> graph(std::span<const float> samples, int width, int height, float most,
                               bool utf8)
{
    const int steps = utf8 ? 4 : 3;
    const auto draw_row = utf8 ? braille_row : ascii_row;
    std::vector<std::string> rows;
    for (int row = height - 1; row >= 0; --row)
        rows.push_back(draw_row(samples, width, row * steps, most, height * steps));
    return rows;
}

} // namespace cluster::cli
