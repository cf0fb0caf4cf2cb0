#include "supervisor/core/shown_line.hpp"

#include "ipc/wire/units.hpp"

namespace cluster::supervisor {
namespace {

/// The UTF-8 character at the front; empty when there is none.
std::string_view first_character(std::string_view text)
{
    const auto lead = static_cast<unsigned char>(text.front());
    const std::size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    const std::string_view character = text.substr(0, size);
    return ipc::is_utf8(character) ? character : std::string_view{};
}

/// C0, DEL and C1: what a terminal may take for a command.
bool is_control(std::string_view character)
{
    if (character.size() == 1) return character[0] < ' ' || character[0] == '\x7f';
    return character.size() == 2 && character[0] == '\xc2' && character[1] < '\xa0';
}

} // namespace

std::string shown_line(std::string_view line, std::size_t most)
{
    std::string shown;
    while (!line.empty()) {
        std::string_view character = first_character(line);
        line.remove_prefix(character.empty() ? 1 : character.size());
        if (character.empty()) character = "\xef\xbf\xbd";
        if (character == "\t") character = " ";
        if (is_control(character)) continue;
        if (shown.size() + character.size() > most) break;
        shown += character;
    }
    return shown;
}

} // namespace cluster::supervisor
