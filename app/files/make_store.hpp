// The way to a file store: with a bucket S3, without one a folder.
#pragma once

#include "app/base/log.hpp"
#include "app/files/file_store.hpp"
#include "app/files/options.hpp"
#include "ipc/base/clock.hpp"

#include <boost/asio/io_context.hpp>

#include <memory>

namespace cluster::app {

/// All must outlive it, and it must be gone before `io`. Errors: the folder cannot be made.
[[nodiscard]] Result<std::unique_ptr<FileStore>> make_file_store(asio::io_context& io,
                                                                 const ipc::Clock& clock, Log& log,
                                                                 const FileOptions& options);

} // namespace cluster::app
