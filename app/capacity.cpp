#include "app/capacity.hpp"

#include "ipc/base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <utility>

namespace cluster::app {
namespace {

constexpr std::int64_t kMostUsers = 100'000'000;
constexpr double kMiB = 1024 * 1024;

int ceil_of(double value)
{
    // What is a whole number but for rounding stays one.
    return static_cast<int>(std::ceil(value - 1e-9));
}

/// Up to the next multiple: nobody sets max_connections to 143.
int rounded_up(int value, int step)
{
    return (value + step - 1) / step * step;
}

double redis_mib(const Capacity& capacity, const CapacityAssumptions& given)
{
    const double users = static_cast<double>(capacity.users);
    const double active = static_cast<double>(capacity.active);
    const double bytes = users * given.session_share * given.session_bytes +
                         active * given.logout_share * given.blacklist_bytes +
                         active * given.limit_bytes;
    return (given.redis_base_mib + bytes / kMiB) * given.redis_reserve;
}

/// "12,345": people read these.
std::string grouped(std::int64_t value)
{
    std::string text = std::to_string(value);
    for (std::ptrdiff_t at = std::ssize(text) - 3; at > 0; at -= 3)
        text.insert(static_cast<std::size_t>(at), ",");
    return text;
}

std::string short_number(double value)
{
    if (value >= 100) return grouped(static_cast<std::int64_t>(std::llround(value)));
    return fmt::format("{:.3g}", value);
}

using Lines = std::initializer_list<std::pair<const char*, std::string>>;

void add_lines(std::string& out, Lines lines)
{
    for (const auto& [name, value] : lines)
        out += fmt::format("  {:<34}{}\n", name, value);
}

} // namespace

Capacity capacity_for(std::int64_t users, const CapacityAssumptions& given)
{
    Capacity capacity{.users = users};
    const double all = static_cast<double>(users);
    capacity.active = static_cast<std::int64_t>(std::ceil(all * given.active_share));
    const double active = static_cast<double>(capacity.active);
    capacity.requests_per_second = active / given.seconds_per_request;
    capacity.logins_per_second = all * given.logins_per_day * given.busy_hour_share / 3600;

    const double busy_cpus = (capacity.requests_per_second * given.request_ms +
                              capacity.logins_per_second * given.hash_ms) /
                             1000;
    const int wanted = std::max(ceil_of(busy_cpus / given.load), 1);
    capacity.hosts = std::max(ceil_of(static_cast<double>(wanted) / given.cores_per_host), 1);
    // When one host is away, the others carry all of it.
    if (users >= given.two_hosts_from) ++capacity.hosts;
    capacity.cores = capacity.hosts * given.cores_per_host;
    capacity.instances = capacity.cores; // one for each, as `instances: max` starts them

    const double connections = active * given.connections_per_user / capacity.instances;
    capacity.instance_mib =
        given.instance_mib + given.hashing_mib + connections * given.connection_kib / 1024;
    capacity.connections = capacity.instances * given.pool;
    // A rolling reload has twice as many for a moment.
    capacity.max_connections = rounded_up(2 * capacity.connections + given.spare_connections, 10);
    const double reads = capacity.requests_per_second * given.read_share;
    capacity.replicas = std::max(ceil_of(reads / given.reads_per_server) - 1, 0);
    capacity.redis_mib = redis_mib(capacity, given);
    return capacity;
}

std::string capacity_text(const Capacity& capacity, const CapacityAssumptions& given)
{
    std::string out = fmt::format("For {} users:\n", grouped(capacity.users));
    add_lines(
        out, {{"active at the busiest time", grouped(capacity.active)},
              {"requests per second", short_number(capacity.requests_per_second)},
              {"log-ins per second", short_number(capacity.logins_per_second)},
              {"hosts", fmt::format("{} with {} cores each", capacity.hosts, given.cores_per_host)},
              {"instances", fmt::format("{} (instances: max)", capacity.instances)},
              {"memory of an instance", fmt::format("{:.0f} MiB", capacity.instance_mib)},
              {"database connections",
               fmt::format("{} ({} for each instance)", capacity.connections, given.pool)},
              {"max_connections of PostgreSQL",
               fmt::format("{} (twice, for a rolling reload, and {} to spare)",
                           capacity.max_connections, given.spare_connections)},
              {"read replicas", std::to_string(capacity.replicas)},
              {"maxmemory of Redis", fmt::format("{:.0f} MiB", capacity.redis_mib)}});
    out += "\nIt assumes:\n";
    add_lines(
        out,
        {{"active at one time", fmt::format("{:.0f} % of the users", given.active_share * 100)},
         {"an active user sends a request", fmt::format("every {:g} s", given.seconds_per_request)},
         {"log-ins of a user", fmt::format("{:g} a day, {:.0f} % of them in the busiest hour",
                                           given.logins_per_day, given.busy_hour_share * 100)},
         {"sessions", fmt::format("of {:.0f} % of the users", given.session_share * 100)},
         {"a CPU is used to", fmt::format("{:.0f} %", given.load * 100)},
         {"one host more",
          fmt::format("from {} users on, so that one may fail", grouped(given.two_hosts_from))},
         {"reads", fmt::format("{:.0f} % of the requests; {:g}/s before a replica takes some",
                               given.read_share * 100, given.reads_per_server)},
         {"Redis has room for", fmt::format("{:g} times what it holds", given.redis_reserve)}});
    out += "\nIt was measured:\n";
    add_lines(
        out,
        {{"CPU of a request",
          fmt::format("{:g} ms with token, Redis and SQLite; planned with {:g} ms",
                      given.measured_request_ms, given.request_ms)},
         {"CPU of a log-in", fmt::format("{:g} ms (argon2id, 19 MiB, two passes)", given.hash_ms)},
         {"an instance at rest", fmt::format("{:g} MiB, {:g} more while it hashes",
                                             given.instance_mib, given.hashing_mib)},
         {"an open connection", fmt::format("{:g} KiB", given.connection_kib)},
         {"a session in Redis", fmt::format("{:g} bytes", given.session_bytes)},
         {"a token that was logged out", fmt::format("{:g} bytes", given.blacklist_bytes)},
         {"a client's request limit", fmt::format("{:g} bytes", given.limit_bytes)}});
    return out;
}

nlohmann::ordered_json capacity_json(const Capacity& capacity, const CapacityAssumptions& given)
{
    return {{"users", capacity.users},
            {"active", capacity.active},
            {"requests_per_second", capacity.requests_per_second},
            {"logins_per_second", capacity.logins_per_second},
            {"hosts", capacity.hosts},
            {"cores", capacity.cores},
            {"instances", capacity.instances},
            {"instance_mib", std::round(capacity.instance_mib)},
            {"database_connections", capacity.connections},
            {"max_connections", capacity.max_connections},
            {"replicas", capacity.replicas},
            {"redis_mib", std::round(capacity.redis_mib)},
            {"assumptions",
             {{"active_share", given.active_share},
              {"seconds_per_request", given.seconds_per_request},
              {"logins_per_day", given.logins_per_day},
              {"busy_hour_share", given.busy_hour_share},
              {"session_share", given.session_share},
              {"connections_per_user", given.connections_per_user},
              {"read_share", given.read_share},
              {"load", given.load},
              {"cores_per_host", given.cores_per_host},
              {"two_hosts_from", given.two_hosts_from},
              {"pool", given.pool},
              {"spare_connections", given.spare_connections},
              {"reads_per_server", given.reads_per_server},
              {"logout_share", given.logout_share},
              {"redis_base_mib", given.redis_base_mib},
              {"redis_reserve", given.redis_reserve}}},
            {"measured",
             {{"request_ms", given.measured_request_ms},
              {"planned_request_ms", given.request_ms},
              {"hash_ms", given.hash_ms},
              {"instance_mib", given.instance_mib},
              {"hashing_mib", given.hashing_mib},
              {"connection_kib", given.connection_kib},
              {"session_bytes", given.session_bytes},
              {"blacklist_bytes", given.blacklist_bytes},
              {"limit_bytes", given.limit_bytes}}}};
}

bool answer_capacity(std::string_view users, bool as_json, int pool, std::string& out)
{
    const auto count = ipc::parse_number<std::int64_t>(users);
    if (!count || *count < 1 || *count > kMostUsers) {
        out = fmt::format("--capacity takes a number of users from 1 to {}, got \"{}\"",
                          grouped(kMostUsers), users);
        return false;
    }
    CapacityAssumptions given;
    given.pool = pool;
    const Capacity capacity = capacity_for(*count, given);
    out = as_json ? capacity_json(capacity, given).dump(2) + "\n" : capacity_text(capacity, given);
    return true;
}

} // namespace cluster::app
