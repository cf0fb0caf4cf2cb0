#include "app/queue/sqlite_table.hpp"

#include "app/queue/rules.hpp"

#include <doctest/doctest.h>

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

using namespace cluster::app;
using namespace std::chrono_literals;

namespace {

/// A table in a folder of its own, and a clock that a test moves.
struct Fixture {
    Fixture()
    {
        std::string pattern = std::filesystem::temp_directory_path() / "queue.XXXXXX";
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        directory = pattern;
        table = std::make_unique<SqliteTable>(opened());
    }
    ~Fixture()
    {
        table.reset();
        std::filesystem::remove_all(directory);
    }
    Fixture(const Fixture&) = delete;
    Fixture& operator=(const Fixture&) = delete;

    /// Another process would see it so.
    [[nodiscard]] SqliteTable opened() const
    {
        auto made = SqliteTable::open(
            {.hold = 10s, .keep_done = 60s, .max_losses = 2, .directory = directory});
        REQUIRE_MESSAGE(made, (made ? "" : made.error().text()));
        return std::move(*made);
    }
    bool add(NewQueueJob job)
    {
        job.queue = "q";
        job.name = "work";
        return table->add(job, now).value();
    }
    std::optional<QueueJob> take()
    {
        return table->take("q", "h" + std::to_string(++holds), now)->job;
    }
    std::string take_id()
    {
        const auto job = take();
        return job ? job->id : "";
    }
    QueueState state(const std::string& id) { return table->job("q", id).value().value().state; }
    QueueCounts counts() { return table->counts("q").value(); }

    std::string directory;
    std::unique_ptr<SqliteTable> table;
    std::int64_t now = 1'000'000;
    int holds = 0;
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "queue table: high priority first, else in the order of arrival")
{
    add({.priority = QueuePriority::low, .id = "low"});
    add({.id = "first"});
    add({.id = "second"});
    add({.priority = QueuePriority::high, .id = "high"});
    CHECK(counts() == QueueCounts{.waiting = 4});
    CHECK(take_id() == "high");
    CHECK(take_id() == "first");
    CHECK(take_id() == "second");
    CHECK(take_id() == "low");
    CHECK(take_id() == "");
    CHECK(counts() == QueueCounts{.active = 4});
    CHECK_FALSE(table->take("other", "h", now)->job);
}

TEST_CASE_FIXTURE(Fixture, "queue table: an id is added once")
{
    CHECK(add({.payload = "1", .id = "a"}));
    CHECK_FALSE(add({.payload = "2", .id = "a"}));
    CHECK(take()->payload == "1");
    CHECK_FALSE(add({.id = "a"}));
    CHECK(counts() == QueueCounts{.active = 1});
}

TEST_CASE_FIXTURE(Fixture, "queue table: a delayed job is due at its time")
{
    add({.delay = 5s, .id = "a"});
    CHECK(state("a") == QueueState::delayed);
    const auto early = table->take("q", "h", now + 4999);
    REQUIRE(early);
    CHECK_FALSE(early->job);
    CHECK(early->next_ms == now + 5000);
    now += 5000;
    CHECK(take_id() == "a");
}

TEST_CASE_FIXTURE(Fixture, "queue table: done is done once, also when it is told twice")
{
    add({.id = "a"});
    const auto job = take().value();
    CHECK(table->renew(job, 40, now).value());
    CHECK(table->job("q", "a")->value().progress == 40);
    CHECK(table->renew(job, std::nullopt, now).value());
    CHECK(table->job("q", "a")->value().progress == 40);
    CHECK(table->done(job, R"({"n":1})", now + 7).value());
    CHECK(table->done(job, R"({"n":1})", now + 8).value());
    CHECK(counts() == QueueCounts{.done = 1});
    const auto info = table->job("q", "a")->value();
    CHECK(info.state == QueueState::done);
    CHECK(info.result == R"({"n":1})");
    CHECK(info.progress == 100);
    CHECK(info.finished_ms == now + 7);
    CHECK_FALSE(table->fail(job, "late", std::nullopt, now).value());
    CHECK_FALSE(table->give_back(job).value());
    CHECK_FALSE(table->renew(job, 1, now).value());
}

TEST_CASE_FIXTURE(Fixture, "queue table: a failed job comes again, and dies after the last attempt")
{
    add({.id = "a"});
    auto job = take().value();
    CHECK(table->fail(job, "first", now + 300, now).value());
    CHECK_FALSE(table->fail(job, "again", now + 300, now).value());
    CHECK(counts() == QueueCounts{.delayed = 1});
    CHECK_FALSE(take());
    now += 300;
    job = take().value();
    CHECK(job.failures == 1);
    CHECK(table->fail(job, "second", std::nullopt, now).value());
    CHECK(counts() == QueueCounts{.dead = 1});
    const auto dead = table->dead("q", 10).value();
    REQUIRE(dead.size() == 1);
    CHECK(dead[0].id == "a");
    CHECK(dead[0].reason == "second");
    CHECK(dead[0].failures == 2);
    CHECK(dead[0].finished_ms == now);

    CHECK_FALSE(table->retry("q", "nobody", now).value());
    CHECK(table->retry("q", "a", now).value());
    CHECK_FALSE(table->retry("q", "a", now).value());
    job = take().value();
    CHECK(job.failures == 0);
    CHECK(job.losses == 0);
}

TEST_CASE_FIXTURE(Fixture,
                  "queue table: the job of a lost worker is taken over, not before its time")
{
    add({.id = "a"});
    const auto lost = take().value();
    now += 9'000;
    CHECK(table->renew(lost, std::nullopt, now).value());
    now += 9'999;
    CHECK_FALSE(take());
    now += 1;
    const auto job = take().value();
    CHECK(job.losses == 1);
    CHECK_FALSE(table->done(lost, "", now).value());
    CHECK_FALSE(table->fail(lost, "", now, now).value());
    CHECK_FALSE(table->renew(lost, 50, now).value());
    CHECK(table->done(job, "{}", now).value());
}

TEST_CASE_FIXTURE(Fixture, "queue table: a job that loses too many workers is dead")
{
    add({.id = "a"});
    for (int i = 0; i < 3; ++i) {
        CHECK(take().value().losses == i);
        now += 10'000;
    }
    CHECK_FALSE(take());
    CHECK(state("a") == QueueState::dead);
    CHECK(table->job("q", "a")->value().reason == "it lost 3 workers");
}

TEST_CASE_FIXTURE(Fixture, "queue table: what is given back is the next one, and lost no attempt")
{
    add({.id = "a"});
    add({.id = "b"});
    const auto job = take().value();
    CHECK(table->give_back(job).value());
    CHECK_FALSE(table->give_back(job).value());
    CHECK(counts() == QueueCounts{.waiting = 2});
    const auto again = take().value();
    CHECK(again.id == "a");
    CHECK(again.losses == 0);
    CHECK(again.failures == 0);
}

TEST_CASE_FIXTURE(Fixture, "queue table: removed is removed, but nothing under way")
{
    add({.id = "a"});
    add({.id = "b"});
    const auto job = take().value();
    CHECK_FALSE(table->remove("q", "a").value());
    CHECK(table->remove("q", "b").value());
    CHECK_FALSE(table->remove("q", "b").value());
    CHECK(table->done(job, "", now).value());
    CHECK(table->remove("q", "a").value());
    CHECK_FALSE(table->job("q", "a").value());
    CHECK(counts() == QueueCounts{.done = 1});
}

TEST_CASE_FIXTURE(Fixture, "queue table: done jobs go after a while, their number stays")
{
    add({.id = "a"});
    table->done(take().value(), "", now).value();
    now += 59'999;
    CHECK_FALSE(take());
    CHECK(table->job("q", "a").value());
    now += 1;
    CHECK_FALSE(take());
    CHECK_FALSE(table->job("q", "a").value());
    CHECK(counts() == QueueCounts{.done = 1});
}

TEST_CASE_FIXTURE(Fixture, "queue table: two processes never have one job at a time")
{
    for (int i = 0; i < 20; ++i)
        add({.id = std::to_string(i)});
    auto other = opened();
    std::vector<std::string> ids;
    for (int i = 0; i < 10; ++i) {
        ids.push_back(take_id());
        ids.push_back(other.take("q", "o" + std::to_string(i), now)->job->id);
    }
    std::ranges::sort(ids);
    CHECK(std::ranges::adjacent_find(ids) == ids.end());
    CHECK(ids.size() == 20);
    CHECK_FALSE(take());
}

TEST_CASE("queue table: a folder that is not there is named")
{
    const auto table = SqliteTable::open({.directory = "/nonexistent/folder"});
    REQUIRE_FALSE(table);
    CHECK(table.error().text().contains("/nonexistent/folder/queue.db"));
}
