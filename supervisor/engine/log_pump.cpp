#include "supervisor/engine/log_pump.hpp"

#include "supervisor/sys/pipes.hpp"

#include <boost/asio/post.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cluster::supervisor {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using ipc::Result;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr int kBatchesPerPass = 8;                ///< then it is the next stream's turn
constexpr std::size_t kTurnBytes = kLargestBatch; ///< or after so many
/// In one look: the next one comes sooner.
constexpr std::size_t kMuch = kPipeBytes / 2, kMuchOfWide = kTurnBytes / 4 * 3;
constexpr microseconds kCoalesce{1000}; ///< small writes: one batch a millisecond, not one each
constexpr microseconds kShortest{20};   ///< less than that is no pause
constexpr milliseconds kUnfinishedLine{200}; ///< how long a shared file waits for a line's end
constexpr milliseconds kLookAgain{50};       ///< at streams with an unfinished line, or a held file
constexpr milliseconds kFullAgain{250};      ///< at streams whose file cannot be written
constexpr std::size_t kTailBytes = 8192;

bool is_empty(const ipc::Error& error)
{
    return error.code.value() == EAGAIN;
}

} // namespace

LogStream::LogStream(LogPump& pump, int worker, StreamKind kind, LogPlan plan, ipc::UniqueFd pipe,
                     std::vector<Target> targets)
    : pump_{pump}, worker_{worker}, kind_{kind}, plan_{std::move(plan)},
      pipe_{pump.readable_, std::move(pipe)}, kept_{pump.keeper_, pipe_.get()},
      targets_{std::move(targets)}, format_{plan_.style}
{
    for (const Target& target : targets_)
        ++target.sink->streams;
    pump_.streams_.push_back(this);
}

LogStream::~LogStream()
{
    std::erase(pump_.streams_, this);
    std::erase(pump_.active_, this);
    std::erase(pump_.wide_, this);
    if (pump_.at_work_ == this) pump_.at_work_ = nullptr;
    for (const auto& batch : pump_.unfinished_)
        if (batch->stream == this) batch->stream = nullptr;
    for (Target& target : targets_) {
        target.lost_bytes = 0; // nobody will tell of them
        pump_.note_loss(*this, target);
        LogSink& sink = *target.sink;
        if (sink.writer == this) sink.writer = nullptr;
        if (sink.holder == this) sink.holder = nullptr;
        if (--sink.streams == 0) pump_.sinks_.erase(sink.path());
    }
    if (pump_.streams_.empty() && pump_.unfinished_.empty()) pump_.drop_stage();
}

Result<ipc::UniqueFd> LogStream::open_for_worker()
{
    // A new open file of the same pipe: it blocks, although ours does not.
    return pump_.system_.open("/proc/self/fd/" + std::to_string(pipe_.get()), O_RDWR);
}

bool LogStream::shares_a_file() const
{
    return std::ranges::any_of(targets_, [](const Target& to) { return to.sink->streams > 1; });
}

bool LogStream::spliced() const
{
    return plan_.style.plain() && targets_.size() == 1 && sink().spliced &&
           !targets_.front().loses();
}

bool LogStream::is_read() const
{
    return pump_.tap_ || tap_ || shipment_;
}

bool LogStream::in_trouble() const
{
    return std::ranges::any_of(targets_, [](const Target& to) {
        return to.loses() || to.sink->failing() || to.sink->spills();
    });
}

bool LogStream::held() const
{
    return std::ranges::any_of(targets_, [](const Target& to) { return to.sink->held(); });
}

LogFigures LogStream::figures() const
{
    LogFigures now = figures_;
    if (in_trouble()) return now;
    now.trouble.clear();
    now.trouble_since = 0;
    return now;
}

LogPump::LogPump(asio::io_context& loop, ipc::System& system, Keeper& keeper,
                 const ipc::Clock& clock, Complaint complain)
    : loop_{loop}, system_{system}, keeper_{keeper}, clock_{clock}, complain_{std::move(complain)},
      readable_{loop,
                [this](std::uint64_t token) {
                    activate(*reinterpret_cast<LogStream*>(static_cast<std::uintptr_t>(token)));
                }},
      timer_{loop}, trouble_timer_{loop}, wide_timer_{loop}
{
}

Result<std::unique_ptr<LogStream>> LogPump::open(int worker, StreamKind kind, LogPlan plan,
                                                 std::pair<uid_t, gid_t> owner)
{
    auto targets = open_targets(plan);
    if (!targets) return std::unexpected(targets.error());
    auto pipe = pipe_for_both(system_);
    if (!pipe) return std::unexpected(pipe.error());
    if (owner.first != ::geteuid()) {
        if (auto owned = system_.fchown(pipe->get(), owner.first, owner.second); !owned)
            return std::unexpected(owned.error());
    }
    need_stage(plan, *targets);
    std::unique_ptr<LogStream> stream{
        new LogStream(*this, worker, kind, std::move(plan), std::move(*pipe), std::move(*targets))};
    watch(*stream);
    return stream;
}

Result<std::unique_ptr<LogStream>> LogPump::adopt(int worker, StreamKind kind, LogPlan plan,
                                                  ipc::UniqueFd pipe,
                                                  std::optional<std::uint64_t> since)
{
    auto targets = open_targets(plan);
    if (!targets) return std::unexpected(targets.error());
    need_stage(plan, *targets);
    std::unique_ptr<LogStream> stream{
        new LogStream(*this, worker, kind, std::move(plan), std::move(pipe), std::move(*targets))};
    for (const LogStream::Target& target : stream->targets_) {
        // Whose line it is that stands open at the end is known only where nobody else writes.
        LogSink& sink = *target.sink;
        const bool is_first = &target == stream->targets_.data();
        const bool begun = !is_first || !sink.regular() || !since || size(*stream) != *since;
        const bool known = begun && sink.streams == 1 && (stream->spliced() || !stage_lost_);
        sink.writer = known ? stream.get() : nullptr;
    }
    find_losses(*stream);
    if (pipe_capacity(stream->fd()) > kPipeBytes) (void)widen(*stream);
    watch(*stream);
    if (stream->in_trouble()) watch_trouble(); // it has spilled, or lost something
    return stream;
}

Result<std::vector<LogStream::Target>> LogPump::open_targets(const LogPlan& plan)
{
    std::vector<LogStream::Target> targets;
    for (const std::string& path : {plan.path, plan.combined}) {
        const bool twice = !targets.empty() && (path.empty() || path == plan.path);
        if (twice) continue;
        auto sink = open_sink(path);
        if (!sink) return std::unexpected(sink.error());
        if (plan.on_full == ipc::LogOnFull::spill) (*sink)->find_spill(spill_folder_);
        targets.push_back({.sink = std::move(*sink), .why = {}});
    }
    return targets;
}

Result<std::shared_ptr<LogSink>> LogPump::open_sink(const std::string& path)
{
    if (const auto known = sinks_.find(path); known != sinks_.end()) {
        if (auto sink = known->second.lock()) return sink;
    }
    if (!answers_at(path)) return fail_held(path);
    auto sink = LogSink::open(system_, path);
    if (!sink) return sink;
    sinks_[path] = *sink;
    if (rotation_ && (*sink)->regular())
        if (const auto about = (*sink)->about()) rotation_->opened((*sink)->care, *about);
    return sink;
}

void LogPump::watch(LogStream& stream)
{
    stream.pipe_.wait(reinterpret_cast<std::uintptr_t>(&stream));
}

void LogPump::activate(LogStream& stream)
{
    if (!std::exchange(stream.active_, true)) active_.push_back(&stream);
    schedule(pause_);
}

void LogPump::schedule(microseconds after)
{
    if (after == microseconds{0}) return pass_soon();
    const auto due = asio::steady_timer::clock_type::now() + after;
    if (std::exchange(scheduled_, true) && timer_.expiry() <= due) return;
    timer_.expires_at(due); // a later appointment is cancelled by this
    timer_.async_wait([this](error_code cancelled) {
        if (cancelled) return;
        scheduled_ = false;
        relieved([this] { pass(); });
    });
}

/// Without a timer, which costs three system calls. All that is ready on the loop comes before it.
void LogPump::pass_soon()
{
    if (std::exchange(soon_, true)) return;
    asio::post(loop_, [this, alive = std::weak_ptr{alive_}] {
        if (alive.expired()) return;
        soon_ = false;
        relieved([this] { pass(); });
    });
}

void LogPump::pass()
{
    Moved most = Moved::nothing;
    std::vector<LogStream*> still;
    std::vector<LogStream*>
        unseen; // the gate was shut before their turn: they come first next time
    for (LogStream* stream : std::exchange(active_, {})) {
        at_work_ = nullptr;
        if (!open()) {
            unseen.push_back(stream);
            continue;
        }
        const Moved moved = move_batches(*stream, false);
        most = std::max(most, moved);
        if (moved == Moved::much) {
            stream->pipe_.forget();
            (void)widen(*stream);
        }
        if (moved != Moved::nothing) {
            still.push_back(stream);
            continue;
        }
        stream->active_ = false;
        watch(*stream);
    }
    at_work_ = nullptr;
    active_.insert(active_.end(), unseen.begin(), unseen.end());
    active_.insert(active_.end(), still.begin(), still.end());
    find_pause(most);
    if (active_.empty()) return;
    parked_ = !open();
    if (parked_) return;
    if (most == Moved::blocked)
        schedule(held_calls_.empty() ? kFullAgain : kLookAgain);
    else
        schedule(most == Moved::waiting ? kLookAgain : pause_);
}

/// As long as a pipe takes to get half full: a shorter one costs wake-ups, a longer one stops the
/// worker.
void LogPump::find_pause(Moved most)
{
    if (most == Moved::much)
        pause_ = pause_ > kShortest ? pause_ / 2 : microseconds{0};
    else
        pause_ = std::min(kCoalesce, std::max(pause_ * 2, kShortest));
}

void LogPump::drain(LogStream& stream)
{
    while (open()) {
        const Moved moved = move_batches(stream, true);
        if (moved == Moved::blocked) break; // it stays in the pipe until the file can be written
        if (moved == Moved::nothing) return finish_line(stream);
    }
    activate(stream);
}

void LogPump::drain_last(std::initializer_list<LogStream*> streams)
{
    relieved([&] {
        for (LogStream* stream : streams) {
            if (!stream) continue;
            drain(*stream);
            (void)size(*stream);
        }
        at_work_ = nullptr;
    });
}

/// Whoever writes next begins a line of his own, also under a successor.
void LogPump::finish_line(LogStream& stream)
{
    const auto last = stage_ ? stage_->spliced() : std::nullopt;
    if (last && last->stream == stream.inode()) stage_->idle();
    for (LogStream::Target& target : stream.targets_) {
        if (target.sink->writer == &stream) target.sink->writer = nullptr;
        if (target.sink->holder == &stream) target.sink->holder = nullptr;
        if (!std::exchange(target.in_mid_line, false)) continue;
        ++target.lost_lines;
        ++stream.figures_.lost_lines;
    }
}

void LogPump::empty(LogStream& stream)
{
    forced_ = true;
    drain(stream);
    for (LogStream::Target& target : stream.targets_)
        if (target.loses()) (void)mend(stream, target);
    forced_ = false;
}

void LogPump::wake()
{
    if (std::exchange(parked_, false)) schedule(milliseconds{0});
}

LogPump::Moved LogPump::move_batches(LogStream& stream, bool finish)
{
    std::size_t moved = 0;
    for (int batch = 0; batch < kBatchesPerPass; ++batch) {
        if (!open()) return Moved::waiting;
        const Batch done = move(stream, finish);
        moved += done.bytes;
        if (moved < kTurnBytes && (done.bytes > 0 || done.what == Moved::some)) continue;
        if (moved == 0) return done.what;
        break;
    }
    stream.fast_ = stream.fast_ || moved >= kMuch;
    return moved >= (stream.wide_ ? kMuchOfWide : kMuch) ? Moved::much : Moved::some;
}

LogPump::Batch LogPump::move(LogStream& stream, bool finish)
{
    at_work_ = &stream;
    if (stream.in_trouble()) {
        try_again(stream);
        if (must_wait(stream)) return {Moved::blocked};
    }
    if (stream.held()) {
        if (!crowded(stream))
            return {bytes_in_pipe(stream.fd()) > 0 ? Moved::blocked : Moved::nothing};
        if (forced_ || stream.plan_.on_full != ipc::LogOnFull::block) give_up_batch(stream);
    }
    if (stream.spliced()) return splice(stream, finish);
    const bool all_lost = std::ranges::all_of(stream.targets_, &LogStream::Target::loses);
    return all_lost ? discard(stream) : copy(stream, finish);
}

std::size_t LogPump::due(LogStream& stream, std::string_view bytes, bool finish)
{
    if (bytes.empty()) return stream.unfinished_since_ = {}, 0;
    const std::size_t newline = bytes.rfind('\n');
    if (newline != std::string_view::npos) return stream.unfinished_since_ = {}, newline + 1;

    const milliseconds now = clock_.now();
    if (stream.unfinished_since_.count() == 0) stream.unfinished_since_ = now;
    const bool late = now - stream.unfinished_since_ >= kUnfinishedLine;
    const LogSink& sink = stream.sink();
    const bool goes_on = sink.open_line && sink.writer == &stream;
    if (!finish && !late && bytes.size() < kPipeBytes && !goes_on) return 0;
    stream.unfinished_since_ = {};
    return bytes.size();
}

std::optional<std::string_view> LogPump::peek(LogStream& stream, std::size_t most)
{
    if (!stage_ && !peek_.read) {
        auto made = system_.pipe();
        if (!made) return std::nullopt;
        peek_ = std::move(*made);
    }
    if (stage_ && most > kPipeBytes) (void)stage_->room();
    const int into_pipe = stage_ ? stage_->pipe() : peek_.write.get();
    const int from_pipe = stage_ ? stage_->pipe() : peek_.read.get();
    const auto seen = system_.tee(stream.fd(), into_pipe, most);
    if (!seen) return std::string_view{};
    char* const into = buffer();
    std::size_t size = 0;
    while (size < *seen) {
        const auto got = system_.read(from_pipe, into + size, *seen - size);
        if (!got || *got == 0) break;
        size += *got;
    }
    return std::string_view{into, size};
}

char* LogPump::buffer()
{
    if (!buffer_) buffer_ = std::make_unique_for_overwrite<char[]>(kLargestBatch);
    return buffer_.get();
}

LogPump::Batch LogPump::splice(LogStream& stream, bool finish)
{
    LogSink& sink = stream.sink();
    std::size_t limit = stage_ ? stage_->room() : kLargestBatch;
    if (stream.shares_a_file()) {
        if (sink.holder && sink.holder != &stream && !finish) return {Moved::waiting};
        // Without a look: torn lines are better than lost ones.
        if (const auto bytes = peek(stream, kPipeBytes)) limit = due(stream, *bytes, finish);
        if (limit == 0)
            return {stream.unfinished_since_.count() > 0 ? Moved::waiting : Moved::nothing};
    }
    const auto size = splice_to(stream, limit);
    if (size) return {Moved::some, *size};
    if (is_empty(size.error())) return {Moved::nothing};
    if (size.error().code.value() == EINVAL) { // a file system that cannot splice
        sink.spliced = false;
        sink.open_line = false; // splice_to has ended a line that somebody else left open
        return {Moved::some};
    }
    switch (on_full(stream, sink, size.error())) {
    case OnFull::wait:
        return {Moved::blocked};
    case OnFull::again:
        return {Moved::some};
    case OnFull::lose:
        break;
    }
    lose_unfinished_line(stream, stream.targets_.front());
    return discard(stream);
}

Result<std::size_t> LogPump::splice_to(LogStream& stream, std::size_t limit)
{
    LogSink& sink = stream.sink();
    auto place = place_for_batch(stream, sink, &limit);
    if (!place) return std::unexpected(place.error());
    const bool shared = stream.shares_a_file();
    if (sink.writer != &stream) {
        if (!shared) { // else due() has looked
            // Without anything to put behind it, an open line is left as it is.
            const auto first = peek(stream, 1);
            if (first && first->empty()) return ipc::fail(EAGAIN, "splice");
        }
        if (sink.ends_in_mid_line(place->size)) {
            if (auto ended = sink.append("\n", place->size); !ended)
                return std::unexpected(ended.error());
            ++place->size;
        }
    }
    const std::size_t most = std::min({limit, sink.room(place->size), sink.care.room(place->size)});
    if (most == 0) return ipc::fail(ENOSPC, "spill " + sink.path());
    auto at = static_cast<off_t>(place->size);
    const auto size = stage_ ? relay(stream, sink, *place, most)
                             : system_.splice(stream.fd(), sink.fd(), &at, most);
    if (!size) return size;
    if (*size == 0) return ipc::fail(EAGAIN, "splice");
    if (shared && (stage_ || peek_.read)) {           // else nobody has looked
        sink.open_line = buffer()[*size - 1] != '\n'; // what due() has seen still stands there
        sink.holder = sink.open_line && *size < limit ? &stream : nullptr;
    }
    moved(stream, sink, place->size, *size);
    return size;
}

/// The file has them, and the pipe has not.
void LogPump::moved(LogStream& stream, LogSink& sink, std::uint64_t at, std::size_t bytes)
{
    sink.writer = &stream;
    if (!sink.spills()) sink.recover();
    stream.figures_.bytes += bytes;
    note_time(sink, at);
    if (stream.is_read()) tap_written(stream, at, bytes);
}

/// Through the pipe of the stage: splice(2) holds the pipe that it reads as long as it writes.
Result<std::size_t> LogPump::relay(LogStream& stream, LogSink& sink, const FilePlace& place,
                                   std::size_t most)
{
    const auto copied = system_.tee(stream.fd(), stage_->pipe(), most);
    if (!copied || *copied == 0) return copied;
    stage_->relaying(stream.inode(), place, *copied);
    const auto there = deliver(*stage_, sink.fd(), place.size, *copied);
    if (there.value_or(0) < *copied) {
        stage_->relayed(there.value_or(0));
        stage_->empty_pipe();
    }
    if (there) {
        stage_->taking(*there);
        take_rest(*stage_, stream, *there);
    }
    if (there && stream.shares_a_file())
        stage_->spliced_all();
    else
        stage_->idle();
    // As long as it counts as taking, what is in our pipe tells how much was taken.
    if (there) stage_->drop(*there);
    return there;
}

/// Errors: those of the first call; after that, what is there is there.
Result<std::size_t> LogPump::deliver(LogStage& stage, int file, std::uint64_t at, std::size_t bytes)
{
    auto behind = static_cast<off_t>(at);
    std::size_t there = 0;
    while (there < bytes) {
        const auto size = system_.splice(stage.pipe(), file, &behind, bytes - there);
        if (!size && there == 0) return size;
        if (!size || *size == 0) break;
        there += *size;
    }
    return there;
}

void LogPump::tap_written(const LogStream& stream, std::uint64_t at, std::size_t size)
{
    while (size > 0) {
        const auto got = system_.pread(stream.sink().fd(), buffer(), std::min(size, kPipeBytes),
                                       static_cast<off_t>(at));
        if (!got || *got == 0) return;
        tell_taps(stream, {buffer(), *got}, {buffer(), *got});
        at += *got;
        size -= *got;
    }
}

void LogPump::tell_taps(const LogStream& stream, std::string_view raw, std::string_view written)
{
    if (tap_) tap_(stream.worker_, stream.kind_, written);
    if (stream.tap_) stream.tap_(raw);
    if (stream.shipment_) stream.shipment_(raw);
}

std::uint64_t LogPump::size(const LogStream& stream)
{
    if (!stream.sink().regular() || stream.sink().file_held()) return 0;
    const auto about = system_.fstat(stream.sink().file());
    return about ? static_cast<std::uint64_t>(about->st_size) : 0;
}

std::vector<std::string> LogPump::tail(const LogStream& stream, std::uint64_t since,
                                       std::size_t count)
{
    if (stream.sink().file_held()) return {};
    const std::uint64_t end = size(stream);
    if (end < since) since = 0; // another file than then, or emptied
    if (end == since) return {};
    const std::uint64_t begin = std::max(since, end > kTailBytes ? end - kTailBytes : 0);
    std::string text(end - begin, '\0');
    const auto got =
        system_.pread(stream.sink().file(), text.data(), text.size(), static_cast<off_t>(begin));
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
