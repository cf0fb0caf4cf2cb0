// LogPump, when a file cannot be written: what becomes of the output meanwhile (`log_on_full`),
// what is counted and told, and how it ends.
#include "supervisor/engine/log_pump.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cluster::supervisor {
namespace {

constexpr ipc::milliseconds kTryAgain{250};

std::string bytes_text(std::uint64_t bytes)
{
    if (bytes < 1000) return fmt::format("{} B", bytes);
    const auto size = static_cast<double>(bytes);
    if (size < 1e6) return fmt::format("{:.1f} kB", size / 1e3);
    return size < 1e9 ? fmt::format("{:.1f} MB", size / 1e6) : fmt::format("{:.1f} GB", size / 1e9);
}

std::string lines_text(std::uint64_t lines, std::uint64_t bytes)
{
    return fmt::format("{} {} ({})", lines, lines == 1 ? "line" : "lines", bytes_text(bytes));
}

} // namespace

/// True: it is new.
bool LogPump::note_trouble(LogStream& stream, LogSink& sink, const ipc::Error& why)
{
    if (!std::exchange(stream.troubled_, true)) {
        stream.figures_.trouble = why.text();
        stream.figures_.trouble_since = clock_.wall_ms();
    }
    watch_trouble();
    return sink.fail(why, clock_.now());
}

LogPump::OnFull LogPump::on_full(LogStream& stream, LogSink& sink, const ipc::Error& why)
{
    const bool first = note_trouble(stream, sink, why);
    if (stream.plan_.on_full == ipc::LogOnFull::block && !forced_) {
        if (first) complain_("cannot write " + sink.path() + ", output waits: " + why.text());
        return OnFull::wait;
    }
    if (stream.plan_.on_full == ipc::LogOnFull::spill && answers_at(spill_folder_) &&
        sink.begin_spill(spill_folder_)) {
        complain_("cannot write " + sink.path() + ", output is spilled: " + why.text());
        return OnFull::again;
    }
    if (first || sink.spills())
        complain_("cannot write " + sink.path() + ", output is dropped: " + why.text());
    return OnFull::lose;
}

bool LogPump::must_wait(const LogStream& stream) const
{
    const auto rests = [&](const LogStream::Target& to) { return to.sink->rests(clock_.now()); };
    return stream.plan_.on_full == ipc::LogOnFull::block && !forced_ &&
           std::ranges::any_of(stream.targets_, rests);
}

/// Nothing of it can be written: the worker must not stop, so its output is dropped. Where the file
/// may have room again, only to the end of the line that was begun.
LogPump::Batch LogPump::discard(LogStream& stream)
{
    LogStream::Target& target = stream.targets_.front();
    std::size_t limit = kPipeBytes;
    if (target.in_mid_line && !target.sink->rests(clock_.now())) {
        if (const auto bytes = peek(stream, kPipeBytes))
            limit = std::min(bytes->find('\n'), bytes->size() - 1) + 1;
    }
    const auto size =
        limit == 0 ? ipc::fail(EAGAIN, "read") : system_.read(stream.fd(), buffer(), limit);
    if (!size) return {Moved::nothing};
    for (LogStream::Target& each : stream.targets_) {
        each.torn = each.torn || (each.sink->held() && each.sink->writer == &stream);
        lose(stream, each, {buffer(), *size});
    }
    return {Moved::some, *size};
}

void LogPump::lose(LogStream& stream, LogStream::Target& target, std::string_view bytes)
{
    const auto lines = static_cast<std::uint64_t>(std::ranges::count(bytes, '\n'));
    if (target.why.empty()) target.why = target.sink->trouble();
    target.lost_bytes += bytes.size();
    target.lost_lines += lines;
    target.in_mid_line = bytes.back() != '\n';
    stream.figures_.lost_bytes += bytes.size();
    stream.figures_.lost_lines += lines;
    note_loss(stream, target);
}

void LogPump::note_loss(const LogStream& stream, const LogStream::Target& target)
{
    if (LogStage* const stage = any_stage())
        stage->set_loss({.stream = stream.inode(),
                         .target = static_cast<std::uint32_t>(&target - stream.targets_.data()),
                         .in_mid_line = target.in_mid_line ? 1U : 0U,
                         .bytes = target.lost_bytes,
                         .lines = target.lost_lines});
}

/// That the daemon before us has not told of.
void LogPump::find_losses(LogStream& stream)
{
    const LogStage* const stage = any_stage();
    for (std::uint32_t at = 0; stage && at < stream.targets_.size(); ++at) {
        const auto loss = stage->loss(stream.inode(), at);
        if (!loss) continue;
        LogStream::Target& target = stream.targets_[at];
        target.lost_bytes = loss->bytes;
        target.lost_lines = loss->lines;
        target.in_mid_line = loss->in_mid_line != 0;
        target.torn = true;
        target.why = "it could not be written, and the daemon was killed meanwhile";
        stream.figures_.lost_bytes += loss->bytes;
        stream.figures_.lost_lines += loss->lines;
        stream.figures_.trouble = target.why;
        stream.figures_.trouble_since = clock_.wall_ms();
        stream.troubled_ = true;
    }
}

/// The disk took the beginning of a line: without its end it is none.
void LogPump::lose_unfinished_line(LogStream& stream, LogStream::Target& target)
{
    LogSink& sink = *target.sink;
    if (sink.held()) return; // `torn` says so
    const auto place = sink.regular() ? sink.place() : FilePlace{};
    if (!place || sink.writer != &stream || !sink.ends_in_mid_line(place->size)) return;
    const std::uint64_t cut = sink.cut_unfinished_line();
    target.why = sink.trouble();
    target.lost_bytes += cut;
    target.in_mid_line = true;
    stream.figures_.lost_bytes += cut;
    sink.open_line = false;
    sink.holder = nullptr;
}

void LogPump::try_again(LogStream& stream)
{
    bool good = true;
    for (LogStream::Target& target : stream.targets_)
        good = !target.sink->rests(clock_.now()) && mend(stream, target) && good;
    if (good) stream.troubled_ = false;
}

/// What was spilled is brought back, and what is missing is told where it is missing.
bool LogPump::mend(LogStream& stream, LogStream::Target& target)
{
    LogSink& sink = *target.sink;
    if (!sink.failing() && !target.loses()) return true;
    if (sink.file_held()) {
        (void)sink.fail(fail_held(sink.path()).error(), clock_.now());
        return false;
    }
    if (std::exchange(target.torn, false)) {
        const bool rest_comes = target.in_mid_line;
        lose_unfinished_line(stream, target);
        target.in_mid_line = rest_comes;
    }
    if (target.in_mid_line) return false; // the rest of that line comes first
    const auto room = sink.has_room();
    const auto back = room && sink.spills() ? sink.bring_back(stage_.get()) : room;
    if (!back) {
        (void)sink.fail(back.error(), clock_.now());
        return false;
    }
    if (target.loses() && !say_loss(stream, target)) return false;
    if (sink.failing()) complain_(sink.path() + " can be written again");
    sink.recover();
    return true;
}

bool LogPump::say_loss(LogStream& stream, LogStream::Target& target)
{
    LogSink& sink = *target.sink;
    const std::string lost = lines_text(target.lost_lines, target.lost_bytes);
    const std::string line = fmt::format("[clusterd] {} were lost here: {}\n", lost, target.why);
    const auto place = sink.regular() ? sink.place() : FilePlace{};
    if (!place) return false;
    std::string text = sink.regular() && sink.ends_in_mid_line(place->size) ? "\n" : "";
    text += stream.format_.head(clock_.wall_ms());
    (void)stream.format_.append(text, line, clock_.wall_ms(), std::string::npos);
    const bool exact = stage_ && sink.regular();
    if (exact) stage_->writing({&*place, 1});
    const auto said = sink.append(text, place->size);
    if (exact) stage_->idle();
    if (!said) {
        (void)sink.fail(said.error(), clock_.now());
        return false;
    }
    complain_(fmt::format("{}: {} were lost", sink.path(), lost));
    sink.writer = nullptr;
    sink.open_line = false;
    target = {.sink = std::move(target.sink), .why = {}};
    note_loss(stream, target);
    return true;
}

/// Also while no output comes.
void LogPump::watch_trouble()
{
    if (std::exchange(trouble_watched_, true)) return;
    trouble_timer_.expires_after(kTryAgain);
    trouble_timer_.async_wait([this](boost::system::error_code cancelled) {
        if (cancelled) return;
        trouble_watched_ = false;
        relieved([this] { look_at_trouble(); });
    });
}

void LogPump::look_at_trouble()
{
    bool any = false;
    for (LogStream* stream : streams_) {
        if (stream->held()) note_held(*stream);
        if (!stream->in_trouble()) continue;
        at_work_ = stream;
        try_again(*stream);
        any = any || stream->in_trouble();
    }
    at_work_ = nullptr;
    if (any) watch_trouble();
}

} // namespace cluster::supervisor
