#include "supervisor/engine/log_times.hpp"

#include <fmt/format.h>

#include <fcntl.h>

#include <cerrno>

namespace cluster::supervisor {
namespace {

using ipc::LogTime;
using ipc::Result;

constexpr std::int64_t kEveryMs = 10;
constexpr std::int64_t kAgainMs = 1000; ///< after a failure

} // namespace

LogTimes::LogTimes(ipc::System& system, const ipc::Clock& clock, std::string folder)
    : system_{system}, clock_{clock}, folder_{std::move(folder)}
{
}

std::string LogTimes::path_of(FileId file) const
{
    return folder_ + "/" + ipc::log_times_name(file.first, file.second);
}

void LogTimes::note(LogTimesState& state, std::uint64_t offset)
{
    const std::int64_t now = clock_.wall_ms();
    if (state.last) {
        const std::int64_t elapsed = now - state.last->wall_ms;
        if (offset > state.last->offset && elapsed >= 0 && elapsed < kEveryMs) return;
    } else if (now < state.not_before_ms) {
        return;
    }
    const LogTime time{.offset = offset, .wall_ms = now};
    if (append(state, time)) {
        state.last = time;
        return;
    }
    state.last.reset(); // what stands at the end of the index now is not known
    state.not_before_ms = now + kAgainMs;
}

Result<void> LogTimes::append(LogTimesState& state, LogTime time)
{
    const auto file = open(state);
    if (!file) return std::unexpected(file.error());
    const std::string record = ipc::encode_log_time(time, state.last);
    const auto written = system_.write(file->get(), record.data(), record.size());
    if (!written) return std::unexpected(written.error());
    if (*written < record.size()) return ipc::fail(ENOSPC, "write " + path_of(state.file));
    return {};
}

/// Before the first record of ours, what a killed daemon has left torn is cut off.
Result<ipc::UniqueFd> LogTimes::open(const LogTimesState& state)
{
    const std::string path = path_of(state.file);
    constexpr int flags = O_WRONLY | O_APPEND | O_CREAT;
    auto file = system_.open(path, flags, 0640);
    if (!file && file.error().code == std::errc::no_such_file_or_directory) {
        const std::string folder = fmt::format("{}/{}", folder_, ipc::kLogTimesFolder);
        if (auto made = system_.make_directories(folder, 0750); !made)
            return std::unexpected(made.error());
        file = system_.open(path, flags, 0640);
    }
    if (!file || state.last) return file;
    const auto before = system_.read_file(path);
    if (!before) return std::unexpected(before.error());
    const std::size_t whole = ipc::whole_log_times(*before);
    if (whole == before->size()) return file;
    if (auto cut = system_.ftruncate(file->get(), static_cast<off_t>(whole)); !cut)
        return std::unexpected(cut.error());
    return file;
}

void LogTimes::forget(FileId file)
{
    (void)system_.unlink(path_of(file));
}

void LogTimes::sweep(const std::set<FileId>& there)
{
    std::set<std::string> wanted;
    for (const auto& [device, inode] : there)
        wanted.insert(ipc::log_times_name(device, inode));
    const auto names = system_.list_directory(fmt::format("{}/{}", folder_, ipc::kLogTimesFolder));
    if (!names) return; // nothing was ever noted
    for (const std::string& name : *names) {
        const std::string below = fmt::format("{}/{}", ipc::kLogTimesFolder, name);
        if (!wanted.contains(below)) (void)system_.unlink(folder_ + "/" + below);
    }
}

} // namespace cluster::supervisor
