// What both forms of the store do with text, so that they give the same answers: one rule for
// letter case, one for what a database can hold, one for what a search means. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cluster::app {

/// Valid UTF-8 without NUL: bytes that are not, and NUL, become U+FFFD. PostgreSQL refuses both, so
/// a strange path or body would otherwise be told apart by the form of the database.
[[nodiscard]] std::string sound_text(std::string_view text);

/// Letters in lower case, one by one by Unicode's simple mapping; everything else as `sound_text`.
[[nodiscard]] std::string fold_case(std::string_view text);

/// What a job's search column holds: the parts, folded, one per line.
[[nodiscard]] std::string search_text(std::initializer_list<std::string_view> parts);

/// One LIKE pattern (escaped by \) per word of a search, folded; at most `kMaxSearchWords`, later
/// ones are dropped. None: everything is found.
[[nodiscard]] std::vector<std::string> search_patterns(std::string_view search);

constexpr std::size_t kMaxSearchWords = 8;

} // namespace cluster::app
