// LogPump, the half that leaves one file for another: rotation, removed files, reopening, flushing.
#include "supervisor/engine/log_pump.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

namespace cluster::supervisor {

using ipc::Result;

namespace {

/// Behind the size at which a file is due, the end of a line is waited for so long.
constexpr std::uint64_t kLongestLine = std::uint64_t{16} << 20U;
constexpr std::size_t kLook = 65536; ///< all that a pipe holds

FileId id_of(const struct stat& about)
{
    return {about.st_dev, about.st_ino};
}

} // namespace

void LogPump::set_rotation(LogRotation& rotation)
{
    rotation_ = &rotation;
    rotation.set_on_period([this] { rotate_by_time(); });
}

void LogPump::set_rule(const LogStream& stream, const ipc::Rotation& rule)
{
    LogSink& sink = *stream.sink_;
    if (!rotation_ || !sink.regular || sink.care.rule == rule) return;
    if (const auto about = system_.fstat(sink.file.get()))
        rotation_->set_rule(sink.care, rule, *about);
}

Result<off_t> LogPump::end_of_file(LogStream& stream, std::size_t& limit)
{
    LogSink& sink = *stream.sink_;
    auto about = system_.fstat(sink.file.get());
    if (!about) return std::unexpected(about.error());
    const bool removed = sink.regular && about->st_nlink == 0;
    const bool due = static_cast<std::uint64_t>(about->st_size) >= sink.care.rotate_at;
    if (!removed && !due) return about->st_size;
    if (removed) {
        const auto opened = reopen(sink);
        if (!opened && !sink.care.failing)
            complain_("cannot open " + sink.path + " again: " + opened.error().text());
        sink.care.failing = !opened;
    } else {
        if (!at_line_end(stream, about->st_size, limit)) return about->st_size;
        rotate(sink, *about);
    }
    about = system_.fstat(sink.file.get());
    if (!about) return std::unexpected(about.error());
    return about->st_size;
}

/// Whether the file may be left now. If not, the next batch ends with the line, when the end of it
/// is in the pipe.
bool LogPump::at_line_end(LogStream& stream, off_t size, std::size_t& limit)
{
    LogSink& sink = *stream.sink_;
    const auto next = peek(stream, limit);
    if (!next || next->empty()) return false; // nothing is there that would go into the next one
    if (ends_in_newline(sink, size)) return true;
    if (sink.writer != &stream) return end_foreign_line(sink, size), true;
    const auto newline = next->find('\n');
    if (newline != std::string_view::npos) return limit = newline + 1, false;
    return static_cast<std::uint64_t>(size) >= sink.care.rotate_at + kLongestLine;
}

bool LogPump::ends_in_newline(LogSink& sink, off_t size)
{
    if (size == 0) return true;
    char last = 0;
    const auto got = system_.pread(sink.file.get(), &last, 1, size - 1);
    return got && *got == 1 && last == '\n';
}

void LogPump::rotate(LogSink& sink, const struct stat& old)
{
    const auto bytes = static_cast<std::uint64_t>(old.st_size);
    const auto name = rotation_->set_aside(sink.path, sink.care, bytes);
    if (!name) return;
    if (const auto opened = reopen(sink); !opened)
        return rotation_->put_back(sink.path, *name, sink.care, bytes, opened.error());
    // Whoever could read the old one can read the new one.
    if (old.st_uid != ::geteuid() || old.st_gid != ::getegid())
        (void)system_.fchown(sink.file.get(), old.st_uid, old.st_gid);
    sink.care.failing = false;
    rotation_->settle({.path = sink.path, .rule = sink.care.rule});
}

/// The file that stands at the path now. Stays with the old one when that cannot be opened.
Result<void> LogPump::reopen(LogSink& sink)
{
    const bool copied = sink.regular && !sink.spliced;
    const auto before = system_.fstat(sink.file.get());
    auto file =
        open_file(sink.path, copied ? O_APPEND : 0, before ? before->st_mode & 0777U : kLogMode);
    if (!file) return std::unexpected(file.error());
    const auto about = system_.fstat(file->get());
    if (!about) return std::unexpected(about.error());
    if (before && id_of(*before) == id_of(*about)) return {}; // nobody has moved it
    sink.file = std::move(*file);
    sink.regular = S_ISREG(about->st_mode);
    sink.spliced = sink.regular && !copied;
    sink.open_line = false;
    if (rotation_ && sink.regular) rotation_->opened(sink.care, *about);
    return {};
}

/// The period of a rule is over: at once where a line has ended, else with the next batch.
void LogPump::rotate_by_time()
{
    for (const auto& [path, known] : sinks_) {
        const auto sink = known.lock();
        if (!sink || !sink->regular) continue;
        if (!rotation_->is_over(sink->care)) {
            rotation_->watch(sink->care);
            continue;
        }
        finish_line(*sink);
        const auto about = system_.fstat(sink->file.get());
        if (!about) continue;
        if (about->st_size == 0)
            rotation_->opened(sink->care, *about); // nothing to set aside: the next period
        else if (ends_in_newline(*sink, about->st_size))
            rotate(*sink, *about);
    }
}

/// When the rest of an unfinished line is in the pipe already, it goes where its begin is.
void LogPump::finish_line(LogSink& sink)
{
    const auto about = system_.fstat(sink.file.get());
    if (!sink.writer || !about || ends_in_newline(sink, about->st_size)) return;
    LogStream& stream = *sink.writer;
    const auto next = peek(stream, kLook);
    const auto newline = next ? next->find('\n') : std::string_view::npos;
    if (newline != std::string_view::npos) (void)move(stream, newline + 1);
}

std::vector<std::string> LogPump::reopen_all()
{
    std::vector<std::string> paths;
    for (const auto& [path, known] : sinks_) {
        const auto sink = known.lock();
        if (!sink) continue;
        if (sink->regular && open()) finish_line(*sink);
        if (auto opened = reopen(*sink); !opened)
            complain_("cannot open " + path + " again: " + opened.error().text());
        paths.push_back(path);
    }
    return paths;
}

Result<std::optional<std::uint64_t>> LogPump::flush(const std::string& path)
{
    // Through a new descriptor: one file may stand at the path and another one be open here.
    const auto file = system_.open(path, O_RDWR | O_NONBLOCK | O_NOCTTY);
    if (!file && file.error().code == std::errc::no_such_file_or_directory) return std::nullopt;
    if (!file) return std::unexpected(file.error());
    const auto about = system_.fstat(file->get());
    if (!about) return std::unexpected(about.error());
    if (!S_ISREG(about->st_mode)) return std::nullopt;
    if (auto cut = system_.ftruncate(file->get(), 0); !cut) return std::unexpected(cut.error());
    if (const auto known = sinks_.find(path); known != sinks_.end())
        if (const auto sink = known->second.lock()) sink->open_line = false;
    return static_cast<std::uint64_t>(about->st_size);
}

} // namespace cluster::supervisor
