// LogPump, when the disk of a file does not answer: the loop goes on without that call
// (loop_relief.hpp), no file on that disk is touched, and what was in the midst of being written is
// finished when the call is back, before all that came later.
#include "supervisor/engine/log_pump.hpp"

#include "supervisor/sys/pipes.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

namespace cluster::supervisor {
namespace {

class HeldCategory final : public std::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "held"; }
    [[nodiscard]] std::string message(int) const override { return "the disk does not answer"; }
};

} // namespace

std::unexpected<ipc::Error> fail_held(const std::string& path)
{
    static const HeldCategory category;
    return ipc::fail(std::error_code{ETIMEDOUT, category}, "write " + path);
}

/// All lie in one memory.
LogStage* LogPump::any_stage() const
{
    if (stage_) return stage_.get();
    const auto with = std::ranges::find_if(
        unfinished_, [](const auto& batch) { return static_cast<bool>(batch->stage); });
    return with == unfinished_.end() ? nullptr : (*with)->stage.get();
}

bool LogPump::answers(std::uint64_t device) const
{
    return std::ranges::none_of(
        held_calls_, [&](const HeldCall& call) { return call.device == device && device != 0; });
}

/// Of what is at the path, or would be.
bool LogPump::answers_at(const std::string& path)
{
    if (held_calls_.empty()) return true;
    std::string at = path;
    for (auto end = at.size(); end != std::string::npos && end > 0; end = at.rfind('/')) {
        at.resize(end);
        const auto there = system_.open(at, O_PATH, 0);
        if (!there) continue;
        const auto about = system_.fstat(there->get());
        return !about || answers(about->st_dev);
    }
    return true;
}

void LogPump::hold_sinks()
{
    for (const auto& [path, known] : sinks_)
        if (const auto sink = known.lock())
            sink->hold([this](std::uint64_t device) { return answers(device); });
    if (rotation_)
        rotation_->hold(!held_calls_.empty(),
                        [this](std::uint64_t device) { return answers(device); });
}

/// The call is one of ours: whoever made it will not come back to what it was doing.
void LogPump::on_held(const HeldCall& call)
{
    held_calls_.push_back(call);
    hold_sinks();
    LogStream* const stream = std::exchange(at_work_, nullptr);
    if (Unfinished* const batch = std::exchange(finishing_, nullptr))
        batch->call = call.number;
    else if (stream)
        leave_batch(*stream, call.number);
    active_.clear(); // some were in the hands of whoever made the call
    std::ranges::copy_if(streams_, std::back_inserter(active_), &LogStream::active_);
    scheduled_ = soon_ = false;
    schedule(std::chrono::microseconds{0});
    watch_trouble();
}

/// Its stage and what the call may still read or write stay with the batch; the streams get others.
void LogPump::leave_batch(LogStream& stream, std::uint64_t call)
{
    auto batch = std::make_unique<Unfinished>(Unfinished{
        .call = call, .stream = &stream, .sinks = {}, .kept = {}, .stage = {}, .buffer = {}});
    batch->buffer = std::move(buffer_);
    batch->text = std::exchange(text_, {});
    batch->head = std::exchange(head_, {});
    const bool about_times = rotation_ && rotation_->times_held();
    const bool known = stream.held() || about_times;
    for (const LogStream::Target& target : stream.targets_) {
        batch->sinks.push_back(target.sink);
        target.sink->care.times.last.reset(); // a record may have been written in part
        // Where nobody can say which file it is: each of them.
        if (target.sink->held() || !known) batch->kept.push_back(target.sink->keep_for_batch());
    }
    if (stage_) {
        batch->stage = std::move(stage_);
        for (const FilePlace& file : batch->stage->leftover().cut)
            for (const auto& sink : batch->sinks)
                if (!sink->held()) sink->cut_back(file);
        if (auto another = batch->stage->another()) stage_ = std::move(*another);
    }
    unfinished_.push_back(std::move(batch));
}

/// The front of its pipe is about to go elsewhere: what was under way is not finished but undone.
void LogPump::give_up_batch(const LogStream& stream)
{
    for (const auto& batch : unfinished_)
        if (batch->stream == &stream && batch->stage && batch->stage->relaying_bytes() > 0)
            batch->stage->take_back();
}

void LogPump::on_back(std::uint64_t call)
{
    std::erase_if(held_calls_, [&](const HeldCall& held) { return held.number == call; });
    for (const auto& batch : unfinished_)
        if (batch->call == call) batch->call = 0;
    relieved([this] {
        finish_batches();
        schedule(std::chrono::microseconds{0});
    });
}

void LogPump::finish_batches()
{
    for (std::size_t at = 0; at < unfinished_.size();) {
        if (unfinished_[at]->call != 0) {
            ++at;
            continue;
        }
        finish(*unfinished_[at]);
        unfinished_.erase(unfinished_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    hold_sinks();
}

void LogPump::note_held(LogStream& stream)
{
    for (const LogStream::Target& target : stream.targets_) {
        if (!target.sink->held()) continue;
        const ipc::Error why = fail_held(target.sink->path()).error();
        if (note_trouble(stream, *target.sink, why)) complain_(why.text());
    }
}

void LogPump::finish(Unfinished& batch)
{
    finishing_ = &batch;
    if (batch.stage) {
        const LogStage::Leftover left = batch.stage->leftover();
        const FilePlace place = batch.stage->relay_place();
        settle(*batch.stage, batch.sinks);
        for (const auto& sink : batch.sinks) {
            if (!left.relayed || !batch.stream || sink->fd_of(place) < 0) continue;
            moved(*batch.stream, *sink, place.size, left.bytes);
            const auto now = sink->place();
            sink->open_line = now && sink->ends_in_mid_line(now->size);
        }
        if (batch.stage->is_first()) {
            // What it is to know of the last batch.
            if (const auto last = stage_ ? stage_->spliced() : std::nullopt)
                batch.stage->splicing(last->stream, last->before, last->bytes);
            stage_ = std::move(batch.stage);
        }
    }
    finishing_ = nullptr;
}

/// Its pipe is about to stop the worker, although it holds as much as it may.
bool LogPump::crowded(LogStream& stream)
{
    const std::uint64_t bytes = bytes_in_pipe(stream.fd());
    if (forced_) return bytes > 0;
    if (bytes < pipe_capacity(stream.fd()) / 2) return false;
    return !widen(stream);
}

} // namespace cluster::supervisor
