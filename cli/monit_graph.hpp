// Small graphs out of characters. Pure.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace cluster::cli {

/// `height` rows of `width` columns, the newest sample at the right end; `most` is as high as the
/// graph. Braille dots, two samples a column; without `utf8` one sample a column out of ".:|".
[[nodiscard]] std::vector<std::string> graph(std::span<const float> samples, int width, int height,
                                             float most, bool utf8);

} // namespace cluster::cli
