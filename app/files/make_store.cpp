#include "app/files/make_store.hpp"

#include "app/files/local_store.hpp"
#include "app/files/s3_store.hpp"

namespace cluster::app {

Result<std::unique_ptr<FileStore>> make_file_store(asio::io_context& io, const ipc::Clock& clock,
                                                   Log& log, const FileOptions& options)
{
    if (options.s3.enabled()) return std::make_unique<S3Store>(io, clock, log, options.s3);
    auto local = LocalStore::open(io, clock, options);
    if (!local) return std::unexpected(local.error());
    return std::move(*local);
}

} // namespace cluster::app
