#include "app/queue/worker.hpp"

#include "app/queue/rules.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace cluster::app {
namespace {

constexpr milliseconds kTakeWait{250};   ///< also how late a stop is noticed at most
constexpr milliseconds kFirstPause{100}; ///< while the queue is away, then doubled
constexpr milliseconds kLongestPause{5000};
/// How long the end of a job is told again and again to a queue that is away. The hold may have run
/// out meanwhile: as long as nobody has taken the job over, it still counts.
constexpr milliseconds kTellLimit{300'000};
/// For a handler that was cancelled to notice it.
constexpr milliseconds kLastMoment{100};

bool is_passing(const ipc::Error& error)
{
    return kind_of(error) != Trouble::refused;
}

} // namespace

class QueueWorker::Held final : public QueueHold {
public:
    Held(QueueWorker& worker, QueueJob taken)
        : job{std::move(taken)}, since{worker.clock_.now()}, worker_{worker}
    {
    }
    asio::awaitable<void> progress(int percent) override
    {
        if (lost()) co_return;
        auto renewing = worker_.queue_.renew(job, percent);
        const auto renewed = co_await std::move(renewing);
        if (renewed && !*renewed) let_go();
        if (!renewed) worker_.report("progress of a job is not told", job, renewed.error().text());
    }
    [[nodiscard]] bool lost() const override { return lost_; }

    /// Its result counts no longer.
    void let_go()
    {
        lost_ = true;
        cancel.emit(asio::cancellation_type::terminal);
    }

    const QueueJob job;
    const milliseconds since;
    asio::cancellation_signal cancel;
    bool too_long = false; ///< cancelled for that; the attempt has failed
    bool settled = false;  ///< the handler has ended, what became of it is being told
    bool returned = false; ///< given back, so that another worker does it

private:
    QueueWorker& worker_;
    bool lost_ = false;
};

QueueFigures declare_queue_figures(Metrics& metrics, const std::string& queue)
{
    const auto counter = [&](const char* result) -> Counter& {
        return metrics.counter("queue_jobs_total", "Attempts at background jobs by their result.",
                               {{"queue", queue}, {"result", result}});
    };
    return {.done = counter("done"),
            .failed = counter("failed"),
            .dead = counter("dead"),
            .lost = counter("lost"),
            .returned = counter("returned"),
            .seconds =
                metrics.histogram("queue_job_seconds", "How long attempts at background jobs took.",
                                  {{"queue", queue}})};
}

QueueWorker::QueueWorker(asio::io_context& io, Queue& queue, const ipc::Clock& clock, Log& log,
                         QueueFigures figures, std::string queue_name, const QueueOptions& options,
                         QueueHandler handler)
    : io_{io}, queue_{queue}, clock_{clock}, log_{log}, figures_{figures},
      name_{std::move(queue_name)}, options_{options}, handler_{std::move(handler)}, change_{io},
      beat_{io}
{
}

asio::awaitable<void> QueueWorker::run()
{
    asio::co_spawn(io_, keep_holds(), [this](const std::exception_ptr& failure) {
        if (failure) log_.error("the holds of jobs are not renewed any more", {{"queue", name_}});
        over_ = true;
        changed();
    });
    auto taking = take_jobs();
    co_await std::move(taking);
    while (!held_.empty() && clock_.now() < stop_at_) {
        auto waiting = change(stop_at_ - clock_.now());
        co_await std::move(waiting);
    }
    auto giving = give_back_rest();
    co_await std::move(giving);
    beat_.cancel();
    const milliseconds end = clock_.now() + kLastMoment;
    while ((!held_.empty() || !over_) && clock_.now() < end) {
        auto waiting = change(end - clock_.now());
        co_await std::move(waiting);
    }
}

void QueueWorker::stop(milliseconds drain)
{
    if (stopping_) return;
    stopping_ = true;
    stop_at_ = clock_.now() + drain;
    changed();
}

asio::awaitable<void> QueueWorker::take_jobs()
{
    milliseconds pause = kFirstPause;
    while (!stopping_) {
        if (held_.size() >= static_cast<std::size_t>(options_.concurrency)) {
            auto waiting = change(kTakeWait);
            co_await std::move(waiting);
            continue;
        }
        auto taking = queue_.take(name_, kTakeWait);
        auto taken = co_await std::move(taking);
        if (taken) {
            pause = kFirstPause;
            // Also when we are to stop meanwhile: it is given back with the rest.
            if (*taken) start(std::move(**taken));
            continue;
        }
        if (pause == kFirstPause || !is_passing(taken.error()))
            log_.warn("no job can be taken", {{"queue", name_}, {"reason", taken.error().text()}});
        auto waiting = change(pause);
        co_await std::move(waiting);
        pause = std::min(pause * 2, kLongestPause);
    }
}

/// Waits until a job ends or we are to stop, at most `limit`.
asio::awaitable<void> QueueWorker::change(milliseconds limit)
{
    change_.expires_after(limit);
    auto waiting = change_.async_wait(asio::as_tuple(asio::use_awaitable));
    co_await std::move(waiting);
}

void QueueWorker::start(QueueJob job)
{
    auto held = std::make_shared<Held>(*this, std::move(job));
    held_.push_back(held);
    asio::co_spawn(io_, work(held), [this, held](const std::exception_ptr& failure) {
        if (failure) report("a job ended in an exception", held->job, "");
        std::erase(held_, held);
        changed();
    });
}

asio::awaitable<void> QueueWorker::work(HeldJob held)
{
    auto trying = asio::co_spawn(
        io_, attempt(held),
        asio::bind_cancellation_slot(held->cancel.slot(), asio::as_tuple(asio::use_awaitable)));
    auto [failure, outcome] = co_await std::move(trying);
    if (failure)
        outcome =
            trouble(Trouble::unavailable, held->too_long ? "it took too long" : "it was cancelled");
    auto settling = settle(held, std::move(outcome));
    co_await std::move(settling);
}

/// The handler; what it throws fails the attempt.
asio::awaitable<Result<std::string>> QueueWorker::attempt(HeldJob held)
{
    Result<std::string> outcome;
    try {
        auto handling = handler_(held->job, *held);
        outcome = co_await std::move(handling);
    } catch (const std::exception& error) {
        outcome = trouble(Trouble::refused, error.what());
    }
    // What it says after it was cancelled for that does not count.
    if (held->too_long) outcome = trouble(Trouble::unavailable, "it took too long");
    co_return outcome;
}

asio::awaitable<void> QueueWorker::settle(HeldJob held, Result<std::string> outcome)
{
    held->settled = true;
    const milliseconds end = clock_.now() + kTellLimit;
    for (milliseconds pause = kFirstPause; !held->lost();
         pause = std::min(pause * 2, kLongestPause)) {
        auto telling = tell(*held, outcome);
        const auto told = co_await std::move(telling);
        if (told && !*told) break; // another worker has it
        if (told) co_return;
        report("the end of a job is not told", held->job, told.error().text());
        if (!is_passing(told.error()) || clock_.now() >= end) break;
        auto waiting = asio::steady_timer{io_, pause};
        auto pausing = waiting.async_wait(asio::as_tuple(asio::use_awaitable));
        co_await std::move(pausing);
    }
    if (held->returned) co_return;
    report("a job was lost to another worker", held->job, "its hold ran out");
    figures_.lost.add();
}

/// Tells the queue, and counts what it took.
asio::awaitable<Result<bool>> QueueWorker::tell(const Held& held,
                                                const Result<std::string>& outcome)
{
    auto telling =
        outcome ? queue_.done(held.job, *outcome) : queue_.fail(held.job, outcome.error().text());
    const auto told = co_await std::move(telling);
    if (!told || !*told) co_return told;
    figures_.seconds.observe(static_cast<double>((clock_.now() - held.since).count()) / 1000.0);
    const bool last = is_last_failure(held.job.retry, held.job.failures + 1);
    (outcome ? figures_.done : last ? figures_.dead : figures_.failed).add();
    if (!outcome)
        report(last ? "a job failed for the last time" : "a job failed and will be repeated",
               held.job, outcome.error().text());
    co_return told;
}

asio::awaitable<void> QueueWorker::keep_holds()
{
    while (!(stopping_ && held_.empty())) {
        beat_.expires_after(options_.hold / 3);
        auto waiting = beat_.async_wait(asio::as_tuple(asio::use_awaitable));
        co_await std::move(waiting);
        const std::vector<HeldJob> now{held_.begin(), held_.end()}; // it changes while we wait
        for (const HeldJob& held : now) {
            auto keeping = keep_hold(held);
            co_await std::move(keeping);
        }
    }
}

asio::awaitable<void> QueueWorker::keep_hold(HeldJob held)
{
    if (held->lost()) co_return;
    if (!held->settled && !held->too_long && clock_.now() - held->since > options_.job_limit) {
        held->too_long = true;
        held->cancel.emit(asio::cancellation_type::terminal);
    }
    auto renewing = queue_.renew(held->job, std::nullopt);
    const auto renewed = co_await std::move(renewing);
    if (!renewed) report("the hold of a job is not renewed", held->job, renewed.error().text());
    // One that was settled meanwhile is not held any more, which is as it should be.
    if (renewed && !*renewed && !held->settled) held->let_go();
}

asio::awaitable<void> QueueWorker::give_back_rest()
{
    const std::vector<HeldJob> rest{held_.begin(), held_.end()};
    for (const HeldJob& held : rest) {
        // What has ended is being told already; should that fail, it is done once more.
        if (held->lost() || held->settled) continue;
        held->returned = true;
        held->let_go();
        auto giving = queue_.give_back(held->job);
        const auto given = co_await std::move(giving);
        if (!given) report("a job is not given back", held->job, given.error().text());
        if (given && *given) figures_.returned.add();
        report("a job was given back", held->job, "this worker stops");
    }
}

void QueueWorker::report(std::string_view what, const QueueJob& job, std::string_view why)
{
    log_.warn(what, {{"queue", job.queue},
                     {"job", job.id},
                     {"name", job.name},
                     {"attempt", job.failures + job.losses + 1},
                     {"reason", why}});
}

} // namespace cluster::app
