#include "app/postgres/failure.hpp"
#include "app/postgres/lag.hpp"
#include "app/postgres/retry.hpp"
#include "app/postgres/target.hpp"
#include "app/store/postgres_store.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

using namespace cluster::app;
using namespace std::chrono_literals;

TEST_CASE("what an error of the server means")
{
    struct Row {
        const char* state;
        Trouble kind;
        bool lost;
        bool again;
    };
    constexpr Row kRows[] = {
        {"40001", Trouble::conflict, false, true},
        {"40P01", Trouble::conflict, false, true},
        {"23505", Trouble::conflict, false, false},
        {"23503", Trouble::conflict, false, false},
        {"57P01", Trouble::unavailable, true, true},
        {"57P03", Trouble::unavailable, true, true},
        {"08006", Trouble::unavailable, true, true},
        {"25006", Trouble::unavailable, true, true},
        {"25P03", Trouble::unavailable, true, true},
        {"53300", Trouble::unavailable, false, false},
        {"53100", Trouble::unavailable, false, false},
        {"57014", Trouble::overloaded, false, false},
        {"55P03", Trouble::overloaded, false, false},
        {"XX000", Trouble::refused, false, true},
        {"0A000", Trouble::refused, true, false},
        {"42P01", Trouble::refused, false, false},
        {"22021", Trouble::refused, false, false},
    };
    for (const Row& row : kRows) {
        CAPTURE(row.state);
        const PgFailure failure = pg_failure(row.state, "x");
        CHECK(failure.kind == row.kind);
        CHECK(failure.lost == row.lost);
        CHECK(failure.again == row.again);
        CHECK(failure.state == row.state);
    }
}

TEST_CASE("waits double up to their end, and chance spreads them")
{
    constexpr Backoff kBackoff{.first = 100ms, .most = 1000ms};
    CHECK(kBackoff.wait(1, 1) == 100ms);
    CHECK(kBackoff.wait(1, 0) == 50ms);
    CHECK(kBackoff.wait(3, 1) == 400ms);
    CHECK(kBackoff.wait(5, 1) == 1000ms);
    CHECK(kBackoff.wait(5, 0) == 500ms);
    CHECK(kBackoff.wait(1'000'000, 1) == 1000ms);
    CHECK(kBackoff.wait(0, 1) == 100ms);
}

TEST_CASE("a serialization failure is tried again, not for ever")
{
    PgRetry retry{false};
    const PgFailure failure = pg_failure("40001", "x");
    int tries = 1;
    std::chrono::milliseconds waited{0};
    while (const auto wait = retry.next(failure, 1)) {
        waited += *wait;
        ++tries;
    }
    CHECK(tries == 12);
    CHECK(waited > 500ms);
    CHECK(waited < 2500ms);
    CHECK(retry.verdict(failure).kind == Trouble::conflict);
    CHECK(!PgRetry{true}.next(pg_failure("23505", "x"), 1));
}

TEST_CASE("a lost connection is tried again at once, when nothing was changed")
{
    const PgFailure broken{.what = "x", .lost = true, .again = true};
    PgRetry retry{false};
    CHECK(retry.next(broken, 1) == 0ms);
    CHECK(retry.next(broken, 1) == 0ms);
    CHECK(!retry.next(broken, 1));
    CHECK(retry.verdict(broken).kind == Trouble::unavailable);
    CHECK(!PgRetry{true}.next({.what = "away"}, 1)); // the pool has given up for now: so do we
}

TEST_CASE("what nobody knows is tried again only when twice is the same as once")
{
    const PgFailure unknown{.kind = Trouble::unknown_outcome, .what = "x", .lost = true};
    CHECK(!PgRetry{false}.next(unknown, 1));
    PgRetry retry{true};
    CHECK(retry.next(unknown, 1) == 0ms);
    // The second try could not find out: still nobody knows.
    CHECK(!retry.next({.what = "away"}, 1));
    CHECK(retry.verdict({.what = "away"}).kind == Trouble::unknown_outcome);
    CHECK(retry.verdict({.kind = Trouble::overloaded, .what = "x"}).kind ==
          Trouble::unknown_outcome);
    CHECK(retry.verdict(pg_failure("23505", "x")).kind == Trouble::conflict);
}

TEST_CASE("a URL becomes what libpq is given, with care for hosts that vanish")
{
    const auto target =
        PgTarget::parse("postgresql://me:secret@db1:5433/app?sslmode=require", PgRole::primary);
    REQUIRE(target);
    CHECK(target->name() == "db1:5433/app");
    CHECK(target->value("password") == "secret");
    CHECK(target->value("sslmode") == "require");
    CHECK(target->value("client_encoding") == "UTF8");
    CHECK(target->value("keepalives_idle") == "10");
    CHECK(target->value("target_session_attrs").empty());
    CHECK(PgTarget::parse("postgres://h/d?keepalives_idle=99&application_name=x", PgRole::primary)
              ->value("keepalives_idle") == "99");
    CHECK(PgTarget::parse("postgresql:///d?host=/run/postgresql", PgRole::primary)->name() ==
          "/run/postgresql:5432/d");
}

TEST_CASE("of several hosts the one that takes writes is wanted, unless the URL says else")
{
    const auto attrs = [](const char* url, PgRole role) {
        return PgTarget::parse(url, role)->value("target_session_attrs");
    };
    CHECK(attrs("postgresql://a,b:1/d", PgRole::primary) == "read-write");
    CHECK(attrs("postgresql://a,b/d?target_session_attrs=any", PgRole::primary) == "any");
    CHECK(attrs("postgresql://a,b/d", PgRole::replica).empty());
    CHECK(PgTarget::parse("postgresql://a,b:1/d", PgRole::primary)->name() == "a:5432,b:1/d");
}

TEST_CASE("what is wrong with a URL is said without the URL")
{
    for (const char* const url :
         {"", "mysql://u:geheim@h/d", "host=h password=geheim", "postgresql://u:ge%zzheim@h/d",
          "postgresql://u:geheim%@h/d", "postgresql://u:geheim@[::1/d",
          "postgresql://u:geheim@h:1,h2:2,h3/d?port=1,2", "postgresql://u:geheim@h/d?geheim",
          "postgresql://u:geheim@h/d?sslmode=require=geheim", "postgresql://u:ge%00heim@h/d"}) {
        CAPTURE(url);
        const auto target = PgTarget::parse(url, PgRole::primary);
        REQUIRE(!target);
        CHECK(!target.error().what.empty());
        CHECK(!target.error().what.contains("heim"));
    }
    const auto target = PgTarget::parse("postgresql://h/d?schema=public", PgRole::primary);
    REQUIRE(!target);
    CHECK(target.error().what == "invalid URI query parameter: \"schema\"");
}

TEST_CASE("names are looked up, addresses and sockets are not")
{
    CHECK(needs_lookup({.host = "db1", .address = "", .port = ""}));
    CHECK(!needs_lookup({.host = "db1", .address = "10.0.0.1", .port = ""}));
    CHECK(!needs_lookup({.host = "10.0.0.1", .address = "", .port = ""}));
    CHECK(!needs_lookup({.host = "::1", .address = "", .port = ""}));
    CHECK(!needs_lookup({.host = "/run/postgresql", .address = "", .port = ""}));
    CHECK(!needs_lookup({.host = "@abstract", .address = "", .port = ""}));
    CHECK(!needs_lookup({.host = "", .address = "", .port = ""}));
}

TEST_CASE("how far a replica is behind is measured by where the primary's log ended when")
{
    LagMeter meter;
    const LagMeter::Time start{};
    CHECK(!meter.behind(start, 100)); // nothing is known yet
    meter.note_primary(start, 100);
    meter.note_primary(start + 1s, 100); // nothing was written
    meter.note_primary(start + 2s, 300);
    CHECK(meter.behind(start + 2s, 300) == 0ms);
    CHECK(meter.behind(start + 2500ms, 999) == 500ms);
    CHECK(meter.behind(start + 2s, 299) == 1000ms); // it lacks what came after the second look
    CHECK(meter.behind(start + 5s, 100) == 4000ms);
    CHECK(!meter.behind(start + 2s, 99)); // more than we remember
    for (int i = 0; i < 500; ++i)
        meter.note_primary(start + 3s + std::chrono::seconds{i}, 1000 + i);
    CHECK(!meter.behind(start + 600s, 300)); // forgotten
    CHECK(meter.behind(start + 502s, 1498) == 1000ms);
}

TEST_CASE("values become what the server reads")
{
    using Texts = std::vector<std::string>;
    CHECK(pg_value(Texts{}) == "{}");
    CHECK(pg_value(Texts{"%a%", "b\"c", "d\\_", "{x,y}", "NULL"}) ==
          R"({"%a%","b\"c","d\\_","{x,y}","NULL"})");
    CHECK(pg_value(std::int64_t{-5}) == "-5");
    CHECK(pg_value(std::optional<int>{}) == std::nullopt);
    CHECK(pg_value(std::optional<int>{7}) == "7");
    CHECK(pg_value(std::string{"a\0b", 3}) == "a\uFFFDb");
}

TEST_CASE("the settings of the store are read, and every fault is told")
{
    const auto read = [](Variables variables) {
        Environment environment{std::move(variables)};
        StoreOptions options = read_store_options(environment);
        return std::pair{options, environment.faults()};
    };
    auto [plain, none] = read({});
    CHECK(none.empty());
    CHECK(plain.url.empty());
    CHECK(plain.connections == 10);
    CHECK(plain.pool_timeout == 10s);
    CHECK(plain.replica_max_lag == 5s);
    CHECK(plain.instances == 1);

    auto [full, fine] = read({{"DATABASE_URL", "postgresql://u:p@h/d"},
                              {"DATABASE_REPLICA_URLS", "postgresql://r1/d, postgresql://r2/d"},
                              {"DATABASE_CONNECTION_LIMIT", "25"},
                              {"DATABASE_POOL_TIMEOUT", "3"},
                              {"DATABASE_REPLICA_MAX_LAG_MS", "0"},
                              {"NODE_APP_INSTANCE", "2"},
                              {"instances", "8"}});
    CHECK(fine.empty());
    CHECK(full.replica_urls.size() == 2);
    CHECK(full.connections == 25);
    CHECK(full.pool_timeout == 3s);
    CHECK(full.replica_max_lag == 0ms);
    CHECK(full.instances == 8);
    CHECK(read({{"NODE_APP_INSTANCE", "2"}}).first.instances == 3);
    CHECK(read({{"instances", "max"}}).first.instances == 1);

    auto [wrong, faults] = read({{"DATABASE_URL", "mongodb://u:geheim@h/d"},
                                 {"DATABASE_REPLICA_URLS", "postgresql://h/d?geheim=1"},
                                 {"DATABASE_CONNECTION_LIMIT", "0"},
                                 {"DATABASE_POOL_TIMEOUT", "soon"}});
    REQUIRE(faults.size() == 4);
    CHECK(faults[0].starts_with("DATABASE_URL must be like postgresql://"));
    CHECK(!faults[0].contains("geheim"));
    CHECK(faults[1].starts_with("DATABASE_REPLICA_URLS must be like"));
    CHECK(faults[2].contains("DATABASE_CONNECTION_LIMIT"));
    CHECK(faults[3].contains("DATABASE_POOL_TIMEOUT"));
    CHECK(read({{"DATABASE_REPLICA_URLS", "postgresql://h/d"}}).second.size() == 1);
}
