#include "tests/support/queue_suite.hpp"

#include "app/base/ids.hpp"
#include "app/queue/worker.hpp"
#include "tests/support/silent.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include <unistd.h>

namespace cluster::tests {
namespace {

using namespace cluster::app;
using namespace std::chrono_literals;
using Step = asio::awaitable<void>;

/// What a scenario works with: a queue of its own name.
struct Scene {
    asio::io_context& io;
    Queue& queue;
    const ipc::Clock& clock;
    const QueueOptions& options;
    std::string name;
    int failures = 0;

    void expect(bool holds, std::string_view what)
    {
        if (holds) return;
        ++failures;
        fmt::print(stderr, "{}: {}\n", name, what);
    }
};

// A macro, because the text of the expression is what a reader wants.
#define EXPECT(...) scene.expect((__VA_ARGS__), #__VA_ARGS__)

Step sleep(milliseconds time)
{
    asio::steady_timer timer{co_await asio::this_coro::executor, time};
    auto waiting = timer.async_wait(asio::as_tuple(asio::use_awaitable));
    co_await std::move(waiting);
}

/// Ends the program when the queue is away: nothing can be said then.
template <class T>
asio::awaitable<T> sure(asio::awaitable<Result<T>> asking)
{
    auto answer = co_await std::move(asking);
    if (!answer) {
        fmt::print(stderr, "the queue fails: {}\n", answer.error().text());
        std::exit(1);
    }
    co_return std::move(*answer);
}

asio::awaitable<std::string> add(Scene& scene, NewQueueJob job)
{
    job.queue = scene.name;
    job.name = "work";
    return sure(scene.queue.add(std::move(job)));
}

asio::awaitable<std::optional<QueueJob>> take(Scene& scene, milliseconds wait = 0ms)
{
    return sure(scene.queue.take(scene.name, wait));
}

asio::awaitable<QueueCounts> counts(Scene& scene)
{
    return sure(scene.queue.counts(scene.name));
}

Step priorities(Scene& scene)
{
    const auto none = co_await take(scene);
    EXPECT(!none);
    NewQueueJob low{.priority = QueuePriority::low, .id = "low"};
    NewQueueJob first{.id = "first"};
    NewQueueJob second{.id = "second"};
    NewQueueJob high{.priority = QueuePriority::high, .id = "high"};
    for (NewQueueJob* job : {&low, &first, &second, &high}) {
        const std::string id = co_await add(scene, *job);
        EXPECT(id == job->id);
    }
    const std::string again = co_await add(scene, first);
    EXPECT(again == "first");
    const auto waiting = co_await counts(scene);
    EXPECT(waiting == QueueCounts{.waiting = 4});
    std::string order;
    for (int i = 0; i < 4; ++i) {
        const auto job = co_await take(scene);
        EXPECT(job.has_value());
        order += (job ? job->id : "nothing") + " ";
    }
    EXPECT(order == "high first second low ");
    const auto last = co_await take(scene);
    EXPECT(!last);
    const auto active = co_await counts(scene);
    EXPECT(active == QueueCounts{.active = 4});
}

Step delays(Scene& scene)
{
    NewQueueJob later{.delay = 1500ms, .id = "later"};
    NewQueueJob sooner{.delay = 1000ms, .id = "sooner"};
    const milliseconds begin = scene.clock.now(); // before their delays begin
    co_await add(scene, later);
    co_await add(scene, sooner);
    const auto early = co_await take(scene);
    EXPECT(!early);
    const auto first = co_await take(scene, 5s);
    EXPECT(first && first->id == "sooner");
    EXPECT(scene.clock.now() - begin >= 990ms);
    const auto second = co_await take(scene, 5s);
    EXPECT(second && second->id == "later");
    EXPECT(scene.clock.now() - begin >= 1490ms);
    EXPECT(scene.clock.now() - begin < 2700ms);
}

Step ends(Scene& scene)
{
    const std::string odd = "{\"text\": \"ä\\n\\\"'$1\x7f" + std::string(100'000, 'x') + "\"}";
    NewQueueJob plain{.payload = odd};
    const std::string id = co_await add(scene, plain);
    auto job = co_await take(scene);
    EXPECT(job && job->id == id && job->payload == odd && job->name == "work");
    EXPECT(job->failures == 0 && job->losses == 0 && job->retry == RetryPolicy{});
    const bool renewed = co_await sure(scene.queue.renew(*job, 40));
    EXPECT(renewed);
    const bool kept = co_await sure(scene.queue.renew(*job, std::nullopt));
    EXPECT(kept);
    auto info = co_await sure(scene.queue.job(scene.name, id));
    EXPECT(info && info->state == QueueState::active && info->progress == 40);
    EXPECT(info && info->created_ms > 1'700'000'000'000 && info->finished_ms == 0);
    const bool done = co_await sure(scene.queue.done(*job, R"({"n": 1})"));
    const bool twice = co_await sure(scene.queue.done(*job, R"({"n": 1})"));
    EXPECT(done && twice);
    const bool late = co_await sure(scene.queue.fail(*job, "late"));
    const bool back = co_await sure(scene.queue.give_back(*job));
    const bool more = co_await sure(scene.queue.renew(*job, 1));
    EXPECT(!late && !back && !more);
    info = co_await sure(scene.queue.job(scene.name, id));
    EXPECT(info && info->state == QueueState::done && info->progress == 100);
    EXPECT(info && info->result == R"({"n": 1})" && info->finished_ms >= info->created_ms);
    const auto count = co_await counts(scene);
    EXPECT(count == QueueCounts{.done = 1});
    const auto none = co_await sure(scene.queue.job(scene.name, "nobody"));
    EXPECT(!none);
}

Step failures(Scene& scene)
{
    NewQueueJob job{.retry = {.attempts = 2, .backoff = 200ms}, .id = "a"};
    co_await add(scene, job);
    const auto first = co_await take(scene);
    const bool failed = co_await sure(scene.queue.fail(*first, "first"));
    const bool twice = co_await sure(scene.queue.fail(*first, "first"));
    EXPECT(failed && !twice);
    const milliseconds begin = scene.clock.now();
    auto count = co_await counts(scene);
    EXPECT(count == QueueCounts{.delayed = 1});
    const auto second = co_await take(scene, 5s);
    EXPECT(second && second->failures == 1);
    EXPECT(scene.clock.now() - begin >= 190ms);
    const bool last = co_await sure(scene.queue.fail(*second, "second"));
    EXPECT(last);
    const auto dead = co_await sure(scene.queue.dead(scene.name, 10));
    EXPECT(dead.size() == 1 && dead[0].id == "a" && dead[0].reason == "second");
    EXPECT(dead.size() == 1 && dead[0].failures == 2 && dead[0].finished_ms > 0);
    const bool unknown = co_await sure(scene.queue.retry(scene.name, "b"));
    const bool again = co_await sure(scene.queue.retry(scene.name, "a"));
    const bool once_more = co_await sure(scene.queue.retry(scene.name, "a"));
    EXPECT(!unknown && again && !once_more);
    const auto third = co_await take(scene);
    EXPECT(third && third->failures == 0);
    const bool done = co_await sure(scene.queue.done(*third, "{}"));
    EXPECT(done);
    count = co_await counts(scene);
    EXPECT(count == QueueCounts{.done = 1});
}

Step losses(Scene& scene)
{
    NewQueueJob job{.id = "a"};
    co_await add(scene, job);
    const auto lost = co_await take(scene);
    const milliseconds begin = scene.clock.now();
    milliseconds last_word{};     // just before it: the hold is counted from some moment after
    for (int i = 0; i < 4; ++i) { // renewed, it stays
        auto pause = sleep(scene.options.hold / 3);
        co_await std::move(pause);
        last_word = scene.clock.now();
        const bool kept = co_await sure(scene.queue.renew(*lost, std::nullopt));
        const auto nothing = co_await take(scene);
        EXPECT(kept && !nothing);
    }
    EXPECT(scene.clock.now() - begin > scene.options.hold);
    const auto taken = co_await take(scene, 10s);
    EXPECT(taken && taken->id == "a" && taken->losses == 1 && taken->failures == 0);
    EXPECT(scene.clock.now() - last_word >= scene.options.hold - 20ms);
    EXPECT(scene.clock.now() - last_word < scene.options.hold + 2s);
    const bool done = co_await sure(scene.queue.done(*lost, "{}"));
    const bool failed = co_await sure(scene.queue.fail(*lost, "no"));
    const bool back = co_await sure(scene.queue.give_back(*lost));
    EXPECT(!done && !failed && !back);
    // The second loss is one too many (QUEUE_MAX_LOSSES=1).
    const auto none = co_await take(scene, scene.options.hold + 1500ms);
    EXPECT(!none);
    const auto info = co_await sure(scene.queue.job(scene.name, "a"));
    EXPECT(info && info->state == QueueState::dead && info->reason == "it lost 2 workers");
    const auto count = co_await counts(scene);
    EXPECT(count == QueueCounts{.dead = 1});
}

Step returns(Scene& scene)
{
    NewQueueJob job{.priority = QueuePriority::low, .id = "a"};
    co_await add(scene, job);
    const auto first = co_await take(scene);
    const bool back = co_await sure(scene.queue.give_back(*first));
    EXPECT(back);
    auto count = co_await counts(scene);
    EXPECT(count == QueueCounts{.waiting = 1});
    const auto second = co_await take(scene);
    EXPECT(second && second->losses == 0 && second->failures == 0);
    const bool late = co_await sure(scene.queue.done(*first, "{}"));
    EXPECT(!late);

    NewQueueJob other{.id = "b"};
    NewQueueJob delayed{.delay = 1h, .id = "c"};
    co_await add(scene, other);
    co_await add(scene, delayed);
    const bool active = co_await sure(scene.queue.remove(scene.name, "a"));
    const bool waiting = co_await sure(scene.queue.remove(scene.name, "b"));
    const bool gone = co_await sure(scene.queue.remove(scene.name, "b"));
    const bool later = co_await sure(scene.queue.remove(scene.name, "c"));
    EXPECT(!active && waiting && !gone && later);
    const auto none = co_await take(scene);
    EXPECT(!none);
    count = co_await counts(scene);
    EXPECT(count == QueueCounts{.active = 1});
}

/// Who waits for a job has it as soon as it is there.
Step waiting(Scene& scene)
{
    const milliseconds begin = scene.clock.now();
    asio::co_spawn(
        scene.io,
        [](Scene& with) -> Step {
            auto pause = sleep(1s);
            co_await std::move(pause);
            NewQueueJob job{.id = "a"};
            co_await add(with, job);
        }(scene),
        [](const std::exception_ptr& failure) {
            if (failure) std::rethrow_exception(failure);
        });
    const auto job = co_await take(scene, 10s);
    const milliseconds took = scene.clock.now() - begin;
    EXPECT(job && took >= 990ms && took < 1500ms);
    const milliseconds then = scene.clock.now();
    const auto none = co_await take(scene, 300ms);
    EXPECT(!none);
    EXPECT(scene.clock.now() - then >= 290ms && scene.clock.now() - then < 1500ms);
}

/// What the handlers below have seen.
struct Seen {
    int running = 0;
    int most = 0;
    int calls = 0;
    int cancelled = 0;
};

asio::awaitable<Result<std::string>> handle(const QueueJob& job, QueueHold& hold, Seen& seen)
{
    const int call = ++seen.calls;
    seen.most = std::max(seen.most, ++seen.running);
    struct Leave {
        Seen& seen;
        ~Leave() { --seen.running; }
    } leave{seen};
    if (job.payload == "throws") throw std::runtime_error("thrown");
    if (job.payload == "fails once" && job.failures == 0)
        co_return trouble(Trouble::unavailable, "not yet");
    if (job.payload == "for ever") {
        asio::steady_timer timer{co_await asio::this_coro::executor, 1h};
        auto long_wait = timer.async_wait(asio::as_tuple(asio::use_awaitable));
        const auto [code] = co_await std::move(long_wait);
        if (code) ++seen.cancelled;
        co_return "{}"; // too late: must not count
    }
    auto telling = hold.progress(50);
    co_await std::move(telling);
    auto pause = sleep(job.payload == "long" ? 4000ms : 20ms);
    co_await std::move(pause);
    co_return fmt::format("{{\"call\": {}}}", call);
}

asio::awaitable<bool> reached(Scene& scene, QueueCounts want)
{
    const milliseconds end = scene.clock.now() + 15s;
    QueueCounts count;
    while (scene.clock.now() < end) {
        count = co_await counts(scene);
        if (count == want) co_return true;
        auto pause = sleep(20ms);
        co_await std::move(pause);
    }
    fmt::print(stderr, "{}: waiting {} delayed {} active {} dead {} done {}\n", scene.name,
               count.waiting, count.delayed, count.active, count.dead, count.done);
    co_return false;
}

Step workers(Scene& scene)
{
    StderrLog log;
    NoMetrics metrics;
    Seen seen;
    QueueOptions options = scene.options;
    options.concurrency = 3;
    options.job_limit = 6s;
    QueueWorker worker{
        scene.io,
        scene.queue,
        scene.clock,
        log,
        declare_queue_figures(metrics, scene.name),
        scene.name,
        options,
        [&seen](const QueueJob& job, QueueHold& hold) { return handle(job, hold, seen); }};
    bool over = false;
    asio::co_spawn(scene.io, worker.run(), [&over](const std::exception_ptr& failure) {
        if (failure) std::rethrow_exception(failure);
        over = true;
    });
    for (int i = 0; i < 30; ++i) {
        NewQueueJob job{.id = fmt::format("plain-{}", i)};
        co_await add(scene, job);
    }
    bool there = co_await reached(scene, {.done = 30});
    EXPECT(there);
    EXPECT(seen.most == 3 && seen.calls == 30);

    const RetryPolicy twice{.attempts = 2, .backoff = 50ms};
    NewQueueJob throwing{.payload = "throws", .retry = twice, .id = "throws"};
    NewQueueJob failing{.payload = "fails once", .retry = twice, .id = "fails"};
    NewQueueJob held{.payload = "long", .id = "long"}; // longer than a hold
    NewQueueJob endless{.payload = "for ever", .retry = {.attempts = 1}, .id = "endless"};
    for (NewQueueJob* job : {&throwing, &failing, &held, &endless})
        co_await add(scene, *job);
    there = co_await reached(scene, {.dead = 2, .done = 32});
    EXPECT(there);
    EXPECT(seen.cancelled == 1);
    auto info = co_await sure(scene.queue.job(scene.name, "throws"));
    EXPECT(info->reason.contains("thrown") && info->failures == 2);
    info = co_await sure(scene.queue.job(scene.name, "endless"));
    EXPECT(info->reason.contains("it took too long") && info->failures == 1);
    info = co_await sure(scene.queue.job(scene.name, "long"));
    EXPECT(info->losses == 0 && info->failures == 0);

    // A stop lets the short one finish and gives the long one back at once.
    NewQueueJob unending{.payload = "for ever", .id = "unending"};
    NewQueueJob brief{.id = "short"};
    co_await add(scene, unending);
    there = co_await reached(scene, {.active = 1, .dead = 2, .done = 32});
    EXPECT(there);
    co_await add(scene, brief);
    while (worker.active() < 2) {
        auto pause = sleep(1ms);
        co_await std::move(pause);
    }
    const milliseconds begin = scene.clock.now();
    worker.stop(400ms);
    there = co_await reached(scene, {.waiting = 1, .dead = 2, .done = 33});
    EXPECT(there);
    EXPECT(scene.clock.now() - begin >= 390ms);
    const auto given = co_await take(scene);
    EXPECT(given && given->id == "unending" && given->losses == 0 && given->failures == 0);
    while (!over) {
        auto pause = sleep(5ms);
        co_await std::move(pause);
    }
    EXPECT(scene.clock.now() - begin < 4s);
    EXPECT(worker.active() == 0 && seen.running == 0 && seen.cancelled == 2);
}

} // namespace

asio::awaitable<int> queue_suite(asio::io_context& io, Queue& queue, const ipc::Clock& clock,
                                 const QueueOptions& options)
{
    const struct {
        const char* name;
        Step (*run)(Scene&);
    } rows[] = {
        {"priorities", priorities}, {"delays", delays},   {"ends", ends},
        {"failures", failures},     {"losses", losses},   {"returns", returns},
        {"waiting", waiting},       {"workers", workers},
    };
    const milliseconds ready = clock.now() + 5s; // a queue that has to connect first
    for (bool there = false; !there && clock.now() < ready;) {
        auto asking = queue.counts("nothing");
        const auto answer = co_await std::move(asking);
        there = answer.has_value();
        auto pause = sleep(20ms);
        co_await std::move(pause);
    }
    int failed = 0;
    for (const auto& row : rows) {
        Scene scene{io, queue, clock, options, fmt::format("{}-{}", row.name, ::getpid())};
        auto running = row.run(scene);
        co_await std::move(running);
        fmt::print("{} {}\n", row.name, scene.failures == 0 ? "ok" : "FAILED");
        failed += scene.failures;
    }
    co_return failed == 0 ? 0 : 1;
}

} // namespace cluster::tests
