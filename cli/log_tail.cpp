#include "cli/log_tail.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <utility>

namespace cluster::cli {
namespace {

constexpr off_t kBlockBytes = 64 * 1024;

/// `size` bytes at `at`, fewer when the file was cut meanwhile.
ipc::Result<std::string> read_block(ipc::System& system, int fd, off_t at, std::size_t size)
{
    std::string block(size, '\0');
    std::size_t filled = 0;
    while (filled < size) {
        const auto got =
            system.pread(fd, block.data() + filled, size - filled, at + static_cast<off_t>(filled));
        if (!got) return std::unexpected(got.error());
        if (*got == 0) break;
        filled += *got;
    }
    block.resize(filled);
    return block;
}

std::vector<std::string> split_lines(std::string_view text, std::size_t count)
{
    std::vector<std::string> lines;
    while (!text.empty()) {
        const auto end = text.find('\n');
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(end == text.npos ? text.size() : end + 1);
    }
    if (lines.size() > count)
        lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
    return lines;
}

struct OpenLog {
    ipc::UniqueFd fd{}; ///< invalid: no file, or none that could be read backwards
    off_t size = 0;
};

ipc::Result<OpenLog> open_log(ipc::System& system, const std::string& path)
{
    auto file = system.open(path, O_RDONLY | O_NONBLOCK);
    if (!file) {
        if (file.error().code == std::errc::no_such_file_or_directory) return OpenLog{};
        return std::unexpected(file.error());
    }
    const auto stat = system.fstat(file->get());
    if (!stat) return std::unexpected(stat.error());
    if (!S_ISREG(stat->st_mode)) return OpenLog{};
    return OpenLog{.fd = std::move(*file), .size = stat->st_size};
}

} // namespace

off_t log_size(ipc::System& system, const std::string& path)
{
    const auto file = open_log(system, path);
    return file ? file->size : 0;
}

ipc::Result<std::vector<std::string>> lines_after(ipc::System& system, const std::string& path,
                                                  off_t at)
{
    const auto file = open_log(system, path);
    if (!file) return std::unexpected(file.error());
    if (!file->fd) return std::vector<std::string>{};
    const off_t begin = at > file->size ? 0 : at;
    const auto text =
        read_block(system, file->fd.get(), begin, static_cast<std::size_t>(file->size - begin));
    if (!text) return std::unexpected(text.error());
    return split_lines(*text, text->size());
}

ipc::Result<std::vector<std::string>> last_lines(ipc::System& system, const std::string& path,
                                                 std::size_t count)
{
    const auto file = open_log(system, path);
    if (!file) return std::unexpected(file.error());
    if (count == 0 || !file->fd) return std::vector<std::string>{};

    // The newline that ends the last line begins no further one: one more than `count` are needed.
    std::vector<std::string> blocks; // the last one first
    std::size_t newlines = 0;
    for (off_t at = file->size; at > 0 && newlines <= count;) {
        const off_t size = std::min(at, kBlockBytes);
        at -= size;
        auto block = read_block(system, file->fd.get(), at, static_cast<std::size_t>(size));
        if (!block) return std::unexpected(block.error());
        newlines += static_cast<std::size_t>(std::ranges::count(*block, '\n'));
        blocks.push_back(std::move(*block));
    }
    std::string text;
    for (auto block = blocks.rbegin(); block != blocks.rend(); ++block)
        text += *block;
    return split_lines(text, count);
}

std::vector<std::string> lines_behind(std::vector<std::string> read,
                                      const std::vector<std::string>& shown)
{
    if (shown.empty()) return read;
    auto end = std::find_end(read.begin(), read.end(), shown.begin(), shown.end());
    if (end != read.end()) {
        end += std::ssize(shown);
    } else {
        // What was read may begin in the midst of what was shown.
        std::ptrdiff_t known = std::min(std::ssize(read), std::ssize(shown) - 1);
        while (known > 0 && !std::equal(shown.end() - known, shown.end(), read.begin()))
            --known;
        end = read.begin() + known;
    }
    read.erase(read.begin(), end);
    return read;
}

std::size_t overlap(const std::vector<std::string>& history, const std::vector<std::string>& live)
{
    if (history.empty()) return 0;
    // The follower may have come in the midst of a line: then the first one is only its end.
    const auto same = [&](const std::string& written, const std::string& arrived) {
        return &arrived == live.data() ? written.ends_with(arrived) : written == arrived;
    };
    for (std::size_t known = live.size(); known > 0; --known) {
        // The history may be shorter than what arrived: then its lines stand in the midst of it.
        const auto size = static_cast<std::ptrdiff_t>(std::min(history.size(), known));
        const auto end = live.begin() + static_cast<std::ptrdiff_t>(known);
        if (std::equal(history.end() - size, history.end(), end - size, same)) return known;
    }
    return 0;
}

} // namespace cluster::cli
