#include "supervisor/engine/log_sink.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::Result;

constexpr ipc::milliseconds kTryFileAgain{250};
constexpr std::uint64_t kSpillBytes = 64UL << 20U;
constexpr std::size_t kChunk = 65536;
constexpr mode_t kLogMode = 0640;
constexpr std::size_t kEnoughRoom = 65536; ///< for a full disk to count as recovered

std::string parent_of(const std::string& path)
{
    const auto slash = path.rfind('/');
    return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

/// FNV-1a: the same for every daemon, unlike std::hash.
std::uint64_t hash_of(std::string_view text)
{
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return hash;
}

std::string spill_path(const std::string& folder, const std::string& log)
{
    return fmt::format("{}/{:016x}.log", folder, hash_of(log));
}

Result<FilePlace> place(ipc::System& system, int fd)
{
    const auto about = system.fstat(fd);
    if (!about) return std::unexpected(about.error());
    return place_of(*about);
}

Result<void> write_all(ipc::System& system, int fd, std::string_view text, std::uint64_t at,
                       bool regular)
{
    while (!text.empty()) {
        const auto size = regular
                              ? system.pwrite(fd, text.data(), text.size(), static_cast<off_t>(at))
                              : system.write(fd, text.data(), text.size());
        if (!size) return std::unexpected(size.error());
        text.remove_prefix(*size);
        at += *size;
    }
    return {};
}

Result<ipc::UniqueFd> open_log(ipc::System& system, const std::string& path, mode_t mode)
{
    // Readable too: the last byte decides whether a newline is missing. O_NONBLOCK: a FIFO without
    // a reader must not stop the daemon.
    constexpr int flags = O_RDWR | O_CREAT | O_NONBLOCK | O_NOCTTY;
    auto file = system.open(path, flags, mode);
    if (file || file.error().code != std::errc::no_such_file_or_directory) return file;
    if (auto made = system.make_directories(parent_of(path)); !made)
        return std::unexpected(made.error());
    return system.open(path, flags, mode);
}

} // namespace

LogSink::LogSink(ipc::System& system, std::string path, ipc::UniqueFd file,
                 const struct stat& about)
    : spliced{S_ISREG(about.st_mode)}, system_{system}, path_{std::move(path)},
      file_{std::move(file)}, regular_{spliced}, device_{about.st_dev}
{
}

Result<std::shared_ptr<LogSink>> LogSink::open(ipc::System& system, const std::string& path)
{
    auto file = open_log(system, path, kLogMode);
    if (!file) return std::unexpected(file.error());
    const auto about = system.fstat(file->get());
    if (!about) return std::unexpected(about.error());
    return std::make_shared<LogSink>(system, path, std::move(*file), *about);
}

Result<std::optional<struct stat>> LogSink::reopen()
{
    const auto before = about();
    auto file = open_log(system_, path_, before ? before->st_mode & 0777U : kLogMode);
    if (!file) return std::unexpected(file.error());
    const auto now = system_.fstat(file->get());
    if (!now) return std::unexpected(now.error());
    if (before && place_of(*before).same_file(place_of(*now))) return std::nullopt;
    const bool copied = regular_ && !spliced;
    file_ = std::move(*file);
    regular_ = S_ISREG(now->st_mode);
    device_ = now->st_dev;
    spliced = regular_ && !copied;
    open_line = line_end_wanted = false;
    holder = nullptr;
    return *now;
}

Result<FilePlace> LogSink::place()
{
    return supervisor::place(system_, fd());
}

std::size_t LogSink::room(std::uint64_t size) const
{
    return spill_ ? kSpillBytes - std::min(size, kSpillBytes) : kSpillBytes;
}

bool LogSink::ends_in_mid_line(std::uint64_t size)
{
    int from = fd();
    if (spill_ && size == 0) { // it goes on where the log ends
        if (file_held()) return false;
        const auto log = supervisor::place(system_, file_.get());
        if (!log) return false;
        from = file_.get();
        size = log->size;
    }
    if (size == 0) return false;
    char last = '\n';
    const auto got = system_.pread(from, &last, 1, static_cast<off_t>(size - 1));
    return got && *got == 1 && last != '\n';
}

Result<void> LogSink::append(std::string_view text, std::uint64_t size)
{
    if (spill_ && room(size) < text.size()) return ipc::fail(ENOSPC, "write " + spill_path_);
    auto written = write_all(system_, fd(), text, size, regular_);
    if (!written && regular_) cut(size);
    return written;
}

void LogSink::cut(std::uint64_t size)
{
    const auto now = place();
    if (now && now->size > size) (void)system_.ftruncate(fd(), static_cast<off_t>(size));
}

void LogSink::cut_back(const FilePlace& place)
{
    const int fd = fd_of(place);
    const auto now = fd < 0 ? ipc::fail(EBADF, path_) : supervisor::place(system_, fd);
    if (now && now->size > place.size) (void)system_.ftruncate(fd, static_cast<off_t>(place.size));
}

std::uint64_t LogSink::cut_unfinished_line()
{
    const auto now = regular_ ? place() : ipc::fail(ESPIPE, path_);
    if (!now) return 0;
    std::string tail(std::min<std::uint64_t>(now->size, kChunk), '\0');
    const auto got =
        system_.pread(fd(), tail.data(), tail.size(), static_cast<off_t>(now->size - tail.size()));
    if (!got || *got != tail.size()) return 0;
    const auto newline = tail.rfind('\n');
    if (newline == tail.npos && tail.size() < now->size) return 0; // too long a line
    const std::size_t rest = tail.size() - (newline == tail.npos ? 0 : newline + 1);
    if (rest > 0) cut(now->size - rest);
    return rest;
}

bool LogSink::fail(const ipc::Error& why, milliseconds now)
{
    try_at_ = now + kTryFileAgain;
    return std::exchange(trouble_, why.text()).empty();
}

void LogSink::hold(const std::function<bool(std::uint64_t device)>& answers)
{
    file_held_ = !answers(device_);
    spill_held_ = spill_ && !answers(spill_device_);
}

std::shared_ptr<const void> LogSink::keep_for_batch()
{
    auto kept = std::make_shared<const char>();
    (spill_ ? spill_batch_ : file_batch_) = kept;
    return kept;
}

int LogSink::fd_of(const FilePlace& place)
{
    for (const int fd : {file_.get(), spill_.get()}) {
        const auto now = fd < 0 ? ipc::fail(EBADF, path_) : supervisor::place(system_, fd);
        if (now && now->same_file(place)) return fd;
    }
    return -1;
}

Result<void> LogSink::has_room()
{
    if (!regular_) return {};
    const auto log = supervisor::place(system_, file_.get());
    if (!log) return std::unexpected(log.error());
    const auto spill = spill_place();
    const auto more = static_cast<off_t>(kEnoughRoom + (spill ? spill->size : 0));
    auto taken = system_.reserve(file_.get(), static_cast<off_t>(log->size), more);
    if (!taken && taken.error().code == std::errc::operation_not_supported) return {};
    return taken;
}

Result<void> LogSink::begin_spill(const std::string& folder)
{
    if (spill_ || !regular_) return ipc::fail(ENOSPC, "spill " + path_);
    if (auto made = system_.make_directories(folder, 0700); !made) return made;
    const std::string path = spill_path(folder, path_);
    auto file = system_.open(path, O_RDWR | O_CREAT, 0600);
    if (!file) return std::unexpected(file.error());
    return use_spill(std::move(*file), path);
}

Result<void> LogSink::use_spill(ipc::UniqueFd file, std::string path)
{
    const auto about = system_.fstat(file.get());
    if (!about) return std::unexpected(about.error());
    spill_device_ = about->st_dev;
    spill_held_ = false;
    spill_ = std::move(file);
    spill_path_ = std::move(path);
    return {};
}

void LogSink::find_spill(const std::string& folder)
{
    if (spill_ || !regular_) return;
    const std::string path = spill_path(folder, path_);
    auto file = system_.open(path, O_RDWR, 0600);
    if (!file || !use_spill(std::move(*file), path)) return;
    trouble_ = "spilled by an earlier daemon";
}

Result<FilePlace> LogSink::spill_place()
{
    if (!spill_) return ipc::fail(ENOENT, "spill of " + path_);
    return supervisor::place(system_, spill_.get());
}

Result<void> LogSink::bring_back(LogStage* stage)
{
    const auto log = supervisor::place(system_, file_.get());
    const auto spill = spill_place();
    if (!log || !spill) return std::unexpected((log ? spill : log).error());
    if (stage) stage->returning(*log, *spill);
    auto copied = copy_back(spill->size, log->size);
    if (!copied) {
        (void)system_.ftruncate(file_.get(), static_cast<off_t>(log->size));
        if (stage) stage->idle();
        return copied;
    }
    if (stage) stage->returned(*spill);
    (void)system_.ftruncate(spill_.get(), 0);
    if (stage) stage->idle();
    (void)system_.unlink(spill_path_);
    spill_.reset();
    return {};
}

/// All in one go: in parts, others would write between them.
Result<void> LogSink::copy_back(std::uint64_t from_size, std::uint64_t to_size)
{
    const auto bytes = std::make_unique<std::array<char, kChunk>>();
    for (std::uint64_t at = 0; at < from_size;) {
        const auto got =
            system_.pread(spill_.get(), bytes->data(), bytes->size(), static_cast<off_t>(at));
        if (!got || *got == 0)
            return got ? ipc::fail(EIO, spill_path_) : std::unexpected(got.error());
        auto written = write_all(system_, file_.get(), {bytes->data(), *got}, to_size + at, true);
        if (!written) return written;
        at += *got;
    }
    return {};
}

} // namespace cluster::supervisor
