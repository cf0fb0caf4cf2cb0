// Drives a store from the outside, for tests/integration/test_store*.py. Which one: the variables
// that clusterapp reads (DATABASE_URL, DATA_DIR, …).
//
//   store_probe                    the cases of store_behaviour.cpp (doctest's options)
//   store_probe ping               "ok", or the kind of trouble and its text; exit 1
//   store_probe jobs COUNT MAX     makes jobs that take MAX applications each; prints their ids
//   store_probe load WORKERS JOB…  until SIGTERM: users come and apply for one of the jobs
//   store_probe lists WORKERS      until SIGTERM: reads of the list of jobs, replicas will do
//
// The last two print one line for each call, after it has ended:
//   ok WHAT ID MS                  it was acknowledged; MS: since 1970
//   failed WHAT ID KIND TOOK_MS MS TEXT
//   missing WHAT ID                it was acknowledged, and a read of the primary finds it not
// and at last `retries N` and `state NAME up|down OPEN BUSY WAITING` per pool.
#define DOCTEST_CONFIG_IMPLEMENT
#include "tests/support/store_harness.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <csignal>
#include <random>
#include <span>

namespace cluster::app::test {
namespace {

constexpr auto kAsValue = asio::as_tuple(asio::use_awaitable);

const char* name_of(const ipc::Error& error)
{
    switch (kind_of(error)) {
    case Trouble::unavailable:
        return "unavailable";
    case Trouble::unknown_outcome:
        return "unknown_outcome";
    case Trouble::overloaded:
        return "overloaded";
    case Trouble::conflict:
        return "conflict";
    case Trouble::refused:
        return "refused";
    }
    return "?";
}

const char* name_of(Applied applied)
{
    constexpr std::array kNames{"done", "no_such_job", "closed", "already"};
    return kNames.at(static_cast<std::size_t>(applied));
}

struct Load {
    StoreBench& bench;
    std::vector<std::string> jobs;
    bool ending = false;
    int working = 0;
    std::minstd_rand random{std::random_device{}()};

    [[nodiscard]] const std::string& any_job() { return jobs[random() % jobs.size()]; }

    /// Prints how a call ended; true when it was acknowledged.
    template <class T>
    bool tell(const std::string& what, const std::string& id, std::int64_t began,
              const Result<T>& outcome)
    {
        const std::int64_t now = bench.now();
        if (outcome)
            fmt::print("ok {} {} {}\n", what, id, now);
        else
            fmt::print("failed {} {} {} {} {} {}\n", what, id, name_of(outcome.error()),
                       now - began, now, outcome.error().what);
        return outcome.has_value();
    }
};

asio::awaitable<void> rest(Load& load)
{
    asio::steady_timer timer{load.bench.io, std::chrono::milliseconds{20}};
    co_await timer.async_wait(kAsValue);
}

/// The list of jobs; on a replica, if there is one.
asio::awaitable<bool> look(Load& load)
{
    StoreBench& bench = load.bench;
    const std::int64_t began = bench.now();
    JobQuery query{.search = "job", .status = "", .limit = 5};
    const auto page = co_await bench.store->jobs(std::move(query), ReadFrom::replica);
    co_return load.tell("list", "-", began, page);
}

/// A user comes, applies for a job and looks around.
asio::awaitable<bool> visit(Load& load)
{
    StoreBench& bench = load.bench;
    const User user{.id = bench.id(),
                    .email = bench.id() + "@example.org",
                    .name = "Load",
                    .created_ms = bench.now()};
    Credentials credentials{.user = user, .password_hash = "hash"};
    std::int64_t began = bench.now();
    const auto created = co_await bench.store->create_user(std::move(credentials));
    if (!load.tell("user", user.id, began, created)) co_return false;

    Application application{.id = bench.id(),
                            .job_id = load.any_job(),
                            .user_id = user.id,
                            .cover_letter = "Please",
                            .created_ms = bench.now()};
    const std::string id = application.id;
    began = bench.now();
    const auto applied = co_await bench.store->apply(std::move(application));
    const std::string what = applied ? fmt::format("apply-{}", name_of(*applied)) : "apply";
    if (!load.tell(what, id, began, applied)) co_return false;

    began = bench.now();
    const auto seen = co_await bench.store->user(user.id, ReadFrom::primary);
    if (!load.tell("read", user.id, began, seen)) co_return false;
    if (!*seen) fmt::print("missing user {}\n", user.id);

    co_return co_await look(load);
}

asio::awaitable<void> work(Load& load)
{
    while (!load.ending) {
        auto going = load.jobs.empty() ? look(load) : visit(load);
        const bool well = co_await std::move(going);
        if (!well) co_await rest(load);
    }
    --load.working;
}

void rethrow(const std::exception_ptr& thrown)
{
    if (thrown) std::rethrow_exception(thrown);
}

int run_load(StoreBench& bench, int workers, std::span<char*> jobs)
{
    std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
    Load load{.bench = bench, .jobs = {jobs.begin(), jobs.end()}};
    asio::signal_set signals{bench.io, SIGTERM};
    signals.async_wait([&](const boost::system::error_code&, int) { load.ending = true; });
    load.working = workers;
    for (int i = 0; i < workers; ++i)
        asio::co_spawn(bench.io, work(load), rethrow);
    bench.run_until([&] { return load.working == 0; }, std::chrono::seconds{180});
    fmt::print("retries {}\n", bench.metrics.value("db_retries_total"));
    for (const StoreState& state : bench.store->state())
        fmt::print("state {} {} {} {} {}\n", state.name, state.up ? "up" : "down",
                   state.connections, state.busy, state.waiting);
    return 0;
}

int make_jobs(StoreBench& bench, int count, int most)
{
    const User owner{.id = bench.id(),
                     .email = bench.id() + "@example.org",
                     .name = "Owner",
                     .created_ms = bench.now()};
    auto created = bench.wait(bench.store->create_user({.user = owner, .password_hash = "hash"}));
    for (int i = 0; created && i < count; ++i) {
        Job job;
        job.id = bench.id();
        job.owner_id = owner.id;
        job.title = "Job";
        job.max_applications = most;
        job.created_ms = bench.now();
        created = bench.wait(bench.store->create_job(job));
        if (created) fmt::print("{}\n", job.id);
    }
    if (created) return 0;
    fmt::print("{} {}\n", name_of(created.error()), created.error().what);
    return 1;
}

int ping(StoreBench& bench)
{
    const auto outcome = bench.wait(bench.store->ping());
    if (outcome)
        fmt::print("ok\n");
    else
        fmt::print("{} {}\n", name_of(outcome.error()), outcome.error().what);
    return outcome ? 0 : 1;
}

} // namespace
} // namespace cluster::app::test

int main(int argc, char** argv)
{
    using namespace cluster::app::test;
    const std::string command = argc > 1 ? argv[1] : "";
    if (command == "ping") {
        StoreBench bench;
        return ping(bench);
    }
    if (command == "jobs" && argc == 4) {
        StoreBench bench;
        return make_jobs(bench, std::atoi(argv[2]), std::atoi(argv[3]));
    }
    if ((command == "load" && argc > 3) || (command == "lists" && argc == 3)) {
        StoreBench bench;
        return run_load(bench, std::atoi(argv[2]), std::span{argv + 3, argv + argc});
    }
    doctest::Context context{argc, argv};
    return context.run();
}
