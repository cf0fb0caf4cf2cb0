// Makes the store that the settings ask for.
#pragma once

#include "app/base/log.hpp"
#include "app/metrics/metrics.hpp"
#include "app/store/options.hpp"
#include "app/store/store.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>

namespace cluster::app {

/// PostgreSQL when there is a DATABASE_URL, else the SQLite file in DATA_DIR. A PostgreSQL server
/// may be away: the store goes on trying and its calls say `unavailable`. Errors: a file that
/// cannot be opened, or that a newer version wrote. `io`, `log` and `metrics` outlive the store; it
/// declares its figures here, and the store outlives the last scrape.
[[nodiscard]] Result<std::unique_ptr<Store>>
make_store(asio::io_context& io, const StoreOptions& options, Log& log, Metrics& metrics);

} // namespace cluster::app
