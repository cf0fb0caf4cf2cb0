// LogPump, copying: for lines that get a date or become JSON, for a stream with two files, and for
// files that splice(2) cannot write.
#include "supervisor/engine/log_pump.hpp"

#include "supervisor/sys/memory_file.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cluster::supervisor {
namespace {

using ipc::Result;

/// Empty lines with a date each are many times as long: a batch ends behind this.
constexpr std::size_t kTextBytes = 2 * kLargestBatch;

} // namespace

/// Before the first stream is there that needs it: the row that is written down for its worker
/// names the stage, too.
void LogPump::need_stage(const LogPlan& plan, const std::vector<LogStream::Target>& targets)
{
    const bool copied = !plan.style.plain() || !plan.combined.empty();
    const bool moved = std::ranges::any_of(
        targets, [](const LogStream::Target& target) { return target.sink->regular(); });
    if (stage_ || (!copied && !moved)) return;
    auto made = LogStage::make(system_, keeper_, stage_name_);
    if (!made)
        return complain_("logs: " + made.error().text() +
                         ": a crash of the manager may double some lines");
    stage_ = std::move(*made);
    stage_inode_ = stage_->inode();
}

/// Nobody needs it: what is kept of it is given up.
void LogPump::drop_stage()
{
    stage_.reset();
    stage_inode_ = 0;
}

Result<void> LogPump::adopt_stage(std::uint64_t inode, KeptFds& kept)
{
    if (inode == 0) return {};
    auto stage = LogStage::adopt(system_, keeper_, stage_name_, inode, kept);
    stage_lost_ = !stage || !*stage;
    if (!stage) return std::unexpected(stage.error());
    stage_ = std::move(*stage);
    if (!stage_) return {};
    stage_inode_ = inode;
    auto others = stage_->adopt_others(kept);
    if (!others) return std::unexpected(others.error());
    other_stages_ = std::move(*others);
    return {};
}

void LogPump::remove_stage_name()
{
    remove_named_memory(stage_name_);
}

void LogPump::settle_stage()
{
    if (!stage_) return;
    std::vector<std::shared_ptr<LogSink>> sinks;
    for (const auto& [path, known] : sinks_)
        if (auto sink = known.lock()) sinks.push_back(std::move(sink));
    settle(*stage_, sinks);
    for (const auto& other : other_stages_)
        settle(*other, sinks);
    other_stages_.clear();
    for (LogStream* one : streams_)
        for (const LogStream::Target& target : one->targets_)
            if (target.sink->writer == one && target.sink->regular())
                if (const auto place = target.sink->place())
                    target.sink->open_line = target.sink->ends_in_mid_line(place->size);
}

/// The batch of that stage: of what has come to a file, either all or nothing stays there and
/// leaves its pipe.
void LogPump::settle(LogStage& stage, const std::vector<std::shared_ptr<LogSink>>& sinks)
{
    LogStage::Leftover left = stage.leftover();
    const FilePlace relay = stage.relay_place();
    for (const auto& sink : sinks) {
        for (const FilePlace& file : left.cut)
            sink->cut_back(file);
        const int file = left.as_grown ? sink->fd_of(relay) : -1;
        const auto about = file < 0 ? ipc::fail(EBADF, sink->path()) : system_.fstat(file);
        if (!about) continue;
        const auto size = static_cast<std::uint64_t>(about->st_size);
        left.bytes = std::min(left.bytes, std::max(size, relay.size) - relay.size);
    }
    const auto stream = std::ranges::find(streams_, left.stream, &LogStream::inode);
    const bool in_doubt = left.only_hash || left.only_in_file;
    if (in_doubt && stream != streams_.end() && !is_untaken(stage, left, **stream, sinks))
        left.bytes = 0;
    if (left.relayed) {
        stage.relayed(left.bytes);
        stage.empty_pipe();
        stage.taking(left.bytes);
    }
    if (left.bytes > 0 && stream != streams_.end()) take_rest(stage, **stream, left.bytes);
    if (const auto last = stage.spliced()) know_writer(*last);
    stage.idle();
    stage.empty_pipe();
}

/// Of the bytes that are to be taken, if they were not yet.
bool LogPump::is_untaken(const LogStage& stage, const LogStage::Leftover& left, LogStream& stream,
                         const std::vector<std::shared_ptr<LogSink>>& sinks)
{
    const auto next = peek(stream, left.bytes);
    if (!next || next->empty()) return false;
    if (left.only_hash)
        return next->size() == left.bytes && LogStage::hash_of(*next) == *left.only_hash;
    const FilePlace place = stage.relay_place();
    return std::ranges::any_of(sinks, [&](const auto& sink) {
        const int file = sink->fd_of(place);
        if (file < 0) return false;
        std::string there(next->size(), '\0'); // less than all where our pipe takes less
        const auto got =
            system_.pread(file, there.data(), there.size(), static_cast<off_t>(place.size));
        return got && *got == there.size() && there == *next;
    });
}

/// Of the last line in a file of several streams.
void LogPump::know_writer(const LogStage::Spliced& last)
{
    const auto stream = std::ranges::find(streams_, last.stream, &LogStream::inode);
    if (stream == streams_.end() || !(*stream)->sink().regular()) return;
    LogSink& sink = (*stream)->sink();
    const auto now = sink.place();
    if (!now || !now->same_file(last.before) || now->size <= last.before.size) return;
    const std::uint64_t moved = now->size - last.before.size;
    if (moved > last.bytes) return; // somebody else has written behind it
    sink.writer = *stream;
    if (moved < last.bytes && sink.ends_in_mid_line(now->size)) sink.holder = *stream;
}

LogPump::Batch LogPump::copy(LogStream& stream, bool finish)
{
    const std::size_t room = room_for_text(stream);
    const Front front = look(stream, finish, std::min(room, kLargestBatch));
    if (front.bytes.empty()) return {front.otherwise};
    const std::size_t most = front.stays ? room : std::string::npos;
    const std::string_view bytes = front.bytes.substr(0, form_lines(stream, front.bytes, most));
    const bool exact = front.stays && stage_ && has_regular_file(stream);
    const bool goes_on = stream.sink().open_line && stream.sink().writer == &stream;
    const auto not_written = write_targets(stream, bytes, exact);
    if (not_written && front.stays) return *not_written;
    stream.figures_.bytes += bytes.size();
    if (stream.is_read()) tell_taps(stream, bytes, with_lead(goes_on ? "" : head_));
    if (front.stays) consume(stream, bytes, exact);
    return {Moved::some, bytes.size()};
}

bool LogPump::has_regular_file(const LogStream& stream)
{
    return std::ranges::any_of(
        stream.targets_, [](const LogStream::Target& target) { return target.sink->regular(); });
}

/// Formed lines go beyond the size where their file is due by no more than spliced ones do.
std::size_t LogPump::room_for_text(const LogStream& stream)
{
    std::size_t room = kTextBytes;
    for (const LogStream::Target& target : stream.targets_) {
        const LogCare& care = target.sink->care;
        if (!target.sink->regular() || care.rotate_at == LogCare::kNever) continue;
        if (const auto place = target.sink->place()) room = std::min(room, care.room(place->size));
    }
    return room;
}

/// What is to be written next. It stays in the pipe where something may come between taking it and
/// having written it.
LogPump::Front LogPump::look(LogStream& stream, bool finish, std::size_t most)
{
    const bool held = std::ranges::any_of(stream.targets_, [&](const LogStream::Target& target) {
        return target.sink->holder && target.sink->holder != &stream;
    });
    if (held && !finish) return {.otherwise = Moved::waiting};
    const bool is_due = std::ranges::any_of(
        stream.targets_, [](const LogStream::Target& to) { return to.sink->line_end_wanted; });
    const bool whole = stream.shares_a_file() || stream.format_.needs_whole_lines() || is_due;
    const bool stays = whole || (stage_ && has_regular_file(stream)) ||
                       stream.plan_.on_full != ipc::LogOnFull::drop;
    const auto bytes = stays ? peek(stream, most) : std::nullopt;
    if (!bytes) {
        const auto size = system_.read(stream.fd(), buffer(), kPipeBytes);
        return {.bytes = {buffer(), size.value_or(0)}, .stays = false};
    }
    if (!whole) return {.bytes = *bytes};
    const std::size_t limit = due(stream, *bytes, finish);
    return {.bytes = bytes->substr(0, limit),
            .otherwise = stream.unfinished_since_.count() > 0 ? Moved::waiting : Moved::nothing};
}

/// Into `text_`, with room before it for what each file needs there. So many of the bytes are in
/// it.
std::size_t LogPump::form_lines(LogStream& stream, std::string_view bytes, std::size_t most)
{
    const bool read = tap_ || std::ranges::any_of(stream.targets_, [](const auto& target) {
                          return !target.sink->is_null();
                      });
    const std::int64_t now = clock_.wall_ms();
    head_ = stream.format_.head(now);
    text_.assign(head_.size() + 1, '\n');
    return read ? stream.format_.append(text_, bytes, now, most) : bytes.size();
}

/// The formed lines behind `lead`, which is at most a newline and a head.
std::string_view LogPump::with_lead(std::string_view lead)
{
    const std::size_t room = head_.size() + 1;
    lead.copy(text_.data() + (room - lead.size()), lead.size());
    return std::string_view{text_}.substr(room - lead.size());
}

std::optional<LogPump::Batch> LogPump::write_targets(LogStream& stream, std::string_view bytes,
                                                     bool exact)
{
    enum class State { open, written, lost };
    struct Attempt {
        LogStream::Target& target;
        Result<FilePlace> place;
        State state = State::open;
    };
    std::vector<Attempt> attempts;
    std::vector<FilePlace> places;
    for (LogStream::Target& target : stream.targets_) {
        const bool looks = target.sink->regular() && !target.loses();
        attempts.push_back(
            {target, looks ? place_for_batch(stream, *target.sink, nullptr) : FilePlace{}});
        if (looks && attempts.back().place) places.push_back(*attempts.back().place);
    }
    if (exact) stage_->writing(places);
    const auto undo = [&](Batch why) {
        for (const Attempt& attempt : attempts)
            if (attempt.state == State::written) attempt.target.sink->cut(attempt.place->size);
        if (exact) stage_->idle();
        return why;
    };
    for (Attempt& attempt : attempts) {
        LogSink& sink = *attempt.target.sink;
        attempt.state = State::lost;
        if (attempt.target.loses()) continue;
        const Result<void> done = attempt.place ? write_target(stream, sink, attempt.place->size)
                                                : std::unexpected(attempt.place.error());
        if (done) {
            attempt.state = State::written;
            continue;
        }
        const OnFull then = on_full(stream, sink, done.error());
        if (then == OnFull::wait) return undo({Moved::blocked});
        if (then == OnFull::again) return undo({Moved::some});
    }
    for (const Attempt& attempt : attempts) {
        if (attempt.state == State::written)
            wrote(stream, *attempt.target.sink, bytes, attempt.place->size);
        else
            lose(stream, attempt.target, bytes);
    }
    return std::nullopt;
}

Result<void> LogPump::write_target(LogStream& stream, LogSink& sink, std::uint64_t size)
{
    if (sink.is_null()) return {};
    const bool own_line = sink.open_line && sink.writer == &stream;
    bool foreign_line = sink.open_line && !own_line;
    if (sink.regular()) foreign_line = sink.writer != &stream && sink.ends_in_mid_line(size);
    std::string lead = foreign_line ? "\n" : "";
    if (!own_line) lead += head_;
    return sink.append(with_lead(lead), size);
}

void LogPump::wrote(LogStream& stream, LogSink& sink, std::string_view bytes, std::uint64_t at)
{
    note_time(sink, at);
    sink.writer = &stream;
    sink.open_line = bytes.back() != '\n' && !stream.format_.needs_whole_lines();
    if (!sink.spills()) sink.recover();
}

/// The files have it: it leaves the pipe.
void LogPump::consume(LogStream& stream, std::string_view bytes, bool exact)
{
    if (!exact) {
        (void)system_.read(stream.fd(), buffer(), bytes.size());
        return;
    }
    stage_->consuming(stream.inode(), bytes);
    take_rest(*stage_, stream, bytes.size());
    stage_->idle();
    stage_->empty_pipe();
}

void LogPump::take_rest(const LogStage& stage, LogStream& stream, std::uint64_t bytes)
{
    while (bytes > 0) {
        auto size = system_.splice(stream.fd(), stage.pipe(), nullptr, bytes);
        if (!size) // a pipe that takes less than its twin: not exact for once, but no line twice
            size = system_.read(stream.fd(), buffer(), std::min<std::uint64_t>(bytes, kPipeBytes));
        if (!size || *size == 0) return;
        bytes -= *size;
    }
}

} // namespace cluster::supervisor
