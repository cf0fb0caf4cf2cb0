#include "app/queue/options.hpp"
#include "app/queue/replies.hpp"
#include "app/queue/rules.hpp"

#include <doctest/doctest.h>

using namespace cluster::app;
using namespace std::chrono_literals;

TEST_CASE("queue: the backoff doubles, is bounded and gets a little chance")
{
    const RetryPolicy policy{.attempts = 9, .backoff = 100ms};
    const struct {
        int failures;
        double chance;
        milliseconds want;
    } rows[] = {
        {1, 0, 100ms}, {2, 0, 200ms},      {4, 0, 800ms},         {1, 1, 120ms}, {3, 0.5, 440ms},
        {40, 0, 1h},   {2'000'000, 0, 1h}, {2'000'000, 1, 72min}, {0, 0, 100ms}, {-5, 0, 100ms},
    };
    for (const auto& row : rows) {
        CAPTURE(row.failures);
        CAPTURE(row.chance);
        CHECK(backoff_delay(policy, row.failures, row.chance) == row.want);
    }
    CHECK(backoff_delay({.backoff = -1s}, 3, 1) == 0ms);
    CHECK(backoff_delay({.backoff = milliseconds::max()}, 3, 0) == kMaxBackoff);
}

TEST_CASE("queue: the last attempt is the last one")
{
    CHECK(is_last_failure({.attempts = 1}, 1));
    CHECK_FALSE(is_last_failure({.attempts = 3}, 2));
    CHECK(is_last_failure({.attempts = 3}, 3));
}

TEST_CASE("queue: what cannot be added says why")
{
    const struct {
        const char* name;
        NewQueueJob job;
        const char* want; ///< "" when it can
    } rows[] = {
        {"plain", {.queue = "exports", .name = "pdf"}, ""},
        {"own id", {.queue = "q-1", .name = "pdf", .id = "a.b_c:D-9"}, ""},
        {"no queue", {.queue = "", .name = "x"}, "the name of a queue must be"},
        {"queue with braces", {.queue = "a}b", .name = "x"}, "got \"a}b\""},
        {"queue of 65", {.queue = std::string(65, 'a'), .name = "x"}, "the name of a queue"},
        {"id with a blank", {.queue = "q", .name = "x", .id = "a b"}, "got \"a b\""},
        {"no name", {.queue = "q", .name = ""}, "its name must have 1 to 128 bytes"},
        {"large",
         {.queue = "q", .name = "x", .payload = std::string(kMaxPayloadBytes + 1, ' ')},
         "at most 1048576 bytes, got 1048577"},
        {"no attempt", {.queue = "q", .name = "x", .retry = {.attempts = 0}}, "1 to 1000 attempts"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto sound = check(row.job);
        CHECK(sound.has_value() == std::string_view{row.want}.empty());
        if (!sound) {
            CHECK(kind_of(sound.error()) == Trouble::refused);
            CHECK(sound.error().what.contains(row.want));
        }
    }
}

TEST_CASE("queue: a long reason is cut between two characters")
{
    CHECK(shortened("short") == "short");
    const std::string cut = shortened(std::string(999, 'x') + "äöü");
    CHECK(cut == std::string(999, 'x')); // the ä would have been split
    CHECK(shortened(std::string(3000, '\x80')).empty());
}

TEST_CASE("queue: names of states and back")
{
    for (const auto state : {QueueState::waiting, QueueState::delayed, QueueState::active,
                             QueueState::done, QueueState::dead})
        CHECK(queue_state_of(name_of(state)) == state);
    CHECK_FALSE(queue_state_of("gone"));
    CHECK(name_of(QueuePriority::low) == "low");
}

namespace {

RedisReply text(std::string value)
{
    return {.type = RedisReply::Type::text, .text = std::move(value)};
}

RedisReply number(std::int64_t value)
{
    return {.type = RedisReply::Type::number, .number = value};
}

RedisReply list(std::vector<RedisReply> items)
{
    return {.type = RedisReply::Type::list, .items = std::move(items)};
}

} // namespace

TEST_CASE("queue: a job that Redis hands out")
{
    const auto taken = read_taken(list({number(1), text("id-1"), text("pdf"), text("{}"), text("5"),
                                        text("250"), text("2"), text("1")}),
                                  "q", "hold-1");
    REQUIRE(taken);
    CHECK(taken->job == QueueJob{.queue = "q",
                                 .id = "id-1",
                                 .name = "pdf",
                                 .payload = "{}",
                                 .retry = {.attempts = 5, .backoff = 250ms},
                                 .failures = 2,
                                 .losses = 1,
                                 .hold = "hold-1"});
}

TEST_CASE("queue: nothing to do comes with what to wait for")
{
    const auto taken =
        read_taken(list({number(0), number(17), text("1-0"), text("0-0"), text("9-2")}), "q", "h");
    REQUIRE(taken);
    CHECK_FALSE(taken->job);
    CHECK(taken->due == 17ms);
    CHECK(taken->last == std::array<std::string, 3>{"1-0", "0-0", "9-2"});
    CHECK_FALSE(
        read_taken(list({number(0), number(-1), text(""), text(""), text("")}), "q", "h")->due);
}

TEST_CASE("queue: answers of another shape are errors, not crashes")
{
    const RedisReply rows[] = {
        {},
        number(3),
        text("OK"),
        list({}),
        list({number(0)}),
        list({number(2), number(1), text(""), text(""), text("")}),
        list({number(0), text("x"), text(""), text(""), text("")}),
        list({number(1), text("id")}),
        list({number(1), text("id"), text(""), text(""), text("5"), text(""), text("2"), text("")}),
    };
    for (const RedisReply& row : rows) {
        CHECK_FALSE(read_taken(row, "q", "h"));
        CHECK_FALSE(read_counts(row));
    }
    CHECK_FALSE(read_flag(list({})));
    CHECK_FALSE(read_flag({}));
    CHECK(read_flag(number(1)).value());
    CHECK_FALSE(read_flag(number(0)).value());
    CHECK_FALSE(read_info(text("x")));
    CHECK_FALSE(read_info(list({text("state")})));
    CHECK_FALSE(read_info(list({text("state"), text("sleeping")})));
    CHECK_FALSE(read_info(list({})).value());
}

TEST_CASE("queue: the hash of a job")
{
    const auto info =
        read_info(list({text("state"), text("dead"), text("id"), text("7"), text("reason"),
                        text("no"), text("failures"), text("3"), text("created_ms"), text("12"),
                        text("progress"), text("x")}));
    REQUIRE(info);
    CHECK(
        *info ==
        QueueJobInfo{
            .id = "7", .state = QueueState::dead, .failures = 3, .reason = "no", .created_ms = 12});
}

TEST_CASE("queue: counts")
{
    const auto counts = read_counts(list({number(1), number(2), number(3), number(4), number(5)}));
    REQUIRE(counts);
    CHECK(*counts == QueueCounts{.waiting = 1, .delayed = 2, .active = 3, .dead = 4, .done = 5});
}

TEST_CASE("queue: its settings, each fault told")
{
    Environment fine{{{"QUEUE_HOLD_MS", "500"}, {"QUEUE_KEEP_DONE", "2h"}, {"DATA_DIR", "/d"}}};
    const auto options = read_queue_options(fine);
    CHECK(fine.faults().empty());
    CHECK(options.hold == 500ms);
    CHECK(options.keep_done == 2h);
    CHECK(options.directory == "/d");
    CHECK(options.concurrency == 2);

    Environment wrong{{{"QUEUE_HOLD_MS", "5"},
                       {"WORKER_CONCURRENCY", "0"},
                       {"QUEUE_KEEP_DONE", "1s"},
                       {"QUEUE_MAX_LOSSES", "-1"},
                       {"QUEUE_JOB_TIMEOUT_MS", "soon"}}};
    static_cast<void>(read_queue_options(wrong));
    CHECK(wrong.faults().size() == 5);
}
