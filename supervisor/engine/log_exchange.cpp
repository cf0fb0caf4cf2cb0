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
constexpr std::size_t kLook = 65536; ///< for the end of a line, at a time

} // namespace

void LogPump::set_rotation(LogRotation& rotation)
{
    rotation_ = &rotation;
    rotation.set_on_period([this] { rotate_by_time(); });
}

void LogPump::set_rule(const LogStream& stream, const ipc::Rotation& rule)
{
    for (const LogStream::Target& target : stream.targets_) {
        LogSink& sink = *target.sink;
        if (!rotation_ || !sink.regular() || sink.care.rule == rule) continue;
        if (const auto about = sink.about()) rotation_->set_rule(sink.care, rule, *about);
    }
}

/// After each batch. What is spilled gets its times when it is back, from what comes then.
void LogPump::note_time(LogSink& sink, std::uint64_t offset)
{
    if (rotation_ && sink.regular() && !sink.spills()) rotation_->note(sink.care, offset);
}

Result<FilePlace> LogPump::place_for_batch(LogStream& stream, LogSink& sink, std::size_t* limit)
{
    if (sink.held()) return fail_held(sink.path());
    if (sink.spills() || !sink.regular()) return sink.place();
    const auto about = sink.about();
    if (!about) return std::unexpected(about.error());
    const auto size = static_cast<std::uint64_t>(about->st_size);
    const bool removed = about->st_nlink == 0;
    if (!removed && size < sink.care.rotate_at) return place_of(*about);
    if (removed) {
        const auto opened = reopen(sink);
        if (!opened && !sink.care.failing)
            complain_("cannot open " + sink.path() + " again: " + opened.error().text());
        sink.care.failing = !opened;
    } else if (at_line_end(stream, sink, size, limit)) {
        rotate(sink, *about);
    }
    return sink.place();
}

/// Whether the file may be left now. If not, the next batch ends with the line, when the end of it
/// is in the pipe.
bool LogPump::at_line_end(LogStream& stream, LogSink& sink, std::uint64_t size, std::size_t* limit)
{
    const auto next = limit ? peek(stream, std::min(*limit, kLook)) : std::nullopt;
    if (limit && (!next || next->empty())) return false; // nothing that would go into the next one
    if (!sink.ends_in_mid_line(size)) return true;
    if (sink.writer != &stream) return sink.append("\n", size).has_value();
    const auto newline = next ? next->find('\n') : std::string_view::npos;
    if (newline != std::string_view::npos) return *limit = newline + 1, false;
    if (next) *limit = next->size(); // the end of it may be next
    sink.line_end_wanted = true;
    return size >= sink.care.rotate_at + kLongestLine;
}

void LogPump::rotate(LogSink& sink, const struct stat& old)
{
    const auto bytes = static_cast<std::uint64_t>(old.st_size);
    const auto name = rotation_->set_aside(sink.path(), sink.care, bytes);
    if (!name) return;
    if (const auto opened = reopen(sink); !opened)
        return rotation_->put_back(sink.path(), *name, sink.care, bytes, opened.error());
    // Whoever could read the old one can read the new one.
    if (old.st_uid != ::geteuid() || old.st_gid != ::getegid())
        (void)system_.fchown(sink.file(), old.st_uid, old.st_gid);
    sink.care.failing = false;
    rotation_->settle({.path = sink.path(), .rule = sink.care.rule});
}

Result<void> LogPump::reopen(LogSink& sink)
{
    const auto about = sink.reopen();
    if (!about) return std::unexpected(about.error());
    if (*about && rotation_ && sink.regular()) rotation_->opened(sink.care, **about);
    return {};
}

/// The period of a rule is over: at once where a line has ended, else with the next batch.
void LogPump::rotate_by_time()
{
    for (const auto& [path, known] : sinks_) {
        const auto sink = known.lock();
        if (!sink || !sink->regular()) continue;
        if (!rotation_->is_over(sink->care)) {
            rotation_->watch(sink->care);
            continue;
        }
        if (sink->file_held()) continue; // with the next batch
        complete_line(*sink);
        const auto about = sink->about();
        if (!about) continue;
        if (about->st_size == 0)
            rotation_->opened(sink->care, *about); // nothing to set aside: the next period
        else if (!sink->ends_in_mid_line(static_cast<std::uint64_t>(about->st_size)))
            rotate(*sink, *about);
    }
}

/// When the rest of an unfinished line is in the pipe already, it goes where its begin is.
void LogPump::complete_line(LogSink& sink)
{
    const auto about = sink.about();
    if (!sink.writer || sink.spills() || !about ||
        !sink.ends_in_mid_line(static_cast<std::uint64_t>(about->st_size)))
        return;
    LogStream& stream = *sink.writer;
    if (!stream.spliced()) return; // its lines are whole
    const auto next = peek(stream, kLook);
    const auto newline = next ? next->find('\n') : std::string_view::npos;
    if (newline != std::string_view::npos) (void)splice_to(stream, newline + 1);
}

std::vector<std::string> LogPump::reopen_all()
{
    std::vector<std::string> paths;
    for (const auto& [path, known] : sinks_) {
        const auto sink = known.lock();
        if (!sink) continue;
        if (!sink->held() && sink->regular() && open()) complete_line(*sink);
        const auto opened = sink->file_held() ? fail_held(path) : reopen(*sink);
        if (!opened) complain_("cannot open " + path + " again: " + opened.error().text());
        paths.push_back(path);
    }
    return paths;
}

Result<std::optional<std::uint64_t>> LogPump::flush(const std::string& path)
{
    if (!answers_at(path)) return fail_held(path);
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
