// What a project says, as pages: its title, then what its JSON document holds. Pure; any JSON will
// do, because a document is a stranger's.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

struct Slide {
    std::string title{};
    std::vector<std::string> lines{}; ///< paragraphs; a leading blank pair per level of depth
    bool operator==(const Slide&) const = default;
};

struct Document {
    std::string title{};
    std::vector<Slide> slides{};
    bool operator==(const Document&) const = default;
};

inline constexpr std::size_t kMaxSlides = 500;
inline constexpr std::size_t kMaxLines = 2000;      ///< of one slide
inline constexpr std::size_t kMaxAllLines = 20'000; ///< the slide that exceeds it is the last one
inline constexpr std::size_t kMaxLineBytes = 8192;  ///< the rest is left out

/// "slides" (or "pages", "sections") of an object become a slide each, with the "title" (or "name",
/// "heading") of each and everything else that it says; without such a list the whole document is
/// one slide. What is no JSON is shown as text.
[[nodiscard]] Document read_document(std::string title, std::string_view content);

/// Valid UTF-8 without control characters, and with '?' for what is not of the Basic Multilingual
/// Plane: no font that we use has more. Tabs become blanks.
[[nodiscard]] std::string printable(std::string_view text);

/// The text in Windows-1252, for the fonts that every PDF reader has; '?' for what it lacks. `text`
/// is valid UTF-8.
[[nodiscard]] std::string to_winansi(std::string_view text);

} // namespace cluster::app
