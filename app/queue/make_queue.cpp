#include "app/queue/make_queue.hpp"

#include "app/queue/redis_queue.hpp"
#include "app/queue/sqlite_queue.hpp"

#include <fmt/format.h>

#include <unistd.h>

#include <array>

namespace cluster::app {
namespace {

/// Who holds a job, for people who look at it.
std::string worker_name()
{
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) != 0) return fmt::format("?:{}", ::getpid());
    return fmt::format("{}:{}", host.data(), ::getpid());
}

} // namespace

Result<std::unique_ptr<Queue>> make_queue(asio::io_context& io, const ipc::Clock& clock,
                                          Redis* redis, const QueueOptions& options)
{
    if (redis != nullptr)
        return std::make_unique<RedisQueue>(*redis, clock, worker_name(), options);
    auto embedded = SqliteQueue::open(io, clock, options);
    if (!embedded) return std::unexpected(embedded.error());
    return std::move(*embedded);
}

} // namespace cluster::app
