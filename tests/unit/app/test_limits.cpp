#include "app/limits/options.hpp"
#include "app/limits/window_counter.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace cluster::app;
using namespace std::chrono_literals;

TEST_CASE("a quota says what is left")
{
    const RateLimit limit{.max = 3, .window = 10s};
    CHECK(quota_of(limit, 1, 10s) ==
          Quota{.allowed = true, .limit = 3, .remaining = 2, .reset = 10s});
    CHECK(quota_of(limit, 3, 4s) ==
          Quota{.allowed = true, .limit = 3, .remaining = 0, .reset = 4s});
    CHECK(quota_of(limit, 4, 4s) ==
          Quota{.allowed = false, .limit = 3, .remaining = 0, .reset = 4s});
    CHECK(quota_of(limit, 1, 11s).reset == 10s);
    CHECK(quota_of(limit, 1, -1ms).reset == 0ms);
}

TEST_CASE("a window begins with the first request and ends for good")
{
    WindowCounter counter{{.max = 2, .window = 10s}, 10};
    CHECK(counter.take("a", 1s).allowed);
    CHECK(counter.take("a", 5s).allowed);
    CHECK_FALSE(counter.take("a", 9s).allowed);
    CHECK(counter.take("b", 9s).remaining == 1);
    CHECK_FALSE(counter.take("a", 10'999ms).allowed);
    const auto fresh = counter.take("a", 11s);
    CHECK(fresh.allowed);
    CHECK(fresh.remaining == 1);
    CHECK(fresh.reset == 10s);
}

TEST_CASE("a counter remembers so many clients and no more")
{
    WindowCounter counter{{.max = 1, .window = 10s}, 100};
    for (int i = 0; i < 1000; ++i)
        CHECK(counter.take("c" + std::to_string(i), milliseconds{i}).allowed);
    CHECK(counter.size() == 100);
    CHECK_FALSE(counter.take("c999", 1s).allowed);
    CHECK(counter.take("c0", 1s).allowed); // forgotten
    static_cast<void>(counter.take("x", 1h));
    CHECK(counter.size() == 1);
}

TEST_CASE("rate limit settings")
{
    Environment environment{{}};
    const auto options = read_rate_limit_options(environment);
    CHECK(options.on);
    CHECK(options.limit.max == 100);
    CHECK(options.limit.window == 60s);
    CHECK(options.on_error == RateLimitOptions::OnError::local);

    Environment wrong{{{"RATE_LIMIT", "perhaps"},
                       {"RATE_LIMIT_WINDOW_MS", "1m"},
                       {"RATE_LIMIT_MAX_REQUESTS", "0"},
                       {"RATE_LIMIT_ON_ERROR", "panic"}}};
    static_cast<void>(read_rate_limit_options(wrong));
    CHECK(wrong.faults().size() == 4);
}

TEST_CASE("what happens to requests that cannot be counted together")
{
    using OnError = RateLimitOptions::OnError;
    RateLimitOptions options{.limit = {.max = 1, .window = 10s}};
    AloneCounter local{options};
    CHECK(local.take("a", 1s).allowed);
    CHECK_FALSE(local.take("a", 1s).allowed);
    options.on_error = OnError::allow;
    AloneCounter open{options};
    CHECK(open.take("a", 1s).allowed);
    CHECK(open.take("a", 1s).allowed);
    options.on_error = OnError::deny;
    CHECK_FALSE(AloneCounter{options}.take("a", 1s).allowed);
}
