// The job board: everybody reads it, who has an account offers jobs and applies for them.
#pragma once

#include "app/accounts/sessions.hpp"
#include "app/http/router.hpp"
#include "app/metrics/metrics.hpp"
#include "app/store/store.hpp"
#include "ipc/base/clock.hpp"

#include <boost/asio/awaitable.hpp>

#include <string>

namespace cluster::app {

namespace asio = boost::asio;

class Jobs {
public:
    /// All that it is given must outlive it.
    Jobs(const ipc::Clock& clock, JobStore& store, RecentWrites& writes, Metrics& metrics);

    asio::awaitable<Response> list(Request& request);
    asio::awaitable<Response> show(Request& request);
    asio::awaitable<Response> create(Request& request);
    asio::awaitable<Response> apply(Request& request);
    asio::awaitable<Response> own_applications(Request& request);

private:
    const ipc::Clock& clock_;
    JobStore& store_;
    RecentWrites& writes_;
    Counter& applications_;
};

[[nodiscard]] json job_json(const Job& job);

/// `jobs` must outlive the router.
void add_job_routes(Router& router, Jobs& jobs);

} // namespace cluster::app
