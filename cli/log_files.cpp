#include "cli/log_files.hpp"

#include "cli/log_start.hpp"

#include <fcntl.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

namespace cluster::cli {
namespace {

constexpr std::uint64_t kTailBytes = 64; ///< by which a file is known again

std::pair<std::string, std::string> folder_and_name(const std::string& path)
{
    const auto slash = path.rfind('/');
    if (slash == path.npos) return {".", path};
    return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

std::int64_t modified_at(const struct stat& stat)
{
    return std::int64_t{stat.st_mtim.tv_sec} * 1000 + stat.st_mtim.tv_nsec / 1'000'000;
}

} // namespace

std::vector<RotatedLog> rotated_logs(const std::string& path, const std::vector<std::string>& names)
{
    const auto [folder, name] = folder_and_name(path);
    std::vector<RotatedLog> found;
    for (const std::string& each : names) {
        const auto parsed = ipc::parse_rotated(each);
        if (!parsed || parsed->temporary || parsed->base != name) continue;
        found.push_back({folder + '/' + each, parsed->compression, ipc::stamp_time(parsed->stamp)});
    }
    // The packed form of a file first, so that `unique` keeps it.
    std::ranges::sort(found, [](const RotatedLog& a, const RotatedLog& b) {
        if (a.rotated_at != b.rotated_at) return a.rotated_at < b.rotated_at;
        return a.packing != Packing::none && b.packing == Packing::none;
    });
    const auto doubled = std::ranges::unique(found, {}, &RotatedLog::rotated_at);
    found.erase(doubled.begin(), doubled.end());
    return found;
}

LogPlace place_after(const LogChain& before, const LogChain& now)
{
    if (now.inode == before.inode && now.device == before.device)
        return {now.current(), now.size >= before.size ? before.size : 0};
    // What was written then was put aside by the first rotation since.
    const auto put_aside = std::ranges::find_if(
        now.rotated, [&](const RotatedLog& log) { return log.rotated_at >= before.opened_at; });
    if (put_aside == now.rotated.end()) return {now.current(), 0};
    return {static_cast<std::size_t>(put_aside - now.rotated.begin()), before.size};
}

LogFiles::LogFiles(ipc::System& system, std::string folder, Warn warn)
    : system_{system}, folder_{std::move(folder)}, warn_{std::move(warn)}
{
}

void LogFiles::warn(const std::string& text)
{
    if (std::ranges::find(told_, text) != told_.end()) return;
    told_.push_back(text);
    warn_(text);
}

std::vector<LogChain> LogFiles::open_chains(const std::vector<std::string>& paths,
                                            std::int64_t now_ms)
{
    std::vector<LogChain> chains;
    current_.clear();
    for (const std::string& path : paths) {
        chains.push_back({.path = path, .rotated = {}, .opened_at = now_ms});
        open_current(chains.back());
    }
    std::map<std::string, std::vector<std::string>> folders;
    for (LogChain& chain : chains)
        find_rotated(chain, folders);
    return chains;
}

void LogFiles::open_current(LogChain& chain)
{
    auto file = system_.open(chain.path, O_RDONLY | O_NONBLOCK);
    if (!file) {
        if (file.error().code != std::errc::no_such_file_or_directory) warn(file.error().text());
        return;
    }
    const auto stat = system_.fstat(file->get());
    if (!stat) return warn(stat.error().text());
    if (!S_ISREG(stat->st_mode)) return; // a terminal, a FIFO: nothing to look back at
    chain.file = std::move(*file);
    chain.device = stat->st_dev;
    chain.inode = stat->st_ino;
    chain.size = static_cast<std::uint64_t>(stat->st_size);
}

void LogFiles::find_rotated(LogChain& chain,
                            std::map<std::string, std::vector<std::string>>& folders)
{
    const std::string folder = folder_and_name(chain.path).first;
    auto known = folders.find(folder);
    if (known == folders.end()) {
        auto names = system_.list_directory(folder);
        known =
            folders.emplace(folder, names ? std::move(*names) : std::vector<std::string>{}).first;
    }
    chain.rotated = rotated_logs(chain.path, known->second);
    if (chain.rotated.empty() || !chain.file) return;
    const auto newest = open_rotated(chain.rotated.back());
    if (!newest || !newest->owned) return;
    const auto stat = system_.fstat(newest->fd);
    if (stat && stat->st_dev == chain.device && stat->st_ino == chain.inode)
        chain.rotated.pop_back(); // it was put aside after we had opened it
}

void LogFiles::end_at_whole_line(LogChain& chain)
{
    const auto log = open(chain, chain.current());
    if (!log) return;
    chain.size = line_begin(*this, *log, log->size);
    chain.tail = text_before(*log, chain.size);
}

LogPlace LogFiles::place_behind(const LogChain& before, const LogChain& now)
{
    const LogPlace place = place_after(before, now);
    const auto log = open(now, place.file);
    if (!log || log->packing != Packing::none || !before.file) return place;
    if (text_before(*log, place.offset) != before.tail) return {place.file, 0};
    return place;
}

std::string LogFiles::text_before(const OpenLog& log, std::uint64_t end)
{
    std::string text(std::min<std::uint64_t>(end, kTailBytes), '\0');
    const auto got =
        system_.pread(log.fd, text.data(), text.size(), static_cast<off_t>(end - text.size()));
    text.resize(got ? *got : 0);
    return text;
}

std::optional<OpenLog> LogFiles::open(const LogChain& chain, std::size_t file)
{
    if (file != chain.current()) return open_rotated(chain.rotated[file]);
    if (!chain.file) return std::nullopt;
    const auto stat = system_.fstat(chain.file.get());
    if (!stat) return std::nullopt;
    return OpenLog{.fd = chain.file.get(),
                   .size = std::min(chain.size, static_cast<std::uint64_t>(stat->st_size)),
                   .times = current_times(*stat)};
}

std::optional<OpenLog> LogFiles::open_rotated(const RotatedLog& log)
{
    // Between the listing and now it may have been packed.
    const std::string_view suffix = ipc::compressed_suffix(log.packing);
    const std::string_view plain =
        std::string_view{log.path}.substr(0, log.path.size() - suffix.size());
    for (const auto& [ending, packing] : {std::pair{suffix, log.packing},
                                          {ipc::compressed_suffix(Packing::zstd), Packing::zstd},
                                          {ipc::compressed_suffix(Packing::gzip), Packing::gzip}}) {
        auto file = system_.open(std::string{plain} + std::string{ending}, O_RDONLY | O_NONBLOCK);
        if (!file && file.error().code == std::errc::no_such_file_or_directory) continue;
        if (!file) {
            warn(file.error().text());
            return std::nullopt;
        }
        const auto stat = system_.fstat(file->get());
        if (!stat || !S_ISREG(stat->st_mode)) return std::nullopt;
        OpenLog open{.packing = packing,
                     .size = static_cast<std::uint64_t>(stat->st_size),
                     .times = times_of(*stat, log.rotated_at)};
        open.fd = file->get();
        open.owned = std::move(*file);
        return open;
    }
    return std::nullopt; // it was old enough to be removed
}

LineTimes LogFiles::current_times(const struct stat& stat)
{
    const auto [known, added] = current_.try_emplace({stat.st_dev, stat.st_ino});
    if (added) known->second = times_of(stat, std::numeric_limits<std::int64_t>::max());
    return known->second;
}

LineTimes LogFiles::times_of(const struct stat& stat, std::int64_t rotated_at)
{
    const auto bytes =
        system_.read_file(folder_ + '/' + ipc::log_times_name(stat.st_dev, stat.st_ino));
    auto records =
        bytes ? std::make_shared<const LineTimes::Records>(ipc::decode_log_times(*bytes)) : nullptr;
    return {std::move(records), std::min(modified_at(stat), rotated_at)};
}

} // namespace cluster::cli
