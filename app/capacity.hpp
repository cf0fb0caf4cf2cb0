// What so many users need: instances, hosts, database connections, memory. Pure arithmetic; every
// assumption is a field, and those that were measured say so (docs/app-api.md tells how).
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace cluster::app {

struct CapacityAssumptions {
    // How people use it.
    double active_share = 0.10;      ///< of all users at the busiest time
    double seconds_per_request = 5;  ///< of an active user
    double logins_per_day = 1;       ///< of a user
    double busy_hour_share = 0.20;   ///< of a day's log-ins, in its busiest hour
    double session_share = 0.50;     ///< of all users have a session
    double connections_per_user = 1; ///< open ones of an active user, WebSocket or kept alive
    double read_share = 0.80;        ///< of the requests read from the database only

    // What one instance does; measured, and rounded up.
    double request_ms = 0.20; ///< CPU of a request; slower CPUs, larger answers, PostgreSQL
    double measured_request_ms = 0.03; ///< token, Redis and SQLite (bench/run --only app)
    double hash_ms = 35;               ///< CPU of one argon2id: 19 MiB, two passes
    double instance_mib = 20;          ///< resident, at rest
    double hashing_mib = 38;           ///< two passwords at one time
    double connection_kib = 10;        ///< of an open connection
    double load = 0.4;                 ///< of a CPU that we plan with: bursts, a host that is away
    int cores_per_host = 4;
    std::int64_t two_hosts_from = 10'000; ///< users from which on one host may fail

    // The database.
    int pool = 10;                 ///< connections of an instance (DATABASE_CONNECTION_LIMIT)
    int spare_connections = 20;    ///< people, migrations, monitoring, superusers
    double reads_per_server = 800; ///< per second, before a replica takes some

    // Redis; bytes of a key with everything it costs, measured.
    double session_bytes = 450;
    double blacklist_bytes = 320; ///< a token and its session
    double limit_bytes = 150;
    double logout_share = 0.30; ///< of the active users within the life of an access token
    double redis_base_mib = 16; ///< the server, the connections, the adapter of Socket.IO
    double redis_reserve = 2.5; ///< fragmentation, and the copy while it saves
};

struct Capacity {
    std::int64_t users = 0;
    std::int64_t active = 0; ///< at the busiest time
    double requests_per_second = 0;
    double logins_per_second = 0;
    int instances = 0; ///< on all hosts together
    int hosts = 0;
    int cores = 0;           ///< on all hosts together
    double instance_mib = 0; ///< one instance at the busiest time
    int connections = 0;     ///< of all pools to the primary
    int max_connections = 0; ///< for postgresql.conf
    int replicas = 0;
    double redis_mib = 0; ///< for maxmemory
};

[[nodiscard]] Capacity capacity_for(std::int64_t users, const CapacityAssumptions& given);

/// For people: the figures, and what they stand on.
[[nodiscard]] std::string capacity_text(const Capacity& capacity, const CapacityAssumptions& given);
[[nodiscard]] nlohmann::ordered_json capacity_json(const Capacity& capacity,
                                                   const CapacityAssumptions& given);

/// `--capacity USERS [--json]`: the answer is in `out`; false: what is wrong with USERS is.
[[nodiscard]] bool answer_capacity(std::string_view users, bool as_json, int pool,
                                   std::string& out);

} // namespace cluster::app
