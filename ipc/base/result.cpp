#include "ipc/base/result.hpp"

#include <cctype>
#include <utility>

namespace cluster::ipc {
namespace {

/// "No such file" → "no such file", but "I/O error" and "RTNETLINK answers" keep their capitals.
std::string inside_a_sentence(std::string text)
{
    if (text.size() > 1 && std::islower(static_cast<unsigned char>(text[1])))
        text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    return text;
}

} // namespace

std::string Error::text() const
{
    if (!code) return what;
    return what + ": " + inside_a_sentence(code.message());
}

std::unexpected<Error> fail(std::error_code code, std::string what)
{
    return std::unexpected(Error{code, std::move(what)});
}

std::unexpected<Error> fail(int error_number, std::string what)
{
    return fail(std::error_code{error_number, std::system_category()}, std::move(what));
}

bool is_shortage(const std::error_code& code)
{
    return code == std::errc::too_many_files_open ||
           code == std::errc::too_many_files_open_in_system ||
           code == std::errc::not_enough_memory || code == std::errc::no_buffer_space;
}

std::string errno_text(int error_number)
{
    return inside_a_sentence(std::system_category().message(error_number));
}

} // namespace cluster::ipc
