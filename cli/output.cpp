#include "cli/output.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace cluster::cli {
namespace {

constexpr std::size_t kBufferBytes = 64UL * 1024;
constexpr std::size_t kUnknownWidth = 80; ///< a terminal that does not tell its size

std::string_view variable(const char* name)
{
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

std::size_t terminal_width(int fd)
{
    winsize size{};
    if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    const std::string columns{variable("COLUMNS")};
    const unsigned long given = std::strtoul(columns.c_str(), nullptr, 10);
    return given > 0 ? given : kUnknownWidth;
}

} // namespace

void Output::write(std::string_view text)
{
    if (closed()) return;
    if (buffer_.size() + text.size() > kBufferBytes) flush();
    if (text.size() >= kBufferBytes)
        write_now(text);
    else
        buffer_ += text;
}

void Output::flush()
{
    write_now(buffer_);
    buffer_.clear();
}

void Output::write_now(std::string_view text)
{
    while (!text.empty() && !closed()) {
        const ssize_t written = ::write(fd_, text.data(), text.size());
        if (written >= 0)
            text.remove_prefix(static_cast<std::size_t>(written));
        else if (errno != EINTR)
            error_ = errno;
    }
}

bool locale_is_utf8()
{
    std::string_view locale;
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        locale = variable(name);
        if (!locale.empty()) break;
    }
    std::string folded;
    for (const char c : locale)
        if (c != '-') folded += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    return folded.find("utf8") != std::string::npos;
}

Style detect_style(int fd)
{
    const bool terminal = ::isatty(fd) == 1;
    const bool colour = terminal && variable("NO_COLOR").empty() && variable("TERM") != "dumb";
    return {colour, locale_is_utf8(), terminal ? terminal_width(fd) : 0};
}

std::string message_line(Level level, std::string_view text, const Style& style)
{
    std::string line;
    switch (level) {
    case Level::info:
        line = paint("[clusterctl] ", Colour::green, style);
        break;
    case Level::warning:
        line = paint("[clusterctl][WARN] ", Colour::yellow, style);
        break;
    case Level::error:
        line = paint("[clusterctl][ERROR] ", Colour::red, style);
        break;
    }
    line += text;
    line += '\n';
    return line;
}

} // namespace cluster::cli
