#include "app/store/options.hpp"

#include "app/postgres/target.hpp"
#include "ipc/base/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace cluster::app {
namespace {

void check_url(Environment& environment, std::string_view variable, const std::string& url,
               PgRole role)
{
    const auto target = PgTarget::parse(url, role);
    if (target) return;
    environment.fault(fmt::format("{} must be like postgresql://USER:PASSWORD@HOST:5432/DATABASE: "
                                  "{}",
                                  variable, target.error().what));
}

/// The supervisor says how many there are (`instances`); else the number of this one is a hint.
/// What is no number is somebody else's variable.
int instances_of(const Environment& environment)
{
    const auto number = [&](std::string_view name) {
        return ipc::parse_number<int>(environment.text(name)).value_or(-1);
    };
    return std::clamp(std::max(number("instances"), number("NODE_APP_INSTANCE") + 1), 1, 10'000);
}

} // namespace

StoreOptions read_store_options(Environment& environment)
{
    constexpr int kMost = std::numeric_limits<int>::max();
    StoreOptions options;
    options.url = environment.text("DATABASE_URL");
    options.replica_urls = environment.list("DATABASE_REPLICA_URLS");
    if (!options.url.empty()) check_url(environment, "DATABASE_URL", options.url, PgRole::primary);
    for (const std::string& url : options.replica_urls)
        check_url(environment, "DATABASE_REPLICA_URLS", url, PgRole::replica);
    if (options.url.empty() && !options.replica_urls.empty())
        environment.fault("DATABASE_REPLICA_URLS needs DATABASE_URL, the primary that the replicas "
                          "follow; it is not set");

    const auto ms = [&](std::string_view name, milliseconds fallback, int low) {
        return milliseconds{
            environment.number(name, static_cast<int>(fallback.count()), low, kMost)};
    };
    options.replica_max_lag = ms("DATABASE_REPLICA_MAX_LAG_MS", options.replica_max_lag, 0);
    options.query_timeout = ms("DATABASE_QUERY_TIMEOUT_MS", options.query_timeout, 1);
    options.connect_timeout = ms("DATABASE_CONNECT_TIMEOUT_MS", options.connect_timeout, 1);
    options.connections = environment.number("DATABASE_CONNECTION_LIMIT", 10, 1, 1000);
    options.pool_timeout =
        std::chrono::seconds{environment.number("DATABASE_POOL_TIMEOUT", 10, 1, 3600)};
    options.instances = instances_of(environment);
    options.data_dir = environment.text("DATA_DIR", "data");
    return options;
}

} // namespace cluster::app
