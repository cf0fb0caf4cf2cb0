#include "app/jobs/jobs.hpp"

#include "app/base/ids.hpp"
#include "app/base/times.hpp"
#include "app/http/fields.hpp"

#include <utility>

namespace cluster::app {
namespace {

constexpr std::size_t kLongText = 20'000;

json application_json(const Application& application)
{
    return {{"id", application.id},
            {"jobId", application.job_id},
            {"userId", application.user_id},
            {"coverLetter", application.cover_letter},
            {"createdAt", iso_time(application.created_ms)}};
}

JobQuery query_of(const Request& request, Fields& fields)
{
    JobQuery query;
    query.page = query_number(request, fields, "page", 1, 1, 1'000'000);
    query.limit = query_number(request, fields, "limit", 20, 1, 100);
    if (const std::string* search = find(request.query, "search")) query.search = *search;
    if (query.search.size() > 400) fields.fault("search", "must have at most 400 bytes");
    if (const std::string* status = find(request.query, "status")) query.status = *status;
    if (!query.status.empty() && query.status != "open" && query.status != "closed")
        fields.fault("status", "must be one of: open, closed");
    return query;
}

Response no_such_job()
{
    return problem(http::status::not_found, "JOB_NOT_FOUND", "There is no such job.");
}

ReadFrom source_of(const Request& request)
{
    return request.caller && request.caller->wrote_lately ? ReadFrom::primary : ReadFrom::replica;
}

} // namespace

json job_json(const Job& job)
{
    return {{"id", job.id},
            {"ownerId", job.owner_id},
            {"title", job.title},
            {"company", job.company},
            {"location", job.location},
            {"description", job.description},
            {"status", job.status},
            {"applications", job.applications},
            {"maxApplications", job.max_applications ? json(*job.max_applications) : json(nullptr)},
            {"createdAt", iso_time(job.created_ms)}};
}

Jobs::Jobs(const ipc::Clock& clock, JobStore& store, RecentWrites& writes, Metrics& metrics)
    : clock_{clock}, store_{store}, writes_{writes},
      applications_{metrics.counter("job_applications_total", "Applications that were taken.", {})}
{
}

asio::awaitable<Response> Jobs::list(Request& request)
{
    const json no_body = json::object();
    Fields fields{no_body};
    const JobQuery query = query_of(request, fields);
    if (fields.wrong()) co_return fields.problem();
    auto asking = store_.jobs(query, source_of(request));
    const auto found = co_await std::move(asking);
    if (!found) co_return problem(found.error());
    json items = json::array();
    for (const Job& job : found->items)
        items.push_back(job_json(job));
    co_return success(page_json(std::move(items), query.page, query.limit, found->total));
}

asio::awaitable<Response> Jobs::show(Request& request)
{
    const std::string id = request.param("id");
    if (!is_id(id)) co_return no_such_job();
    auto asking = store_.job(id, source_of(request));
    auto found = co_await std::move(asking);
    if (found && !*found && writes_.needed()) {
        auto again = store_.job(id, ReadFrom::primary); // so new that the replica lacks it
        found = co_await std::move(again);
    }
    if (!found) co_return problem(found.error());
    if (!*found) co_return no_such_job();
    co_return success(job_json(**found));
}

asio::awaitable<Response> Jobs::create(Request& request)
{
    const auto body = json_body(request);
    if (!body) co_return body.error();
    Fields fields{*body};
    Job job;
    job.title = fields.text("title", {.max = 200});
    job.company = fields.text("company", {.max = 200});
    job.location = fields.optional_text("location", {.min = 0, .max = 200});
    job.description =
        fields.optional_text("description", {.min = 0, .max = kLongText, .lines = true});
    const auto most = fields.optional_number("maxApplications", 1, 1'000'000);
    if (fields.wrong()) co_return fields.problem();
    if (most) job.max_applications = static_cast<int>(*most);
    job.owner_id = request.caller->user_id;
    job.created_ms = clock_.wall_ms();
    job.id = new_id(job.created_ms);

    auto creating = store_.create_job(job);
    const auto created = co_await std::move(creating);
    if (!created) co_return problem(created.error());
    auto noting = writes_.note(job.owner_id);
    co_await std::move(noting);
    Response response = success(job_json(job), http::status::created);
    response.headers.emplace_back("Location", "/api/jobs/" + job.id);
    co_return response;
}

asio::awaitable<Response> Jobs::apply(Request& request)
{
    const auto body = optional_json_body(request);
    if (!body) co_return body.error();
    Fields fields{*body};
    const std::string letter =
        fields.optional_text("coverLetter", {.min = 0, .max = kLongText, .lines = true});
    if (fields.wrong()) co_return fields.problem();
    if (!is_id(request.param("id"))) co_return no_such_job();

    const std::int64_t now_ms = clock_.wall_ms();
    const Application application{.id = new_id(now_ms),
                                  .job_id = request.param("id"),
                                  .user_id = request.caller->user_id,
                                  .cover_letter = letter,
                                  .created_ms = now_ms};
    auto applying = store_.apply(application);
    const auto applied = co_await std::move(applying);
    if (!applied) co_return problem(applied.error());
    if (*applied == Applied::no_such_job) co_return no_such_job();
    if (*applied == Applied::closed)
        co_return problem(http::status::conflict, "JOB_CLOSED",
                          "The job takes no more applications.");
    if (*applied == Applied::already)
        co_return problem(http::status::conflict, "ALREADY_APPLIED",
                          "You have applied for this job already.");
    applications_.add();
    auto noting = writes_.note(application.user_id);
    co_await std::move(noting);
    co_return success(application_json(application), http::status::created);
}

asio::awaitable<Response> Jobs::own_applications(Request& request)
{
    auto asking = store_.applications_of(request.caller->user_id, source_of(request));
    const auto found = co_await std::move(asking);
    if (!found) co_return problem(found.error());
    json items = json::array();
    for (const Application& application : *found)
        items.push_back(application_json(application));
    co_return success({{"items", std::move(items)}});
}

void add_job_routes(Router& router, Jobs& jobs)
{
    using enum http::verb;
    const auto add = [&](http::verb method, const char* pattern, bool caller,
                         asio::awaitable<Response> (Jobs::*handler)(Request&)) {
        router.add(
            {.method = method,
             .pattern = pattern,
             .handler = [&jobs, handler](Request& request) { return (jobs.*handler)(request); },
             .rules = {.caller = caller}});
    };
    add(get, "/api/jobs", false, &Jobs::list);
    add(post, "/api/jobs", true, &Jobs::create);
    add(get, "/api/jobs/{id}", false, &Jobs::show);
    add(post, "/api/jobs/{id}/apply", true, &Jobs::apply);
    add(get, "/api/users/me/applications", true, &Jobs::own_applications);
}

} // namespace cluster::app
