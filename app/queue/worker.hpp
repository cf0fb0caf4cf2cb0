// Works for one queue: takes jobs, some at a time, holds each while its handler runs, and says what
// became of it. On the loop's thread; a handler that computes does so on a Pool.
//
// A graceful stop takes no more, gives the handlers `drain` to finish, then gives the rest back, so
// that another worker has it at once. What can no longer be told to the queue is taken over by
// another worker when the hold runs out.
#pragma once

#include "app/base/log.hpp"
#include "app/metrics/metrics.hpp"
#include "app/queue/options.hpp"
#include "app/queue/queue.hpp"
#include "ipc/base/clock.hpp"

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <functional>
#include <list>
#include <memory>

namespace cluster::app {

/// What a handler may ask and tell while it works.
class QueueHold {
public:
    virtual ~QueueHold() = default;
    /// 0 to 100. That it cannot be told is logged and no reason to stop.
    virtual asio::awaitable<void> progress(int percent) = 0;
    /// Nobody waits for the result any more: another worker has the job, or we are to stop.
    [[nodiscard]] virtual bool lost() const = 0;
};

/// Does the job; the result is JSON text. An error (or an exception) fails the attempt. It is
/// cancelled (Asio's way) when the hold is lost, when it takes too long, and at the end of a drain.
using QueueHandler =
    std::function<asio::awaitable<Result<std::string>>(const QueueJob& job, QueueHold& hold)>;

/// The figures of one queue, as this process counts them.
struct QueueFigures {
    Counter& done;
    Counter& failed; ///< attempts that will be repeated
    Counter& dead;
    Counter& lost; ///< attempts whose hold was lost
    Counter& returned;
    Histogram& seconds; ///< of attempts that ended
};
[[nodiscard]] QueueFigures declare_queue_figures(Metrics& metrics, const std::string& queue);

class QueueWorker {
public:
    /// Everything must outlive it, and it must outlive the last turn of the loop.
    QueueWorker(asio::io_context& io, Queue& queue, const ipc::Clock& clock, Log& log,
                QueueFigures figures, std::string queue_name, const QueueOptions& options,
                QueueHandler handler);

    /// Works until `stop`; then nothing is held any more (or could not be given back).
    asio::awaitable<void> run();

    /// `drain`: how long the handlers may go on.
    void stop(milliseconds drain);

    /// Jobs under way.
    [[nodiscard]] std::size_t active() const { return held_.size(); }

private:
    class Held;
    using HeldJob = std::shared_ptr<Held>;

    asio::awaitable<void> take_jobs();
    asio::awaitable<void> give_back_rest();
    asio::awaitable<void> keep_holds();
    asio::awaitable<void> keep_hold(HeldJob held);
    asio::awaitable<void> work(HeldJob held);
    asio::awaitable<Result<std::string>> attempt(HeldJob held);
    asio::awaitable<void> settle(HeldJob held, Result<std::string> outcome);
    asio::awaitable<Result<bool>> tell(const Held& held, const Result<std::string>& outcome);
    asio::awaitable<void> change(milliseconds limit);
    void start(QueueJob job);
    void changed() { change_.cancel(); }
    void report(std::string_view what, const QueueJob& job, std::string_view why);

    asio::io_context& io_;
    Queue& queue_;
    const ipc::Clock& clock_;
    Log& log_;
    QueueFigures figures_;
    std::string name_;
    QueueOptions options_;
    QueueHandler handler_;
    std::list<HeldJob> held_;
    asio::steady_timer change_; ///< cancelled when a job ended or we are to stop
    asio::steady_timer beat_;   ///< until the holds are renewed
    bool stopping_ = false;
    bool over_ = false;       ///< nothing is renewed any more
    milliseconds stop_at_{0}; ///< when the drain ends
};

} // namespace cluster::app
