#include "ipc/wire/diagnostic.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace cluster::ipc {
namespace {

/// Control characters would break the promise of one line, and could play tricks on a terminal.
std::string one_line(std::string text)
{
    std::ranges::replace_if(text, [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
    return text;
}

} // namespace

std::string Diagnostic::text() const
{
    std::string line_text = file;
    if (line > 0) line_text += fmt::format(":{}", line);
    if (line > 0 && column > 0) line_text += fmt::format(":{}", column);
    if (!line_text.empty()) line_text += ": ";
    if (severity == Severity::warning) line_text += "warning: ";
    if (!app.empty()) line_text += app + ": ";
    return one_line(line_text + message);
}

bool has_errors(const Diagnostics& diagnostics)
{
    return std::ranges::any_of(diagnostics,
                               [](const Diagnostic& d) { return d.severity == Severity::error; });
}

} // namespace cluster::ipc
