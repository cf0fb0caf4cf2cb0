#include "supervisor/daemon/json_object.hpp"

#include <algorithm>

namespace cluster::supervisor {

void append_json(std::string& out, std::string_view text)
{
    const bool plain = std::ranges::all_of(
        text, [](char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; });
    if (!plain) {
        out += ipc::dump(ipc::json(std::string{text}));
        return;
    }
    out += '"';
    out += text;
    out += '"';
}

} // namespace cluster::supervisor
