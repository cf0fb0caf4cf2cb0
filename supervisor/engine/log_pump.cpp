#include "supervisor/engine/log_pump.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace cluster::supervisor {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using ipc::Result;
using std::chrono::milliseconds;

constexpr std::size_t kPipeBytes = 65536; ///< man 7 pipe: the default capacity
constexpr int kBatchesPerPass = 4;        ///< then it is the next stream's turn
constexpr milliseconds kCoalesce{1};      ///< small writes: one batch a millisecond, not one each
constexpr milliseconds kUnfinishedLine{200}; ///< how long a shared file waits for a line's end
constexpr milliseconds kLookAgain{50};       ///< at streams with an unfinished line
constexpr std::size_t kTailBytes = 8192;

bool is_empty(const ipc::Error& error)
{
    return error.code.value() == EAGAIN;
}

std::string parent_of(const std::string& path)
{
    const auto slash = path.rfind('/');
    return slash == std::string::npos || slash == 0 ? "/" : path.substr(0, slash);
}

} // namespace

LogStream::LogStream(LogPump& pump, int worker, StreamKind kind, ipc::UniqueFd pipe,
                     std::shared_ptr<LogSink> sink)
    : pump_{pump}, worker_{worker}, kind_{kind}, pipe_{pump.loop_, pipe.get()},
      kept_{pump.keeper_, pipe.get()}, sink_{std::move(sink)}
{
    (void)pipe.release(); // the descriptor owns it now
    ++sink_->streams;
}

LogStream::~LogStream()
{
    std::erase(pump_.active_, this);
    if (sink_->writer == this) sink_->writer = nullptr;
    if (--sink_->streams == 0) pump_.sinks_.erase(sink_->path);
}

Result<ipc::UniqueFd> LogStream::open_for_worker()
{
    // A new open file of the same pipe: it blocks, although ours does not.
    return pump_.system_.open("/proc/self/fd/" + std::to_string(pipe_.native_handle()), O_RDWR);
}

LogPump::LogPump(asio::io_context& loop, ipc::System& system, Keeper& keeper,
                 const ipc::Clock& clock, Complaint complain)
    : loop_{loop}, system_{system}, keeper_{keeper}, clock_{clock}, complain_{std::move(complain)},
      timer_{loop}
{
}

Result<std::unique_ptr<LogStream>>
LogPump::open(int worker, StreamKind kind, const std::string& path, std::pair<uid_t, gid_t> owner)
{
    auto sink = open_sink(path);
    if (!sink) return std::unexpected(sink.error());
    auto ends = system_.pipe();
    if (!ends) return std::unexpected(ends.error());
    if (owner.first != ::geteuid()) {
        if (auto owned = system_.fchown(ends->read.get(), owner.first, owner.second); !owned)
            return std::unexpected(owned.error());
    }
    // Opened for both, so that it never reports its end while no worker runs.
    auto both =
        system_.open("/proc/self/fd/" + std::to_string(ends->read.get()), O_RDWR | O_NONBLOCK);
    if (!both) return std::unexpected(both.error());
    std::unique_ptr<LogStream> stream{
        new LogStream(*this, worker, kind, std::move(*both), std::move(*sink))};
    watch(*stream);
    return stream;
}

Result<std::unique_ptr<LogStream>> LogPump::adopt(int worker, StreamKind kind,
                                                  const std::string& path, ipc::UniqueFd pipe)
{
    auto sink = open_sink(path);
    if (!sink) return std::unexpected(sink.error());
    std::unique_ptr<LogStream> stream{
        new LogStream(*this, worker, kind, std::move(pipe), std::move(*sink))};
    // Whose line it is that stands open at the end is known only where nobody else writes.
    LogSink& shared = *stream->sink_;
    shared.writer = shared.streams == 1 ? stream.get() : nullptr;
    watch(*stream);
    return stream;
}

Result<std::shared_ptr<LogSink>> LogPump::open_sink(const std::string& path)
{
    if (const auto known = sinks_.find(path); known != sinks_.end()) {
        if (auto sink = known->second.lock()) return sink;
    }
    auto file = open_file(path);
    if (!file) return std::unexpected(file.error());
    const auto about = system_.fstat(file->get());
    if (!about) return std::unexpected(about.error());
    auto sink = std::make_shared<LogSink>();
    sink->path = path;
    sink->file = std::move(*file);
    sink->regular = sink->spliced = S_ISREG(about->st_mode);
    if (rotation_ && sink->regular) rotation_->opened(sink->care, *about);
    sinks_[path] = sink;
    return sink;
}

Result<ipc::UniqueFd> LogPump::open_file(const std::string& path, int more_flags, mode_t mode)
{
    // Readable too: the last byte decides whether a newline is missing. O_NONBLOCK: a FIFO without
    // a reader must not stop the daemon.
    const int flags = O_RDWR | O_CREAT | O_NONBLOCK | O_NOCTTY | more_flags;
    auto file = system_.open(path, flags, mode);
    if (file || file.error().code != std::errc::no_such_file_or_directory) return file;
    if (auto made = system_.make_directories(parent_of(path)); !made)
        return std::unexpected(made.error());
    return system_.open(path, flags, mode);
}

void LogPump::watch(LogStream& stream)
{
    stream.pipe_.async_wait(asio::posix::stream_descriptor::wait_read,
                            [this, &stream](error_code cancelled) {
                                // Cancelled means destroyed: `stream` is gone then.
                                if (!cancelled) activate(stream);
                            });
}

void LogPump::activate(LogStream& stream)
{
    if (!std::exchange(stream.active_, true)) active_.push_back(&stream);
    schedule(kCoalesce);
}

void LogPump::schedule(milliseconds after)
{
    const auto due = asio::steady_timer::clock_type::now() + after;
    if (std::exchange(scheduled_, true) && timer_.expiry() <= due) return;
    timer_.expires_at(due); // a later appointment is cancelled by this
    timer_.async_wait([this](error_code cancelled) {
        if (cancelled) return;
        scheduled_ = false;
        pass();
    });
}

void LogPump::pass()
{
    Moved most = Moved::nothing;
    std::vector<LogStream*> still;
    std::vector<LogStream*>
        unseen; // the gate was shut before their turn: they come first next time
    for (LogStream* stream : std::exchange(active_, {})) {
        if (!open()) {
            unseen.push_back(stream);
            continue;
        }
        const Moved moved = move_batch(*stream, false);
        most = std::max(most, moved);
        if (moved != Moved::nothing) {
            still.push_back(stream);
            continue;
        }
        stream->active_ = false;
        watch(*stream);
    }
    active_.insert(active_.end(), unseen.begin(), unseen.end());
    active_.insert(active_.end(), still.begin(), still.end());
    if (active_.empty()) return;
    parked_ = !open();
    if (parked_) return;
    if (most == Moved::much) return schedule(milliseconds{0});
    schedule(most == Moved::waiting ? kLookAgain : kCoalesce);
}

void LogPump::drain(LogStream& stream)
{
    while (open()) {
        if (move_batch(stream, true) != Moved::nothing) continue;
        if (stream.sink_->writer == &stream) stream.sink_->writer = nullptr;
        return;
    }
    activate(stream);
}

void LogPump::empty(LogStream& stream)
{
    forced_ = true;
    drain(stream);
    forced_ = false;
}

void LogPump::wake()
{
    if (std::exchange(parked_, false)) schedule(milliseconds{0});
}

LogPump::Moved LogPump::move_batch(LogStream& stream, bool finish)
{
    std::size_t moved = 0;
    for (int batch = 0; batch < kBatchesPerPass; ++batch) {
        if (!open()) return Moved::waiting;
        std::size_t limit = kPipeBytes;
        if (stream.sink_->streams > 1) {
            limit = due(stream, finish);
            if (limit == 0) {
                return stream.unfinished_since_.count() > 0 ? Moved::waiting : Moved::nothing;
            }
        }
        const auto size = move(stream, limit);
        if (!size && is_empty(size.error())) return moved > 0 ? Moved::some : Moved::nothing;
        if (!size) return discard(stream, size.error()) ? Moved::some : Moved::nothing;
        moved += *size;
    }
    return moved >= kPipeBytes ? Moved::much : Moved::some;
}

std::size_t LogPump::due(LogStream& stream, bool finish)
{
    const auto bytes = peek(stream, kPipeBytes);
    if (!bytes) return kPipeBytes; // torn lines are better than lost ones
    if (bytes->empty()) return stream.unfinished_since_ = {}, 0;
    const std::size_t newline = bytes->rfind('\n');
    if (newline != std::string_view::npos) return stream.unfinished_since_ = {}, newline + 1;

    const milliseconds now = clock_.now();
    if (stream.unfinished_since_.count() == 0) stream.unfinished_since_ = now;
    const bool late = now - stream.unfinished_since_ >= kUnfinishedLine;
    const LogSink& sink = *stream.sink_;
    const bool goes_on = sink.open_line && sink.writer == &stream;
    if (!finish && !late && bytes->size() < kPipeBytes && !goes_on) return 0;
    stream.unfinished_since_ = {};
    return bytes->size();
}

std::optional<std::string_view> LogPump::peek(LogStream& stream, std::size_t most)
{
    if (!peek_.read) {
        auto made = system_.pipe();
        if (!made) return std::nullopt;
        peek_ = std::move(*made);
    }
    const auto seen = system_.tee(stream.fd(), peek_.write.get(), most);
    if (!seen) return std::string_view{};
    char* const into = buffer();
    std::size_t size = 0;
    while (size < *seen) {
        const auto got = system_.read(peek_.read.get(), into + size, *seen - size);
        if (!got || *got == 0) break;
        size += *got;
    }
    return std::string_view{into, size};
}

char* LogPump::buffer()
{
    if (!buffer_) buffer_ = std::make_unique<char[]>(kPipeBytes);
    return buffer_.get();
}

Result<std::size_t> LogPump::move(LogStream& stream, std::size_t limit)
{
    LogSink& sink = *stream.sink_;
    if (!sink.spliced) return move_copied(stream, limit);
    auto size = move_spliced(stream, limit);
    if (size || size.error().code.value() != EINVAL) return size;
    // A file system that cannot splice: from now on bytes are copied to the end of the file.
    auto appending = system_.open("/proc/self/fd/" + std::to_string(sink.file.get()),
                                  O_RDWR | O_APPEND | O_NONBLOCK | O_NOCTTY);
    if (!appending) return std::unexpected(appending.error());
    sink.file = std::move(*appending);
    sink.spliced = false;
    sink.open_line = false; // move_spliced has ended a line that somebody else left open
    return move_copied(stream, limit);
}

Result<std::size_t> LogPump::move_spliced(LogStream& stream, std::size_t limit)
{
    LogSink& sink = *stream.sink_;
    const auto seen = end_of_file(stream, limit);
    if (!seen) return std::unexpected(seen.error());
    off_t end = *seen;
    if (sink.writer != &stream) {
        if (sink.streams == 1) { // else due() has looked
            // Without anything to put behind it, an open line is left as it is.
            const auto first = peek(stream, 1);
            if (first && first->empty()) return ipc::fail(EAGAIN, "splice");
        }
        end_foreign_line(sink, end);
        if (const auto about = system_.fstat(sink.file.get()); about) end = about->st_size;
    }
    off_t at = end;
    const auto size = system_.splice(stream.fd(), sink.file.get(), &at, limit);
    if (!size) return size;
    if (*size == 0) return ipc::fail(EAGAIN, "splice");
    sink.writer = &stream;
    sink.failing = false;
    // What due() has seen of the pipe still stands in the buffer.
    if (sink.streams > 1) sink.open_line = buffer()[*size - 1] != '\n';
    if (rotation_) rotation_->note(sink.care, static_cast<std::uint64_t>(end));
    if (tap_ || stream.tap_ || stream.shipment_) tap_written(stream, end, *size);
    return size;
}

Result<std::size_t> LogPump::move_copied(LogStream& stream, std::size_t limit)
{
    LogSink& sink = *stream.sink_;
    const auto end = sink.regular ? end_of_file(stream, limit) : Result<off_t>{0};
    if (!end) return std::unexpected(end.error());
    char* const bytes = buffer();
    const auto size = system_.read(stream.fd(), bytes, std::min(limit, kPipeBytes));
    if (!size) return size;
    if (sink.open_line && sink.writer != &stream) (void)system_.write(sink.file.get(), "\n", 1);
    std::size_t out = 0;
    while (out < *size) {
        const auto written = system_.write(sink.file.get(), bytes + out, *size - out);
        if (!written) {
            lose(sink, *size - out, written.error());
            break;
        }
        out += *written;
    }
    if (out == *size) sink.failing = false;
    if (rotation_ && sink.regular) rotation_->note(sink.care, static_cast<std::uint64_t>(*end));
    sink.open_line = bytes[*size - 1] != '\n';
    sink.writer = &stream;
    tell_taps(stream, {bytes, *size});
    return size;
}

/// Somebody else has written before us: if their last line has no end, it gets one now.
void LogPump::end_foreign_line(LogSink& sink, off_t size)
{
    if (size == 0) return;
    char last = '\n';
    const auto got = system_.pread(sink.file.get(), &last, 1, size - 1);
    if (got && *got == 1 && last != '\n') (void)system_.pwrite(sink.file.get(), "\n", 1, size);
}

/// The file cannot take it (disk full): the worker must not stop, so its output is dropped.
bool LogPump::discard(LogStream& stream, const ipc::Error& why)
{
    const auto size = system_.read(stream.fd(), buffer(), kPipeBytes);
    if (size) lose(*stream.sink_, *size, why);
    return size.has_value();
}

/// A loss is told once, until the file can be written again.
void LogPump::lose(LogSink& sink, std::size_t bytes, const ipc::Error& why)
{
    sink.lost += bytes;
    if (!std::exchange(sink.failing, true))
        complain_("cannot write " + sink.path + ", output is dropped: " + why.text());
}

void LogPump::tap_written(const LogStream& stream, off_t at, std::size_t size)
{
    const auto got = system_.pread(stream.sink_->file.get(), buffer(), size, at);
    if (got) tell_taps(stream, {buffer(), *got});
}

void LogPump::tell_taps(const LogStream& stream, std::string_view bytes)
{
    if (tap_) tap_(stream.worker_, stream.kind_, bytes);
    if (stream.tap_) stream.tap_(bytes);
    if (stream.shipment_) stream.shipment_(bytes);
}

std::uint64_t LogPump::size(const LogStream& stream)
{
    if (!stream.sink_->regular) return 0;
    const auto about = system_.fstat(stream.sink_->file.get());
    return about ? static_cast<std::uint64_t>(about->st_size) : 0;
}

std::vector<std::string> LogPump::tail(const LogStream& stream, std::uint64_t since,
                                       std::size_t count)
{
    const std::uint64_t end = size(stream);
    if (end < since) since = 0; // another file than then, or emptied
    if (end == since) return {};
    const std::uint64_t begin = std::max(since, end > kTailBytes ? end - kTailBytes : 0);
    std::string text(end - begin, '\0');
    const auto got = system_.pread(stream.sink_->file.get(), text.data(), text.size(),
                                   static_cast<off_t>(begin));
    if (!got) return {};
    text.resize(*got);
    if (text.ends_with('\n')) text.pop_back();
    std::vector<std::string> lines;
    while (lines.size() < count && !text.empty()) {
        const auto newline = text.rfind('\n');
        lines.push_back(newline == std::string::npos ? text : text.substr(newline + 1));
        text.resize(newline == std::string::npos ? 0 : newline);
    }
    std::ranges::reverse(lines);
    return lines;
}

} // namespace cluster::supervisor
