#include "app/store/make_store.hpp"

#include "app/store/postgres_store.hpp"
#include "app/store/sqlite_store.hpp"

namespace cluster::app {

Result<std::unique_ptr<Store>> make_store(asio::io_context& io, const StoreOptions& options,
                                          Log& log, Metrics& metrics)
{
    if (!options.url.empty()) return PostgresStore::open(io, options, log, metrics);
    auto store = SqliteStore::open(io, options.data_dir, metrics);
    if (store) log.info("data in SQLite", {{"folder", options.data_dir}});
    return store;
}

} // namespace cluster::app
