#include "app/capacity.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using namespace cluster::app;

TEST_CASE("capacity: the arithmetic, with round numbers")
{
    CapacityAssumptions given;
    given.active_share = 0.1;
    given.seconds_per_request = 10;
    given.request_ms = 1;
    given.hash_ms = 0;
    given.load = 0.5;
    given.cores_per_host = 4;
    given.two_hosts_from = 10'000;
    given.pool = 10;
    given.spare_connections = 20;
    given.read_share = 1;
    given.reads_per_server = 100;
    const Capacity capacity = capacity_for(100'000, given);
    CHECK(capacity.active == 10'000);
    CHECK(capacity.requests_per_second == doctest::Approx(1000));
    // One CPU's work, planned as two; on one host, and one more that may fail.
    CHECK(capacity.hosts == 2);
    CHECK(capacity.instances == 8);
    CHECK(capacity.cores == 8);
    CHECK(capacity.connections == 80);
    CHECK(capacity.max_connections == 180);
    CHECK(capacity.replicas == 9);
    CHECK(capacity_for(9'999, given).hosts == 1);
}

TEST_CASE("capacity: more users never need less")
{
    const CapacityAssumptions given;
    Capacity last;
    for (std::int64_t users = 1; users <= 100'000'000; users += users / 7 + 1) {
        const Capacity now = capacity_for(users, given);
        CAPTURE(users);
        CHECK(now.hosts >= std::max(last.hosts, 1));
        CHECK(now.instances >= std::max(last.instances, 1));
        CHECK(now.connections >= last.connections);
        CHECK(now.max_connections > now.connections);
        CHECK(now.replicas >= last.replicas);
        CHECK(now.redis_mib >= last.redis_mib);
        CHECK(now.instance_mib > given.instance_mib);
        last = now;
    }
}

TEST_CASE("capacity: log-ins cost more than requests")
{
    CapacityAssumptions given;
    const int before = capacity_for(1'000'000, given).cores;
    given.logins_per_day = 20;
    CHECK(capacity_for(1'000'000, given).cores > before);
}

TEST_CASE("capacity: what is asked for, and what is not")
{
    std::string out;
    CHECK(answer_capacity("50000", false, 10, out));
    CHECK(out.contains("For 50,000 users:\n"));
    CHECK(out.contains("max_connections of PostgreSQL"));
    CHECK(out.contains("It assumes:"));
    CHECK(out.contains("It was measured:"));
    CHECK(answer_capacity("50000", true, 7, out));
    const auto json = nlohmann::json::parse(out);
    CHECK(json.at("users") == 50'000);
    CHECK(json.at("database_connections") == json.at("instances").get<int>() * 7);
    for (const char* users : {"", "0", "-1", "1e5", "100000001", "many"}) {
        CAPTURE(users);
        CHECK_FALSE(answer_capacity(users, false, 10, out));
        CHECK(out.contains("from 1 to 100,000,000"));
    }
}
