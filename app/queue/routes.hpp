// Queues over HTTP, for administrators: how full they are, and what became of jobs that died.
//
//   GET    /api/queues                         counts of each queue
//   GET    /api/queues/{name}/dead?limit=N     dead jobs, the last one first
//   POST   /api/queues/{name}/dead/{id}/retry  all its attempts again
//   DELETE /api/queues/{name}/dead/{id}        forgotten
#pragma once

#include "app/http/router.hpp"
#include "app/queue/queue.hpp"

#include <functional>

namespace cluster::app {

/// Whether the caller is an administrator. Errors: it cannot be known now.
using AdminRule = std::function<asio::awaitable<Result<bool>>(Caller caller)>;

class QueueRoutes {
public:
    /// `names`: the queues that there are. `queue` must outlive it.
    QueueRoutes(Queue& queue, std::vector<std::string> names, AdminRule is_admin)
        : queue_{queue}, names_{std::move(names)}, is_admin_{std::move(is_admin)}
    {
    }
    /// It must outlive the router.
    void add_to(Router& router);

    asio::awaitable<Response> list(Request& request);
    asio::awaitable<Response> dead(Request& request);
    asio::awaitable<Response> retry(Request& request);
    asio::awaitable<Response> remove(Request& request);

private:
    /// The answer for who must not ask, or asks for a queue that is not there.
    asio::awaitable<std::optional<Response>> refusal(const Request& request, bool named);

    Queue& queue_;
    std::vector<std::string> names_;
    AdminRule is_admin_;
};

} // namespace cluster::app
