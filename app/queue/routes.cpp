#include "app/queue/routes.hpp"

#include "app/base/times.hpp"
#include "app/queue/rules.hpp"
#include "ipc/base/text.hpp"

#include <boost/asio/use_awaitable.hpp>

#include <algorithm>

namespace cluster::app {
namespace {

constexpr int kUsualLimit = 50;
constexpr int kMaxLimit = 500;

json counts_json(const std::string& name, const QueueCounts& counts)
{
    return {{"name", name},
            {"waiting", counts.waiting},
            {"delayed", counts.delayed},
            {"active", counts.active},
            {"dead", counts.dead},
            {"done", counts.done}};
}

json job_json(const QueueJobInfo& job)
{
    json payload = json::parse(job.payload, nullptr, false);
    if (payload.is_discarded()) payload = job.payload;
    return {{"id", job.id},
            {"name", job.name},
            {"state", name_of(job.state)},
            {"failures", job.failures},
            {"losses", job.losses},
            {"reason", job.reason},
            {"payload", std::move(payload)},
            {"createdAt", iso_time(job.created_ms)},
            {"failedAt", iso_time(job.finished_ms)}};
}

Response no_such_job()
{
    return problem(http::status::not_found, "JOB_NOT_FOUND", "There is no such dead job.");
}

} // namespace

void QueueRoutes::add_to(Router& router)
{
    constexpr Rules kRules{.caller = true};
    const auto add = [&](http::verb method, const char* pattern,
                         asio::awaitable<Response> (QueueRoutes::*answer)(Request&)) {
        router.add(
            {.method = method,
             .pattern = pattern,
             .handler = [this, answer](Request& request) { return (this->*answer)(request); },
             .rules = kRules});
    };
    add(http::verb::get, "/api/queues", &QueueRoutes::list);
    add(http::verb::get, "/api/queues/{name}/dead", &QueueRoutes::dead);
    add(http::verb::post, "/api/queues/{name}/dead/{id}/retry", &QueueRoutes::retry);
    add(http::verb::delete_, "/api/queues/{name}/dead/{id}", &QueueRoutes::remove);
}

asio::awaitable<std::optional<Response>> QueueRoutes::refusal(const Request& request, bool named)
{
    auto asking = is_admin_(*request.caller);
    const auto admin = co_await std::move(asking);
    if (!admin) co_return problem(admin.error());
    if (!*admin)
        co_return problem(http::status::forbidden, "FORBIDDEN",
                          "Only administrators may look at queues.");
    if (named && std::ranges::find(names_, request.param("name")) == names_.end())
        co_return problem(http::status::not_found, "QUEUE_NOT_FOUND", "There is no such queue.");
    co_return std::nullopt;
}

asio::awaitable<Response> QueueRoutes::list(Request& request)
{
    auto asking = refusal(request, false);
    auto refused = co_await std::move(asking);
    if (refused) co_return std::move(*refused);
    json queues = json::array();
    for (const std::string& name : names_) {
        auto counting = queue_.counts(name);
        const auto counts = co_await std::move(counting);
        if (!counts) co_return problem(counts.error());
        queues.push_back(counts_json(name, *counts));
    }
    co_return success({{"form", queue_.form()}, {"queues", std::move(queues)}});
}

asio::awaitable<Response> QueueRoutes::dead(Request& request)
{
    auto asking = refusal(request, true);
    auto refused = co_await std::move(asking);
    if (refused) co_return std::move(*refused);
    int limit = kUsualLimit;
    if (const std::string* const given = find(request.query, "limit")) {
        const auto number = ipc::parse_number<int>(*given);
        if (!number || *number < 1 || *number > kMaxLimit)
            co_return problem(http::status::bad_request, "VALIDATION",
                              "limit must be an integer from 1 to 500.");
        limit = *number;
    }
    auto listing = queue_.dead(request.param("name"), limit);
    const auto jobs = co_await std::move(listing);
    if (!jobs) co_return problem(jobs.error());
    json list = json::array();
    std::ranges::transform(*jobs, std::back_inserter(list), job_json);
    co_return success({{"jobs", std::move(list)}});
}

asio::awaitable<Response> QueueRoutes::retry(Request& request)
{
    auto asking = refusal(request, true);
    auto refused = co_await std::move(asking);
    if (refused) co_return std::move(*refused);
    if (!is_job_id(request.param("id"))) co_return no_such_job();
    auto retrying = queue_.retry(request.param("name"), request.param("id"));
    const auto again = co_await std::move(retrying);
    if (!again) co_return problem(again.error());
    if (!*again) co_return no_such_job();
    co_return success({{"id", request.param("id")}, {"state", name_of(QueueState::waiting)}});
}

asio::awaitable<Response> QueueRoutes::remove(Request& request)
{
    auto asking = refusal(request, true);
    auto refused = co_await std::move(asking);
    if (refused) co_return std::move(*refused);
    if (!is_job_id(request.param("id"))) co_return no_such_job();
    // Looked at first: `remove` would take one that waits as well.
    auto looking = queue_.job(request.param("name"), request.param("id"));
    const auto job = co_await std::move(looking);
    if (!job) co_return problem(job.error());
    if (!*job || (*job)->state != QueueState::dead) co_return no_such_job();
    auto removing = queue_.remove(request.param("name"), request.param("id"));
    const auto removed = co_await std::move(removing);
    if (!removed) co_return problem(removed.error());
    if (!*removed) co_return no_such_job();
    co_return success({{"id", request.param("id")}});
}

} // namespace cluster::app
