#include "app/store/postgres_store.hpp"

#include "app/store/postgres_schema.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <fmt/format.h>

namespace cluster::app {
namespace {

/// For the round trip of a health check, and for a ROLLBACK.
constexpr milliseconds kShort{2000};
constexpr PgStatement kPing{"ping", "SELECT 1"};

/// All instances of this host together must find room on the server; those of other hosts we cannot
/// know of.
void check_limits(Log& log, const PgServerFacts& facts, const std::string& server,
                  const StoreOptions& options)
{
    const int wanted = options.connections * options.instances;
    const int room = facts.max_connections - facts.reserved_connections;
    if (facts.max_connections == 0 || wanted <= room) return;
    const std::string sum = fmt::format(
        "{} connections each (DATABASE_CONNECTION_LIMIT) x {} instances on this host = {}, but the "
        "server has room for {} (max_connections {} - superuser_reserved_connections {}): set "
        "DATABASE_CONNECTION_LIMIT to {} or less, or max_connections to {} or more",
        options.connections, options.instances, wanted, room, facts.max_connections,
        facts.reserved_connections, std::max(room / options.instances, 1),
        wanted + facts.reserved_connections);
    log.warn("too few connections on the database server for all instances",
             {{"server", server}, {"sum", sum}});
}

asio::awaitable<PgResult<void>> nothing_to_do()
{
    co_return PgResult<void>{};
}

std::shared_ptr<PgPool> make_pool(asio::io_context& io, PgTarget target, PgRole role,
                                  const StoreOptions& options, Log& log)
{
    std::string label = role == PgRole::primary ? "primary" : "replica " + target.name();
    label = label.substr(0, label.find('/')); // without the database
    PgPoolOptions settings{.label = label,
                           .limit = options.connections,
                           .wait_limit = options.pool_timeout,
                           .login_limit = options.connect_timeout,
                           .query_limit = options.query_timeout};
    PgPool::Welcome welcome = [&log, label, options, role,
                               told = false](PgConnection& connection) mutable {
        if (!std::exchange(told, true)) check_limits(log, connection.facts(), label, options);
        return role == PgRole::primary ? migrate_postgres(connection) : nothing_to_do();
    };
    return std::make_shared<PgPool>(io, std::move(target), std::move(settings), log,
                                    std::move(welcome));
}

/// Gauges are set when somebody looks. The pools may be gone by then.
void declare_gauges(Metrics& metrics, const std::shared_ptr<PgServers>& servers)
{
    for (const PgServers::Standing& standing : servers->standings()) {
        const std::string& label = standing.pool->options().label;
        const auto gauge = [&](std::string_view name, std::string_view help, LabelList labels) {
            labels.insert(labels.begin(), {"pool", label});
            return &metrics.gauge(name, help, std::move(labels));
        };
        Gauge* const idle =
            gauge("db_pool_connections", "Connections to the database", {{"state", "idle"}});
        Gauge* const busy =
            gauge("db_pool_connections", "Connections to the database", {{"state", "busy"}});
        Gauge* const waiting = gauge("db_pool_waiting", "Calls that wait for a connection", {});
        metrics.before_scrape(
            [alive = std::weak_ptr{servers}, pool = standing.pool, idle, busy, waiting] {
                const auto keep = alive.lock();
                if (!keep) return;
                idle->set(pool->connections() - pool->busy());
                busy->set(pool->busy());
                waiting->set(pool->waiting());
            });
    }
}

} // namespace

std::optional<std::string> pg_value(const std::vector<std::string>& texts)
{
    std::string literal = "{";
    for (const std::string& text : texts) {
        literal += literal.size() > 1 ? ",\"" : "\"";
        for (const char letter : text) {
            if (letter == '"' || letter == '\\') literal += '\\';
            literal += letter;
        }
        literal += '"';
    }
    return literal + "}";
}

Result<std::unique_ptr<Store>>
PostgresStore::open(asio::io_context& io, const StoreOptions& options, Log& log, Metrics& metrics)
{
    auto primary = PgTarget::parse(options.url, PgRole::primary);
    if (!primary) return std::unexpected(primary.error());
    std::vector<std::shared_ptr<PgPool>> replicas;
    for (const std::string& url : options.replica_urls) {
        auto target = PgTarget::parse(url, PgRole::replica);
        if (!target) return std::unexpected(target.error());
        replicas.push_back(make_pool(io, std::move(*target), PgRole::replica, options, log));
    }
    auto servers = std::make_shared<PgServers>(
        make_pool(io, std::move(*primary), PgRole::primary, options, log), std::move(replicas),
        options.replica_max_lag, io, log);
    servers->start();
    return std::make_unique<PostgresStore>(io, std::move(servers), options, metrics);
}

PostgresStore::PostgresStore(asio::io_context& io, std::shared_ptr<PgServers> servers,
                             const StoreOptions& options, Metrics& metrics)
    : servers_{std::move(servers)}, metrics_{metrics}, query_limit_{options.query_timeout}, io_{io},
      random_{std::random_device{}()}
{
    declare_gauges(metrics, servers_);
}

double PostgresStore::chance()
{
    return std::uniform_real_distribution<double>{0, 1}(random_);
}

asio::awaitable<void> PostgresStore::pause(milliseconds limit)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    asio::steady_timer timer{io_, limit};
    co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
}

asio::awaitable<PgResult<PostgresStore::Rows>>
PostgresStore::step(PgConnection& connection, std::vector<PgCall> calls, PgEffect effect)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    auto rows = co_await connection.run(std::move(calls), effect, query_limit_);
    if (rows || rows.error().lost) co_return rows;
    // Its own failure changes nothing: a connection in a transaction is not used again.
    auto ending = pg_calls(pg_call(kPgRollback));
    co_await connection.run(std::move(ending), PgEffect::none, kShort);
    co_return rows;
}

Task<void> PostgresStore::ping()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto began = std::chrono::steady_clock::now();
    const auto rows = co_await servers_->primary().ask(kPing, kShort);
    Result<void> answer;
    if (!rows) answer = trouble(rows.error());
    metrics_.note(Operation::ping, began, answer);
    co_return answer;
}

std::vector<StoreState> PostgresStore::state() const
{
    std::vector<StoreState> states;
    for (const PgServers::Standing& standing : servers_->standings())
        states.push_back({.name = standing.pool->options().label,
                          .up = standing.usable,
                          .connections = standing.pool->connections(),
                          .busy = standing.pool->busy(),
                          .limit = standing.pool->options().limit,
                          .waiting = standing.pool->waiting()});
    return states;
}

asio::awaitable<void> PostgresStore::close()
{
    return servers_->close(query_limit_);
}

} // namespace cluster::app
