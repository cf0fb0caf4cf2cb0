// Drives the queue of the app for tests: with Redis when REDIS_URL (or its kin) is set, else in the
// folder DATA_DIR; the other settings of the queue as clusterapp reads them.
//
//   queue_probe suite            what a queue must do, whatever its form; 0 when it does
//   queue_probe add QUEUE COUNT  adds COUNT jobs with the ids 0, 1, …, also when the queue is away
//   queue_probe work QUEUE FILE  works until SIGTERM; says what it does in FILE, a line each:
//                                "begin ID PID", "did ID PID", "told ID PID"
//   queue_probe counts QUEUE     {"waiting": …}
#include "app/queue/make_queue.hpp"
#include "app/queue/worker.hpp"
#include "app/redis/make_redis.hpp"
#include "ipc/base/unique_fd.hpp"
#include "tests/support/queue_suite.hpp"
#include "tests/support/silent.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <random>

namespace {

using namespace cluster;
using namespace cluster::app;
using namespace std::chrono_literals;

int fail(std::string_view why)
{
    fmt::print(stderr, "queue_probe: {}\n", why);
    return 1;
}

/// Appends whole lines, so that the lines of several processes do not mix and a kill tears none.
class Diary {
public:
    explicit Diary(const char* path)
        : fd_{::open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600)}
    {
    }
    void note(std::string_view what, const std::string& id) const
    {
        const std::string line = fmt::format("{} {} {}\n", what, id, ::getpid());
        if (::write(fd_.get(), line.data(), line.size()) < 0) std::abort();
    }

private:
    ipc::UniqueFd fd_;
};

/// Notes which job the queue has taken as done.
class NotingQueue final : public Queue {
public:
    NotingQueue(Queue& inner, const Diary& diary) : inner_{inner}, diary_{diary} {}

    asio::awaitable<Result<bool>> done(const QueueJob& job, std::string result) override
    {
        auto telling = inner_.done(job, std::move(result));
        const auto told = co_await std::move(telling);
        if (told && *told) diary_.note("told", job.id);
        co_return told;
    }
    asio::awaitable<Result<std::string>> add(NewQueueJob job) override
    {
        return inner_.add(std::move(job));
    }
    asio::awaitable<Result<std::optional<QueueJob>>> take(std::string queue,
                                                          milliseconds wait) override
    {
        return inner_.take(std::move(queue), wait);
    }
    asio::awaitable<Result<bool>> renew(const QueueJob& job, std::optional<int> percent) override
    {
        return inner_.renew(job, percent);
    }
    asio::awaitable<Result<bool>> fail(const QueueJob& job, std::string reason) override
    {
        return inner_.fail(job, std::move(reason));
    }
    asio::awaitable<Result<bool>> give_back(const QueueJob& job) override
    {
        return inner_.give_back(job);
    }
    asio::awaitable<Result<std::optional<QueueJobInfo>>> job(std::string queue,
                                                             std::string id) override
    {
        return inner_.job(std::move(queue), std::move(id));
    }
    asio::awaitable<Result<QueueCounts>> counts(std::string queue) override
    {
        return inner_.counts(std::move(queue));
    }
    asio::awaitable<Result<std::vector<QueueJobInfo>>> dead(std::string queue, int limit) override
    {
        return inner_.dead(std::move(queue), limit);
    }
    asio::awaitable<Result<bool>> retry(std::string queue, std::string id) override
    {
        return inner_.retry(std::move(queue), std::move(id));
    }
    asio::awaitable<Result<bool>> remove(std::string queue, std::string id) override
    {
        return inner_.remove(std::move(queue), std::move(id));
    }
    [[nodiscard]] std::string_view form() const override { return inner_.form(); }

private:
    Queue& inner_;
    const Diary& diary_;
};

asio::awaitable<void> sleep(milliseconds time)
{
    asio::steady_timer timer{co_await asio::this_coro::executor, time};
    auto waiting = timer.async_wait(asio::as_tuple(asio::use_awaitable));
    co_await std::move(waiting);
}

asio::awaitable<int> add_jobs(Queue& queue, std::string name, int count)
{
    for (int i = 0; i < count; ++i) {
        for (int tries = 0;; ++tries) {
            NewQueueJob job{.queue = name, .name = "work", .id = std::to_string(i)};
            auto adding = queue.add(std::move(job));
            const auto added = co_await std::move(adding);
            if (added) break;
            if (tries == 600) co_return fail(added.error().text());
            auto pause = sleep(100ms);
            co_await std::move(pause);
        }
    }
    co_return 0;
}

/// A moment of work, of chance length, with progress in the middle of some.
asio::awaitable<Result<std::string>> handle(const QueueJob& job, QueueHold& hold,
                                            const Diary& diary)
{
    static std::mt19937 generator{static_cast<unsigned>(::getpid())};
    diary.note("begin", job.id);
    auto first = sleep(milliseconds{generator() % 6});
    co_await std::move(first);
    if (generator() % 8 == 0) {
        auto telling = hold.progress(50);
        co_await std::move(telling);
        auto second = sleep(milliseconds{generator() % 6});
        co_await std::move(second);
    }
    diary.note("did", job.id);
    co_return "{}";
}

asio::awaitable<int> work(asio::io_context& io, Queue& inner, const ipc::Clock& clock,
                          const QueueOptions& options, std::string name, const char* path)
{
    const Diary diary{path};
    NotingQueue queue{inner, diary};
    tests::StderrLog log;
    tests::NoMetrics metrics;
    QueueWorker worker{
        io,
        queue,
        clock,
        log,
        declare_queue_figures(metrics, name),
        name,
        options,
        [&diary](const QueueJob& job, QueueHold& hold) { return handle(job, hold, diary); }};
    asio::signal_set signals{io, SIGTERM};
    signals.async_wait([&worker](const boost::system::error_code& code, int) {
        if (!code) worker.stop(300ms);
    });
    auto running = worker.run();
    co_await std::move(running);
    signals.cancel();
    co_return 0;
}

asio::awaitable<int> print_counts(Queue& queue, std::string name)
{
    auto counting = queue.counts(std::move(name));
    const auto counts = co_await std::move(counting);
    if (!counts) co_return fail(counts.error().text());
    fmt::print(R"({{"waiting": {}, "delayed": {}, "active": {}, "dead": {}, "done": {}}})"
               "\n",
               counts->waiting, counts->delayed, counts->active, counts->dead, counts->done);
    co_return 0;
}

struct Setting {
    asio::io_context& io;
    Queue& queue;
    const ipc::Clock& clock;
    const QueueOptions& options;
};

asio::awaitable<int> command(Setting setting, std::vector<std::string> args)
{
    const std::string what = args.empty() ? "" : args[0];
    if (what == "suite")
        return tests::queue_suite(setting.io, setting.queue, setting.clock, setting.options);
    if (what == "add" && args.size() == 3)
        return add_jobs(setting.queue, args[1], std::atoi(args[2].c_str()));
    if (what == "counts" && args.size() == 2) return print_counts(setting.queue, args[1]);
    return [](Setting with, std::vector<std::string> given) -> asio::awaitable<int> {
        if (given.size() != 3 || given[0] != "work") co_return fail("see its source for usage");
        auto working =
            work(with.io, with.queue, with.clock, with.options, given[1], given[2].c_str());
        co_return co_await std::move(working);
    }(setting, std::move(args));
}

} // namespace

int main(int argc, char** argv)
{
    Environment environment{read_environment(environ)};
    const QueueOptions options = read_queue_options(environment);
    const RedisOptions redis_options = read_redis_options(environment);
    for (const std::string& fault : environment.faults())
        return fail(fault);

    int code = 1;
    const ipc::SystemClock clock;
    tests::StderrLog log;
    tests::NoMetrics metrics;
    asio::io_context io{1};
    const auto redis =
        redis_options.enabled() ? make_redis(io, redis_options, log, &metrics) : nullptr;
    auto queue = make_queue(io, clock, redis.get(), options);
    if (!queue) return fail(queue.error().text());
    asio::co_spawn(
        io, command({io, **queue, clock, options}, std::vector<std::string>(argv + 1, argv + argc)),
        [&](const std::exception_ptr& failure, int result) {
            if (failure) std::rethrow_exception(failure);
            code = result;
            if (redis) redis->close();
            io.stop();
        });
    io.run();
    return code;
}
