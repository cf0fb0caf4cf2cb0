// Which form of the store runs, and with what.
#pragma once

#include "app/base/environment.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace cluster::app {

struct StoreOptions {
    /// DATABASE_URL as libpq takes it; "" chooses the SQLite file. It holds a password: not for
    /// logs.
    std::string url;
    std::vector<std::string> replica_urls; ///< DATABASE_REPLICA_URLS
    milliseconds replica_max_lag{5000};    ///< DATABASE_REPLICA_MAX_LAG_MS
    int connections = 10;                  ///< DATABASE_CONNECTION_LIMIT: per server
    milliseconds pool_timeout{10'000};     ///< DATABASE_POOL_TIMEOUT, in seconds there
    milliseconds query_timeout{10'000};    ///< DATABASE_QUERY_TIMEOUT_MS: for one round trip
    milliseconds connect_timeout{5000};    ///< DATABASE_CONNECT_TIMEOUT_MS
    int instances = 1;                     ///< of this app on this host, as the supervisor says
    std::string data_dir;                  ///< DATA_DIR: where app.db lies
};

/// Each fault says which variable, what it may be and what it was; never a password.
[[nodiscard]] StoreOptions read_store_options(Environment& environment);

} // namespace cluster::app
