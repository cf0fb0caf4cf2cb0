#include "app/exports/exports.hpp"

#include "app/base/ids.hpp"
#include "app/base/times.hpp"
#include "app/exports/export_job.hpp"
#include "app/queue/rules.hpp"

#include <boost/asio/use_awaitable.hpp>

namespace cluster::app {
namespace {

Response no_such_project()
{
    return problem(http::status::not_found, "PROJECT_NOT_FOUND", "There is no such project.");
}

Response no_such_export()
{
    return problem(http::status::not_found, "EXPORT_NOT_FOUND", "There is no such export.");
}

} // namespace

void Exports::add_to(Router& router)
{
    router.add({.method = http::verb::post,
                .pattern = "/api/projects/{id}/export",
                .handler = [this](Request& request) { return create(request); },
                .rules = {.caller = true}});
    router.add({.method = http::verb::get,
                .pattern = "/api/exports/{id}",
                .handler = [this](Request& request) { return show(request); },
                .rules = {.caller = true}});
}

/// Asked of the primary: who was let in or put out a moment ago is known there.
asio::awaitable<std::optional<Response>> Exports::refusal(std::string project_id,
                                                          std::string user_id, Response if_not)
{
    auto asking = projects_.project(std::move(project_id), std::move(user_id), ReadFrom::primary);
    const auto found = co_await std::move(asking);
    if (!found) co_return problem(found.error());
    if (!*found || (*found)->second == Access::none) co_return if_not;
    co_return std::nullopt;
}

asio::awaitable<Response> Exports::create(Request& request)
{
    const ExportOrder order{.project_id = request.param("id"), .user_id = request.caller->user_id};
    auto asking = refusal(order.project_id, order.user_id, no_such_project());
    auto refused = co_await std::move(asking);
    if (refused) co_return std::move(*refused);
    NewQueueJob job{.queue = kExportQueue,
                    .name = kExportJob,
                    .payload = write_order(order),
                    .id = new_id(clock_.wall_ms())};
    auto adding = queue_.add(std::move(job));
    const auto id = co_await std::move(adding);
    if (!id) co_return problem(id.error());
    Response response = success({{"exportId", *id},
                                 {"projectId", order.project_id},
                                 {"status", export_status(QueueState::waiting)}},
                                http::status::accepted);
    response.headers.emplace_back("Location", "/api/exports/" + *id);
    co_return response;
}

asio::awaitable<Response> Exports::show(Request& request)
{
    const std::string& id = request.param("id");
    if (!is_job_id(id)) co_return no_such_export();
    auto looking = queue_.job(kExportQueue, id);
    const auto job = co_await std::move(looking);
    if (!job) co_return problem(job.error());
    const auto order = *job ? read_order((*job)->payload) : std::nullopt;
    if (!order) co_return no_such_export();
    auto asking = refusal(order->project_id, request.caller->user_id, no_such_export());
    auto refused = co_await std::move(asking);
    if (refused) co_return std::move(*refused);

    json data{{"exportId", id},
              {"projectId", order->project_id},
              {"status", export_status((*job)->state)},
              {"progress", (*job)->progress},
              {"createdAt", iso_time((*job)->created_ms)}};
    if ((*job)->state == QueueState::dead)
        data["error"] = "The export failed; it can be asked for again.";
    if (const auto result = read_result((*job)->result);
        result && (*job)->state == QueueState::done) {
        data["finishedAt"] = iso_time((*job)->finished_ms);
        data["file"] = {{"name", result->file_name},
                        {"size", result->size},
                        {"url", files_.link(result->file_key, result->file_name, link_life_)}};
    }
    co_return success(data);
}

} // namespace cluster::app
