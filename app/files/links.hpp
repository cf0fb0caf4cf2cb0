// Links of our own to a local file: whoever has one may read the file until it expires, because
// only we can sign it. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cluster::app {

struct FileLink {
    std::string key;
    std::string name;           ///< what it is saved as
    std::int64_t expires_s = 0; ///< since 1970
};

/// "/api/files/KEY?expires=…&name=…&signature=…".
[[nodiscard]] std::string sign_link(std::string_view secret, const FileLink& link);

/// Whether we signed it and it still holds.
[[nodiscard]] bool is_valid_link(std::string_view secret, const FileLink& link,
                                 std::string_view signature, std::int64_t now_s);

} // namespace cluster::app
